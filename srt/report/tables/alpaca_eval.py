"""The table of AlpacaEval 1.0: ours beside the paper's, and the paper's many baselines by themselves."""

from __future__ import annotations

from dataclasses import dataclass

from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, REPORTED, Column, Part, Row
from srt.report.inputs import ReportInputs
from srt.report.reported import difference, evaluation, inside, metric, missing_of, reported, whole
from srt.report.tables import columns, leaderboard, notes
from srt.report.tables.judges import answers_cells, judge_cells
from srt.report.tables.leaderboard import LeaderboardCells
from srt.report.tables.rows import (
    AnswersCells,
    JudgeCells,
    ReportedModelCells,
    SetupCells,
    as_row,
    reported_model,
    setup_cells,
)
from srt.report.tables.table import NO_RUN, BenchmarkTable, PaperTable
from srt.settings.benchmarks import ALPACA_EVAL

COLUMNS = (
    *columns.RUN,
    Column("win_rate", "Win rate", 2, group="Ours", main=True),
    Column("se", "SE", 2, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("reported_win_rate", "Win rate", 2, group="Paper"),
    Column("reported_se", "SE", 2, group="Paper"),
    Column("difference", "Difference", 2, signed=True),
    columns.INSIDE,
    *columns.JUDGE,
    *columns.SETUP,
    Column("missing", "Missing", 0, group="Ours"),
    Column("wins", "Wins", 0, group="Ours"),
    Column("draws", "Draws", 0, group="Ours"),
    Column("length", "Length", 0, group="Ours"),
    *columns.ANSWERS,
    Column("reported_name", "Model", group="Paper"),
    Column("reported_wins", "Wins", 0, group="Paper", shown=False),
    Column("reported_draws", "Draws", 0, group="Paper", shown=False),
    Column("reported_length", "Length", 0, group="Paper"),
    Column("reported_training_records", "Records", 0, group="Paper"),
    *(Column(c.key, c.header, c.digits, c.group, shown=False) for c in columns.LEADERBOARD),
    *columns.SOURCE,
)
PAPER_COLUMNS = (
    columns.MODEL,
    Column("reported_win_rate", "Win rate", 2, group="Paper"),
    Column("reported_se", "SE", 2, group="Paper"),
    columns.OURS,
    Column("win_rate", "Win rate", 2, group="Ours", main=True),
    Column("se", "SE", 2, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("difference", "Difference", 2, signed=True),
    columns.INSIDE,
    *columns.LEADERBOARD,
    Column("reported_wins", "Wins", 0, group="Paper"),
    Column("reported_draws", "Draws", 0, group="Paper"),
    Column("reported_length", "Length", 0, group="Paper"),
    columns.RECORDS,
    columns.WHERE,
)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A model's win rate as the paper reports it, and what AlpacaEval's leaderboard says of it."""

    reported_win_rate: float
    reported_se: float | None
    reported_wins: int | None
    reported_draws: int | None
    reported_length: int | None
    leaderboard: LeaderboardCells
    model: ReportedModelCells


@dataclass(frozen=True, kw_only=True)
class Ours:
    """A run's win rate."""

    win_rate: float | None
    se: float | None
    n: int
    wins: float | int | None
    draws: float | int | None
    length: float | None
    missing: int
    answers: AnswersCells
    judge: JudgeCells


@dataclass(frozen=True, kw_only=True)
class AlpacaEvalRow:
    """A run, or a reported model that no run is compared with."""

    source: str
    setup: SetupCells | None = None
    ours: Ours | None = None
    paper: Reported | None = None
    difference: float | None = None
    inside: str | None = None


def alpaca_eval_rows(inputs: ReportInputs) -> list[Row]:
    """One row per run, then one per reported model that no run is compared with."""
    rows = [_row(inputs, run) for run in inputs.runs]
    others = [name for name in reported().win_rates() if name not in inputs.compare.values()]
    rows += [AlpacaEvalRow(paper=_reported(name), source=REPORTED) for name in others]
    return [as_row(row) for row in rows]


def _row(inputs: ReportInputs, run: Run) -> AlpacaEvalRow:
    setup, paper = setup_cells(inputs.results, run), _reported(inputs.compare.get(run.run, ""))
    found = evaluation(inputs.results, run.run, ALPACA_EVAL.key)
    if found is None:
        return AlpacaEvalRow(setup=setup, paper=paper, source=NOT_RUN)
    result, source = found
    rate = metric(result, "win_rate", source)
    ours = Ours(
        win_rate=rate.value,
        se=rate.se,
        n=rate.n,
        wins=whole(metric(result, "wins", source).value),
        draws=whole(metric(result, "draws", source).value),
        length=metric(result, "avg_length", source).value,
        missing=missing_of(result),
        answers=answers_cells(inputs.results, run.run, str(ALPACA_EVAL.questions)),
        judge=judge_cells(inputs.results, result, ALPACA_EVAL.form),
    )
    theirs, error = (paper.reported_win_rate, paper.reported_se) if paper else (None, None)
    return AlpacaEvalRow(
        setup=setup,
        ours=ours,
        paper=paper,
        difference=difference(rate.value, theirs),
        inside=inside(rate.value, rate.se, theirs, error),
        source=source,
    )


def _reported(name: str) -> Reported | None:
    row = reported().win_rates().get(name)
    if row is None:
        return None
    return Reported(
        reported_win_rate=row.win_rate,
        reported_se=row.se,
        reported_wins=row.wins,
        reported_draws=row.draws,
        reported_length=row.length,
        leaderboard=leaderboard.checked(row),
        model=reported_model(name, row.source),
    )


def _more() -> list[str]:
    said = [notes.READ_OFF]
    if leaderboard.published() is None:
        said.append("alpaca-eval is not installed: the paper's figures could not be compared with its leaderboard.")
    return said + [f"{model}: {row.note}." for model, row in reported().alpaca_eval.rows.items() if row.note]


TITLE = "AlpacaEval 1.0: win rate (%) against the reference (the paper's Table 1)"
TABLE = BenchmarkTable(
    title=TITLE,
    notes="Difference: ours minus the paper's. Length in characters. Missing: questions without a verdict. "
    f"{notes.INSIDE} {notes.ANSWERED} {notes.JUDGED} {notes.STEPS} "
    "Leaderboard: AlpacaEval's own, as the installed alpaca-eval ships it, against the paper's figures in the row.",
    parts=[Part(ALPACA_EVAL.key, TITLE, COLUMNS, (), NO_RUN)],
    rows=lambda inputs: [alpaca_eval_rows(inputs)],
    paper=PaperTable(PAPER_COLUMNS, order=lambda row: -float(row["reported_win_rate"])),
    more=_more,
)
