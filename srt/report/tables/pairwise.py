"""The pairwise table: verdicts of our runs against others, beside the paper's."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, REPORTED, Column, Part, Row
from srt.report.inputs import ReportInputs
from srt.report.reported import (
    PairwiseBlock,
    ReportedVerdicts,
    difference,
    evaluation,
    inside,
    metric,
    missing_of,
    reported,
    whole,
)
from srt.report.tables import columns, notes
from srt.report.tables.judges import answers_cells, judge_cells
from srt.report.tables.rows import AnswersCells, JudgeCells, SetupCells, as_row, setup_cells
from srt.report.tables.table import NO_RUN, BenchmarkTable, PaperTable
from srt.settings.benchmarks import PAIRWISE

COLUMNS = (
    *columns.RUN,
    Column("opponent", "Opponent"),
    Column("questions", "Questions"),
    Column("winning_score", "Winning score", 3, group="Ours", main=True),
    Column("se", "SE", 3, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("reported_winning_score", "Winning score", 3, group="Paper"),
    Column("difference", "Difference", 3, signed=True),
    columns.INSIDE,
    *columns.JUDGE,
    Column("wins", "Win", 0, group="Ours"),
    Column("ties", "Tie", 0, group="Ours"),
    Column("losses", "Lose", 0, group="Ours"),
    Column("missing", "Missing", 0, group="Ours"),
    *columns.SETUP,
    *columns.ANSWERS,
    Column("reported_name", "Model", group="Paper"),
    Column("reported_opponent", "Opponent", group="Paper"),
    Column("reported_questions", "Questions", group="Paper", shown=False),
    Column("reported_wins", "Win", 0, group="Paper"),
    Column("reported_ties", "Tie", 0, group="Paper"),
    Column("reported_losses", "Lose", 0, group="Paper"),
    Column("reported_judge", "Judge", group="Paper", shown=False),
    *columns.SOURCE,
)
PAPER_COLUMNS = (
    columns.MODEL,
    Column("reported_opponent", "Opponent"),
    Column("reported_wins", "Win", 0, group="Paper"),
    Column("reported_ties", "Tie", 0, group="Paper"),
    Column("reported_losses", "Lose", 0, group="Paper"),
    Column("reported_winning_score", "Winning score", 3, group="Paper"),
    columns.OURS,
    Column("winning_score", "Winning score", 3, group="Ours", main=True),
    Column("se", "SE", 3, group="Ours"),
    Column("n", "n", 0, group="Ours"),
    Column("difference", "Difference", 3, signed=True),
    columns.INSIDE,
    Column("reported_judge", "Judge"),
    columns.WHERE,
)


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """A run's verdicts against an opponent."""

    winning_score: float | None
    se: float | None
    n: int
    wins: float | int | None
    ties: float | int | None
    losses: float | int | None
    missing: int
    answers: AnswersCells
    judge: JudgeCells


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A comparison as the paper reports it."""

    reported_name: str
    reported_opponent: str
    reported_questions: str
    reported_wins: int
    reported_ties: int
    reported_losses: int
    reported_winning_score: float
    reported_se: float | None
    reported_judge: str
    reported_source: str


@dataclass(frozen=True, kw_only=True)
class PairwiseRow:
    """A run against an opponent on a set of questions, or a reported comparison that none of them stands beside."""

    source: str
    setup: SetupCells | None = None
    opponent: str | None = None
    questions: str | None = None
    ours: Verdicts | None = None
    paper: Reported | None = None
    difference: float | None = None
    inside: str | None = None


def _rows(inputs: ReportInputs) -> list[Row]:
    """One row per run, set of questions and opponent, then the reported comparisons that none of them stands beside.

    The paper's figures are beside those of their own set of questions alone.
    """
    theirs = reported_verdicts()
    rows, used = [], set()
    for run in inputs.runs:
        for asked, opponent in product(inputs.questions, layout.opponents_of(run, inputs.opponents)):
            key = (inputs.compare.get(run.run, ""), inputs.compare.get(opponent, ""), asked)
            rows.append(_row(inputs, run, (asked, opponent), theirs.get(key)))
            used.add(key)
    others = [row for key, row in theirs.items() if key not in used]
    rows += [PairwiseRow(paper=row, source=REPORTED) for row in others + human_study()]
    return [as_row(row) for row in rows]


def _row(inputs: ReportInputs, run: Run, against: tuple[str, str], paper: Reported | None) -> PairwiseRow:
    questions, opponent = against
    setup, name = setup_cells(inputs.results, run), PAIRWISE.pattern.format(questions=questions, opponent=opponent)
    found = evaluation(inputs.results, run.run, name)
    if found is None:
        return PairwiseRow(setup=setup, opponent=opponent, questions=questions, paper=paper, source=NOT_RUN)
    result, source = found
    score = metric(result, "winning_score", source)
    ours = Verdicts(
        winning_score=score.value,
        se=score.se,
        n=score.n,
        wins=whole(metric(result, "wins", source).value),
        ties=whole(metric(result, "ties", source).value),
        losses=whole(metric(result, "losses", source).value),
        missing=missing_of(result),
        answers=answers_cells(inputs.results, run.run, questions),
        judge=judge_cells(inputs.results, result, PAIRWISE.form),
    )
    theirs, error = (paper.reported_winning_score, paper.reported_se) if paper else (None, None)
    return PairwiseRow(
        setup=setup,
        opponent=opponent,
        questions=questions,
        ours=ours,
        paper=paper,
        difference=difference(score.value, theirs),
        inside=inside(score.value, score.se, theirs, error),
        source=source,
    )


def reported_verdicts() -> dict[tuple[str, str, str], Reported]:
    """(model, opponent, questions): the row of the paper's pairwise comparison by the judge."""
    return _verdicts(reported().pairwise)


def human_study() -> list[Reported]:
    """The rows of the paper's study with people."""
    return list(_verdicts(reported().human_study).values())


def _verdicts(block: PairwiseBlock) -> dict[tuple[str, str, str], Reported]:
    return {
        (block.model, opponent, block.questions): _reported(block, opponent, verdicts)
        for opponent, verdicts in block.rows.items()
    }


def _reported(block: PairwiseBlock, opponent: str, verdicts: ReportedVerdicts) -> Reported:
    return Reported(
        reported_name=block.model,
        reported_opponent=opponent,
        reported_questions=block.questions,
        reported_wins=verdicts.wins,
        reported_ties=verdicts.ties,
        reported_losses=verdicts.losses,
        reported_winning_score=verdicts.winning_score,
        reported_se=verdicts.se,
        reported_judge=block.judge,
        reported_source=verdicts.source or block.source,
    )


def _by_score(row: Row) -> tuple[bool, float]:
    """Opponents as the paper orders them: the strongest first, the study with people last."""
    return row["reported_judge"] == reported().human_study.judge, row["reported_winning_score"]


TITLE = "Pairwise comparison in both orders, and the study with people"
TABLE = BenchmarkTable(
    title=TITLE,
    notes="Winning score: (wins - losses) / all + 1. Difference: ours minus the paper's. "
    f"{notes.INSIDE} {notes.ANSWERED} {notes.JUDGED} The study with people cannot be rerun.",
    parts=[Part(PAIRWISE.key, TITLE, COLUMNS, (), NO_RUN)],
    rows=lambda inputs: [_rows(inputs)],
    paper=PaperTable(PAPER_COLUMNS, _by_score),
)
