"""The ledger of a data set: every record's winner by a method, and what the filter and the ratio leave of them."""

from __future__ import annotations

from collections.abc import Mapping

from srt.selection.controls import length_matched
from srt.selection.methods import Candidate, choose, facts_of, keep_ratio, refusal, statistic
from srt.selection.registry import REFERENCE
from srt.settings import SelectionConfig
from srt.storage.records import LedgerEntry


def decide_all(
    records: Mapping[str, Mapping[str, Candidate]],
    method: str,
    ratio: float,
    seed: int,
    settings: SelectionConfig,
    ranked: bool = True,
) -> list[LedgerEntry]:
    """The ledger of a whole data set. Without `ranked` (a fixed variant at ratio 1) no score is needed."""
    if method in REFERENCE:
        return length_matched(records, decide_all(records, REFERENCE[method], ratio, seed, settings), seed)
    entries: list[LedgerEntry] = []
    for record, candidates in records.items():
        chosen, branch = choose(record, candidates, method, seed, settings)
        reason = _drop_reason(chosen, candidates, method, settings, ranked)
        entries.append(
            LedgerEntry(
                id=record,
                candidates={variant: facts_of(candidate) for variant, candidate in candidates.items()},
                chosen=chosen.variant if chosen else None,
                branch=branch,
                kept=reason is None,
                reason=reason or "selected",
            )
        )
    if ranked:
        _apply_ratio(entries, ratio)
    return entries


def _drop_reason(
    chosen: Candidate | None, candidates: Mapping[str, Candidate], method: str, settings: SelectionConfig, ranked: bool
) -> str | None:
    if chosen is None:
        absent = [c.absent or (c.score.reason if c.score else None) for c in candidates.values()]
        return f"no candidate is left: {next((why for why in absent if why), 'no statistic')}"
    refused = refusal(chosen, method, settings)
    if refused:
        return refused
    if ranked and statistic(chosen, "ifd") is None:
        return f"IFD is null: {chosen.score.reason if chosen.score else 'not scored'}"
    return None


def _apply_ratio(entries: list[LedgerEntry], ratio: float) -> None:
    kept = [(entry.id, entry.candidates[entry.chosen]["ifd"]) for entry in entries if entry.kept and entry.chosen]
    inside = keep_ratio(kept, ratio) if kept else set()
    for entry in entries:
        if entry.kept and entry.id not in inside:
            entry.kept = False
            entry.reason = f"outside the ratio {ratio:g} by IFD"
