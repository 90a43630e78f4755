"""The ledgers in short: what became of how many records, with one record of each kind to look up."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.storage.files import read_records
from srt.storage.records import LedgerEntry

SHOWN = 20  # of a run's kinds, the most frequent


@dataclass(frozen=True)
class Kind:
    """Records of one run with the same branch and outcome; `example` is the id of one of them."""

    run: str
    kept: bool
    branch: str
    reason: str
    records: int
    share: float
    example: str


def ledgers(results: Path, runs: Sequence[Run]) -> list[Kind]:
    """The most frequent kinds of every run that has a ledger; a kind's example has the smallest SHA-256 of its id."""
    return [kind for run in runs for kind in _of_run(results, run)]


def _of_run(results: Path, run: Run) -> Iterator[Kind]:
    path = results / layout.LEDGER.format(run=run.run)
    if not path.exists():
        return
    entries = read_records(path, LedgerEntry)
    kinds: dict[tuple[bool, str, str], list[str]] = defaultdict(list)
    for entry in entries:
        kinds[entry.kept, entry.branch or "", "" if entry.kept else entry.reason].append(entry.id)
    ranked = sorted(kinds.items(), key=lambda item: (not item[0][0], -len(item[1]), item[0]))
    for (kept, branch, reason), ids in ranked[:SHOWN]:
        example = min(ids, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest())
        yield Kind(run.run, kept, branch, reason, len(ids), 100 * len(ids) / len(entries), example)
