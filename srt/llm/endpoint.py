"""The backends that ask an OpenAI-compatible server: somebody's endpoint in chats, our own vLLM in token ids."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from srt.llm import limits, loading
from srt.llm._rendering import messages, room, token_ids, why_refused
from srt.llm.requests import REFUSED, Completion, Request, Speaker
from srt.llm.sending import Answered, Refusal, Sender
from srt.llm.server import vllm_server
from srt.llm.servers import NO_KEY, OpenServer, Served, ServerError, key_in
from srt.llm.wire import Received, received
from srt.settings import Endpoint, ExecutionConfig
from srt.storage.errors import InputError

TEACHER_KEY, OPENAI_KEY = "SRT_TEACHER_API_KEY", "OPENAI_API_KEY"
OPENAI_HOST = "api.openai.com"  # where `max_tokens` is no longer taken by every model


def server_of(endpoint: Endpoint | None, model: str = "") -> OpenServer:
    """A teacher's endpoint with its key: SRT_TEACHER_API_KEY, else the named variable, else OPENAI_API_KEY.

    InputError where the endpoint is missing, or where its key is and the variable was named, or the server is
    OpenAI's. Any other server is asked without a key where no variable holds one.
    """
    if endpoint is None:
        raise InputError(
            f"{model}: backend openai needs a server: expected --base-url, or an entry under execution.endpoints"
        )
    names = [TEACHER_KEY, endpoint.api_key_env or OPENAI_KEY]
    key = key_in(*names) or NO_KEY
    if key == NO_KEY and (endpoint.api_key_env or urlsplit(endpoint.base_url).hostname == OPENAI_HOST):
        raise InputError(
            f"{endpoint.base_url}: the API key is missing: expected the environment variable {' or '.join(names)}"
        )
    return OpenServer(endpoint.base_url, key, model, endpoint.parameters)


def arguments_of(server: OpenServer, request: Request) -> dict[str, Any]:
    """A request as the library's arguments, with all that this server takes and nothing else."""
    extra = extra_arguments(server, request)
    return taken_by(server, {**chat_arguments(server, request), "extra_body": extra})


def chat_arguments(server: OpenServer, request: Request) -> dict[str, Any]:
    """A request as the body of a chat completion. The server applies the chat template, once."""
    limit = "max_completion_tokens" if _is_openai(server) else "max_tokens"
    arguments: dict[str, Any] = {
        "model": server.model,
        "messages": messages(request.chat),
        limit: request.max_new_tokens,
        **_sampling(request),
    }
    if request.schema:
        wanted = _without_lengths(request.schema) if _is_openai(server) else request.schema
        schema = {"name": "reflection", "schema": wanted, "strict": True}
        arguments["response_format"] = {"type": "json_schema", "json_schema": schema}
    return arguments


