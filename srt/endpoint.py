"""The backend that asks an OpenAI-compatible server; keys come from the environment and go nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from srt.backends import Completion, Request, messages
from srt.records import InputError
from srt.settings import Endpoint, ExecutionConfig


class EndpointBackend:
    """Any OpenAI-compatible server. The library retries what may pass; what cannot pass stops with one line."""

    def __init__(self, model: str, endpoint: Endpoint | None, execution: ExecutionConfig) -> None:
        from openai import OpenAI

        if endpoint is None:
            raise InputError(
                f"{model}: backend endpoint needs a server: expected its base_url under execution.endpoints"
            )
        key = os.environ.get(endpoint.api_key_env) if endpoint.api_key_env else "none"
        if not key:
            raise InputError(
                f"{model}: the environment variable {endpoint.api_key_env} is not set; it holds the API key"
            )
        self.model = model
        self.client = OpenAI(base_url=endpoint.base_url, api_key=key, max_retries=8, timeout=600)
        self.concurrency = execution.concurrency

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Backend`. Requests are sent while earlier ones are consumed, `concurrency` at a time."""
        pool = ThreadPoolExecutor(self.concurrency)
        futures = {pool.submit(self._ask, request): i for i, request in enumerate(requests)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, request: Request) -> Completion:
        import openai

        try:
            reply = self.client.chat.completions.create(**self._arguments(request))
        except openai.BadRequestError as error:
            return Completion("", 0, f"refused: {error.message}")
        except openai.APIError as error:
            raise InputError(
                f"{self.model}: the endpoint failed: {error.message}; run again to go on from here"
            ) from None
        choice = reply.choices[0]
        tokens = reply.usage.completion_tokens if reply.usage else 0
        return Completion(choice.message.content or "", tokens, choice.finish_reason or "stop")

    def _arguments(self, request: Request) -> dict[str, Any]:
        sampling = request.sampling
        arguments: dict[str, Any] = {
            "model": self.model,
            "messages": messages(request.chat),
            "max_tokens": request.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        if sampling.repetition_penalty != 1:
            arguments["extra_body"] = {"repetition_penalty": sampling.repetition_penalty}
        if request.schema:
            arguments["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "reflection", "schema": request.schema, "strict": True},
            }
        return arguments

    def close(self) -> None:
        """See `Backend`."""
        self.client.close()
