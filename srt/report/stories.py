"""A few records' stories for the report: before, after, what the teacher said, what the student decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt import layout
from srt.records import LedgerEntry, Pair, ReflectedPair, read_records
from srt.report.formats import Row
from srt.runs import FIXED_METHODS, Run

PER_RUN = 4  # one record for each of a run's most frequent branches
IN_ALL = 8
STATISTICS = ("ifd", "r_ifd", "perplexity", "coherence")


@dataclass(frozen=True)
class Story:
    """One record in one run; `after` is None where it has no winner, `candidates` are rows of STATISTICS."""

    run: str
    entry: LedgerEntry
    before: Pair | None
    after: Pair | None
    critique: str | None
    candidates: list[Row]


def stories(results: Path, runs: Sequence[Run]) -> list[Story]:
    """The first record of each branch of each run that chooses between variants, IN_ALL at most."""
    found = [
        story for run in runs if run.method not in (*FIXED_METHODS, "given", "none") for story in _of_run(results, run)
    ]
    return found[:IN_ALL]


def _of_run(results: Path, run: Run) -> Iterator[Story]:
    path = results / layout.LEDGER.format(run=run.run)
    if not path.exists():
        return
    first: dict[tuple[str | None, bool], LedgerEntry] = {}
    for entry in read_records(path, LedgerEntry):
        first.setdefault((entry.branch, entry.kept), entry)
    # What was kept first, and among that what was reflected most.
    chosen = sorted(first.values(), key=lambda entry: (not entry.kept, _RANK.get(entry.chosen or "", 9)))[:PER_RUN]
    pairs = {variant: _pairs(results, run, variant) for variant in layout.variants_read(run)}
    for entry in chosen:
        after = pairs.get(entry.chosen or "", {}).get(entry.id)
        critique = after.critique if isinstance(after, ReflectedPair) else None
        candidates = [{"variant": variant, **facts} for variant, facts in entry.candidates.items()]
        yield Story(run.run, entry, pairs["original"].get(entry.id), after, critique, candidates)


_RANK = {"both": 0, "instruction": 1, "response": 2, "original": 3}


def _pairs(results: Path, run: Run, variant: str) -> dict[str, Pair]:
    """The variant's pairs, under whichever plan of the response reflection wrote them."""
    for plan in ("selected", "all"):
        path = results / layout.pairs_pattern(variant, plan).format(variant=variant, **run.model_dump())
        if path.exists():
            kind: type[Pair] = Pair if variant == "original" else ReflectedPair
            return {pair.id: pair for pair in read_records(path, kind)}
    return {}
