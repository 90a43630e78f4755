"""The rows of the benchmark tables by type, so that a misspelt column is a type error.

A row is a dataclass. Its fields are columns by their keys, or other such cells that several tables have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, get_type_hints

from srt.experiment.runs import Run
from srt.report.formats import Row
from srt.report.reported import reported, trained_on, training
from srt.settings.types import bare


class Cells(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


@dataclass(frozen=True, kw_only=True)
class SetupCells:
    """What the run table says of a run, and how it was trained."""

    run: str
    dataset: str | None
    teacher: str | None
    student: str
    method: str
    ratio: float | None
    seed: int | None
    training_records: int | None
    steps: int | None
    global_batch: int | None
    optimizer: str | None


@dataclass(frozen=True, kw_only=True)
class JudgeCells:
    """Whose verdicts a number is made of, and how far they agree with published ones."""

    judge: str | None = None
    judge_agreement: float | None = None
    judge_kappa: float | None = None


@dataclass(frozen=True, kw_only=True)
class AnswersCells:
    """What became of the answers that were judged."""

    cut_off: int | None = None
    empty: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReportedModelCells:
    """A model of the paper's, and where it is reported."""

    reported_name: str
    reported_training_records: int | None
    reported_source: str | None


def setup_cells(results: Path, run: Run) -> SetupCells:
    """A run's setup, from the run table and what finetuning left."""
    trained = training(results, run.run)
    return SetupCells(
        run=run.run,
        dataset=run.dataset,
        teacher=run.teacher,
        student=run.student,
        method=run.method,
        ratio=run.ratio,
        seed=run.seed,
        training_records=trained_on(results, run.run),
        steps=trained.steps,
        global_batch=trained.settings.global_batch,
        optimizer=trained.settings.optimizer,
    )


def reported_model(name: str, source: str | None) -> ReportedModelCells:
    """A reported model as several tables have it."""
    records = reported().training_records(name)
    return ReportedModelCells(reported_name=name, reported_training_records=records, reported_source=source)


def as_row(cells: Cells) -> Row:
    """A typed row by the columns' keys; cells that it has not are left out."""
    row: Row = {}
    for field in fields(cells):
        value = getattr(cells, field.name)
        if is_dataclass(value) and not isinstance(value, type):
            row |= as_row(value)
        elif value is not None:
            row[field.name] = value
    return row


def keys_of(kind: type[Cells]) -> Iterator[str]:
    """The keys that rows of a type can have."""
    for name, hint in get_type_hints(kind).items():
        inside = bare(hint)
        if isinstance(inside, type) and is_dataclass(inside):
            yield from keys_of(inside)
        elif name != "__dataclass_fields__":
            yield name
