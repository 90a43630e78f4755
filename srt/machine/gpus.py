"""A slot per GPU: jobs that run at the same time on one machine never meet on a GPU.

Snakemake counts GPUs but does not hand out their numbers. A job takes the lock of a free one, makes it the only one
that it sees, and holds the lock until its process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from srt.machine import _nvml as nvml
from srt.machine import warm
from srt.machine._nvml import Card
from srt.storage.errors import InputError
from srt.storage.progress import say

VISIBLE = "CUDA_VISIBLE_DEVICES"
ORDER, BY_BUS = "CUDA_DEVICE_ORDER", "PCI_BUS_ID"  # numbers as NVML counts them
UUID_KINDS = ("GPU-", "MIG-")  # how the UUIDs of cards and of MIG instances begin
DEVICES = Path("/dev")
HELD = "SRT_GPUS_HELD_BY"  # set for the processes of one job, whose GPUs the process that started them holds
POLL_SECONDS = 1.0
Found = TypeVar("Found")
_held: list[int] = []  # open files; the kernel frees their locks with this process


def visible() -> dict[str, str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them: what each is locked by.

    That is the GPU's UUID where NVML tells it: in a cluster's jobs, number 0 can be a different GPU in each. A card in
    MIG mode is as many GPUs as it has instances. Empty where there is none.
    """
    found = cards()
    named = os.environ.get(VISIBLE)
    if named is not None:
        return {name: str(card.uuid) for name, card in _named(named, found)}
    slots: dict[str, str] = {}
    for number, card in found.items():
        uuids = [card.uuid] if card.instances is None else [instance.uuid for instance in card.instances]
        names = [number] if card.instances is None else uuids
        slots |= {str(name): str(uuid) for name, uuid in zip(names, uuids, strict=True) if uuid is not None}
    return slots


def cards() -> dict[str, Card]:
    """Every card that works by its number; without NVML, as in some containers, what its device file tells."""
    try:
        found = nvml.read()
    except ImportError:
        found = None
    if isinstance(found, nvml.Driver):
        return {str(number): card for number, card in enumerate(found.cards) if card.uuid is not None}
    files = sorted(DEVICES.glob("nvidia[0-9]*"), key=lambda path: int(path.name.removeprefix("nvidia")))
    return {path.name.removeprefix("nvidia"): Card(path.name, None, None, None, path.name) for path in files}


def _named(named: str, found: dict[str, Card]) -> list[tuple[str, Card]]:
    """The GPUs that CUDA shows for a value of CUDA_VISIBLE_DEVICES, and the names that they have there.

    The first entry says whether all are numbers, UUIDs of cards or of MIG instances; a UUID may be cut short, and is
    made whole: NVML, which vLLM asks, takes no other. The list ends at the first entry that names nothing, or more
    than one; a GPU that is named twice hides all, as CUDA has it.
    """
    entries = [entry.strip() for entry in named.split(",")]
    kind = next((prefix for prefix in UUID_KINDS if entries[0].startswith(prefix)), None)
    chosen: list[tuple[str, Card]] = []
    for entry in entries:
        card = found.get(str(_number(entry))) if kind is None else _with_uuid(entry, kind, found)
        used = None if card is None else _first_instance(card)
        if card is None or used is None:
            break
        chosen.append((str(card.uuid) if kind else str(_number(entry)), used))
    uuids = [card.uuid for _, card in chosen]
    return chosen if len(set(uuids)) == len(uuids) else []


def _number(entry: str) -> int | None:
    """The number that an entry begins with, which is what CUDA reads of it."""
    digits = re.match(r"[+-]?[0-9]+", entry)
    return int(digits.group()) if digits else None


def _with_uuid(entry: str, kind: str, found: dict[str, Card]) -> Card | None:
    """The one card, or MIG instance, whose UUID begins like this."""
    if kind == "MIG-":
        known = [instance for card in found.values() for instance in card.instances or ()]
    else:
        known = list(found.values())
    fitting = [card for card in known if entry.startswith(kind) and str(card.uuid).startswith(entry)]
    return fitting[0] if len(fitting) == 1 else None


def _first_instance(card: Card) -> Card | None:
    """What CUDA uses of a card that is named: in MIG mode its first instance."""
    return card if card.instances is None else next(iter(card.instances), None)


def memory_gb() -> float | None:
    """Memory of the smallest visible GPU in GB (1e9 bytes), as NVML tells it; None where it does not."""
    every = [one for card in cards().values() for one in (card, *(card.instances or ()))]
    sizes = {card.uuid: card.memory_gb for card in every}
    return min((size for uuid in visible().values() if (size := sizes.get(uuid)) is not None), default=None)


def hold(count: int) -> list[str]:
    """Wait until `count` GPUs are free, hold them, and make them the only visible ones; their names.

    To be called before CUDA starts; a second call in a process finds what the first one holds. A process of a
    launcher (torchrun) takes the GPU of its local rank and goes on seeing all; one that `srt.training.launch` started
    leaves them to that. InputError where fewer GPUs are visible than asked for; nothing is held where none is visible.
    """
    pool = visible()
    if _held or not pool or os.environ.get(HELD):
        return list(pool)
    rank = os.environ.get("LOCAL_RANK")
    if rank is not None:
        pool, count = dict(list(pool.items())[int(rank) : int(rank) + 1]), 1
    taken = wait_for(count, pool, lambda: free(pool, count))
    _held.extend(taken.values())
    if rank is None:
        os.environ.setdefault(ORDER, BY_BUS)
        os.environ[VISIBLE] = ",".join(taken)
    return list(taken)


def slots() -> dict[str, str]:
    """The GPUs, as in `visible`, of which a server that this process starts may take some; none where it holds some."""
    return {} if _held or os.environ.get(HELD) else visible()


def wait_for(count: int, pool: dict[str, str], look: Callable[[], Found]) -> Found:
    """What `look` finds, as soon as it is something; that it waits for so many GPUs of the pool is said once.

    InputError where there are fewer.
    """
    if count > len(pool):
        raise InputError(f"expected {count} GPUs for one job, found {len(pool)}: {', '.join(pool) or 'none'}")
    waiting = f"waiting for {count} of the GPUs {', '.join(pool)}, which other jobs hold"
    while not (found := look()):
        say(waiting) if waiting else None
        waiting = ""
        time.sleep(POLL_SECONDS)
    return found


def free(pool: dict[str, str], count: int) -> dict[str, int]:
    """The locks of `count` GPUs by name, now taken: files that are to stay open. Empty where so many are not free.

    A server that only waits for a job gives its GPUs up.
    """
    taken = _locked(pool, count)
    while not taken and warm.end_one_for(pool.values()):
        taken = _locked(pool, count)
    return taken


def _locked(pool: dict[str, str], count: int) -> dict[str, int]:
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
            return locks
    for lock in locks.values():
        os.close(lock)
    return {}


def _lock_file(locked_by: str) -> Path:
    folder = Path(tempfile.gettempdir()) / f"srt-gpus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / f"{locked_by.replace('/', '-')}.lock"
