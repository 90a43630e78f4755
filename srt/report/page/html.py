"""One HTML page that opens with no network: figures and styles inside it, everything from outside escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report import formats
from srt.report.formats import NOT_RUN, Part
from srt.report.inputs import ReportInputs
from srt.report.page import deviations, evidence, ledgers, provenance
from srt.report.reported import read_evaluation, trained_on
from srt.report.tables import samples
from srt.report.tables.notes import notes, title_of
from srt.report.tables.write import for_reading, read_tables
from srt.settings.flags import flag_text
from srt.storage.files import write_text
from srt.storage.readers import read_text
from srt.storage.records import Evaluation

TEMPLATE = "report.html.j2"
FIGURES = {  # name: heading, what stands in the picture's place for who cannot see it
    "score_vs_data": (
        "Score against training records",
        "Two scatter plots of AlpacaEval win rate and Open LLM average against the number of training records, "
        "our runs among the models that the paper reports; the numbers stand in the tables above.",
    ),
    "selection_ratio": (
        "Score against the selection ratio",
        "Two line plots of AlpacaEval win rate and Open LLM average against the share of the selected records, the "
        "paper's line and ours; the numbers stand in the table of the selection ratio.",
    ),
    "pairwise": (
        "Pairwise comparisons",
        "Stacked bars of wins, ties and losses per comparison, ours above and the paper's below; "
        "the numbers stand in the table of pairwise comparisons.",
    ),
    "ifd_distributions": (
        "IFD and r-IFD",
        "Box plots of IFD and r-IFD for each version of the data, with a line at 1; "
        "the quantiles stand in the table of the data.",
    ),
}
RUN_COLUMNS = ("run", "dataset", "teacher", "student", "method", "ratio", "recipe", "seed")


def write_html(inputs: ReportInputs, out: Path) -> None:
    """Write the report from tables and figures, and from the evaluations and ledgers below the results folder.

    Args:
        inputs: the results, and the config that is shown and compared with the paper.
        out: the folder of the page; the tables and figures that it shows have been written below it.

    Raises:
        InputError: a table is missing, or a file is malformed.
    """
    folder = Path(__file__).resolve().parent
    environment = Environment(loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.globals |= {"cell": formats.cell, "headings": formats.headings, "not_run": NOT_RUN}
    environment.filters.update(plain=plain, number=number, coded=coded)
    results, runs = inputs.results, inputs.runs
    tables, found = (out / layout.TABLE).parent, evaluations(results, runs)
    told = samples.stories(results, runs, inputs.responses)
    page = environment.get_template(TEMPLATE).render(
        standing=evidence.standing(results, found, inputs.notice),
        run_columns=RUN_COLUMNS,
        runs=[_run(results, run) for run in runs],
        tables=[_table(tables, name) for name in layout.tables() if name != "examples"],  # told in full below
        figures=[_figure(out, name) for name in layout.FIGURES],
        evaluations=found,
        stories=told,
        statistics=samples.STATISTICS,
        kinds=ledgers.ledgers(results, runs),
        told={story.entry.id for story in told},
        making=provenance.making(results, runs),
        commit=provenance.commit(Path(__file__).parent),
        machine=provenance.machine(),
        **_config(inputs),
    )
    write_text(out / layout.REPORT, formats.printable(page))


def _config(inputs: ReportInputs) -> dict[str, object]:
    """The config file as it stands, and what it changes against the paper."""
    part, same = deviations.deviations(inputs.config, inputs.runs)
    text = read_text(inputs.file) if inputs.file else None
    digest = hashlib.sha256(text.encode()).hexdigest() if text else None
    shown = {"config_name": str(inputs.file or "not given"), "config_text": text, "config_sha256": digest}
    return {"deviations": part, "as_the_paper": same, **shown}


def _run(results: Path, run: Run) -> dict[str, object]:
    return {**run.model_dump(), "records": trained_on(results, run.run)}


def _table(tables: Path, name: str) -> tuple[str, str, list[Part], list[str]]:
    parts = read_tables(tables, name)
    return name, title_of(name), for_reading(parts), notes(name, parts)


def _figure(folder: Path, name: str) -> dict[str, str | None]:
    path = folder / layout.FIGURE.format(figure=name, ext="png")
    heading, alt = FIGURES[name]
    data = base64.b64encode(path.read_bytes()).decode("ascii") if path.exists() else None
    return {"name": name, "heading": heading, "alt": alt, "data": data}


def evaluations(results: Path, runs: Sequence[Run]) -> list[tuple[str, str, Evaluation]]:
    """(run, path below the results folder, evaluation) of every evaluation file of the runs, by run and name."""
    found = []
    for run in runs:
        folder = results / Path(layout.EVALUATION.format(run=run.run, benchmark="*")).parent
        for path in sorted(folder.glob("*.json")):
            found.append((run.run, path.relative_to(results).as_posix(), read_evaluation(path)))
    return found


def plain(value: Any) -> str:
    """A setting as text: what has parts as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict | list) else flag_text(value)


def coded(text: str) -> Markup:
    """A note in which what stands between backticks is code; everything else is escaped."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 (escaped before)


def number(value: float | None) -> str:
    """A statistic as text, with a dash where there is none."""
    if value is None:
        return "\N{EN DASH}"
    whole = isinstance(value, int) or value == int(value)
    return f"{value:,.0f}" if whole else f"{value:,.3f}"
