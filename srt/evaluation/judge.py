"""Asking a judge: requests in, replies out, nothing that was answered (and paid for) asked again."""

from __future__ import annotations

import contextlib
import re
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from srt.evaluation import _reading as reading
from srt.evaluation.judging import Judging
from srt.llm import loading
from srt.llm.completions import CALLED, Said, ThoughtCounts, said
from srt.llm.endpoint import chat, taken_by
from srt.llm.refusals import Refusals
from srt.llm.sending import Answered, Refusal, Sender
from srt.llm.server import server_log, serving
from srt.llm.servers import OpenServer, ServerError
from srt.llm.wire import of_choice
from srt.settings import JudgeConfig
from srt.settings.judge import ServedJudge
from srt.storage.claims import Aside
from srt.storage.errors import InputError
from srt.storage.journal import Journal, content_key, rounds_of
from srt.storage.progress import track

TRIES = 2  # a verdict that cannot be read is asked for once more

UNREADABLE = "unreadable verdict"
# How the reason begins where there was no reply: that is not asked for again, as the server has said no for good, or
# was tried often enough.
REFUSED, UNANSWERED = "refused by the judge", "no reply of the judge"
NO_REPLY = (REFUSED, UNANSWERED)

Key = TypeVar("Key", bound=Hashable)
Parsed = TypeVar("Parsed", bound=float | reading.Scores)


@dataclass(frozen=True)
class Reply:
    """The judge's choice as OpenAI's protocol has it, or why it refused to answer."""

    choice: dict[str, Any]
    refused: str | None

    @cached_property
    def said(self) -> Said:
        """What the judge said without its thoughts, or the arguments that it called a function with."""
        received = of_choice(self.choice)
        end = received.finish_reason
        if received.calls:
            return said(received.calls[0], None if end in CALLED else end)
        return said(received.text, end)

    @property
    def text(self) -> str:
        """The same as text; empty where nothing can be read of it."""
        return "" if self.trouble else self.said.text

    @property
    def whole_lines(self) -> str:
        """The text without the line in which it was cut off: a number there may have had more digits."""
        return self.text if self.said.ending == "finished" else self.text[: self.text.rfind("\n") + 1]

    @property
    def trouble(self) -> str | None:
        """Why there is no verdict in it, whatever it says; None where there may be one."""
        return self.refused or (self.said.reason if self.said.lost else None)


