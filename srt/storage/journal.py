"""Journals: what was paid for or took long, on disk before it counts, keyed by content, whole after any kill."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from srt.storage import finite
from srt.storage.claims import Claims
from srt.storage.errors import ADVICE, InputError
from srt.storage.progress import say

MOST_ROUNDS = 1000  # of a job; a larger number is another's word


class JournalError(RuntimeError):
    """An entry could not be written: the disk is full, or gone. What was written before is safe."""


class Journal:
    """An append-only JSONL in the cache; it survives `kill -9`, a full disk and a second process.

    The journals of one folder share their entries: a process reads them all and appends to its own, which no other
    process may have open (InputError). A line that was torn (no line end) is cut off when its journal is opened
    again, other damage is skipped, both with a word on standard error. What is asked of somebody who is paid is claimed
    first (`claim`), so that no two processes ask it at a time.

    Args:
        path: this process's own file; its folder is made.
        holds: whether a value is of the kind that these journals hold; a line with another one is damaged.

    Raises:
        InputError: another process has this journal open.
    """

    def __init__(self, path: Path, holds: Callable[[Any], bool] = lambda value: True) -> None:
        self.path, self._holds = path, holds
        self.entries: dict[str, Any] = {}
        self._read_to: dict[Path, int] = {}
        self._news: list[Any] = []
        self._claims = Claims(path.parent)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise InputError(
                f"{path}: another process writes this journal; wait for it, or end it, and try again"
            ) from None
        self._cut_torn_line()
        self.refresh()

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def __getitem__(self, key: str) -> Any:
        return self.entries[key]

    def refresh(self) -> list[Any]:
        """Take in what the other journals of the folder have written; the values that are new since the last time."""
        self._look()
        new, self._news = self._news, []
        return new

    def _look(self) -> None:
        """Read what is new in the folder. Before every request, so that files which did not grow are not opened."""
        folder = self.path.parent
        with os.scandir(folder) as files:
            sizes = {
                file.name: file.stat().st_size for file in files if file.name.endswith(".jsonl") and file.is_file()
            }
        for name in sorted(name for name, size in sizes.items() if size != self._read_to.get(folder / name, 0)):
            for key, value in self._new_entries(folder / name):
                if key not in self.entries:
                    self._news.append(value)
                self.entries[key] = value

    def claim(self, key: str) -> bool:
        """Claim a request before it is asked; until `release`, or until this process ends.

        Returns:
            Whether it is to be asked: not where another process of the folder asks it now, or has been answered.
        """
        if not self._claims.take(key):
            return False
        self._look()
        if key in self.entries:
            self._claims.release([key])
        return key not in self.entries

    def release(self, keys: Iterable[str]) -> None:
        """Give up claims on requests: their answers are written, or will not come."""
        self._claims.release(keys)

    def settled(self, keys: Iterable[str]) -> list[str]:
        """Those of the requests that another process has claimed which are answered by now, or claimed no more."""
        self._look()
        return [key for key in keys if key in self.entries or self._claims.is_free(key)]

    def add(self, key: str, value: Any, *, sync: bool = True) -> None:
        """Append one entry; with `sync` it is on the disk when this returns."""
        self.add_all([(key, value)], sync=sync)

    def add_all(self, items: Sequence[tuple[str, Any]], *, sync: bool = True) -> None:
        """Append entries, with one sync for all; they count only once they are written. JournalError otherwise."""
        lines = "".join(json.dumps({"key": key, "value": value}) + "\n" for key, value in items).encode("ascii")
        try:
            self._append(lines)
            if sync:
                os.fsync(self._file)
        except OSError as error:
            advice = ADVICE.get(error.errno or 0, "nothing before it is lost")
            raise JournalError(f"{self.path}: cannot be written: {error.strerror}; {advice}") from None
        self._read_to[self.path] = self._read_to.get(self.path, 0) + len(lines)
        self.entries.update(items)

    def _append(self, data: bytes) -> None:
        """All of it or, where the disk is full, none of it."""
        before = os.fstat(self._file).st_size
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, before)
            raise

    def close(self) -> None:
        """Close the file, and with it the lock and all claims; the entries stay readable."""
        self._claims.close()
        os.close(self._file)

    def _cut_torn_line(self) -> None:
        size = os.fstat(self._file).st_size
        end = size
        while end:
            start = max(0, end - 65536)
            newline = os.pread(self._file, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            os.ftruncate(self._file, end)
            say(f"{self.path}: a last line of {size - end} bytes was torn when its process ended; it is cut off")

    def _new_entries(self, path: Path) -> Iterator[tuple[str, Any]]:
        """Whole entries behind what was read before; a line without an end is another process's, still in writing."""
        damaged = 0
        with path.open("rb") as lines:
            lines.seek(self._read_to.get(path, 0))
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self._read_to[path] = self._read_to.get(path, 0) + len(line)
                entry = _entry(line)
                if entry is not None and self._holds(entry[1]):
                    yield entry
                elif line.strip():
                    damaged += 1
        if damaged:
            say(f"{path}: {damaged} damaged lines are skipped; what they held is asked for again")


def entries_of(folder: Path) -> dict[str, Any]:
    """What the journals of a folder hold, for who only looks; empty where there is no such folder."""
    found: dict[str, Any] = {}
    for path in filter(Path.is_file, sorted(folder.glob("*.jsonl"))):
        with path.open("rb") as lines:
            found.update(entry for line in lines if line.endswith(b"\n") and (entry := _entry(line)) is not None)
    return found


def _entry(line: bytes) -> tuple[str, Any] | None:
    try:
        entry = finite.parse(line.decode("utf-8"))
        return (entry["key"], entry["value"]) if isinstance(entry["key"], str) else None
    except (ValueError, KeyError, TypeError):  # also what is no UTF-8
        return None


def rounds_of(entry: Any) -> int:
    """How often a job was finished with failures, by its journal's note; 0 where none can be read."""
    rounds = entry.get("rounds") if isinstance(entry, Mapping) else None
    return min(rounds, MOST_ROUNDS) if isinstance(rounds, int) and rounds > 0 else 0


def content_key(*parts: Any) -> str:
    """The SHA-256 of JSON-serialisable parts, as 64 hexadecimal digits: the key of journals and caches."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()


def journals_of(journals: Path, identity: str) -> Path:
    """The folder of one identity's journals."""
    return journals / content_key(identity)[:16]
