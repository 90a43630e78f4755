"""A version of a record as the methods see it: its statistics, or the reason why it is no candidate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from srt.storage.records import NLLS, RATIOS, Score, count_name

# A reflected response keeps the instruction of the version that it was made from.
REFLECTED_RESPONSE = {"original": "response", "instruction": "both"}
# What a method may compare: an NLL in nats per token, a count in tokens, the others without a unit.
STATISTICS = (*RATIOS, "perplexity", "coherence", *NLLS, *map(count_name, NLLS))


@dataclass(frozen=True)
class Candidate:
    """One version of a record with what the method may compare; a null statistic has a reason."""

    variant: str
    score: Score | None
    coherence: float | None = None
    absent: str | None = None

    @property
    def perplexity(self) -> float | None:
        """ppl(y given x), from the NLL in nats per token; None if it was not scored."""
        nll = self.score.nll_response_given_instruction if self.score else None
        return None if nll is None else math.exp(min(nll, 700.0))

    @property
    def has_reflected_response(self) -> bool:
        """Whether the teacher rewrote the response for its own sake, not only along with the instruction."""
        return self.variant in REFLECTED_RESPONSE.values()

    def why_null(self, name: str) -> str:
        """Why a statistic, by its name in a ledger, is null."""
        return f"{name} is null: {self.score.reason if self.score else 'not scored'}"


def statistic(candidate: Candidate, name: str) -> float | None:
    """One of STATISTICS of a candidate; None if it was not computed."""
    if name in ("perplexity", "coherence"):
        value: float | None = getattr(candidate, name)
        return value
    return getattr(candidate.score, name) if candidate.score else None


def branch_of(chosen: Candidate) -> str:
    """Which of the two parts of a winner are reflected, in words."""
    instruction = "reflected" if chosen.variant in ("instruction", "both") else "kept"
    response = "reflected" if chosen.has_reflected_response else "kept"
    return f"instruction {instruction}, response {response}"


def facts_of(candidate: Candidate) -> dict[str, Any]:
    """What the ledger says of a candidate: its statistics, or why it is none."""
    if candidate.absent is not None:
        return {"absent": candidate.absent}
    facts: dict[str, Any] = {
        "ifd": statistic(candidate, "ifd"),
        "r_ifd": statistic(candidate, "r_ifd"),
        "perplexity": candidate.perplexity,
    }
    if candidate.coherence is not None:
        facts["coherence"] = candidate.coherence
    if candidate.score and candidate.score.reason:
        facts["reason"] = candidate.score.reason
    return facts
