"""Models that refuse the system role: their system text goes before the first user turn.

Gemma's chat template raises `System role not supported`, Mistral's first ones that roles must alternate; a server sends
such words in an HTTP 400. The journal's key stays that of the request as it was asked; the entry of the answer says
that its text was moved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from srt.llm.requests import Backend, Completion, Message, Request
from srt.storage.errors import InputError
from srt.storage.progress import say

MOVED = "system text before the first user turn"
# How templates and servers refuse the role; our chats alternate, so that one with other roles is meant by the second.
REFUSES = re.compile(
    r"system[\"'` ]+(role|message|prompt|instruction)s?\b.{0,40}\b(not|n't) (supported|enabled|allowed)"
    r"|roles must alternate|only user and assistant roles|developer instruction is not enabled"
    r"|(not|n't) (support|allow|accept).{0,30}\bsystem\b|(unexpected|invalid|unsupported|unknown) role.{0,8}\bsystem\b",
    re.IGNORECASE,
)


class SystemRoleError(InputError):
    """A chat template refuses the system role, and takes the same chat without it."""


def _has_system(chat: Any) -> bool:
    """Whether a request's chat has a system text; a plain prompt has none."""
    return isinstance(chat, tuple) and any(role == "system" for role, _ in chat)


def moved(chat: Sequence[Message]) -> tuple[Message, ...]:
    """A chat without the role: its system texts, and a blank line, before the first user turn."""
    texts = [text for role, text in chat if role == "system"]
    turns = [message for message in chat if message[0] != "system"]
    first = next((place for place, (role, _) in enumerate(turns) if role == "user"), None)
    if first is None:
        return (("user", "\n\n".join(texts)), *turns)
    turns[first] = ("user", "\n\n".join([*texts, turns[first][1]]))
    return tuple(turns)


def templated(tokenizer: Any, chat: Sequence[Message]) -> list[int]:
    """A chat's token ids by the model's own template.

    Raises:
        SystemRoleError: the template refuses the system role.
        InputError: it refuses the chat, whatever for, in its own words.
    """
    found = _ids_or_refusal(tokenizer, chat)
    if isinstance(found, list):
        return found
    if _has_system(tuple(chat)) and isinstance(_ids_or_refusal(tokenizer, moved(chat)), list):
        raise SystemRoleError(found)
    raise InputError(f"{tokenizer.name_or_path}: its chat template refuses the chat: {found}")


def _ids_or_refusal(tokenizer: Any, chat: Sequence[Message]) -> list[int] | str:
    messages = [{"role": role, "content": content} for role, content in chat]
    try:
        return list(tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True).input_ids)
    except Exception as error:  # noqa: BLE001 (a template is somebody else's program)
        return (" ".join(str(error).split()) or type(error).__name__)[:200]


class WithoutSystemRole:
    """A backend that moves the system text once its model has refused the role, and says so once.

    Args:
        backend: the model's.
        model: its name, for the log.
    """

    def __init__(self, backend: Backend, model: str) -> None:
        self._backend, self._model = backend, model
        self._asked: dict[str, Request] = {}  # with a system text, and not answered yet
        self._refuses = False

    @property
    def capacity(self) -> int:
        """See `Backend`."""
        return self._backend.capacity

    def submit(self, ticket: str, request: Request) -> None:
        """See `Backend`."""
        if not _has_system(request.chat):
            self._backend.submit(ticket, request)
            return
        self._asked[ticket] = request
        if self._refuses:
            self._submit_moved(ticket)
            return
        try:
            self._backend.submit(ticket, request)
        except SystemRoleError as error:
            self._learn(str(error))
            self._submit_moved(ticket)

    def collect(self) -> list[tuple[str, Completion]]:
        """See `Backend`. What was refused for the role is asked again without it."""
        while True:
            again: list[tuple[str, Completion]] = []
            done: list[tuple[str, Completion]] = []
            for ticket, completion in self._backend.collect():
                (again if self._is_refused_role(ticket, completion) else done).append((ticket, completion))
            if again and not done:
                self._backend.settled()  # nothing came that is to be kept
            for ticket, completion in again:
                self._learn(completion.finish_reason)
                self._submit_moved(ticket)
            if done:
                return [(ticket, self._marked(ticket, completion)) for ticket, completion in done]

    def _is_refused_role(self, ticket: str, completion: Completion) -> bool:
        request = self._asked.get(ticket)
        is_first = request is not None and _has_system(request.chat)
        return is_first and completion.refused and REFUSES.search(completion.finish_reason) is not None

    def _submit_moved(self, ticket: str) -> None:
        request = self._asked[ticket]
        assert isinstance(request.chat, tuple)  # noqa: S101 (for the type checker: it has a system text)
        self._asked[ticket] = replace(request, chat=moved(request.chat))
        self._backend.submit(ticket, self._asked[ticket])

    def _marked(self, ticket: str, completion: Completion) -> Completion:
        request = self._asked.pop(ticket, None)
        is_moved = request is not None and not _has_system(request.chat) and not completion.refused
        return replace(completion, moved=MOVED) if is_moved else completion

    def _learn(self, why: str) -> None:
        if not self._refuses:
            say(f"{self._model}: refuses the system role ({why}): its text goes before the first user turn")
        self._refuses = True

    def settled(self) -> None:
        """See `Backend`."""
        self._backend.settled()

    def close(self) -> None:
        """See `Backend`."""
        self._backend.close()
