"""Reading what a step wrote beside its output: settings, counts, versions; checked, as such files are handed around."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from srt.readers import InputError, read_json
from srt.records import describe


class _Spent(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)
    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


class _Sidecar(BaseModel):
    """The kinds of the fields that others read; none of them is in every sidecar."""

    model_config = ConfigDict(extra="allow", strict=True)
    settings: dict[str, Any] | None = None
    texts: dict[str, Any] | None = None
    counts: dict[str, int] | None = None
    left_out: list[int] | None = None
    teacher_in_all: _Spent | None = None
    batch_tokens: int | None = None
    shards: int | None = Field(default=None, ge=1)
    versions: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    steps: int | None = None
    seconds: float | None = None


def read_sidecar(path: Path, *needed: str) -> dict[str, Any]:
    """A sidecar's content; empty where there is none, unless something in it is needed.

    Args:
        path: the sidecar.
        needed: names that it must have; of a map's entry as `counts.read`.

    Raises:
        InputError: it is no sidecar, a field is of another kind, or a needed one is missing.
    """
    if not needed and not path.exists():
        return {}
    value: dict[str, Any] = read_json(path)
    try:
        _Sidecar.model_validate(value)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from None
    for name in needed:
        outer, _, inner = name.partition(".")
        if outer not in value or (inner and inner not in (value[outer] or {})):
            raise InputError(f"{path}: {name}: is missing")
    return value
