"""A run table's rows: every row and column that is wrong, at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from srt.checks.finding import Finding
from srt.checks.values import Reading
from srt.runs import Run

MISSING, UNKNOWN = "is missing", "is not a known"  # what is wrong with a column, and so in every row


@dataclass
class Table:
    """The runs that could be read, the names of all, the teachers of those that are wrong, and what is wrong."""

    runs: list[Run] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    teachers: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def examine_rows(rows: Sequence[tuple[int, Mapping[str, Any]]], file: str) -> Table:
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
