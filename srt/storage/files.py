"""Files of records: read whole and validated, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srt.storage import finite
from srt.storage.atomic import replacing
from srt.storage.errors import InputError, shown
from srt.storage.progress import say
from srt.storage.readers import read_lines
from srt.storage.records import NULLABLE, AnyRecord, Record


def describe(error: ValidationError) -> str:
    """Pydantic's first complaint as `field: expected ..., found ...`."""
    first = error.errors()[0]
    place = first["loc"][:-2] if first["loc"][-1:] == ("[key]",) else first["loc"]  # of a name: the map that has it
    field = ".".join(str(part) for part in place) or "value"
    if first["type"] == "missing":
        return f"{field}: is missing"
    if first["type"] == "extra_forbidden":
        return f"{field}: is not a known name"
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}, found {shown(first.get('input'))}"


def with_text_id(row: Any) -> Any:
    """A row of parsed JSON, its id as text where it is a whole number."""
    numbered = isinstance(row, dict) and isinstance(row.get("id"), int) and not isinstance(row["id"], bool)
    return {**row, "id": str(row["id"])} if numbered else row


def read_records(path: Path, kind: type[AnyRecord]) -> list[AnyRecord]:
    """All records of a JSONL file, validated; InputError names file, line and field, and refuses a repeated id.

    A number that is not finite is null, counted in the log, where the type has a reason for it (NULLABLE).
    """
    records: list[AnyRecord] = []
    seen: set[str] = set()
    nulled = 0
    for number, row in read_lines(path):
        value = with_text_id(row)
        nulled += finite.null_unusable(value, NULLABLE.get(kind, {}), "status" in kind.model_fields)
        complaint = finite.complaint(value)
        if complaint:
            raise InputError(f"{path}: line {number}: {complaint}")
        try:
            record = kind.model_validate(value)
        except ValidationError as error:
            raise InputError(f"{path}: line {number}: {describe(error)}") from None
        key = getattr(record, "id", None)
        if key is not None and key in seen:
            raise InputError(f"{path}: line {number}: id {key!r} occurs twice, expected unique ids")
        seen.add(key or "")
        records.append(record)
    if nulled:
        total = len(records)
        say(f"{path}: {nulled} of {total} records have a number that is none: null with the reason, never selected")
    return records


def write_text(path: Path, text: str) -> None:
    """Write a file so that it is either complete under its name or not there at all; the errors of `replacing`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_records(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSONL, whole or not at all. ASCII escapes keep lone surrogates and odd line ends safe."""
    write_text(path, "".join(json.dumps(record.model_dump(), allow_nan=False) + "\n" for record in records))


def write_json(path: Path, value: Any) -> None:
    """Write one JSON value, indented, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")
