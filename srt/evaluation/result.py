"""What every benchmark writes: one `Evaluation`, and beside it the value of each question."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from srt.storage.files import write_json, write_records
from srt.storage.records import Evaluation, ItemValue
from srt.storage.sidecars import items_of


def item_id(benchmark: str, task: str, number: int) -> str:
    """The id of a leaderboard's item."""
    return f"{benchmark}/{task}/{number}"


def groups_of(key: str) -> tuple[str, ...]:
    """The groups of a leaderboard's item, outermost first: its benchmark and its task."""
    return tuple(key.split("/")[:2])


def write_result(out: Path, evaluation: Evaluation, items: Iterable[tuple[str, float]]) -> None:
    """Write an evaluation; its items are written first, so that the evaluation's existence means that both are there.

    Args:
        out: the evaluation's JSON.
        evaluation: the result.
        items: (question, its share of the benchmark's first metric, in that metric's unit), those with a verdict.
    """
    values = [ItemValue(id=key, value=value) for key, value in items]
    write_records(Path(items_of(str(out))), values)
    write_json(out, evaluation.model_dump())
