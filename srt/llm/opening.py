"""Opening the backend that a speaker names: transformers, vLLM in process or as a server, an endpoint, a batch API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from srt.llm import endpoint as endpoints
from srt.llm import inprocess, limits, loading
from srt.llm._batch_states import refuse_open_batches, under_way
from srt.llm.batch_api import BatchBackend
from srt.llm.requests import Backend, Speaker, in_process
from srt.llm.system_role import WithoutSystemRole
from srt.settings import Endpoint, ExecutionConfig


def open_backend(
    speaker: Speaker, execution: ExecutionConfig, folder: Path, endpoint: Endpoint | None = None, gpus: int = 1
) -> Backend:
    """A speaker's backend, ready to answer, also where the model refuses the system role.

    Args:
        speaker: whose text it is.
        execution: how, not what.
        folder: this job's own, for a started server's log and a batch's state.
        endpoint: the server of the backend `openai`.
        gpus: over so many a model that runs here is laid out.
    """
    return WithoutSystemRole(_opened(speaker, execution, folder, endpoint, gpus), speaker.model)


def _opened(
    speaker: Speaker, execution: ExecutionConfig, folder: Path, endpoint: Endpoint | None, gpus: int
) -> Backend:
    if speaker.batched(execution):
        return BatchBackend(endpoints.server_of(endpoint, speaker.model), execution, folder)
    if speaker.backend == "openai":
        refuse_open_batches(folder)
        return endpoints.EndpointBackend(endpoints.server_of(endpoint, speaker.model), execution, under_way(folder))
    loading.require(speaker.model)
    served = speaker.backend == "vllm-server"
    on_vllm = served or in_process(speaker.backend, execution.device) == "vllm"
    fitting = _within_limits(speaker, fixed=on_vllm)  # vLLM takes no context beyond the model's
    if served:
        return endpoints.ServedBackend(fitting, execution, folder / "server.log", gpus)
    kind = inprocess.VllmBackend if on_vllm else inprocess.TransformersBackend
    return kind(fitting, execution, gpus)


def _within_limits(speaker: Speaker, fixed: bool) -> Speaker:
    known = limits.of(speaker.model, speaker.revision)
    return replace(speaker, max_total_tokens=known.longest(speaker.max_total_tokens, "max_total_tokens", fixed))


class OneForAll:
    """One backend for several users, one after another: opened for the first, closed with the context alone.

    Args:
        opened: opens it; is given the first user's folder.
    """

    def __init__(self, opened: Callable[[Path], Backend]) -> None:
        self._opened = opened
        self._backend: Backend | None = None

    def __enter__(self) -> OneForAll:
        return self

    def __exit__(self, *_: object) -> None:
        if self._backend is not None:
            self._backend.close()

    def open(self, folder: Path) -> Backend:
        """The backend for one user, who may close it."""
        if self._backend is None:
            self._backend = self._opened(folder)
        return _Lent(self._backend)


class _Lent:
    """A backend that stays open for others when it is closed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.submit, self.collect, self.settled = backend.submit, backend.collect, backend.settled

    @property
    def capacity(self) -> int:
        return self._backend.capacity

    def close(self) -> None:
        """The lender's to do."""
