"""Model servers that wait for their next job: found by their sockets, leased by one job at a time, ended for their GPU.

A keeper (`srt.machine.keeper`) stands between a server and the jobs of one workflow. A job's open connection to it is
the lease, which the kernel ends with the job. The key of a server goes through this connection, never into a file.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import stat
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_ON_CPU = 2  # servers that wait on a CPU, whose memory they share with all other jobs
REPLY_SECONDS = 5.0
GONE_SECONDS = 60.0  # a server with many GPUs takes its time to let go of them
LONGEST_PATH = 100  # bytes; the kernel takes 107 for a socket


class Lease:
    """A server that is this job's own while the connection to its keeper is open."""

    def __init__(self, connection: socket.socket, port: int, key: str, log: str) -> None:
        self._connection, self.port, self.key, self.log = connection, port, key, log

    def release(self) -> None:
        """Let the server wait for the next job; when this returns, it does, or is gone."""
        with contextlib.suppress(OSError, ValueError):
            _asked(self._connection, "release")
        self._connection.close()

    def drop(self) -> None:
        """Kill the server, without waiting for its end."""
        self._connection.close()

    def end(self) -> None:
        """End the server; when this returns, it is gone."""
        with contextlib.suppress(OSError):
            _end(self._connection)
        self._connection.close()


@dataclass(frozen=True)
class _Waiting:
    """A server that waits: its keeper's socket, for how many seconds, the GPUs that it holds."""

    path: Path
    seconds: float
    gpus: list[str]


def address(owner: int, kind: str) -> Path | None:
    """A new socket's path for a server of this kind (a hash) of one workflow; None where none can be bound."""
    place = _folder()
    if place is None:
        return None
    path = place / f"{owner}-{kind[:16]}-{secrets.token_hex(4)}"
    return path if len(os.fsencode(path)) <= LONGEST_PATH else None


def lease(owner: int, kind: str) -> Lease | None:
    """A server of this kind that waits for a job of this workflow, as this job's own; None where there is none."""
    for path in _sockets(f"{owner}-{kind[:16]}-*"):
        if (connection := _connected(path)) is None:
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            told = _asked(connection, "lease")
            return Lease(connection, int(told["port"]), str(told["key"]), str(told["log"]))
        connection.close()
    return None


def end_one_for(gpus: Collection[str]) -> bool:
    """End the server that has waited longest of those that hold one of these GPUs; whether there was one."""
    return any(_ended(each.path) for each in _waiting() if set(gpus) & set(each.gpus))


def end_surplus(most: int) -> None:
    """Of the servers that wait on the CPU, end those that have waited longest, so that so many are left."""
    on_cpu = [each for each in _waiting() if not each.gpus]
    for each in on_cpu[: max(0, len(on_cpu) - most)]:
        _ended(each.path)


def _folder() -> Path | None:
    """The folder of the sockets, which this user alone may enter; None where it is another's, or open to others."""
    folder = Path(tempfile.gettempdir()) / f"srt-servers-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    return None


def _sockets(pattern: str = "*") -> list[Path]:
    folder = _folder()
    return sorted(folder.glob(pattern)) if folder else []


def _waiting() -> list[_Waiting]:
    """The servers that wait, of all workflows of this user, the one that has waited longest first."""
    found = []
    for path in _sockets():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError), _open(path) as connection:
            told = _asked(connection, "status")
            found.append(_Waiting(path, float(told["waiting"]), list(told["gpus"])))
    return sorted(found, key=lambda each: -each.seconds)


def _ended(path: Path) -> bool:
    """End a server, unless a job has leased it meanwhile; whether it is gone."""
    with contextlib.suppress(OSError, ValueError), _open(path) as connection:
        return _end(connection)
    return False


def _end(connection: socket.socket) -> bool:
    connection.settimeout(GONE_SECONDS)
    connection.sendall(b"end\n")
    return _line(connection) == b""  # the keeper's end closes the connection; a refusal is a line


@contextlib.contextmanager
def _open(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(REPLY_SECONDS)
        try:
            connection.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)  # its keeper was killed
            raise
        yield connection


def _connected(path: Path) -> socket.socket | None:
    with contextlib.ExitStack() as kept, contextlib.suppress(OSError):
        connection = kept.enter_context(_open(path))
        return connection.dup()
    return None


def _asked(connection: socket.socket, what: str) -> dict[str, Any]:
    """A keeper's reply to one word; ValueError for a refusal, or where it closed the connection."""
    connection.settimeout(REPLY_SECONDS)
    connection.sendall(f"{what}\n".encode())
    told: dict[str, Any] = json.loads(_line(connection))
    return told


def _line(connection: socket.socket) -> bytes:
    """Up to a line's end, or the connection's."""
    found = b""
    while not found.endswith(b"\n") and (part := connection.recv(4096)):
        found += part
    return found
