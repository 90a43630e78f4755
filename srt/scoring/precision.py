"""What the error of low-precision scores leaves in doubt of a selection. Pure functions, in logarithms of ratios.

A mean NLL over n tokens is a mean of n token losses, so its rounding error shrinks as 1 / sqrt(n); how large it is, is
measured (`ErrorModel.measured`). A comparison is in doubt where the error of both sides could turn it around.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from srt.selection.candidates import Candidate
from srt.selection.choice import Choice
from srt.selection.ledger import places
from srt.selection.phases import choose, contests
from srt.storage.records import NLLS, RATIOS, Score, count_name

SPREADS = 4.5  # of a normal error, 7 in a million lie beyond; at least the largest one measured is covered
# The NLLs of which a statistic's logarithm is the difference (an NLL is one already), and the ratio that holds them.
PARTS = {**RATIOS, "perplexity": RATIOS["ifd"][:1], **{nll: (nll,) for nll in NLLS}}
RATIO = {name: next(r for r, of_ratio in RATIOS.items() if {*parts} <= {*of_ratio}) for name, parts in PARTS.items()}


@dataclass(frozen=True)
class Doubt:
    """A ratio (`ifd` or `r_ifd`) of a variant of a record that has to be computed again in float32."""

    record: str
    variant: str
    ratio: str


@dataclass(frozen=True)
class ErrorModel:
    """|error| of a mean NLL over n tokens is at most `scale / sqrt(n)` nats, as `sample` measurements have it."""

    scale: float
    sample: int

    @classmethod
    def measured(cls, errors: Sequence[tuple[int, float]]) -> ErrorModel:
        """From (tokens, error of the mean NLL): 4.5 times the root mean square of error x sqrt(n), or the largest."""
        scaled = [abs(error) * math.sqrt(tokens) for tokens, error in errors]
        spread = math.sqrt(sum(value**2 for value in scaled) / len(scaled))
        return cls(max(SPREADS * spread, *scaled), len(scaled))

    def bound(self, tokens: Sequence[int]) -> float:
        """Of a sum or difference of NLLs over that many tokens each, whose errors are independent."""
        return self.scale * math.sqrt(sum(1 / n for n in tokens))


class Doubts:
    """Finds the doubts of one selection.

    Args:
        choice: the selection, between records that are in memory.
        exact: what is in float32 already and has no error.
        error: the error of all other NLLs.
    """

    def __init__(self, choice: Choice, exact: Set[Doubt], error: ErrorModel) -> None:
        self.choice = dataclasses.replace(choice, method=choice.method.decides_by)
        self.exact, self.error = exact, error

    def find(self, records: Mapping[str, Mapping[str, Candidate]]) -> set[Doubt]:
        """What has to be computed again before the next look; empty once the selection is that of float32.

        The place at the ratio's edge is looked at when no decision is in doubt any more.
        """
        found = {doubt for record, candidates in records.items() for doubt in self._of_record(record, candidates)}
        return found or self._at_the_edge(records)

    def _of_record(self, record: str, candidates: Mapping[str, Candidate]) -> set[Doubt]:
        lost = {
            Doubt(record, c.variant, ratio)
            for c in candidates.values()
            for ratio in RATIOS
            if c.score and overflowed(c.score, ratio)
        } - self.exact
        if lost:
            return lost
        for held in contests(record, candidates, self.choice):
            name = held.prefers.statistic if held.prefers else ""
            if name not in PARTS or not (held.unreflected and held.reflected):
                continue
            found = self._of_contest(record, name, held.unreflected, held.reflected)
            if found:
                return found
        chosen, _ = choose(record, candidates, self.choice)
        return self._of_filter(record, chosen) if chosen else set()

    def _of_contest(self, record: str, name: str, first: Candidate, second: Candidate) -> set[Doubt]:
        values = _log_statistic(first, name), _log_statistic(second, name)
        if values[0] is None or values[1] is None:
            return set()
        # Both phases' candidates can share a text; its NLL, and so its error, is the same on both sides.
        shared = {part for part in PARTS[name][1:] if _same(first, second, part)}
        inexact = [c for c in (first, second) if Doubt(record, c.variant, RATIO[name]) not in self.exact]
        tokens = [_tokens(c, part) for c in inexact for part in PARTS[name] if part not in shared]
        if not tokens or abs(values[0] - values[1]) > self.error.bound(tokens):
            return set()
        return {Doubt(record, c.variant, RATIO[name]) for c in inexact}

    def _of_filter(self, record: str, chosen: Candidate) -> set[Doubt]:
        filters = self.choice.method.filter
        if filters.is_outside(chosen):
            return set()
        found = set()
        for limit in filters.limits:
            name, bound = limit.statistic, getattr(self.choice.settings, limit.below)
            value, margin = _log_statistic(chosen, name), self._margin(record, chosen, name)
            if value is not None and margin and abs(value - math.log(bound)) <= margin:
                found.add(Doubt(record, chosen.variant, name))
        return found

    def _margin(self, record: str, candidate: Candidate, name: str) -> float:
        if Doubt(record, candidate.variant, name) in self.exact:
            return 0.0
        return self.error.bound([_tokens(candidate, part) for part in PARTS[name]])

    def _at_the_edge(self, records: Mapping[str, Mapping[str, Candidate]]) -> set[Doubt]:
        """Those that the error could carry over the last place, in or out."""
        filters, settings = self.choice.method.filter, self.choice.settings
        ranges: dict[Doubt, tuple[float, float]] = {}
        for record, candidates in records.items():
            candidate, _ = choose(record, candidates, self.choice)
            value = _log_statistic(candidate, "ifd") if candidate else None
            if candidate is None or value is None or filters.refusal(candidate, settings):
                continue
            margin = self._margin(record, candidate, "ifd")
            ranges[Doubt(record, candidate.variant, "ifd")] = value - margin, value + margin
        kept = places(len(ranges), self.choice.ratio)
        if kept >= len(ranges):
            return set()
        lows = sorted((low for low, _ in ranges.values()), reverse=True)
        highs = sorted((high for _, high in ranges.values()), reverse=True)
        # Surely kept: above what all but `kept` can reach. Surely not: below what `kept` others cannot fall under.
        return {
            doubt
            for doubt, (low, high) in ranges.items()
            if low <= highs[kept] and high >= lows[kept - 1] and doubt not in self.exact
        }


def _log_statistic(candidate: Candidate, name: str) -> float | None:
    """The logarithm of IFD, r-IFD or perplexity from the NLLs; None where one is missing."""
    if candidate.score is None:
        return None
    parts = [getattr(candidate.score, part) for part in PARTS[name]]
    return None if None in parts else parts[0] - sum(parts[1:])


def overflowed(score: Score, ratio: str) -> bool:
    """True where an NLL of the ratio is missing though it has tokens: it was not finite, and may be in float32."""
    return any(getattr(score, part) is None and getattr(score, count_name(part)) for part in RATIOS[ratio])


def _same(first: Candidate, second: Candidate, part: str) -> bool:
    return (
        first.score is not None
        and second.score is not None
        and (
            getattr(first.score, part) == getattr(second.score, part) and _tokens(first, part) == _tokens(second, part)
        )
    )


def _tokens(candidate: Candidate, part: str) -> int:
    return int(getattr(candidate.score, count_name(part)))
