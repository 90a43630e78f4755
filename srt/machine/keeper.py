"""Keeps a model server for the jobs of one workflow, one job at a time: `python -m srt.machine.keeper ... -- COMMAND`.

It ends with its server, with its workflow, with a job that died or failed while it used the server, after having waited
for long, or when another job needs the server's GPU or memory. However it ends itself, the server ends with it
(`srt.machine.processes`). Locks of GPUs that it has inherited stay taken until then.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from srt.machine import processes

GRACE_SECONDS = 15.0
POLL_SECONDS = 0.5
LOW_MEMORY = 0.2  # share of the machine's memory; where less is available, a server on the CPU no longer waits
KEY = "VLLM_API_KEY"


class Keeper:
    """One server, the job that has leased it (None while it waits), and who else is connected."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.listener = _listening(args.socket) if args.socket else None
        self.leased_by: socket.socket | None = socket.socket(fileno=args.lease)
        self.waiting_since = self.grace = 0.0
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.leased_by, selectors.EVENT_READ)
        if self.listener:
            self.selector.register(self.listener, selectors.EVENT_READ)
        self.owner = processes.open_pidfd(args.owner)
        self.server = processes.start(args.command, env=os.environ, output=sys.stdout.buffer)

    def run(self) -> None:
        """Until there is a reason to end; when this returns, the server is gone and its GPUs are free."""
        try:
            while not self._is_over():
                for event, _ in self.selector.select(POLL_SECONDS):
                    assert isinstance(event.fileobj, socket.socket)  # noqa: S101 (for the type checker)
                    if event.fileobj is self.listener:
                        self.selector.register(self.listener.accept()[0], selectors.EVENT_READ)
                    elif not self._heard(event.fileobj):
                        return
        finally:
            if self.args.socket:
                Path(self.args.socket).unlink(missing_ok=True)  # nobody finds it from here on
            processes.stop(self.server, self.grace)
            for lock in self.args.locks:
                os.close(lock)  # before the connection closes, on which somebody may wait for them

    def _is_over(self) -> bool:
        """Whether the server or the workflow has ended, or it is no use to wait for a job any longer."""
        if self.server.poll() is not None or not processes.is_running(self.args.owner, self.owner):
            return True
        if self.leased_by is not None:
            return False
        too_long = time.monotonic() - self.waiting_since > self.args.patience
        return too_long or not Path(self.args.socket).exists() or (not self.args.gpus and _memory_is_low())

    def _heard(self, connection: socket.socket) -> bool:
        """Answer one connection; False where the server is to end."""
        word = _word(connection)
        self.grace = GRACE_SECONDS if word == "end" else 0.0
        if connection is self.leased_by:
            if word != "release" or self.listener is None:
                return False  # "end", or nothing: the job is gone, and nobody knows what it left behind
            self.leased_by, self.waiting_since = None, time.monotonic()
            _tell(connection, "{}")
        elif word and self.leased_by is not None:
            _tell(connection, "busy")
        elif word == "lease":
            self.leased_by = connection
            _tell(connection, json.dumps({"port": self.args.port, "key": os.environ[KEY], "log": self.args.log}))
        elif word == "status":
            waiting = time.monotonic() - self.waiting_since
            _tell(connection, json.dumps({"waiting": waiting, "gpus": self.args.gpus}))
        elif word == "end":
            return False
        elif not word:
            self.selector.unregister(connection)
            connection.close()
        return True


def _listening(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


def _word(connection: socket.socket) -> str:
    """What was said; empty where the connection is closed."""
    with contextlib.suppress(OSError):
        return connection.recv(64).decode("ascii", "replace").strip()
    return ""


def _tell(connection: socket.socket, what: str) -> None:
    """Say a line; whoever asked may be gone, and the server be at work for another."""
    with contextlib.suppress(OSError):
        connection.sendall(f"{what}\n".encode())


def _memory_is_low() -> bool:
    import psutil

    memory = psutil.virtual_memory()
    return bool(memory.available < LOW_MEMORY * memory.total)


def main(arguments: Sequence[str]) -> int:
    """Keep one server until there is a reason to end."""
    parser = argparse.ArgumentParser(prog="python -m srt.machine.keeper", description=__doc__)
    parser.add_argument("--owner", type=int, required=True, help="pid of the workflow, or of the job by hand")
    parser.add_argument("--lease", type=int, required=True, help="open connection of the job that starts the server")
    parser.add_argument("--socket", default="", help="where other jobs ask for it; none where the job ends it")
    parser.add_argument("--port", type=int, required=True, help="the server's port")
    parser.add_argument("--log", required=True, help="the server's output")
    parser.add_argument("--gpus", nargs="*", default=[], help="what the GPUs are locked by that it holds")
    parser.add_argument("--locks", nargs="*", default=[], type=int, help="these locks, as open files")
    parser.add_argument("--patience", type=float, required=True, help="seconds that it waits for the next job")
    parser.add_argument("command", nargs="+", help="the server's command, after --")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Keeper(parser.parse_args(arguments)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
