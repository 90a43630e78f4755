"""The ledger of a data set: every record's winner by a method, and what the filter and the ratio leave of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

from srt.selection.candidates import Candidate, facts_of, statistic
from srt.selection.choice import Choice
from srt.selection.controls import length_matched
from srt.selection.phases import choose
from srt.storage.records import LedgerEntry

Records = Mapping[str, Mapping[str, Candidate]]  # id: variant: candidate


def decide_all(records: Records, choice: Choice, ranked: bool = True) -> list[LedgerEntry]:
    """The ledger of a whole data set. Without `ranked` (a fixed variant at ratio 1) no score is needed."""
    if choice.method.matches:
        reference = decide_all(records, dataclasses.replace(choice, method=choice.method.matches))
        return length_matched(records, reference, choice.seed)
    entries = [_entry(record, candidates, choice, ranked) for record, candidates in records.items()]
    if ranked:
        _apply_ratio(entries, choice.ratio)
    return entries


def _entry(record: str, candidates: Mapping[str, Candidate], choice: Choice, ranked: bool) -> LedgerEntry:
    chosen, branch = choose(record, candidates, choice)
    reason = _drop_reason(chosen, choice, ranked) if chosen else _absence(candidates)
    return LedgerEntry(
        id=record,
        candidates={variant: facts_of(candidate) for variant, candidate in candidates.items()},
        chosen=chosen.variant if chosen else None,
        branch=branch,
        kept=reason is None,
        reason=reason or "selected",
    )


def _absence(candidates: Mapping[str, Candidate]) -> str:
    """Why no candidate is left: the first reason that one of them has."""
    absent = [c.absent or (c.score.reason if c.score else None) for c in candidates.values()]
    return f"no candidate is left: {next((why for why in absent if why), 'no statistic')}"


def _drop_reason(chosen: Candidate, choice: Choice, ranked: bool) -> str | None:
    """Why a winner is dropped: by the filter, or as it cannot be ranked."""
    refused = choice.method.filter.refusal(chosen, choice.settings)
    cannot_be_ranked = ranked and statistic(chosen, "ifd") is None
    return refused or (chosen.why_null("IFD") if cannot_be_ranked else None)


def _apply_ratio(entries: list[LedgerEntry], ratio: float) -> None:
    kept = [(entry.id, entry.candidates[entry.chosen]["ifd"]) for entry in entries if entry.kept and entry.chosen]
    inside = keep_ratio(kept, ratio) if kept else set()
    for entry in entries:
        if entry.kept and entry.id not in inside:
            entry.kept = False
            entry.reason = f"outside the ratio {ratio:g} by IFD"


def keep_ratio(selected: Sequence[tuple[str, float]], ratio: float) -> set[str]:
    """The ids with the highest IFD, equal ones by id: floor(ratio x n) of them, at least 1."""
    ranked = sorted(selected, key=lambda item: (-item[1], item[0]))
    return {record for record, _ in ranked[: places(len(ranked), ratio)]}


def places(selected: int, ratio: float) -> int:
    """How many of the selected are kept."""
    # 1e-9: a ratio such as 0.07 is a little less than it says in binary, and floor would lose one record.
    return max(1, math.floor(ratio * selected + 1e-9))
