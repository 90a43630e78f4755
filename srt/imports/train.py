"""A train file that somebody else selected: matched by content with the versions of the data set it is of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from srt.imports._rows import TEXTS, Row, read_texts, sha256, short
from srt.prepare.sources import read_pairs, with_ids
from srt.settings import GivenTrain
from srt.storage.errors import InputError
from srt.storage.files import write_records
from srt.storage.progress import say
from srt.storage.records import LedgerEntry, Pair, ReflectedPair
from srt.storage.sidecars import Imported, Sidecar, StepSettings, sidecar_of, write_sidecar

FIRST = ("both", "response", "instruction", "original")  # which version a text is taken for that several have


def import_train(source: str, run_dir: Path, settings: GivenTrain, pairs: Mapping[str, Path]) -> None:
    """Write `train.jsonl` and `ledger.jsonl` of a run from a finished train file.

    With `pairs` (a version's file each) every record is looked up by its texts and gets that record's id, and the train
    file gets the data set's order, whatever order the source has. Without, ids are hashes and the order is the file's.

    Raises:
        InputError: names the first record that is in no version, has no text or is one too many or too few.
    """
    rows = read_texts(source, settings.instruction, settings.input, settings.output)
    if settings.records is not None and len(rows) != settings.records:
        place = rows[settings.records].where if len(rows) > settings.records else f"{source}: record {len(rows)}"
        found = "is one too many" if len(rows) > settings.records else "is missing"
        raise InputError(f"{place}: {found}: expected {settings.records} records")
    for row in rows:
        for name in ("instruction", "output"):
            if not row.values[name].strip():
                raise InputError(f"{row.where}: {name}: is empty, expected text")
    train, entries = _matched(rows, pairs) if pairs else _as_it_is(rows)
    kept = Counter(entry.branch for entry in entries if entry.kept)
    say(f"{run_dir}: {len(train)} records imported")
    for branch, count in kept.most_common():
        say(f"  {count} kept: {branch}")
    sidecar = Sidecar(
        given=Imported(source=source, sha256=sha256(source)),
        settings=StepSettings(**settings.model_dump(exclude={"source"})),
        counts={str(branch): count for branch, count in kept.items()},
    )
    write_sidecar(sidecar_of(run_dir / "train.jsonl"), sidecar)
    write_records(run_dir / "ledger.jsonl", entries)
    write_records(run_dir / "train.jsonl", train)


def _as_it_is(rows: Sequence[Row]) -> tuple[list[Pair], list[LedgerEntry]]:
    train = with_ids(dict(row.values) for row in rows)
    return train, [_entry(pair.id, None, "given") for pair in train]


def _matched(rows: Sequence[Row], pairs: Mapping[str, Path]) -> tuple[list[Pair], list[LedgerEntry]]:
    versions = {variant: read_pairs(pairs[variant]) for variant in FIRST if variant in pairs}
    owners: dict[tuple[str, ...], list[tuple[str, str]]] = defaultdict(list)
    for variant, of_variant in versions.items():
        for pair in of_variant:
            if not (isinstance(pair, ReflectedPair) and pair.status == "failed"):
                owners[tuple(getattr(pair, name).strip() for name in TEXTS)].append((pair.id, variant))
    chosen: dict[str, tuple[str, Row]] = {}
    for row in rows:
        found = owners[tuple(row.values[name].strip() for name in TEXTS)]
        free = next(((record, variant) for record, variant in found if record not in chosen), None)
        if free is None:
            complaint = (
                "occurs more often than in the data"
                if found
                else f"is in no version of the data: {short(row.values['instruction'])}"
            )
            raise InputError(f"{row.where}: {complaint}")
        chosen[free[0]] = (free[1], row)
    order = list(dict.fromkeys(pair.id for of_variant in reversed(versions.values()) for pair in of_variant))
    train = [Pair(id=record, **chosen[record][1].values) for record in order if record in chosen]
    entries = [
        _entry(record, chosen[record][0], f"given: {chosen[record][0]}")
        if record in chosen
        else _entry(record, None, None)
        for record in order
    ]
    return train, entries


def _entry(record: str, variant: str | None, branch: str | None) -> LedgerEntry:
    kept = branch is not None
    reason = "given" if kept else "not in the given train file"
    return LedgerEntry(id=record, candidates={}, chosen=variant, branch=branch or "given", kept=kept, reason=reason)
