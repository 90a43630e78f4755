"""The teacher as the steps see it: conversations in, nothing that was received asked for again, within a budget."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

from srt.llm import spending
from srt.llm.completions import ThoughtCounts
from srt.llm.refusals import Refusals
from srt.llm.requests import REFUSED, Backend, Completion, Request
from srt.llm.terms import FREE, Terms
from srt.settings import Price
from srt.storage.claims import Aside
from srt.storage.journal import Journal, content_key, entries_of, journals_of
from srt.storage.progress import track

REFRESH_SECONDS = 5.0  # between two looks at what jobs beside this one have been answered, and have spent


class Talk(Protocol):
    """One record on its way: what it asks next, and what it makes of the answer."""

    def request(self) -> Request | None:
        """The next request; None at the end."""
        ...

    def receive(self, completion: Completion) -> None:
        """The answer to the last request."""
        ...

    @property
    def turn(self) -> str:
        """What the request is about; kept with its answer."""
        ...


@dataclass
class _Asked:
    """A request under way: the talks that wait for its answer, and the most of the budget that it may take."""

    request: Request
    talks: list[Talk]
    most: float


class Known:
    """What somebody has answered so far, by the content of the request, and what that came to.

    Args:
        identity: whose answers these are (`Speaker.identity`); with the request, the key of an answer.
        entries: of the identity's journals.
        price: per million tokens; None where answers cost nothing, or nobody knows.
        batch: whether the price is that of the batch API.
    """

    def __init__(self, identity: str, entries: Mapping[str, Any], price: Price | None, batch: bool) -> None:
        self.identity, self.entries, self.price, self.batch = identity, entries, price, batch
        self.spent = spending.spent_of(entries.values(), price)
        self.thoughts, self.moved = ThoughtCounts(), 0  # moved: answers to prompts whose system text was put elsewhere

    @classmethod
    def read(cls, journals: Path, identity: str, price: Price | None, batch: bool) -> Known:
        """What the journals below this folder hold; nothing is opened for writing."""
        return Known(identity, entries_of(journals_of(journals, identity)), price, batch)

    def key(self, request: Request) -> str:
        """Under what the answer to a request is kept: whose it is, the prompt, the parameters."""
        return content_key(self.identity, request.as_json())

    def replay(self, talk: Talk) -> tuple[Request | None, int]:
        """Lead a talk through what is known.

        Returns:
            The request whose answer is not known, None at the talk's end; and the answers that were.
        """
        answers = 0
        while (request := talk.request()) is not None and (key := self.key(request)) in self.entries:
            completion = spending.completion_of(self.entries[key])
            self.thoughts.add(completion.said().thoughts, reused=True)
            self.moved += completion.moved is not None
            talk.receive(completion)
            answers += 1
        return request, answers


def teacher_journals(cache: Path) -> Path:
    """Where the teachers' journals lie, unless `--journal` says otherwise."""
    return cache / "teacher"


