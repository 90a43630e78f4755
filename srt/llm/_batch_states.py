"""What is known of batches under way, on disk: each job's own state, which others of the same teacher may take over."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srt.storage.errors import InputError
from srt.storage.readers import read_json

STATE = "batches.json"
LOCK = "batches.lock"


def others_states(folder: Path) -> list[Path]:
    """The states of the other jobs with whom a job, by its folder beside its journal, shares answers."""
    jobs = [path.with_suffix("") for path in sorted(folder.parent.glob("*.jsonl"))]
    return [state for job in jobs if job != folder and (state := job / STATE).exists()]


@contextlib.contextmanager
def alone(state: Path) -> Iterator[None]:
    """Nobody else writes a state of this identity's while the context is open."""
    with (state.parent.parent / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def read_state(path: Path) -> list[dict[str, Any]]:
    """The batches under way as they were written down; InputError where the file holds something else."""
    state = read_json(path) if path.exists() else []
    if not isinstance(state, list) or not all(map(_is_entry, state)):
        raise InputError(f"{path}: expected a list of batches, each with token, id and keys; delete it to give them up")
    return state


def _is_entry(value: Any) -> bool:
    keys = value.get("keys") if isinstance(value, dict) else None
    named = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    return named and isinstance(value.get("token"), str) and isinstance(value.get("id", 0), str | None)


def refuse_open_batches(folder: Path) -> None:
    """InputError where a job that is to ask live has batches under way, which are paid for."""
    state = folder / STATE
    if open_ones := read_state(state):
        raise InputError(
            f"{state}: {len(open_ones)} batches are under way: expected execution.batch (--batch) to collect "
            "them, or delete this file to give them up"
        )


def under_way(folder: Path) -> dict[str, Path]:
    """The requests that are in batches of the other jobs, each with the state that has it."""
    states = others_states(folder)
    return {key: state for state in states for entry in read_state(state) for key in entry["keys"]}
