"""The two phases of one record, as pure functions over candidates.

Phase 1 chooses between the pairs before response reflection; phase 2 adds the response reflection of the winner.
A tie keeps the unreflected candidate, and a candidate that failed or was not scored is none.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass

from srt.selection.builtin import HIGHER_IFD
from srt.selection.candidates import REFLECTED_RESPONSE, Candidate, statistic
from srt.selection.choice import Choice
from srt.selection.method import Preference
from srt.storage.records import Score


@dataclass(frozen=True)
class Contest:
    """One phase of one record: two candidates, what is preferred (None: a coin was tossed), and the winner."""

    unreflected: Candidate | None
    reflected: Candidate | None
    prefers: Preference | None
    winner: Candidate | None


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


def coin(seed: int, record: str, phase: int) -> bool:
    """A fair coin that depends on the seed, the record and the phase only, not on order or company."""
    digest = hashlib.sha256(f"{seed}:{record}:{phase}".encode("utf-8", "surrogatepass")).digest()
    return random.Random(digest).random() < 0.5


def _toss(unreflected: Candidate | None, reflected: Candidate | None, heads: bool) -> Candidate | None:
    usable = [c for c in (unreflected, reflected) if c is not None and statistic(c, "ifd") is not None]
    if len(usable) < 2:
        return usable[0] if usable else None
    return usable[1] if heads else usable[0]


def contests(record: str, candidates: Mapping[str, Candidate], choice: Choice) -> list[Contest]:
    """The contests of the two phases; the second is not held where the first has no winner. Fixed methods have none."""
    present = {variant: c for variant, c in candidates.items() if c.absent is None}
    held: list[Contest] = []
    pair = "original", "instruction"
    for number, phase in enumerate(choice.method.decides_by.phases or (), start=1):
        two = present.get(pair[0]), present.get(pair[1])
        if isinstance(phase, Preference):
            prefers = phase.directed(choice.settings)
            held.append(Contest(*two, prefers, better(*two, prefers)))
        else:
            held.append(Contest(*two, None, _toss(*two, heads=coin(choice.seed, record, number))))
        winner = held[-1].winner
        if winner is None or number == 2:
            break
        pair = winner.variant, REFLECTED_RESPONSE[winner.variant]
    return held


def choose(record: str, candidates: Mapping[str, Candidate], choice: Choice) -> tuple[Candidate | None, str]:
    """One record's winner over both phases, and the branch taken, in words."""
    method = choice.method
    if method.fixed:
        taken = candidates.get(method.fixed)
        return (taken if taken and taken.absent is None else None), f"{method.fixed}: fixed"
    held = contests(record, candidates, choice)
    chosen = held[-1].winner
    return chosen, method.branch(chosen) if chosen else f"phase {len(held)}: no candidate"


def phase_one_winner(scores: Mapping[str, Score | None]) -> str | None:
    """`original` or `instruction`, the one with the higher IFD; None where neither has one (the plan `selected`)."""
    candidates = {v: Candidate(v, score) for v, score in scores.items() if score and score.status == "scored"}
    winner = better(candidates.get("original"), candidates.get("instruction"), HIGHER_IFD)
    return winner.variant if winner else None