class Judge:
    """A judge behind a server. Its replies go into a journal under judge, request and attempt.

    Args:
        server: the OpenAI-compatible server, or what opens it when a request first misses the journal.
        judging: the judge, whose settings with its weights' hash, where it is served, are its identity; how many
            requests are sent at a time; the folder of the journals.
        name: the job's own name; every job writes a journal of its own.
    """

    def __init__(
        self,
        server: OpenServer | AbstractContextManager[OpenServer],
        judging: Judging,
        name: str,
    ) -> None:
        self.judging = judging
        judge, self._execution = judging.judge, judging.execution
        self._where = f"judge {judge.model}"
        if isinstance(server, OpenServer):
            self._where, server = f"{server.base_url}: {self._where}", contextlib.nullcontext(server)
        self._opens, self._open = server, contextlib.ExitStack()
        self.identity = identity(judge)
        self.identity_key = content_key(self.identity)[:16]
        self.journal = Journal(judging.cache / "judge" / self.identity_key / f"{content_key(name)[:16]}.jsonl")
        self.answered_as: set[str] = set()
        self.thoughts = ThoughtCounts()
        self.outside: Counter[str] = Counter()  # judgments that were read though they lie outside the asked scale
        self._usable: set[str] = set()  # requests that have a reply
        self.said_no = ""  # what the server said to a request that it refused
        entries = self.journal.entries.items()
        replies = (self._kept(key)[0] for key, value in entries if isinstance(value, Mapping) and "choice" in value)
        endings = (Reply(choice, None).said.ending for choice in replies)
        limits = self._execution.limits.of_own_model() if judge.serve else self._execution.limits
        self._refusals = Refusals(self._where, self.journal, limits, endings)
        self._rounds_key = content_key("rounds", self.identity, name)

    def __enter__(self) -> Judge:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
        self.journal.close()

    @cached_property
    def server(self) -> OpenServer:
        """Where it answers; opened now, if it was not yet."""
        return self._open.enter_context(self._opens)

    @cached_property
    def _sender(self) -> Sender:
        sender = Sender(self.server, self._execution)
        self._open.callback(sender.close)
        return sender

    @property
    def tries(self) -> int:
        """How often a verdict that cannot be read is asked for: TRIES, and as many again after each failed run."""
        return TRIES * (1 + rounds_of(self.journal.entries.get(self._rounds_key)))

    def check(self, lost: Mapping[str, int], number: int, share: float, what: str = "questions") -> None:
        """ServerError where more than `share` of a number of questions have no usable verdict (`lost`, by reason)."""
        count = sum(lost.values())
        if count <= share * number:
            return
        self.journal.add(self._rounds_key, {"rounds": self.tries // TRIES})
        reasons = ", ".join(f"{times} {reason}" for reason, times in lost.items())
        example = f" (the first: {self.said_no})" if self.said_no else ""
        raise ServerError(
            f"{self._where}: {count} of {number} {what} have no usable verdict "
            f"({reasons}){example}: run again to ask for these anew, or allow a larger missing_share than {share:g}"
        )

    def notes(self) -> dict[str, int]:
        """What was unusual about the replies, by count."""
        return dict(self.thoughts.received + self.thoughts.reused + self.outside)

    def read(
        self, requests: Mapping[Key, Mapping[str, Any]], parse: Callable[[str], Parsed | None], label: str
    ) -> tuple[dict[Key, Parsed], dict[Key, str]]:
        """What the replies say by key, each asked for until it can be read or all tries are spent; why the others not.

        Raises:
            InputError, ServerError: as `ask`.
        """
        found: dict[Key, Parsed] = {}
        reasons: dict[Key, str] = {}
        for attempt in range(self.tries):
            wanted = {
                key: request
                for key, request in requests.items()
                if key not in found and not reasons.get(key, "").startswith(NO_REPLY)
            }
            if not wanted:
                break
            for key, reply in zip(wanted, self.ask(list(wanted.values()), attempt, label), strict=True):
                read = None if reply.trouble else _parsed(parse, reply.whole_lines)
                if read is None:
                    reasons[key] = reply.trouble or UNREADABLE
                else:
                    found[key] = read
        self.outside.update(reading.outside_scale(found.values(), label))
        return found, {key: reason for key, reason in reasons.items() if key not in found}

    def ask(self, requests: Sequence[Mapping[str, Any]], attempt: int, label: str) -> list[Reply]:
        """One reply per request (the arguments of a chat completion without `model`), in order.

        Raises:
            InputError: the endpoint does not know the key or the model.
            ServerError: the endpoint is down, or is of no use (`Refusals`).
        """
        keys = [content_key(self.identity, request, attempt) for request in requests]
        wanted = {key: request for key, request in zip(keys, requests, strict=True) if key not in self.journal}
        refused: dict[str, Reply] = {}
        for key, reply in track(self._received(wanted), len(wanted), label):
            if reply.refused is not None:
                refused[key] = reply  # not kept: it cost nothing, and may be answered in the next run
        self._usable |= set(keys) - set(refused)
        self._refusals.end(len(self._usable))
        self.answered_as |= {model for key in keys if key not in refused and (model := self._kept(key)[1])}
        replies = [refused[key] if key in refused else Reply(self._kept(key)[0], None) for key in keys]
        for key, reply in zip(keys, replies, strict=True):
            self.thoughts.add(reply.said.thoughts, reused=key not in wanted)
        return replies

    def _kept(self, key: str) -> tuple[dict[str, Any], str | None]:
        """The choice of a kept reply, as any version of this program kept it, and the model that it names."""
        entry = self.journal[key] if isinstance(self.journal[key], Mapping) else {}
        said = of_choice(entry.get("choice"), entry.get("model"))
        return said.as_choice(), said.model

    def _received(self, wanted: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, Reply]]:
        waiting, under_way = deque(wanted), 0
        aside = Aside(self.journal.settled, self._where)
        while under_way or ((waiting or aside) and not self._refusals.stop):
            while waiting and not self._refusals.stop and under_way < self._sender.capacity:
                key = waiting.popleft()
                if key in self.journal:  # another process has been answered meanwhile
                    yield key, Reply(self._kept(key)[0], None)
                elif self.journal.claim(key):
                    body = taken_by(self.server, {"model": self.server.model, **wanted[key]})
                    self._sender.submit(key, partial(chat, body))
                    under_way += 1
                else:
                    aside.add(key, key)
            if under_way:
                outcomes = self._sender.collect()
                under_way -= len(outcomes)
                yield from self._kept_of(outcomes)
            if aside and not self._refusals.stop:
                waiting.extend(aside.back(wait=not waiting and not under_way))
        if self._refusals.stop:
            raise self._refusals.stop

    def _kept_of(self, outcomes: Sequence[tuple[str, Answered | Refusal]]) -> Iterator[tuple[str, Reply]]:
        """Replies, once they are on disk."""
        answers = [(key, o.reply) for key, o in outcomes if isinstance(o, Answered)]
        self.journal.add_all([(key, {"choice": said.as_choice(), "model": said.model}) for key, said in answers])
        self.journal.release(key for key, _ in outcomes)
        for key, outcome in outcomes:
            yield key, self._counted(key, outcome)

    def _counted(self, key: str, outcome: Answered | Refusal) -> Reply:
        """A reply, or why there is none."""
        if isinstance(outcome, Answered):
            reply = Reply(self._kept(key)[0], None)
            self._refusals.answered(reply.said)
            return reply
        self._refusals.refused(key, outcome.why)
        self.said_no = self.said_no or outcome.why
        said = outcome.why.partition(":")[0]
        return Reply({}, f"{REFUSED if outcome.lasting else UNANSWERED} ({said})")


def _parsed(parse: Callable[[str], Parsed | None], text: str) -> Parsed | None:
    """What a reply says. It is kept and would end every run anew: whatever it does to a parser, it is unreadable."""
    try:
        return parse(text)
    except Exception:  # noqa: BLE001 (counted by the caller)
        return None


@contextlib.contextmanager
def asking(judging: Judging, out: Path) -> Iterator[Judge]:
    """The judge of one job, whose result will be `out`; a served one's server is this job's own while it is asked.

    Raises:
        InputError: the endpoint or its key is missing.
        ServerError: a served judge's server does not start.
    """
    with contextlib.ExitStack() as opened:
        log = server_log(judging.cache, out)
        opens = serving(judging.judge, judging.execution, judging.endpoint, log)
        server = opens if judging.judge.serve else opened.enter_context(opens)  # what an endpoint lacks is told now
        asked = opened.enter_context(Judge(server, judging, str(out.resolve())))
        yield asked
        asked.thoughts.say(out)


def identity(judge: JudgeConfig) -> str:
    """What a verdict depends on: an endpoint's model name, or a served judge's weights and how they are run."""
    if not isinstance(judge, ServedJudge):
        return f"endpoint {judge.model}"
    weights = loading.identity(judge.model, judge.revision)
    return f"served {weights} {judge.dtype} {judge.max_model_len}, no sampling settings of the model's own"


def inert(text: str) -> str:
    """Text in which chat templates' control words (`<|im_end|>`, `</s>`, `[/INST]`) no longer end the judge's turn."""
    text = re.sub(r"<\|(\w+)\|>", r"<| \1 |>", text)
    return re.sub(r"<(/?s|start_of_turn|end_of_turn|[be]os)>|\[(/?INST)\]", r"< \1\2 >", text)


def form_of(judge: JudgeConfig, form: str, file: str) -> str:
    """What a judge is asked in a form (a field of `JudgeConfig`); InputError where it has not that one."""
    prompt: str | None = getattr(judge, form)
    if prompt is None:
        raise InputError(f"{file}: {form}: is null, expected what this judge is asked there")
    return prompt
