"""A run table's rows: every row and column that is wrong, at once."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srt.experiment.runs import Run
from srt.settings.values import Reading
from srt.storage.errors import InputError
from srt.storage.findings import Finding, refuse
from srt.storage.readers import tab_rows

MISSING, UNKNOWN = "is missing", "is not a known"  # what is wrong with a column, and so in every row


@dataclass
class Table:
    """The runs that could be read, the names of all, the teachers of those that are wrong, and what is wrong."""

    runs: list[Run] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    teachers: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def _examine_rows(rows: Sequence[tuple[int, Mapping[str, Any]]], file: str) -> Table:
    """The runs in a table's rows, (line from 1, cells by column), of which every cell is text, a number or null."""
    table = Table()
    told: set[str] = set()
    for line, row in rows:
        name = row.get("run")
        reading = Reading(Run, dict(row), file)
        table.names += [str(name)] if name else []
        table.runs += [reading.settings] if reading.settings and not reading.findings else []
        table.teachers += [str(row.get("teacher"))] if reading.findings else []
        for finding in reading.findings:
            of_column = finding.message.startswith((MISSING, UNKNOWN))
            if not (of_column and finding.key in told):
                table.findings.append(_in_row(finding, f"run {name!r}" if name is not None else f"line {line}"))
            told |= {finding.key} if of_column else set()
    table.findings += _of_whole(table.names, len(rows), file)
    return table


def _in_row(finding: Finding, row: str) -> Finding:
    message = finding.message.replace(f"{UNKNOWN} key", f"{UNKNOWN} column")
    return dataclasses.replace(finding, key=": ".join(filter(None, (row, finding.key))), message=message)


def _of_whole(names: Sequence[str], rows: int, file: str) -> Iterator[Finding]:
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield Finding(file, "", f"run {name!r} occurs twice, expected unique names")
    if not rows:
        yield Finding(file, "", "has no runs, expected at least one row under the header")


def read_runs(path: Path) -> list[Run]:
    """The run table; InputError with a line for every row and column that is wrong."""
    table = table_of(path)
    refuse(table.findings)
    return table.runs


def table_of(path: Path) -> Table:
    """The run table as far as it can be read, and what is wrong with it."""
    try:
        return _examine_rows([(line, _typed_row(row)) for line, row in _rows(path)], str(path))
    except InputError as error:
        return Table(findings=[Finding("", "", str(error))])


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if not os.path.exists(path):  # also of a name that is too long
        raise InputError(f"{path}: no such run table")
    return tab_rows(path)


def _typed_row(row: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, text in row.items():
        value: Any = None if text == "-" else text
        if value is not None and column in ("ratio", "seed"):
            with contextlib.suppress(ValueError):  # what is no number stays text, which the strict type refuses by name
                value = float(value) if column == "ratio" else int(value)
        values[column] = value
    return values
