"""Whose process dies with whom: a server with the job that started it, a job with its Snakemake.

A signal cannot be trusted to arrive (`kill -9`, a lost group), so both sides wait for something that the kernel
does when a process ends: it closes the process's pipes, and it marks its pidfd readable.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any

CHECKOUT_VARIABLE = "SRT_CHECKOUT"
OWNER_VARIABLE = "SRT_OWNER_PID"
EXIT_CODE = 137
POLL_SECONDS = 0.5
GONE_SECONDS = 10.0


def start(command: Sequence[str], *, env: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command that ends, with all its children, when this process ends, by whatever cause.

    The returned process is the lifeline: leader of a new session in which the command runs, so that a kill of
    this process's own group leaves it alive to clean up. Its standard input is the pipe that it watches.
    """
    lifeline = [sys.executable, "-P", __file__, "--", *command]  # by its file: found from any folder
    return subprocess.Popen(
        lifeline, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True
    )


def stop(lifeline: subprocess.Popen[bytes], grace: float) -> None:
    """End a started command: SIGTERM, after `grace` seconds SIGKILL; returns when no process of it is left."""
    if lifeline.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(lifeline.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            lifeline.wait(grace)
    if lifeline.stdin is not None:
        lifeline.stdin.close()
    deadline = time.monotonic() + GONE_SECONDS
    while members := session_members(lifeline.pid):
        if time.monotonic() > deadline:
            raise RuntimeError(f"processes {members} survive SIGKILL")
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        lifeline.poll()
        time.sleep(0.05)
    lifeline.wait()


def session_members(session: int) -> list[int]:
    """The processes of a session that still run; a zombie is gone, it only waits to be counted by its parent."""
    import psutil

    members = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.Error):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process.pid)
    return members


def own_jobs(checkout: str | os.PathLike[str]) -> None:
    """Make this process the owner of the subcommands that it starts, and let them find `srt` beside its Python.

    `checkout` is the workflow's folder, which workflow/envs/srt.post-deploy.sh installs into environments of conda's.
    """
    os.environ[CHECKOUT_VARIABLE] = str(checkout)
    os.environ[OWNER_VARIABLE] = f"{os.getpid()}@{socket.gethostname()}"
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def watch_owner() -> None:
    """Let this process die with the one that SRT_OWNER_PID names; call it first in every subcommand.

    When that process ends, all descendants are killed and this process exits with code 137, so that no job writes
    after its Snakemake was killed. Nothing happens where the variable is not set. `PID@HOST` is taken as well: on
    another host (a cluster's node, which inherits the variable) the pid means nothing, and nothing is watched.
    """
    pid = owner()
    if pid is None:
        return
    watched = open_pidfd(pid)
    if watched is None and not _runs(pid):
        _die()
    threading.Thread(target=_outlive, args=(pid, watched), name="watch-owner", daemon=True).start()


def owner() -> int | None:
    """The pid of the process that SRT_OWNER_PID names; None where it names none, or one of another host."""
    pid, _, host = os.environ.get(OWNER_VARIABLE, "").partition("@")
    return int(pid) if pid and (not host or host == socket.gethostname()) else None


def open_pidfd(pid: int) -> int | None:
    """A handle that stays this process's even if its number is used again; None where there is none to have."""
    if not hasattr(os, "pidfd_open"):
        return None
    with contextlib.suppress(OSError):
        return os.pidfd_open(pid)
    return None


def is_running(pid: int, watched: int | None) -> bool:
    """Whether a process that is no child of this one still runs, by its handle where there is one."""
    if watched is None:
        return _runs(pid)
    return not select.select([watched], [], [], 0)[0]


def _outlive(pid: int, watched: int | None) -> None:
    if watched is not None:
        poll = select.poll()
        poll.register(watched, select.POLLIN)
        poll.poll()
    else:
        while _runs(pid):
            time.sleep(POLL_SECONDS)
    _die()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _die() -> None:
    import psutil

    with contextlib.suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()
    os._exit(EXIT_CODE)


def _kill_own_group(*_: Any) -> None:
    os.killpg(0, signal.SIGKILL)


def _kill_group_at_end_of_input() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    _kill_own_group()


def _stay(signum: int, frame: FrameType | None) -> None:
    """SIGTERM is for the command; the lifeline stays to see it end. A handler, because SIG_IGN would be inherited."""


def main(arguments: Sequence[str]) -> int:
    """Run `-- COMMAND...` until it ends or standard input is closed; then kill all that is left of its group."""
    if len(arguments) < 2 or arguments[0] != "--":
        print("usage: python -m srt.machine.processes -- COMMAND [ARGUMENT...]", file=sys.stderr)
        return 2
    if os.getpgrp() != os.getpid():
        os.setsid()  # never kill a group that others share
    signal.signal(signal.SIGTERM, _stay)
    command = subprocess.Popen(arguments[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_kill_group_at_end_of_input, daemon=True).start()
    command.wait()
    _kill_own_group()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
