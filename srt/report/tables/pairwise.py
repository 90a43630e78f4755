"""The pairwise table: verdicts of our runs against others, beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, REPORTED, Row
from srt.report.reported import (
    PairwiseBlock,
    ReportedVerdicts,
    difference,
    evaluation,
    inside,
    metric,
    missing_of,
    reported,
    setup,
    whole,
)
from srt.report.tables import judges


def pairwise_rows(
    results: Path, runs: Sequence[Run], opponents: Sequence[str], questions: Sequence[str], compare: Mapping[str, str]
) -> list[Row]:
    """One row per run, set of questions and opponent, then the reported comparisons that none of them stands beside.

    Args:
        results: folder of all artefacts.
        runs: the run table.
        opponents: runs that every other trained run was judged against.
        questions: the sets of questions; the paper's figures are beside those of their own set alone.
        compare: run: name of the reported row that it is compared with.
    """
    theirs = reported_verdicts()
    rows, used = [], set()
    for run in runs:
        for asked, opponent in product(questions, layout.opponents_of(run, opponents)):
            key = (compare.get(run.run, ""), compare.get(opponent, ""), asked)
            row = _pairwise(results, run, opponent, asked) | theirs.get(key, {})
            values = (row.get("winning_score"), row.get("se"), row.get("reported_winning_score"))
            row["difference"] = difference(values[0], values[2])
            row["inside"] = inside(*values, row.get("reported_se"))
            rows.append(row)
            used.add(key)
    others = [row for key, row in theirs.items() if key not in used]
    return rows + [{**row, "source": REPORTED} for row in others + human_study()]


def _pairwise(results: Path, run: Run, opponent: str, questions: str) -> Row:
    row = {**setup(results, run), "opponent": opponent, "questions": questions}
    found = evaluation(results, run.run, layout.pairwise_name(questions, opponent))
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    score = metric(result, "winning_score", source)
    counts = {key: whole(metric(result, key, source).value) for key in ("wins", "ties", "losses")}
    row |= {**counts, "winning_score": score.value, "se": score.se, "n": score.n, "missing": missing_of(result)}
    row |= judges.answers_facts(results, run.run, questions) | judges.judge_facts(results, result, "pairwise")
    return {**row, "source": source}


def reported_verdicts() -> dict[tuple[str, str, str], Row]:
    """(model, opponent, questions): the row of the paper's pairwise comparison by the judge."""
    return _verdicts(reported().pairwise)


def human_study() -> list[Row]:
    """The rows of the paper's study with people."""
    return list(_verdicts(reported().human_study).values())


def _verdicts(block: PairwiseBlock) -> dict[tuple[str, str, str], Row]:
    return {
        (block.model, opponent, block.questions): _verdicts_row(block, opponent, verdicts)
        for opponent, verdicts in block.rows.items()
    }


def _verdicts_row(block: PairwiseBlock, opponent: str, verdicts: ReportedVerdicts) -> Row:
    values: dict[str, Any] = {key: getattr(verdicts, key) for key in ("wins", "ties", "losses", "winning_score", "se")}
    row = {f"reported_{key}": value for key, value in values.items()}
    return row | {
        "reported_name": block.model,
        "reported_opponent": opponent,
        "reported_questions": block.questions,
        "reported_judge": block.judge,
        "reported_source": verdicts.source or block.source,
    }
