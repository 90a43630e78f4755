"""Checkpoints of a training that may be killed: whole under their name or not there, used by one process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from srt.settings import FinetuneConfig
from srt.storage.atomic import sync
from srt.storage.files import write_json
from srt.storage.journal import content_key
from srt.storage.readers import read_json

VERSION = 2  # raised where a checkpoint that an older version wrote must not be gone on with
MARKER = "complete.json"
SAVING = ".saving"  # where a checkpoint stands until it is whole
PREFIX = "checkpoint-"
# Recipes once chose these. They stay in the key, so that a training that was begun then is gone on with.
CHOSEN_BEFORE = {"attention": "sdpa", "kernels": "torch"}


def key_of(identity: str, data: str, settings: FinetuneConfig, seed: int, longest: int) -> str:
    """What a training's checkpoints are kept under.

    Args:
        identity: the base model's.
        data: the train file's SHA-256.
        settings: the recipe.
        seed: of the order of the data.
        longest: most tokens of a training text, which a model's positions may hold below the recipe's.
    """
    cut = [longest] if longest < settings.max_length else []
    return content_key(VERSION, identity, data, {**settings.journalled(), **CHOSEN_BEFORE}, seed, *cut)


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """The whole checkpoint of the highest step, or None; what a kill left of others is deleted.

    A checkpoint is whole if its marker names the sizes of all files that it holds.
    """
    shutil.rmtree(checkpoints / SAVING, ignore_errors=True)
    whole = []
    for checkpoint in checkpoints.glob(f"{PREFIX}*"):
        if (checkpoint / MARKER).is_file() and read_json(checkpoint / MARKER) == _sizes(checkpoint):
            whole.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(whole, key=_step_of, default=None)


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _step_of(checkpoint: Path) -> int:
    """The optimizer step after which a checkpoint was taken."""
    return int(checkpoint.name.removeprefix(PREFIX))


def complete(saved: Path, checkpoints: Path, keep: int) -> None:
    """Mark a saved checkpoint, bring it to the disk, then under its name; then delete all but the `keep` newest."""
    write_json(saved / MARKER, _sizes(saved))
    sync_folder(saved)
    saved.rename(checkpoints / saved.name)
    sync(checkpoints)
    for old in sorted(checkpoints.glob(f"{PREFIX}*"), key=_step_of)[:-keep]:
        # Under its name a checkpoint is whole: a kill while it is deleted must not leave half of it there.
        gone = checkpoints / SAVING / old.name
        old.rename(gone)
        shutil.rmtree(gone)


@contextmanager
def alone(checkpoints: Path) -> Iterator[Path]:
    """The folder, once no other process uses it (an equal run, an orphan); the lock dies with its holder."""
    checkpoints.parent.mkdir(parents=True, exist_ok=True)
    with checkpoints.with_name(f"{checkpoints.name}.lock").open("w") as lock:
        if os.environ.get("RANK", "0") == "0":
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield checkpoints


def sync_folder(folder: Path) -> None:
    """Bring a folder with all that is in it to the disk."""
    for path in (*folder.rglob("*"), folder):
        sync(path)
