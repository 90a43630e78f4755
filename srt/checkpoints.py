"""Checkpoints of a training that may be killed: marked when complete, used by one process at a time."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from srt.progress import say
from srt.records import read_json, write_json

MARKER = "complete.json"


def mark_complete(checkpoint: Path) -> None:
    """Write the marker, last of all: the names and sizes of the files that the checkpoint holds."""
    write_json(checkpoint / MARKER, _sizes(checkpoint))


def _sizes(folder: Path) -> dict[str, int]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != MARKER)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def newest_checkpoint(checkpoints: Path) -> Path | None:
    """The complete checkpoint of the highest step, or None; what a kill left incomplete is deleted.

    The trainer's checkpoint folders are not atomic: one counts if its marker, written last, names the sizes of
    the files that it holds.
    """
    complete = []
    for checkpoint in checkpoints.glob("checkpoint-*"):
        if (checkpoint / MARKER).is_file() and read_json(checkpoint / MARKER) == _sizes(checkpoint):
            complete.append(checkpoint)
        else:
            shutil.rmtree(checkpoint)
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


@contextmanager
def alone(checkpoints: Path) -> Iterator[Path]:
    """The folder, once no other process uses it (an equal run, an orphan); the lock dies with its holder."""
    checkpoints.parent.mkdir(parents=True, exist_ok=True)
    with checkpoints.with_name(f"{checkpoints.name}.lock").open("w") as lock:
        if os.environ.get("RANK", "0") == "0":
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield checkpoints


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def watcher() -> Any:
    """A callback that marks complete checkpoints, logs each step, and stops at a loss that is not finite."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            args.distributed_state.wait_for_everyone()
            if state.is_world_process_zero:
                mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            loss = logs.get("loss")
            if loss is None:
                return
            if not math.isfinite(loss):
                raise FloatingPointError(f"finetune: step {state.global_step}: the loss is {loss}")
            if args.disable_tqdm and state.is_world_process_zero:
                rate = f"learning rate {logs['learning_rate']:.3g}"
                say(f"finetune: step {state.global_step} of {state.max_steps}: loss {loss:.4f}, {rate}")

    return Watcher()
