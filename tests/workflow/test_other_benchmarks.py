"""A benchmark of another package goes through the workflow to its table, and nothing of this one is touched for it."""

import csv
import filecmp
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT
from helpers.toy_benchmark import install
from helpers.tree import copy_of_tree, edited, snakemake
from srt.storage.files import write_json, write_records
from srt.storage.records import Answer

pytestmark = pytest.mark.slow

RUNS = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\nready\t-\t-\tready\tnone\t-\t-\t-\n"
ANSWERS = ("Thanks for asking.", "No.", "Thanks!", "Thanks, no.")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A model that has answered the toy's questions; its benchmark is the only one that is asked for."""
    tree = copy_of_tree(tmp_path / "tree")

    def change(values: dict[str, Any]) -> None:
        values["students"] = {"ready": {"model": "nobody/ready", "revision": None, "prompt": "vicuna_v1.1"}}
        values["evaluate"] = {**dict.fromkeys(values["evaluate"]), "politeness": {"word": "Thanks"}}
        values["questions"]["politeness"] = {"source": "asked.json", "decoding": next(iter(values["generate"]))}
        values["report"] |= {"compare": {}, "licences": {}}

    edited(tree, change, name="config/config.yaml")
    (tree / "config/demo.tsv").write_text(RUNS)
    write_json(tree / "asked.json", [{"id": f"q{n}", "instruction": f"Case {n}?"} for n in range(len(ANSWERS))])
    said = [
        Answer(id=f"q{n}", question=f"Case {n}?", answer=text, tokens=3, finish_reason="stop")
        for n, text in enumerate(ANSWERS)
    ]
    answers = tree / "results/runs/ready/answers/politeness.jsonl"
    write_records(answers, said)
    write_json(answers.with_suffix(".meta.json"), {"counts": {}})
    return tree


def beside(folder: Path) -> dict[str, str]:
    """An environment in which the package in a folder is installed."""
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def differing(tree: Path) -> list[str]:
    """The files of this package's workflow that are not as they are in a clone, but for the demo's run table."""
    ours = [path for name in ("workflow", "config") for path in (tree / name).rglob("*") if path.is_file()]
    found = [path.relative_to(tree) for path in [*ours, tree / "Snakefile"]]
    return [str(path) for path in found if not filecmp.cmp(tree / path, ROOT / path, shallow=False)]


def test_a_benchmark_of_another_package_goes_to_its_table_and_touches_three_files(tree: Path, tmp_path: Path) -> None:
    brought = [path.name for path in install(tmp_path / "site")]
    code, out, err = snakemake(tree, "tables", "--cores", "2", "-p", env=beside(tmp_path / "site"))
    assert code == 0, out + err
    (command,) = re.findall(r"^Shell command: (srt evaluate politeness .+?) > ", out + err, re.MULTILINE)
    assert shlex.split(command)[2:8] == [
        *("politeness", "results/runs/ready/answers/politeness.jsonl"),
        *("results/runs/ready/evaluation/politeness.json", "--questions", "asked.json", "--word"),
    ]
    with (tree / "results/tables/politeness.csv").open() as lines:
        (row,) = csv.DictReader(lines)
    assert (row["run"], row["polite"], row["source"]) == ("ready", "75.0", "runs/ready/evaluation/politeness.json")
    assert "| ready | 75.0 | 25.0 |" in (tree / "results/tables/politeness.md").read_text()
    touched = {*brought, *differing(tree)} - {"config/demo.tsv"}  # the run table is this test's own
    assert touched == {"politeness.py", "entry_points.txt", "config/config.yaml"}


def test_a_broken_entry_point_ends_in_one_line_that_names_it(tree: Path, tmp_path: Path) -> None:
    install(tmp_path / "site", "politeness:IMPOLITE")
    code, _, err = snakemake(tree, "-n", env=beside(tmp_path / "site"))
    (line,) = [line for line in err.splitlines() if line.startswith("srt: ")]
    assert (code, "Traceback" in err) == (2, False)
    assert line.startswith("srt: entry point politeness = politeness:IMPOLITE of srt.benchmarks: cannot be loaded: ")
