"""Explain: one record's whole story, from its original to its place in every train file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.files import describe
from srt.storage.readers import read_lines
from srt.storage.records import LedgerEntry, Pair, Record, ReflectedPair, Score


def explain(record: str, results: Path) -> str:
    """The story of a record as text: its versions with critiques and scores, and what each run decided.

    `record` may be the beginning of an id. InputError where no record, or more than one, has it.
    """
    versions = list(_rows(results / "data", record, lambda row: ReflectedPair if "status" in row else Pair))
    ids = {row["id"] for _, row in versions}
    if not ids:
        raise InputError(f"{record}: no record of that id under {results / 'data'}")
    if len(ids) > 1 and record not in ids:
        raise InputError(f"{record}: is the beginning of {len(ids)} ids, expected one of {sorted(ids)[:5]}")
    record = record if record in ids else ids.pop()
    lines = [f"record {record}"]
    for path, row in versions:
        if row["id"] == record:
            lines += _version(path.relative_to(results), row)
    for path, row in _rows(results / "scores", record, lambda _: Score):
        if row["id"] == record:
            lines += _score(path.relative_to(results), row)
    for path, row in _rows(results / "runs", record, lambda _: LedgerEntry, "ledger.jsonl"):
        if row["id"] == record:
            lines += _decision(path.parent.name, validated(LedgerEntry, row, str(path)))
    return "\n".join(lines)


def _rows(
    folder: Path, record: str, kind_of: Callable[[dict[str, Any]], type[Record]], name: str = "*.jsonl"
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The rows of the files of that name whose id begins so; InputError where one is none of its kind."""
    for path in sorted(folder.rglob(name)):
        for number, row in read_lines(path):
            if isinstance(row, dict) and isinstance(row.get("id"), str) and row["id"].startswith(record):
                try:
                    yield path, kind_of(row).model_validate(row).model_dump()
                except ValidationError as error:
                    raise InputError(f"{path}: line {number}: {describe(error)}") from None


def _version(path: Path, row: dict[str, Any]) -> list[str]:
    lines = ["", f"== {path}"]
    if row.get("status") == "failed":
        return [*lines, f"  failed: {row.get('reason')}"]
    for name in ("critique", "instruction", "input", "output"):
        if isinstance(row.get(name), str) and row[name]:
            lines.append(f"  {name}: " + row[name].replace("\n", "\n    "))
    return lines


def _score(path: Path, row: dict[str, Any]) -> list[str]:
    values = [f"{name} {_number(row[name])}" for name in ("ifd", "r_ifd", "coherence") if name in row]
    return ["", f"== {path}", "  " + ", ".join(values) + (f" ({row['reason']})" if row.get("reason") else "")]


def _decision(run: str, row: LedgerEntry) -> list[str]:
    lines = ["", f"== run {run}: {'kept' if row.kept else 'dropped'} ({row.reason})"]
    lines.append(f"  chosen: {row.chosen}; {row.branch}")
    for variant, facts in row.candidates.items():
        told = ", ".join(f"{name} {_number(value)}" for name, value in facts.items())
        lines.append(f"  {variant}: {told}")
    return lines


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "null" if value is None else str(value)
