"""The table of AlpacaEval 2, which is younger than the paper."""

from __future__ import annotations

from dataclasses import dataclass

from srt.evaluation.win_rate import LC_WIN_RATE
from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, Column, Part
from srt.report.inputs import ReportInputs
from srt.report.reported import evaluation, metric, missing_of
from srt.report.tables import columns, notes
from srt.report.tables.judges import answers_cells, judge_cells
from srt.report.tables.rows import AnswersCells, JudgeCells, SetupCells, as_row, setup_cells
from srt.report.tables.table import NO_RUN, BenchmarkTable
from srt.settings.benchmarks import ALPACA_EVAL_2

COLUMNS = (
    *columns.RUN,
    *columns.SETUP,
    Column("lc_win_rate", "Win rate", 2, group="Length-controlled", main=True),
    Column("lc_se", "SE", 2, group="Length-controlled"),
    Column("win_rate", "Win rate", 2, group="Raw"),
    Column("se", "SE", 2, group="Raw"),
    Column("length", "Length", 0),
    *columns.COUNTS,
    *columns.ANSWERS,
    *columns.JUDGE,
    columns.FILE,
)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A run's win rates."""

    lc_win_rate: float | None
    lc_se: float | None
    win_rate: float | None
    se: float | None
    length: float | None
    n: int
    missing: int
    answers: AnswersCells
    judge: JudgeCells


@dataclass(frozen=True, kw_only=True)
class AlpacaEval2Row:
    """A run."""

    source: str
    setup: SetupCells
    rates: Rates | None = None


def _row(inputs: ReportInputs, run: Run) -> AlpacaEval2Row:
    found = evaluation(inputs.results, run.run, ALPACA_EVAL_2.key)
    if found is None:
        return AlpacaEval2Row(setup=setup_cells(inputs.results, run), source=NOT_RUN)
    result, source = found
    controlled, raw = metric(result, LC_WIN_RATE, source), metric(result, "win_rate", source)
    rates = Rates(
        lc_win_rate=controlled.value,
        lc_se=controlled.se,
        win_rate=raw.value,
        se=raw.se,
        length=metric(result, "avg_length", source).value,
        n=raw.n,
        missing=missing_of(result),
        answers=answers_cells(inputs.results, run.run, str(ALPACA_EVAL_2.questions)),
        judge=judge_cells(inputs.results, result, ALPACA_EVAL_2.form),
    )
    return AlpacaEval2Row(setup=setup_cells(inputs.results, run), rates=rates, source=source)


TABLE = BenchmarkTable(
    title="AlpacaEval 2: win rate (%) at equal length",
    notes=f"The paper is older and has no figures of it. {notes.ANSWERED} {notes.JUDGED}",
    parts=[Part(ALPACA_EVAL_2.key, "AlpacaEval 2", COLUMNS, (), NO_RUN)],
    rows=lambda inputs: [[as_row(_row(inputs, run)) for run in inputs.runs]],
)
