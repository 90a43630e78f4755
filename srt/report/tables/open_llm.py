"""The table of the Open LLM Leaderboard: ours beside the paper's, and the paper's many baselines by themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, REPORTED, Column, Part, Row
from srt.report.inputs import ReportInputs
from srt.report.reported import difference, evaluation, evaluation_names, inside, metric, missing_of, reported
from srt.report.tables import columns, notes
from srt.report.tables.rows import ReportedModelCells, SetupCells, as_row, reported_model, setup_cells
from srt.report.tables.table import NO_RUN, BenchmarkTable, PaperTable
from srt.settings.benchmarks import OPEN_LLM
from srt.storage.records import Evaluation

LABELS = {"average": "Average", "arc": "ARC", "hellaswag": "HellaSwag", "mmlu": "MMLU", "truthfulqa": "TruthfulQA"}
COLUMNS = (
    *columns.RUN,
    Column("profile", "Profile"),
    *(
        column
        for name, label in LABELS.items()
        for column in (
            Column(name, "ours", 2, group=label, main=name == "average"),
            Column(f"{name}_se", "SE", 2, group=label),
            Column(f"{name}_n", "n", 0, group=label),
            Column(f"{name}_reported", "paper", 2, group=label),
            Column(f"{name}_difference", "diff.", 2, group=label, signed=True),
            Column(f"{name}_inside", "inside", group=label),
        )
    ),
    Column("missing", "Missing", 0),
    *columns.SETUP,
    Column("version", "lm-eval"),
    Column("leaderboard", "Leaderboard", shown=False),  # the block of reported.yaml with which it is compared
    Column("reported_name", "Model", group="Paper"),
    Column("reported_training_records", "Records", 0, group="Paper", shown=False),
    *columns.SOURCE,
)
PAPER_COLUMNS = (
    columns.MODEL,
    columns.OURS,
    *(
        column
        for name, label in LABELS.items()
        for column in (
            Column(f"{name}_reported", "paper", 2, group=label),
            Column(name, "ours", 2, group=label, main=name == "average"),
            Column(f"{name}_se", "SE", 2, group=label),
            Column(f"{name}_difference", "diff.", 2, group=label, signed=True),
        )
    ),
    columns.RECORDS,
    columns.WHERE,
)


@dataclass(frozen=True, kw_only=True)
class Score:
    """One of the scores: ours with its error and number of items, and the paper's."""

    value: float | None = None
    se: float | None = None
    n: int | None = None
    reported: float | None = None

    def cells(self, name: str) -> Row:
        """By the columns' keys, with the difference from the paper's."""
        row = {name: self.value, f"{name}_se": self.se, f"{name}_n": self.n, f"{name}_reported": self.reported}
        row[f"{name}_difference"] = difference(self.value, self.reported)
        return {**row, f"{name}_inside": inside(self.value, self.se, self.reported, None)}


@dataclass(frozen=True, kw_only=True)
class OpenLlmRow:
    """A run under one profile, or a reported model that no run stands beside."""

    source: str
    setup: SetupCells | None = None
    profile: str | None = None
    missing: int | None = None
    version: str | None = None
    leaderboard: str | None = None
    paper: ReportedModelCells | None = None


def _rows(inputs: ReportInputs) -> list[Row]:
    """One row per run and profile, then one per reported model that no run stands beside."""
    known: Sequence[str | None] = profiles(inputs.results, inputs.runs) or [None]
    rows = [_row(inputs, run, profile) for run in inputs.runs for profile in known]
    used = {row.get("reported_name") for row in rows}
    others = [name for name in reported().leaderboard() if name not in used]
    return rows + [_reported_row(name) for name in others]


def leaderboard_rows(inputs: ReportInputs) -> dict[str, Row]:
    """run: its row of the Open LLM Leaderboard, under the profile that reproduces the paper's rules if there is one."""
    rows = [row for row in _rows(inputs) if row.get("run") and row["source"] != NOT_RUN]
    rows.sort(key=lambda row: row.get("leaderboard") == OPEN_LLM.key)
    return {row["run"]: row for row in rows}


def profiles(results: Path, runs: Iterable[Run]) -> list[str]:
    """The profiles of the Open LLM Leaderboard under which any of the runs was evaluated, by name."""
    before = OPEN_LLM.pattern.format(profile="")
    return [name.removeprefix(before) for name in evaluation_names(results, runs, OPEN_LLM)]


def _row(inputs: ReportInputs, run: Run, profile: str | None) -> Row:
    setup = setup_cells(inputs.results, run)
    found = evaluation(inputs.results, run.run, OPEN_LLM.pattern.format(profile=profile)) if profile else None
    if found is None:
        return as_row(OpenLlmRow(setup=setup, profile=profile, source=NOT_RUN))
    result, source = found
    board = result.settings.get("reported")
    theirs = inputs.compare.get(run.run, "") if board == OPEN_LLM.key else ""
    row = OpenLlmRow(
        setup=setup,
        profile=profile,
        missing=missing_of(result),
        version=result.versions.get("lm_eval"),
        leaderboard=board,
        paper=_model(theirs),
        source=source,
    )
    return as_row(row) | _scores(theirs, (result, source))


def _reported_row(name: str) -> Row:
    return as_row(OpenLlmRow(paper=_model(name), source=REPORTED)) | _scores(name)


def _model(name: str) -> ReportedModelCells | None:
    row = reported().leaderboard().get(name)
    return reported_model(name, row.source) if row else None


def _scores(reported_name: str, found: tuple[Evaluation, str] | None = None) -> Row:
    """The cells of every score: a reported model's, an evaluation's, or both beside each other."""
    theirs = reported().leaderboard().get(reported_name)
    row: Row = {}
    for name in LABELS:
        value = getattr(theirs, name, None)
        score = Score(reported=value)
        if found:
            ours = metric(found[0], name, found[1])
            score = Score(value=ours.value, se=ours.se, n=ours.n, reported=value)
        row |= score.cells(name)
    return row


TITLE = "Open LLM Leaderboard's four benchmarks (%)"
TABLE = BenchmarkTable(
    title=TITLE,
    notes="Profile: the rules of evaluation; the paper's figures stand beside the one that reproduces its rules. "
    "SE: standard error over the items; n: their number; missing: items without a value. "
    "Diff.: ours minus the paper's; inside: no larger than our 95% interval (the leaderboard gives no error).",
    parts=[Part(OPEN_LLM.key, TITLE, COLUMNS, (), NO_RUN)],
    rows=lambda inputs: [_rows(inputs)],
    paper=PaperTable(PAPER_COLUMNS, order=lambda row: -float(row["average_reported"])),
    more=lambda: [notes.READ_OFF],
)
