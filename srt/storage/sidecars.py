"""Sidecars: what a step writes beside its file about how it was made, checked as far as another step reads it.

They are JSON that lies open in the results folder. What somebody changed there by hand, or another version wrote, ends
in one line, and not somewhere in the middle of a report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from srt.storage.errors import InputError
from srt.storage.files import describe
from srt.storage.readers import read_json

Count = Annotated[int, Field(ge=0)]


class _Part(BaseModel):
    """A part of a sidecar: the fields that are read have their types; what else stands there is its step's own."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Settings(_Part):
    """A step's settings, as far as they are shown."""

    model: str | None = None
    prompts: str | None = None
    optimizer: str | None = None
    global_batch: Count | None = None
    limit: Count | None = None
    seed: int | None = None


class _Data(_Part):
    """What a model was trained on."""

    trained_on: Count | None = None
    sha256: str | None = None


class _Spent(_Part):
    """What a teacher's journals come to."""

    requests: Count
    prompt_tokens: Count
    completion_tokens: Count
    usd: float | None = None


class _Step(_Part):
    """One optimizer step of a training."""

    loss: float


class Sidecar(_Part):
    """What is read of any sidecar; each step writes the fields that it has."""

    settings: _Settings | None = None
    texts: dict[str, Any] | None = None
    counts: dict[str, Count] | None = None
    versions: dict[str, str] | None = None
    origin: dict[str, Any] | None = None
    not_used: dict[str, Count] | None = None
    left_out: list[Count] | None = None
    batch_tokens: Count | None = None
    shards: Annotated[int, Field(ge=1)] | None = None
    teacher_in_all: _Spent | None = None
    data: _Data | None = None
    seconds: float | None = None
    steps: Count | None = None
    loss_curve: list[_Step] | None = None


def read_sidecar(path: Path, *needed: str) -> dict[str, Any]:
    """A sidecar's fields, without those that are null; empty where there is no such file and nothing is needed.

    Args:
        path: the sidecar.
        needed: names that it must have; of a map's entry as `counts.read`.

    Raises:
        InputError: it is no sidecar, a field is of another kind, or a needed one is missing.
    """
    if not needed and not path.exists():
        return {}
    values: dict[str, Any] = read_json(path)
    try:
        Sidecar.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from None
    for name in needed:
        outer, _, inner = name.partition(".")
        if values.get(outer) is None or (inner and values[outer].get(inner) is None):
            raise InputError(f"{path}: {name}: is missing")
    return {name: value for name, value in values.items() if value is not None}


def meta_of(path: str) -> str:
    """The sidecar with the settings and versions behind a JSONL artefact."""
    return path.removesuffix(".jsonl") + ".meta.json"


def items_of(evaluation: str) -> str:
    """The values of an evaluation by question, beside it."""
    return evaluation.removesuffix(".json") + ".items.jsonl"