def taken_by(server: OpenServer, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of the library without the parameters that the server does not take, or with their names there."""
    extra = {name: value for name, value in server.extra.items() if name not in arguments}
    extra |= arguments.get("extra_body") or {}
    kept = {name: value for name, value in arguments.items() if name != "extra_body"}
    for name, new in server.parameters.items():
        value = kept.pop(name, extra.pop(name, None))
        if new is not None and value is not None:
            extra[new] = value  # the library may not know the name
    return {**kept, "extra_body": extra}


def _sampling(request: Request) -> dict[str, Any]:
    sampling = request.sampling
    return {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}


def extra_arguments(server: OpenServer, request: Request) -> dict[str, Any]:
    """What OpenAI's protocol lacks and vLLM's and llama.cpp's servers know. InputError where OpenAI itself is asked."""
    penalty = request.sampling.repetition_penalty
    if penalty != 1 and _is_openai(server):
        raise InputError(f"{server.base_url}: knows no repetition_penalty: expected 1, found {penalty:g}")
    return {"repetition_penalty": penalty} if penalty != 1 else {}


def _without_lengths(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that OpenAI's strict mode takes; that no text is empty is checked when the answer is read."""
    plain = {name: {"type": kind["type"]} for name, kind in schema["properties"].items()}
    return {**schema, "properties": plain}


def _is_openai(server: OpenServer) -> bool:
    return urlsplit(server.base_url).hostname == OPENAI_HOST


async def chat(body: Mapping[str, Any], client: Any) -> Received:
    """Ask for a chat completion with these arguments of the library; the errors of `wire.received`."""
    return received((await client.chat.completions.with_raw_response.create(**body)).content)


async def _continuation(body: Mapping[str, Any], client: Any) -> Received:
    return received((await client.completions.with_raw_response.create(**body)).content)


def completion(reply: Received, seconds: float | None) -> Completion:
    """A reply as the steps know it."""
    return Completion(
        reply.text,
        reply.tokens or 0,
        reply.finish_reason,
        reply.prompt_tokens,
        reply.model,
        seconds,
        reply.reasoning,
        reply.fault,
        reply.raw,
    )


def _read(outcome: Answered | Refusal) -> Completion:
    if isinstance(outcome, Refusal):
        return Completion("", 0, REFUSED + outcome.why)
    return completion(outcome.reply, round(outcome.seconds, 3))


class EndpointBackend:
    """Any OpenAI-compatible server.

    Args:
        server, execution: as for `Sender`.
        in_batches: requests that batches of other jobs hold, which are paid for, and where that stands: refused here.
    """

    def __init__(
        self, server: OpenServer, execution: ExecutionConfig, in_batches: Mapping[str, Path] | None = None
    ) -> None:
        self.server, self._in_batches = server, in_batches or {}
        self._ready: list[tuple[str, Completion]] = []
        self._sender = Sender(server, execution)

    @property
    def capacity(self) -> int:
        """See `Backend`: no more than may be on the wire, which is also what a kill can cost."""
        return self._sender.capacity

    def submit(self, ticket: str, request: Request) -> None:
        """See `Backend`."""
        if (state := self._in_batches.get(ticket)) is None:
            self._sender.submit(ticket, partial(chat, arguments_of(self.server, request)))
        else:
            why = f"is in a batch of another job: {state}: expected execution.batch (--batch) to collect it"
            self._ready.append((ticket, Completion("", 0, REFUSED + why)))

    def collect(self) -> list[tuple[str, Completion]]:
        """See `Backend`."""
        ready, self._ready = self._ready, []
        return ready or [(ticket, _read(outcome)) for ticket, outcome in self._sender.collect()]

    def settled(self) -> None:
        """See `Backend`."""

    def close(self) -> None:
        """See `Backend`."""
        self._sender.close()


class ServedBackend:
    """A vLLM server that is this backend's alone while it is open; prompts are token ids, so no BOS is added twice."""

    def __init__(self, speaker: Speaker, execution: ExecutionConfig, log: Path, gpus: int) -> None:
        self.tokenizer = loading.load_tokenizer(speaker.model, speaker.revision)
        self.max_total_tokens, self.limits = speaker.max_total_tokens, limits.of(speaker.model, speaker.revision)
        self._ready: list[tuple[str, Completion]] = []
        self._open = contextlib.ExitStack()
        served = Served(speaker.model, speaker.revision, speaker.dtype, speaker.max_total_tokens)
        self.server = self._open.enter_context(vllm_server(served, execution, log, gpus))
        self._sender = Sender(self.server, execution)
        self._open.callback(self._sender.close)
        self._under_way = 0

    @property
    def capacity(self) -> int:
        """See `Backend`."""
        return self._sender.capacity

    def submit(self, ticket: str, request: Request) -> None:
        """See `Backend`."""
        prompt = token_ids(self.tokenizer, request.chat)
        if refused := why_refused(prompt, request, self.max_total_tokens, self.limits):
            self._ready.append((ticket, refused))
            return
        new_tokens = room(len(prompt), request, self.max_total_tokens)
        extra = extra_arguments(self.server, request) | (
            {"structured_outputs": {"json": request.schema}} if request.schema else {}
        )
        body = {
            "model": self.server.model,
            "prompt": prompt,
            "max_tokens": new_tokens,
            **_sampling(request),
        }
        self._under_way += 1
        self._sender.submit(ticket, partial(_continuation, taken_by(self.server, {**body, "extra_body": extra})))

    def collect(self) -> list[tuple[str, Completion]]:
        """See `Backend`."""
        if not self._ready:
            self._ready = [(ticket, _read(outcome)) for ticket, outcome in self._sender.collect()]
            self._under_way -= len(self._ready)
        ready, self._ready = self._ready, []
        return ready

    def settled(self) -> None:
        """See `Backend`."""

    def close(self) -> None:
        """See `Backend`. When this returns, the server waits for another job, or is gone."""
        error = ServerError("requests were left without an answer") if self._under_way else None
        self._open.__exit__(type(error) if error else None, error, None)
