"""The record types that the steps hand to each other; `srt.storage.files` reads and writes them.

A record's id is a hash of its original content and stays with it through every variant; (id, variant) is the key, and
nothing is joined by position.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

VARIANTS = ("original", "instruction", "response", "both")
NLLS = ("nll_instruction", "nll_response", "nll_instruction_given_response", "nll_response_given_instruction")
RATIOS = {  # exp(the first - the second)
    "ifd": ("nll_response_given_instruction", "nll_response"),
    "r_ifd": ("nll_instruction_given_response", "nll_instruction"),
}


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
    (`srt.reflection.cleaning.OUTCOMES`).
    """

    status: Literal["reflected", "failed"]
    outcome: str
    reason: str | None
    repairs: list[str]
    critique: str | None


class Outcomes(NamedTuple):
    """What became of reflections: how many, by status, outcome, reason of a failure and repair."""

    status: Counter[str]
    outcomes: Counter[str]
    reasons: Counter[str]
    repairs: Counter[str]

    @classmethod
    def of(cls, pairs: Iterable[ReflectedPair]) -> Outcomes:
        """Of these pairs."""
        counted = cls(Counter(), Counter(), Counter(), Counter())
        for pair in pairs:
            counted.status[pair.status] += 1
            counted.outcomes[pair.outcome] += 1
            counted.reasons.update([pair.reason] if pair.reason else [])
            counted.repairs.update(pair.repairs)
        return counted


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


def count_name(nll: str) -> str:
    """The field of a score that counts the target tokens of an NLL."""
    return nll.replace("nll_", "tokens_")
