"""What is known of batches under way, on disk: each job's own state, which others of the same teacher may take over."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from srt.records import InputError, read_json

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


def refuse_open_batches(folder: Path) -> None:
    """InputError where a job that is to ask live has batches under way, which are paid for."""
    state = folder / STATE
    if state.exists() and read_json(state):
        raise InputError(
            f"{state}: {len(read_json(state))} batches are under way: expected execution.batch (--batch) to collect "
            "them, or delete this file to give them up"
        )


def under_way(folder: Path) -> dict[str, Path]:
    """The requests that are in batches of the other jobs, each with the state that has it."""
    states = others_states(folder)
    return {key: state for state in states for entry in read_json(state) for key in entry["keys"]}
