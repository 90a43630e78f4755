"""The table of MT-Bench: scores by run, and by run and category."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, Column, Part
from srt.report.inputs import ReportInputs
from srt.report.reported import evaluation, metric, missing_of
from srt.report.tables import columns, notes
from srt.report.tables.judges import answers_cells, judge_cells
from srt.report.tables.rows import AnswersCells, JudgeCells, SetupCells, as_row, setup_cells
from srt.report.tables.table import NO_RUN, BenchmarkTable
from srt.settings.benchmarks import MT_BENCH

GRADES = (
    *columns.RUN,
    *columns.SETUP,
    Column("score", "Score", 2, main=True),
    Column("se", "SE", 2),
    Column("turn_1", "first", 2, group="Turn"),
    Column("turn_1_se", "SE", 2, group="Turn"),
    Column("turn_2", "second", 2, group="Turn"),
    Column("turn_2_se", "SE", 2, group="Turn"),
    *columns.COUNTS,
    *columns.ANSWERS,
    *columns.JUDGE,
    columns.FILE,
)
CATEGORY_GRADES = (
    *columns.RUN,
    Column("category", "Category"),
    Column("score", "Score", 2, main=True),
    Column("se", "SE", 2),
    Column("n", "n", 0),
    *columns.JUDGE,
    columns.FILE,
)
CATEGORY = "category_"


@dataclass(frozen=True, kw_only=True)
class Grades:
    """A run's mean grades."""

    score: float | None
    se: float | None
    turn_1: float | None
    turn_1_se: float | None
    turn_2: float | None
    turn_2_se: float | None
    n: int
    missing: int
    answers: AnswersCells
    judge: JudgeCells


@dataclass(frozen=True, kw_only=True)
class MtBenchRow:
    """A run."""

    source: str
    setup: SetupCells
    grades: Grades | None = None


@dataclass(frozen=True, kw_only=True)
class CategoryRow:
    """A run's mean grade in one category."""

    run: str
    category: str
    score: float | None
    se: float | None
    n: int
    judge: JudgeCells
    source: str


def _row(inputs: ReportInputs, run: Run) -> MtBenchRow:
    found = evaluation(inputs.results, run.run, MT_BENCH.key)
    if found is None:
        return MtBenchRow(setup=setup_cells(inputs.results, run), source=NOT_RUN)
    result, source = found
    score = metric(result, "score", source)
    known = {metric.name: (metric.value, metric.se) for metric in result.metrics}
    first, second = known.get("turn_1", (None, None)), known.get("turn_2", (None, None))
    grades = Grades(
        score=score.value,
        se=score.se,
        turn_1=first[0],
        turn_1_se=first[1],
        turn_2=second[0],
        turn_2_se=second[1],
        n=score.n,
        missing=missing_of(result),
        answers=answers_cells(inputs.results, run.run, str(MT_BENCH.questions)),
        judge=judge_cells(inputs.results, result, MT_BENCH.form),
    )
    return MtBenchRow(setup=setup_cells(inputs.results, run), grades=grades, source=source)


def _categories(inputs: ReportInputs, run: Run) -> Iterator[CategoryRow]:
    found = evaluation(inputs.results, run.run, MT_BENCH.key)
    if found is None:
        return
    result, source = found
    for known in result.metrics:
        if known.name.startswith(CATEGORY):
            yield CategoryRow(
                run=run.run,
                category=known.name.removeprefix(CATEGORY),
                score=known.value,
                se=known.se,
                n=known.n,
                judge=judge_cells(inputs.results, result, MT_BENCH.form),
                source=source,
            )


TABLE = BenchmarkTable(
    title="MT-Bench: single-answer grading",
    notes="The mean over the questions, each by the mean of its turns; n are questions, missing ones turns. "
    f"{notes.ANSWERED} {notes.JUDGED}",
    parts=[
        Part("score", "Scores from 1 to 10", GRADES, (), NO_RUN),
        Part("category", "By category", CATEGORY_GRADES, (), "None: no run has a grade in a category."),
    ],
    rows=lambda inputs: [
        [as_row(_row(inputs, run)) for run in inputs.runs],
        [as_row(row) for run in inputs.runs for row in _categories(inputs, run)],
    ],
)
