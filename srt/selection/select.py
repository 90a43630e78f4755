"""Selection: the step around the methods, from files of pairs and scores to a train file and a ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from srt.prepare.sources import read_pairs
from srt.selection.candidates import Candidate
from srt.selection.choice import Choice
from srt.selection.ledger import decide_all
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.progress import say
from srt.storage.records import AnyRecord, Coherence, LedgerEntry, Pair, ReflectedPair, Rescored, Score
from srt.storage.sidecars import Scoring, Sidecar, read_sidecar, sidecar_of


def select(run_dir: Path, choice: Choice, rescored: Path | None = None) -> None:
    """Write `train.jsonl` and `ledger.jsonl` of a run.

    What `rescored` holds stands in place of the scores. The order of the train file is the order of the data set.
    InputError where a file that the method reads is missing, where scores do not belong together, or where nothing is
    selected.
    """
    texts = texts_of(choice)
    entries = decide_all(read_candidates(texts, choice, choice.is_ranked, rescored), choice, choice.is_ranked)
    train = [_train_pair(texts[entry.chosen][entry.id]) for entry in entries if entry.kept and entry.chosen]
    _report(run_dir, entries)
    if not train:
        name = choice.method.name
        raise InputError(f"{run_dir}: method {name} selected none of {len(entries)} records; the reasons stand above")
    write_records(run_dir / "ledger.jsonl", entries)
    write_records(run_dir / "train.jsonl", train)


def texts_of(choice: Choice) -> dict[str, dict[str, Pair]]:
    """variant: id: pair."""
    return {variant: {pair.id: pair for pair in read_pairs(path)} for variant, path in choice.pairs.items()}


def read_candidates(
    texts: Mapping[str, Mapping[str, Pair]], choice: Choice, ranked: bool = True, rescored: Path | None = None
) -> dict[str, dict[str, Candidate]]:
    """id: variant: candidate. `texts` are the pairs by variant and id; all is joined by id. See `select`."""
    _check_files(texts, choice, ranked)
    scored_alike(choice.scores)
    known = {variant: {score.id: score for score in _some(path, Score)} for variant, path in choice.scores.items()}
    for row in read_records(rescored, Rescored) if rescored else []:
        known.setdefault(row.variant, {})[row.record] = row.score
    cosines = {v: {c.id: c.coherence for c in _some(p, Coherence)} for v, p in choice.coherence.items()}
    return {
        record: {
            variant: candidate(
                variant,
                of_variant.get(record),
                known.get(variant, {}).get(record),
                cosines.get(variant, {}).get(record),
                ranked,
            )
            for variant, of_variant in texts.items()
        }
        for record in dict.fromkeys(record for variant in texts.values() for record in variant)
    }


def _some(path: Path, kind: type[AnyRecord]) -> list[AnyRecord]:
    """The records of a file that has some; InputError for an empty one, which nobody writes about a data set."""
    records = read_records(path, kind)
    if not records:
        raise InputError(f"{path}: is empty, expected at least one record")
    return records


def scored_alike(scores: Mapping[str, Path]) -> Scoring | None:
    """What the sidecars of the scores agree on, None where none has one; InputError where they do not agree."""
    found = {path: read_sidecar(sidecar_of(path), Sidecar).scoring for path in scores.values()}
    first = next(iter(found.items()), None)
    for path, scoring in found.items():
        if first and (odd := scoring.differs_from(first[1])):
            raise InputError(f"{path}: {odd}: expected scores by the same student and settings as {first[0]}")
    return first[1] if first and any(first[1]) else None


def _check_files(texts: Mapping[str, Any], choice: Choice, ranked: bool) -> None:
    method = choice.method
    for variant in method.variants:
        if variant not in texts:
            raise InputError(f"method {method.name}: expected --pairs {variant}=FILE")
        if ranked and variant not in choice.scores:
            raise InputError(f"method {method.name}: expected --scores {variant}=FILE")
        if method.reads_coherence and variant not in choice.coherence:
            raise InputError(f"method {method.name}: expected --coherence {variant}=FILE")


def candidate(variant: str, pair: Pair | None, score: Score | None, cosine: float | None, ranked: bool) -> Candidate:
    """A version of a record as the methods see it, with the reason where it can be none."""
    absent = None
    if pair is None:
        absent = "not reflected: it is not the winner of phase 1"
    elif isinstance(pair, ReflectedPair) and pair.status == "failed":
        absent = f"reflection failed: {pair.reason}"
    elif ranked and score is None:
        absent = "not in the scores file"
    elif score is not None and score.status == "failed":
        absent = f"not scored: {score.reason}"
    return Candidate(variant, score, cosine, absent)


def _train_pair(pair: Pair) -> Pair:
    return Pair(**pair.model_dump(include={"id", "instruction", "input", "output"}))


def _report(run_dir: Path, entries: Sequence[LedgerEntry]) -> None:
    kept = sum(entry.kept for entry in entries)
    say(f"{run_dir}: {kept} of {len(entries)} records selected")
    for branch, count in Counter(entry.branch for entry in entries if entry.kept).most_common():
        say(f"  {count} kept: {branch}")
    for reason, count in Counter(entry.reason for entry in entries if not entry.kept).most_common(8):
        say(f"  {count} dropped: {reason}")
