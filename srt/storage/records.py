"""The record types that the steps hand to each other, and the only ways they are read and written.

A record's id is a hash of its original content and stays with it through every variant; (id, variant)
is the key, and nothing is joined by position.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from srt import finite
from srt.atomic import replacing
from srt.errors import InputError as InputError  # noqa: PLC0414 (imported from here by all who read records)
from srt.errors import shown
from srt.progress import say
from srt.readers import read_json as read_json  # noqa: PLC0414
from srt.readers import read_lines as read_lines  # noqa: PLC0414

VARIANTS = ("original", "instruction", "response", "both")


class Record(BaseModel):
    """Base of all record types: strict types, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Pair(Record):
    """One instruction-response pair in Alpaca's fields."""

    id: str
    instruction: str
    input: str = ""
    output: str


class ReflectedPair(Pair):
    """A pair after reflection; where that failed, the pair is the unreflected one and `reason` says why.

    `outcome` is `clean`, `repaired` (`repairs` names what was mended in the teacher's answer) or the kind of failure
    (`srt.cleaning.OUTCOMES`).
    """

    status: Literal["reflected", "failed"]
    outcome: str
    reason: str | None
    repairs: list[str]
    critique: str | None


class Score(Record):
    """The student's statistics of one pair: mean NLLs in nats per token, token counts, the two ratios.

    `truncated` names the NLLs whose text was cut to the length limit. What could not be computed is null
    and `reason` says why; it is never 0. Scores that somebody else computed have no token counts: they are null.
    """

    id: str
    nll_instruction: float | None
    nll_response: float | None
    nll_instruction_given_response: float | None
    nll_response_given_instruction: float | None
    tokens_instruction: int | None
    tokens_response: int | None
    tokens_instruction_given_response: int | None
    tokens_response_given_instruction: int | None
    ifd: float | None
    r_ifd: float | None
    truncated: list[str]
    status: Literal["scored", "failed"]
    reason: str | None


class Rescored(Record):
    """A pair's score after `ratios` of it (`ifd`, `r_ifd`) were computed again in float32."""

    record: str
    variant: str
    ratios: list[str]
    score: Score


class Coherence(Record):
    """Cosine of the embeddings of a pair's instruction and response; null with a reason where it has none."""

    id: str
    coherence: float | None
    reason: str | None


class LedgerEntry(Record):
    """What selection did with one record: the candidates it read, the branch taken, kept or dropped and why.

    Of a candidate it has statistics, null where there is none, and as text why it is `absent` or has no ratio.
    """

    id: str
    candidates: dict[str, dict[str, Any]]
    chosen: str | None
    branch: str | None
    kept: bool
    reason: str

    @field_validator("candidates")
    @classmethod
    def _has_numbers_and_reasons(cls, candidates: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for facts in candidates.values():
            for name, value in facts.items():
                expected: Any = str if name in ("absent", "reason") else float | int | None
                if isinstance(value, bool) or not isinstance(value, expected):
                    raise ValueError(f"expected a number or null, or a text in absent and reason: {name}")
        return candidates


class Answer(Record):
    """A model's answer to one benchmark question, without its thoughts.

    `finish_reason` is `stop`, `length` where it was cut off (also within its thoughts, which leave no answer), or
    what else the backend said.
    """

    id: str
    question: str
    answer: str
    tokens: int
    finish_reason: str


class Metric(Record):
    """One number of an evaluation, with its standard error and the number of items behind it."""

    name: str
    value: float | None
    se: float | None
    n: int


class ItemValue(Record):
    """One question's share of a metric: the metric is the mean of these (the leaderboard's one of means)."""

    id: str
    value: float


class Evaluation(Record):
    """The one schema of every benchmark's result.

    `missing` counts items without a usable verdict, by reason; `notes` what is unusual about replies that count.
    """

    benchmark: str
    metrics: list[Metric]
    judge: dict[str, Any] | None
    task_versions: dict[str, Any] | None
    settings: dict[str, Any]
    versions: dict[str, str]
    missing: dict[str, int]
    notes: dict[str, int] = Field(default_factory=dict)

    @field_validator("judge")
    @classmethod
    def _judge_is_described(cls, judge: dict[str, Any] | None) -> dict[str, Any] | None:
        kinds = {"name": str, "model": str, "prompt_sha256": str, "version": int, "prompts": dict}
        for key, kind in kinds.items():
            value = (judge or {}).get(key)
            if value is not None and not isinstance(value, kind):
                raise ValueError(f"expected as its {key} one of the type {kind.__name__}")
        if judge and "/" in (judge.get("name") or ""):
            raise ValueError("expected as its name one without '/'")
        return judge

    def value(self, name: str) -> float | None:
        """The value of the metric of that name; KeyError where this evaluation has none."""
        for metric in self.metrics:
            if metric.name == name:
                return metric.value
        raise KeyError(f"{self.benchmark} has no metric {name!r}")


AnyRecord = TypeVar("AnyRecord", bound=Record)
# The numbers that are null where a foreign file has none, with the reason beside them; True: a ratio of perplexities.
NULLABLE: dict[type[Record], dict[str, bool]] = {
    Score: {
        name: name.endswith("ifd") for name in Score.model_fields if name.startswith("nll_") or name.endswith("ifd")
    },
    Coherence: {"coherence": False},
}


def pair_id(instruction: str, input: str, output: str) -> str:
    """A 16-digit hash of a pair's original content."""
    content = json.dumps([instruction, input, output], ensure_ascii=True)
    return hashlib.sha256(content.encode("ascii")).hexdigest()[:16]


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
