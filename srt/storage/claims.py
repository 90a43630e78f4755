"""Claims: who asks what at the moment, so that two processes over one folder of journals do not pay for it twice.

A claim is a lock on a byte of a file, at the place that the key's hash names. The kernel drops it with the process
that holds it, however that ends. Nobody ever waits while it holds a lock that it could give up: what another process
has under way is set aside, and looked at again. So no two processes can wait for each other.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from srt.storage.progress import say

FOLDER = "claims"  # beside the journals
FILES = 16  # the kernel looks through all locks of a file: a batch of 50,000 requests takes 3 s with 16, 43 s with one
FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid
WAIT_SECONDS = 0.3  # between two looks at what others have under way
TAKEN = (errno.EAGAIN, errno.EACCES)


class Claims:
    """The claims of one process on keys, among all that were made over the same folder.

    Args:
        folder: of the journals; the lock files lie in a folder of their own below it, and are empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._files: dict[int, int] = {}
        self._held: set[str] = set()
        self._can_lock = True

    def take(self, key: str) -> bool:
        """Claim a key; whether it is ours now. On a file system without such locks, always, which is said once."""
        if key not in self._held and not self._lock(key, fcntl.F_WRLCK):
            return False
        self._held.add(key)
        return True

    def release(self, keys: Iterable[str]) -> None:
        """Give up claims; keys that are not ours are passed over."""
        for key in self._held.intersection(keys):
            self._held.remove(key)
            self._lock(key, fcntl.F_UNLCK)

    def is_free(self, key: str) -> bool:
        """Whether nobody else has claimed a key."""
        free = self.take(key)
        self.release([key])
        return free

    def close(self) -> None:
        """Give up all claims."""
        for file in self._files.values():
            os.close(file)
        self._files.clear()
        self._held.clear()

    def _lock(self, key: str, kind: int) -> bool:
        place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> 2
        try:
            lock = FLOCK.pack(kind, os.SEEK_SET, place, 1, 0)
            fcntl.fcntl(self._file(place % FILES), fcntl.F_OFD_SETLK, lock)
        except OSError as error:
            if error.errno in TAKEN:
                return False
            self._say_once(error)
        return True

    def _file(self, number: int) -> int:
        if number not in self._files:
            self._folder.mkdir(exist_ok=True)
            path = self._folder / f"{number:x}"
            self._files[number] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        return self._files[number]

    def _say_once(self, error: OSError) -> None:
        if self._can_lock:
            self._can_lock = False
            why = f"cannot be locked ({error.strerror}): two jobs at a time may both pay for the same request"
            say(f"{self._folder}: {why}")


class Aside:
    """Work that waits for requests which other processes have claimed, by the request's key.

    Args:
        settled: those of some keys that need not be waited for any more (`Journal.settled`).
        what: whose requests they are, for the message.
    """

    def __init__(self, settled: Callable[[Iterable[str]], list[str]], what: str) -> None:
        self._settled, self._what = settled, what
        self._waiting: dict[str, list[Any]] = {}
        self._said = False

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, key: str, work: Any) -> None:
        """Set work aside."""
        self._waiting.setdefault(key, []).append(work)

    def back(self, wait: bool) -> list[Any]:
        """The work that can go on; with `wait`, where nothing else is to be done, not before there is some."""
        found = [work for key in self._settled(self._waiting) for work in self._waiting.pop(key)]
        while wait and not found and self._waiting:
            self._say_once()
            time.sleep(WAIT_SECONDS)
            found = self.back(wait=False)
        return found

    def _say_once(self) -> None:
        if not self._said:
            self._said = True
            say(f"{self._what}: waits for {len(self._waiting)} requests that another process is asking")
