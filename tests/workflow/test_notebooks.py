"""The notebooks: short, without outputs, and they run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers import ROOT
from helpers.results import inputs_at, small_config
from srt.experiment import layout
from srt.report.figures.draw import draw
from srt.report.tables import write

NOTEBOOKS = ROOT / "notebooks"
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", layout.FIGURES)
def test_notebooks_are_short_and_committed_without_outputs(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert len(notebook.cells) <= 8
    assert max(len(cell.source.splitlines()) for cell in notebook.cells) <= 10
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    (parameters,) = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    for parameter in ("results", "config"):
        assert f"{parameter} = " in parameters.source
    assert notebook.metadata.kernelspec.name == "python3"


def test_notebooks_make_the_figures_of_the_command_line(results: Path, tmp_path: Path) -> None:
    inputs = inputs_at(results)
    write.write_tables(inputs, results)
    write.write_tables(inputs, tmp_path / "drawn")
    (tmp_path / "mine.yaml").write_text(small_config(tmp_path, inputs))
    given = {"results": "results", "config": "mine.yaml"}
    flags = [part for item in given.items() for part in ("-r", *item)]
    for name in layout.FIGURES:
        done = subprocess.run(
            [sys.executable, "-m", "papermill", NOTEBOOKS / f"{name}.ipynb", f"{name}.ipynb", "-k", "python3", *flags],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path)},  # no kernel from elsewhere
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        shown = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
        drawn = draw(inputs, name, tmp_path / "drawn").parents[1]
        assert any("image/png" in output.get("data", {}) for cell in shown.cells for output in cell.get("outputs", []))
        for extension in ("pdf", "png"):
            path = layout.FIGURE.format(figure=name, ext=extension)
            assert (results / path).read_bytes() == (drawn / path).read_bytes()