class Teacher(Known):
    """A backend whose answers go into a journal under the content of their request, and come from it again.

    Requests go out while others are answered, as many as the backend has room for; a record's next request follows
    its last answer and waits for no other record. The backend is opened when a request first misses the journal.
    What was refused is not kept: the next run asks again.

    Args:
        identity: as in `Known`.
        opened: opens the backend; is given a folder of this job's own.
        journals: all journals of one identity lie in one folder below this and share their answers.
        name: this job's own journal.
        terms: prices, and when asking stops. The budget counts all that lies in the identity's journals.

    Raises:
        InputError: another process writes the same journal.
    """

    def __init__(
        self,
        identity: str,
        opened: Callable[[Path], Backend],
        journals: Path,
        name: str,
        terms: Terms = FREE,
    ) -> None:
        self.budget = spending.Budget.read(terms.budget, terms.price)
        self.journal = Journal(journals_of(journals, identity) / f"{content_key(name)[:16]}.jsonl")
        super().__init__(identity, self.journal.entries, terms.price, terms.batch)
        self.received = self.reused = 0
        self._reserved = 0.0
        self._refusals = Refusals(identity, self.journal, terms.limits, spending.endings_of(self.entries.values()))
        self._open = opened
        self._backend: Backend | None = None
        self._refreshed = self._last = time.monotonic()

    def __enter__(self) -> Teacher:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._backend is not None:
            self._backend.close()
        self.journal.close()

    def ask(self, requests: Sequence[Request], label: str) -> list[Completion]:
        """One completion per request, in order."""
        talks = [_Question(request, label) for request in requests]
        self.converse(talks, label)
        return [talk.answer() for talk in talks]

    def converse(self, talks: Sequence[Talk], label: str) -> None:
        """Lead every talk to its end.

        Raises:
            BudgetError: the budget does not allow the next request; all that was asked has been received.
            InputError, ServerError: the endpoint cannot be used (`srt.llm.sending`), or is of no use (`Refusals`).
        """
        for _ in track(self._ended(talks), len(talks), label, self._told):
            pass

    def _ended(self, talks: Sequence[Talk]) -> Iterator[Talk]:
        """The talks, as they come to their end."""
        ready = deque(talks)
        asked: dict[str, _Asked] = {}
        aside = Aside(self.journal.settled, self.identity)
        while ((ready or aside) and not self._refusals.stop) or asked:
            while ready and not self._refusals.stop and len(asked) < self._capacity():
                talk = ready.popleft()
                request, answers = self.replay(talk)
                self.reused += answers
                if request is None:
                    yield talk
                elif (key := self.key(request)) in asked:
                    asked[key].talks.append(talk)
                elif (most := self._most(request)) is None:
                    ready.appendleft(talk)
                    if not asked:
                        raise spending.BudgetError(
                            self._stopped_with(sum(self.replay(t)[0] is not None for t in ready))
                        )
                    break  # what is under way is reserved at its longest, and will need less
                elif self.journal.claim(key):
                    self._opened().submit(key, request)
                    asked[key] = _Asked(request, [talk], most)
                    self._reserved += most
                else:
                    aside.add(key, talk)
            if asked:
                ready.extendleft(self._received(asked))
            if aside and not self._refusals.stop:
                ready.extendleft(aside.back(wait=not ready and not asked))
            if self._refusals.stop and self.batch:
                break  # what is under way in batches is there for the next run
        if self._refusals.stop:
            raise self._refusals.stop
        self._refusals.end(self.received + self.reused)

    def _received(self, asked: dict[str, _Asked]) -> list[Talk]:
        """Wait for answers; on disk before anybody sees them. The talks that got one."""
        backend = self._opened()
        outcomes = backend.collect()
        new = [(key, answer) for key, answer in outcomes if not answer.refused and key not in self.journal]
        self._keep([(key, answer, asked.get(key)) for key, answer in new])
        self.journal.release(key for key, _ in outcomes)
        backend.settled()
        for key, answer in sorted(outcomes, key=itemgetter(0)):  # those of one batch by their hash: in random order
            if answer.refused:
                self._refusals.refused(key, answer.finish_reason.removeprefix(REFUSED))
            else:
                self._refusals.answered(answer.said())
        self._refresh()
        answered: list[Talk] = []
        for key, completion in outcomes:
            done = asked.pop(key, None)  # None: a batch of an earlier run held what is asked for no more
            self._reserved -= done.most if done else 0.0
            self.thoughts.add(completion.said().thoughts, reused=False)
            self.moved += completion.moved is not None
            for talk in done.talks if done else ():
                talk.receive(completion)
                answered.append(talk)
        return answered

    def _wall(self, answers: int) -> float:
        """Seconds since answers last came in, for each of them: what the rate is measured by."""
        return round((time.monotonic() - self._last) / answers, 4)

    def _keep(self, answers: Sequence[tuple[str, Completion, _Asked | None]]) -> None:
        entries = []
        for key, completion, done in answers:
            entry = completion.as_json() | {"wall": self._wall(len(answers))}
            if done is not None:
                entry |= {"turn": done.talks[0].turn, "characters": done.request.characters}
            if completion.prompt_tokens is None or (completion.text and not completion.tokens):
                asked = done.request.characters if done else 0
                entry |= spending.estimated_usage(completion, asked, self.spent.characters_per_token)
            entry["cost"] = spending.cost_of(entry["prompt_tokens"], entry["tokens"], self.price, self.batch)
            entries.append((key, entry))
        self.journal.add_all(entries)
        self._last = time.monotonic()
        self.received += len(entries)
        for _, entry in entries:
            self.spent.add(entry, self.price)

    def _refresh(self, after: float = REFRESH_SECONDS) -> None:
        if time.monotonic() - self._refreshed > after:
            self._refreshed = time.monotonic()
            for value in self.journal.refresh():
                if spending.is_answer(value):
                    self.spent.add(value, self.price)

    def _most(self, request: Request) -> float | None:
        """The most of the budget that a request may take; None where that is not left beside what is under way."""
        if self.budget is None:
            return 0.0
        self._refresh(0.0)  # jobs beside this one spend from the same budget
        most = self.budget.of(request, self.price, self.batch)
        return most if self.budget.used(self.spent) + self._reserved + most <= self.budget.most else None

    def _stopped_with(self, left: int) -> str:
        assert self.budget is not None  # noqa: S101 (for the type checker: nothing else stops)
        used = f"{self.budget.used(self.spent):,.4g} of {self.budget.most:,.4g} {self.budget.unit}"
        return (
            f"the budget is spent: {used}; {left} records are not done; nothing is lost: raise execution.budget "
            "(--budget) and run again to go on from here"
        )

    def _capacity(self) -> int:
        """The backend's, once it is open; until then one request may find out that it is needed."""
        return self._backend.capacity if self._backend is not None else 1

    def _opened(self) -> Backend:
        if self._backend is None:
            self._backend = self._open(self.journal.path.with_suffix(""))
            self._last = time.monotonic()
        return self._backend

    def _told(self) -> str:
        told = f"{self.received} answers received, {self.reused} from the journal"
        return told if self.price is None else f"{told}, {self.spent.money:.2f} USD spent in all"


class _Question:
    """A talk of one request."""

    def __init__(self, request: Request, turn: str) -> None:
        self.turn = turn
        self._request = request
        self._answer: Completion | None = None

    def request(self) -> Request | None:
        return self._request if self._answer is None else None

    def receive(self, completion: Completion) -> None:
        self._answer = completion

    def answer(self) -> Completion:
        if self._answer is None:
            raise RuntimeError("a request was left without an answer")
        return self._answer
