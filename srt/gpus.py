"""A slot per GPU: jobs that run at the same time on one machine never meet on a GPU.

Snakemake counts GPUs but does not hand out their numbers. A job takes the lock of a free one, makes it the only one
that it sees, and holds the lock until its process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import time
from pathlib import Path

from srt.progress import say
from srt.records import InputError

VISIBLE = "CUDA_VISIBLE_DEVICES"
HELD = "SRT_GPUS_HELD_BY"  # set for the processes of one job, whose GPUs the process that started them holds
POLL_SECONDS = 1.0
_held: list[int] = []  # open files; the kernel frees their locks with this process


def visible() -> dict[str, str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: what each is locked by.

    That is the GPU's UUID where nvidia-smi tells it: in a cluster's jobs, number 0 can be a different GPU in each.
    """
    uuids = _uuids()
    named = os.environ.get(VISIBLE)
    names = [name.strip() for name in named.split(",") if name.strip()] if named is not None else list(uuids)
    return {name: uuids.get(name, name) for name in names}


def _uuids() -> dict[str, str]:
    command = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        # A container may have the GPUs without the program.
        return {path.name.removeprefix("nvidia"): path.name for path in sorted(Path("/dev").glob("nvidia[0-9]*"))}
    rows = (line.partition(",") for line in shown.splitlines() if line.strip())
    return {index.strip(): uuid.strip() for index, _, uuid in rows}


def memory_gb() -> float | None:
    """Memory of the smallest visible GPU in GB (1e9 bytes), as nvidia-smi tells it; None where it does not."""
    command = ["nvidia-smi", "--query-gpu=index,memory.total", "--format=csv,noheader,nounits"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        rows = [line.split(",") for line in shown.splitlines() if line.strip()]
        sizes = {index.strip(): float(mib) * 2**20 / 1e9 for index, mib in rows}
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return min((sizes[name] for name in visible() if name in sizes), default=None)


def hold(count: int) -> list[str]:
    """Wait until `count` GPUs are free, hold them, and make them the only visible ones; their names.

    To be called before CUDA starts; a second call in a process finds what the first one holds. A process of a
    launcher (torchrun) takes the GPU of its local rank and goes on seeing all; one that `srt.launch` started leaves
    them to that. InputError where fewer GPUs are visible than asked for; nothing is held where none is visible.
    """
    pool = visible()
    if _held or not pool or os.environ.get(HELD):
        return list(pool)
    rank = os.environ.get("LOCAL_RANK")
    if rank is not None:
        pool, count = dict(list(pool.items())[int(rank) : int(rank) + 1]), 1
    if count > len(pool):
        raise InputError(f"expected {count} GPUs for one job, found {len(pool)}: {', '.join(pool) or 'none'}")
    waiting = f"waiting for {count} of the GPUs {', '.join(pool)}, which other jobs hold"
    while not (taken := _try(pool, count)):
        say(waiting) if waiting else None
        waiting = ""
        time.sleep(POLL_SECONDS)
    if rank is None:
        os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # numbers as nvidia-smi counts them
        os.environ[VISIBLE] = ",".join(taken)
    return taken


def _try(pool: dict[str, str], count: int) -> list[str]:
    """All `count` locks at once or none, so that two jobs never wait for each other's."""
    locks: dict[str, int] = {}
    for name, locked_by in pool.items():
        lock = os.open(_lock_file(locked_by), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        locks[name] = lock
        if len(locks) == count:
            _held.extend(locks.values())
            return list(locks)
    for lock in locks.values():
        os.close(lock)
    return []


def _lock_file(locked_by: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"srt-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{locked_by.replace('/', '-')}.lock"
