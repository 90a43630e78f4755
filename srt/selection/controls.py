"""The length-matched control: random records in random versions, as many and as long as `selective` would keep.

What `selective` gains over it is not gained by longer answers or by fewer records. The project's own control; the
paper has none.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import islice

from srt.selection.candidates import Candidate, branch_of, facts_of, statistic
from srt.storage.errors import InputError
from srt.storage.records import LedgerEntry

STEP = math.log(1.1)  # a bin of lengths ends at 1.1 times its beginning
Drawn = dict[str, Candidate]


def length_matched(
    records: Mapping[str, Mapping[str, Candidate]], reference: Sequence[LedgerEntry], seed: int
) -> list[LedgerEntry]:
    """The ledger of the control.

    Versions are gone through in an order that depends on the seed, the record and the version only; one is taken if
    its record has not been taken and its bin of response lengths (the student's tokens) is not full. What is lacking
    in a bin at the end is taken from the nearest bins.

    Args:
        records: id: variant: candidate.
        reference: the ledger that is matched.
        seed: the run's seed.
    """
    kept = [(entry.id, entry.chosen) for entry in reference if entry.kept and entry.chosen]
    wanted = Counter(_bin(records[record][variant]) for record, variant in kept)
    drawn = draw(records, wanted, seed)
    return [_entry(record, candidates, drawn.get(record)) for record, candidates in records.items()]


def draw(records: Mapping[str, Mapping[str, Candidate]], wanted: Counter[int], seed: int) -> Drawn:
    """record: the version drawn, so that each bin holds as many as are wanted, as far as the records allow."""
    usable = [
        (record, candidate)
        for record, candidates in records.items()
        for candidate in candidates.values()
        if candidate.absent is None and statistic(candidate, "ifd") is not None
    ]
    usable.sort(key=lambda item: _order(seed, item[0], item[1].variant))
    left, drawn = Counter(wanted), Drawn()
    bins: dict[int, list[tuple[str, Candidate]]] = defaultdict(list)
    for record, candidate in usable:
        length = _bin(candidate)
        if record not in drawn and left[length] > 0:
            drawn[record] = candidate
            left[length] -= 1
        bins[length].append((record, candidate))
    for length, count in sorted(left.items()):
        nearest = sorted(bins, key=lambda other: (abs(other - length), other))
        fresh = (item for other in nearest for item in bins[other] if item[0] not in drawn)
        for record, candidate in islice(fresh, count):
            drawn[record] = candidate
    return drawn


def _bin(candidate: Candidate) -> int:
    """The bin of a response's length in tokens; InputError where somebody's scores came without their counts."""
    tokens = candidate.score.tokens_response if candidate.score else 0
    if tokens is None:
        raise InputError("method length: expected scores with token counts, found imported ones, which have none")
    return math.floor(math.log(max(1, tokens)) / STEP)


def _order(seed: int, record: str, variant: str) -> str:
    return hashlib.sha256(f"length:{seed}:{record}:{variant}".encode("utf-8", "surrogatepass")).hexdigest()


def _entry(record: str, candidates: Mapping[str, Candidate], drawn: Candidate | None) -> LedgerEntry:
    return LedgerEntry(
        id=record,
        candidates={variant: facts_of(candidate) for variant, candidate in candidates.items()},
        chosen=drawn.variant if drawn else None,
        branch=branch_of(drawn) if drawn else "not drawn",
        kept=drawn is not None,
        reason="selected" if drawn else "not drawn by length",
    )
