"""Prepare: from a file or a hub data set to pairs with ids, counted and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from srt.prepare.sources import (
    HUB,
    NOT_USED,
    hub_errors,
    located,
    not_used,
    plain_fields,
    read_rows,
    say_not_used,
    with_ids,
)
from srt.settings import PrepareConfig
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import write_records
from srt.storage.progress import say
from srt.storage.readers import form_of
from srt.storage.records import Pair
from srt.storage.shipped import locate
from srt.storage.sidecars import Sidecar, StepSettings, sidecar_of, write_sidecar


def prepare(source: str, out: Path, settings: PrepareConfig) -> None:
    """Write the pairs of a source, with source, resolved revision and counts in the sidecar.

    Records without an instruction or without an output are left out and counted; exact repeats are counted, and
    dropped where the settings say so. What a pair cannot hold, as the further turns of a conversation, is counted by
    kind. InputError where a record is malformed or none is left.
    """
    rows, origin = _open_source(source, settings)
    kept, counts, left_out = _kept(rows, source, settings)
    lost = {what: counts[what] for what in NOT_USED if counts[what]}
    told = {name: counts[name] for name in ("read", "empty", "duplicates")} | {"written": len(kept)}
    sidecar = Sidecar(
        origin=origin,
        settings=StepSettings(**settings.model_dump()),
        counts=told,
        not_used=lost,
        left_out=left_out,  # what was made of the source elsewhere is told apart by these
        versions=packages.versions("selective-reflection-tuning", "datasets"),
    )
    write_sidecar(sidecar_of(out), sidecar)
    write_records(out, with_ids(kept))
    say(f"{out}: " + ", ".join(f"{count} {name}" for name, count in told.items()))
    say_not_used(out, lost, counts["read"])


def idle_on_file(source: str) -> dict[str, str]:
    """The settings that have no effect on a file; none for a hub data set's name."""
    return dict.fromkeys(("revision", "split"), "on a file") if is_file(source) else {}


def is_file(source: str) -> bool:
    """Whether a source is a file, here or on the hub, and no name of a hub data set."""
    return source.startswith(HUB) or locate(source).exists() or form_of(source) in (".json", ".jsonl", ".parquet")


def prepared_file(settings: PrepareConfig) -> list[Pair] | None:
    """The pairs that `prepare` would write of a file that is here; None for a hub data set."""
    if not locate(settings.source).exists():
        return None
    rows, _ = _open_source(settings.source, settings)
    return with_ids(_kept(rows, settings.source, settings)[0])


def _kept(
    rows: Iterator[tuple[str, Any]], source: str, settings: PrepareConfig
) -> tuple[list[dict[str, str]], Counter[str], list[int]]:
    counts: Counter[str] = Counter()
    kept: list[dict[str, str]] = []
    left_out: list[int] = []
    seen: set[tuple[str, ...]] = set()
    for where, row in islice(rows, settings.limit):
        fields = plain_fields(row, f"{source}: {where}")
        counts.update(["read", *not_used(row)])
        left_out.append(counts["read"] - 1)
        if not fields["instruction"].strip() or not fields["output"].strip():
            counts["empty"] += 1
            continue
        content = tuple(fields.values())
        if content in seen:
            counts["duplicates"] += 1
            if settings.duplicates == "drop":
                continue
        seen.add(content)
        left_out.pop()
        kept.append(fields)
    if not kept:
        raise InputError(f"{source}: no usable record among {counts['read']}, expected at least one pair")
    return kept, counts, left_out


def _open_source(source: str, settings: PrepareConfig) -> tuple[Iterator[tuple[str, Any]], dict[str, str | None]]:
    if is_file(source):
        return read_rows(located(source)), {"file": source}
    return _hub_rows(source, settings)


def _hub_rows(source: str, settings: PrepareConfig) -> tuple[Iterator[tuple[str, Any]], dict[str, str | None]]:
    """The rows of a hub data set at the commit that the revision resolves to now, which is recorded."""
    from datasets import load_dataset
    from huggingface_hub import HfApi

    try:
        commit = HfApi().dataset_info(source, revision=settings.revision).sha
        data = load_dataset(source, revision=commit, split=settings.split)
    except hub_errors() as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{source}: is neither a file here nor a hub data set that can be reached: {reason}") from None
    rows = ((f"record {number}", row) for number, row in enumerate(data))
    return rows, {"hub": source, "revision": settings.revision, "commit": commit, "split": settings.split}
