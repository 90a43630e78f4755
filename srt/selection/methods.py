"""The methods of selection as pure functions over scores: the paper's two phases, and its ablations.

Each method chooses one candidate in each of two phases, then may filter; what is left is ranked for the ratio.
A tie keeps the unreflected candidate, and a candidate that failed or was not scored is none.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srt.selection.registry import FIXED_METHODS, REFERENCE
from srt.settings import SelectionConfig
from srt.storage.records import Score

# Phase 1 chooses between the pairs before response reflection; phase 2 adds the response reflection of the winner.
REFLECTED_RESPONSE = {"original": "response", "instruction": "both"}


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


@dataclass(frozen=True)
class Preference:
    """What a phase maximises: a statistic of a candidate by its name, or its negative."""

    name: str  # ifd, r_ifd, perplexity or coherence
    sign: int = 1

    def __call__(self, candidate: Candidate) -> float | None:
        """What is maximised; None where the statistic was not computed."""
        value = statistic(candidate, self.name)
        return None if value is None else self.sign * value


def statistic(candidate: Candidate, name: str) -> float | None:
    """A candidate's IFD, r-IFD, perplexity or coherence; None if it was not computed."""
    if name in ("perplexity", "coherence"):
        value: float | None = getattr(candidate, name)
        return value
    return getattr(candidate.score, name) if candidate.score else None


def preferences(method: str, settings: SelectionConfig) -> tuple[Preference, Preference]:
    """What each of the two phases maximises (`random` has none: a seeded coin)."""
    ifd, lower_r_ifd, coherence = Preference("ifd"), Preference("r_ifd", -1), Preference("coherence")
    perplexity = Preference("perplexity", 1 if settings.perplexity_prefers == "higher" else -1)
    table = {
        "paper": (ifd, lower_r_ifd),
        "released": (ifd, lower_r_ifd),
        "ifd": (ifd, ifd),
        "r_ifd": (lower_r_ifd, lower_r_ifd),
        "perplexity": (perplexity, perplexity),
        "coherence": (coherence, coherence),
    }
    return table[method]


def better(unreflected: Candidate | None, reflected: Candidate | None, prefers: Preference) -> Candidate | None:
    """The candidate that is preferred. A tie keeps the unreflected one; a null is no candidate."""
    first = prefers(unreflected) if unreflected else None
    second = prefers(reflected) if reflected else None
    if first is None and second is None:
        return None
    if first is None:
        return reflected
    if second is None:
        return unreflected
    return reflected if second > first else unreflected


def phase_one_winner(scores: Mapping[str, Score | None]) -> str | None:
    """`original` or `instruction`, the one with the higher IFD; None where neither has one (the plan `selected`)."""
    candidates = {v: Candidate(v, score) for v, score in scores.items() if score and score.status == "scored"}
    winner = better(candidates.get("original"), candidates.get("instruction"), Preference("ifd"))
    return winner.variant if winner else None


def coin(seed: int, record: str, phase: int) -> bool:
    """A fair coin that depends on the seed, the record and the phase only, not on order or company."""
    digest = hashlib.sha256(f"{seed}:{record}:{phase}".encode("utf-8", "surrogatepass")).digest()
    return random.Random(digest).random() < 0.5


def _toss(unreflected: Candidate | None, reflected: Candidate | None, heads: bool) -> Candidate | None:
    usable = [c for c in (unreflected, reflected) if c is not None and statistic(c, "ifd") is not None]
    if len(usable) < 2:
        return usable[0] if usable else None
    return usable[1] if heads else usable[0]


@dataclass(frozen=True)
class Contest:
    """One phase of one record: two candidates, what is preferred (None: a coin was tossed), and the winner."""

    unreflected: Candidate | None
    reflected: Candidate | None
    prefers: Preference | None
    winner: Candidate | None


def contests(
    record: str, candidates: Mapping[str, Candidate], method: str, seed: int, settings: SelectionConfig
) -> list[Contest]:
    """The contests of the two phases; the second is not held where the first has no winner. Fixed methods have none."""
    present = {variant: c for variant, c in candidates.items() if c.absent is None}
    held: list[Contest] = []
    if method in FIXED_METHODS:
        return held
    method = REFERENCE.get(method, method)
    pair = "original", "instruction"
    for phase in (1, 2):
        two = present.get(pair[0]), present.get(pair[1])
        if method == "random":
            held.append(Contest(*two, None, _toss(*two, heads=coin(seed, record, phase))))
        else:
            prefers = preferences(method, settings)[phase - 1]
            held.append(Contest(*two, prefers, better(*two, prefers)))
        winner = held[-1].winner
        if winner is None or phase == 2:
            break
        pair = winner.variant, REFLECTED_RESPONSE[winner.variant]
    return held


def choose(
    record: str, candidates: Mapping[str, Candidate], method: str, seed: int, settings: SelectionConfig
) -> tuple[Candidate | None, str]:
    """One record's winner over both phases, and the branch taken, in words."""
    if method in FIXED_METHODS:
        fixed = candidates.get(method)
        return (fixed if fixed and fixed.absent is None else None), f"{method}: fixed"
    held = contests(record, candidates, method, seed, settings)
    chosen = held[-1].winner
    if chosen is None:
        return None, f"phase {len(held)}: no candidate"
    return chosen, branch_of(chosen)


def branch_of(chosen: Candidate) -> str:
    """Which of the two parts of a winner are reflected, in words."""
    instruction = "reflected" if chosen.variant in ("instruction", "both") else "kept"
    response = "reflected" if chosen.variant in REFLECTED_RESPONSE.values() else "kept"
    return f"instruction {instruction}, response {response}"


def refusal(chosen: Candidate, method: str, settings: SelectionConfig) -> str | None:
    """Why the filter of the method drops a winner; None if it does not."""
    if method not in ("paper", "released"):
        return None
    if method == "released" and chosen.variant in REFLECTED_RESPONSE:
        return "the response was not reflected"
    for name, value, limit in (
        ("IFD", statistic(chosen, "ifd"), settings.ifd_below),
        ("r-IFD", statistic(chosen, "r_ifd"), settings.r_ifd_below),
    ):
        if value is None:
            return f"{name} is null: {chosen.score.reason if chosen.score else 'not scored'}"
        if value >= limit:
            return f"{name} is not below {limit:g}"
    return None


def keep_ratio(selected: Sequence[tuple[str, float]], ratio: float) -> set[str]:
    """The ids with the highest IFD, equal ones by id: floor(ratio x n) of them, at least 1."""
    ranked = sorted(selected, key=lambda item: (-item[1], item[0]))
    return {record for record, _ in ranked[: places(len(ranked), ratio)]}


def places(selected: int, ratio: float) -> int:
    """How many of the selected are kept."""
    # 1e-9: a ratio such as 0.07 is a little less than it says in binary, and floor would lose one record.
    return max(1, math.floor(ratio * selected + 1e-9))


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
