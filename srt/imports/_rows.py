"""The rows of a file that was made of a data set elsewhere, record for record as in the data set's source.

Such files have no ids. A row belongs to the prepared pair at its position, once what `srt prepare` left out is counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srt.prepare.sources import located, read_rows
from srt.storage.errors import InputError, shown
from srt.storage.records import Pair
from srt.storage.sidecars import Sidecar, read_sidecar, sidecar_of

TEXTS = ("instruction", "input", "output")


@dataclass(frozen=True)
class Row:
    """The mapped values of one row, and where it stands, in words."""

    where: str
    values: Mapping[str, Any]


def read_mapped(source: str, columns: Mapping[str, str | None]) -> list[Row]:
    """The rows of a file (`srt.prepare.sources.located`) with their columns by our names; a column of None gives null.

    A row without any content (`{}`, or a null struct) gives nulls.

    Raises:
        InputError: names the file, and the row and column that is missing.
    """
    found = []
    for position, row in read_rows(located(source)):
        where = f"{source}: {position}"
        found.append(Row(where, {name: _value(row, column, where) for name, column in columns.items()}))
    if not found:
        raise InputError(f"{source}: has no records, expected at least one")
    return found


def _value(row: Any, column: str | None, where: str) -> Any:
    if column is None:
        return None
    value = row
    for part in column.split("."):
        if value is None or value == {}:
            return None
        if not isinstance(value, dict) or part not in value:
            known = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise InputError(f"{where}: {column}: is missing, found {known}")
        value = value[part]
    return value


def read_texts(source: str, instruction: str, input: str | None, output: str) -> list[Row]:
    """The rows of a file of pairs, each with `instruction`, `input` and `output` as text."""
    rows = read_mapped(source, dict(zip(TEXTS, (instruction, input, output), strict=True)))
    for row in rows:
        for name in TEXTS:
            value = row.values[name]
            if not isinstance(value, str) and not (name == "input" and value is None):
                raise InputError(f"{row.where}: {name}: expected text, found {shown(value)}")
    return [Row(row.where, {name: row.values[name] or "" for name in TEXTS}) for row in rows]


def aligned(source: str, rows: Sequence[Row], original: Path, pairs: Sequence[Pair]) -> list[Row]:
    """The row of each prepared pair, in their order.

    Args:
        source: the file's name, for what is said of it.
        rows: all of its rows.
        original: the prepared pairs' file, whose sidecar says what of the source was read and left out.
        pairs: the pairs of that file.

    Raises:
        InputError: the file has another number of records than the data set's source; the first one is named.
    """
    sidecar = read_sidecar(sidecar_of(original), Sidecar)
    read, left_out = _read_of_source(original, sidecar, len(pairs))
    cut = sidecar.settings.limit is not None  # the data set is the beginning of its source
    if len(rows) < read:
        raise InputError(
            f"{source}: record {len(rows)}: is missing: expected {read} records, as {original} was made of"
        )
    if len(rows) > read and not cut:
        where = rows[read].where
        raise InputError(f"{where}: is one too many: expected {read} records, as {original} was made of")
    return [row for position, row in enumerate(rows[:read]) if position not in left_out]


def _read_of_source(original: Path, sidecar: Sidecar, written: int) -> tuple[int, set[int]]:
    """How many records the data set's source has, and the positions of those that became no pair.

    Without a sidecar every record became one. InputError where it does not tell of these pairs.
    """
    path = sidecar_of(original)
    if not path.exists():
        return written, set()
    counts, left_out = sidecar.counts, set(sidecar.left_out)
    for name in ("read", "written"):
        if name not in counts:
            raise InputError(f"{path}: counts.{name}: is missing")
    if counts["written"] != written:
        raise InputError(f"{original}: has {written} pairs, expected {counts['written']}, as {path} says")
    if counts["read"] - len(left_out) != written or not left_out <= set(range(counts["read"])):
        expected = f"expected {counts['read'] - written} of {counts['read']} positions"
        raise InputError(f"{path}: left_out: {expected}, found {len(left_out)}: prepare the data set again")
    return counts["read"], left_out


@dataclass
class Misfits:
    """The records of a file that do not fit the data set, counted against what is allowed."""

    allowed: int
    found: list[str] = field(default_factory=list)

    def add(self, row: Row, complaint: str) -> None:
        """Note a record; InputError with the first complaint once there are more than allowed."""
        self.found.append(f"{row.where}: {complaint}")
        if len(self.found) > self.allowed:
            more = f" (and {self.allowed} more are allowed to differ)" if self.allowed else ""
            raise InputError(self.found[0] + more)


def short(text: str) -> str:
    """A text as it is shown in a complaint."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def same(one: str, other: str) -> bool:
    """Whether two texts are the same but for blanks around them, which the published code strips here and there."""
    return one.strip() == other.strip()


def sha256(source: str) -> str:
    """Of an imported file, which is recorded beside its name."""
    with located(source).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
