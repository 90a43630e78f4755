"""A table as one object: its words, its columns, and what makes its rows."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from srt.report.formats import Column, Part, Row
from srt.report.inputs import ReportInputs
from srt.settings.benchmarks import benchmarks
from srt.storage.errors import InputError

NO_RUN = "None: no run has an evaluation of this benchmark."


@dataclass(frozen=True)
class PaperTable:
    """The paper's own table, as it stands beside our runs: its columns, and its rows' order."""

    columns: Sequence[Column]
    order: Callable[[Row], float | tuple[bool, float]]


@dataclass(frozen=True)
class BenchmarkTable:
    """The table of one benchmark.

    Attributes:
        title: what stands above it.
        notes: what has to be said below it.
        parts: its parts without their rows.
        rows: makes the rows of each part, `not run` where an evaluation is not there.
        paper: the paper's own table, where it has one; then there is one part, whose kind is the table's name.
        more: makes notes that depend on what is installed or reported.
    """

    title: str
    notes: str
    parts: Sequence[Part]
    rows: Callable[[ReportInputs], Sequence[Sequence[Row]]]
    paper: PaperTable | None = None
    more: Callable[[], Sequence[str]] = tuple

    def filled(self, inputs: ReportInputs) -> list[Part]:
        """The parts with their rows."""
        return [replace(part, rows=rows) for part, rows in zip(self.parts, self.rows(inputs), strict=True)]


def table_of(name: str) -> BenchmarkTable | None:
    """The table of a benchmark by the benchmark's key; None where that is no benchmark's.

    InputError for what is named as a table and is none.
    """
    benchmark = benchmarks().get(name)
    if benchmark is None:
        return None
    found = pkgutil.resolve_name(benchmark.table)
    if not isinstance(found, BenchmarkTable):
        raise InputError(f"benchmark {name}: table: expected a BenchmarkTable at {benchmark.table}, found {found!r}")
    return found
