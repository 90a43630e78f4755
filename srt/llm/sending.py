"""Sending to an OpenAI-compatible server: a sliding window, retries with backoff, and a stop when it is down.

Whoever asks, a teacher or a judge, hands over one coroutine per request and collects outcomes as they come. What
may pass (429, 5xx, a lost or silent connection, a reply that is none) is tried again; what concerns one request
alone is that request's outcome; what concerns all of them (key, model, quota, a server that is down) ends the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from srt.llm import _bounded as bounded
from srt.llm.failures import PassingError, RefusedError, checked, judged
from srt.llm.servers import OpenServer, ServerError
from srt.machine.ports import LOOPBACK
from srt.settings import ExecutionConfig
from srt.storage.errors import InputError
from srt.storage.progress import say

TRIES = 8  # of one request, while others are answered
LIMITED_TRIES = 40  # of one that always gets 429: some servers say so of what is too large for the account
BACKOFF_SECONDS = 0.5  # doubled with every try, then drawn between 0 and that
LONGEST_BACKOFF = 30.0
LONGEST_ASKED_WAIT = 600.0  # a server that asks for more by Retry-After has no more for today
LIMITED_PATIENCE = 10  # times the patience: a server that answers 429 is alive
CUT_SECONDS = 1.0  # 429s of one moment narrow the window once

Call = Callable[[Any], Awaitable[Any]]


@dataclass(frozen=True)
class Refusal:
    """A request's outcome where it was not answered, and why; `lasting` where asking again would be no use."""

    why: str
    lasting: bool


@dataclass(frozen=True)
class Answered:
    """A request's outcome: what the server sent, and the seconds that the answered try took."""

    reply: Any
    seconds: float


class Window:
    """At most `limit` requests on the wire: N, halved by a 429 and grown again by one per window of answers."""

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.on_wire = most, float(most), 0
        self.closed_until = 0.0
        self._last_cut = 0.0
        self._changed = asyncio.Condition()

    async def __aenter__(self) -> None:
        while True:
            await asyncio.sleep(max(0.0, self.closed_until - time.monotonic()))
            async with self._changed:
                await self._changed.wait_for(lambda: self.on_wire < int(self.limit))
                if self.closed_until <= time.monotonic():  # it may have been closed while this one waited for room
                    self.on_wire += 1
                    return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = time.monotonic()
        if kind is None:
            self.limit = min(self.most, self.limit + 1 / self.limit)
        elif isinstance(error, PassingError) and error.limited:
            self.closed_until = max(self.closed_until, now + (error.wait or 0))
            if now - self._last_cut > CUT_SECONDS:
                self._last_cut, self.limit = now, max(1.0, self.limit / 2)
        async with self._changed:
            self.on_wire -= 1
            self._changed.notify_all()


class Breaker:
    """Ends the run when nothing was answered for `patience` seconds."""

    def __init__(self, where: str, patience: float) -> None:
        self.where, self.patience = where, patience
        self.answers = 0
        self._failing_since: float | None = None

    def answered(self) -> None:
        """An answer: the server works."""
        self.answers += 1
        self._failing_since = None

    def failed(self, error: PassingError) -> None:
        """ServerError where the server asks to wait for too long, or could not be reached for too long."""
        self._failing_since = self._failing_since or time.monotonic()
        if (error.wait or 0) > LONGEST_ASKED_WAIT:
            raise ServerError(f"{self.where}: asks to wait {error.wait:.0f} s ({error}); run again then to go on")
        if self.spent(error) and not error.reached:
            silent = time.monotonic() - self._failing_since
            raise ServerError(
                f"{self.where}: has answered nothing for {silent:.0f} s, the last failure: {error}; "
                "nothing received is lost, run again to go on from here"
            )

    def spent(self, error: PassingError) -> bool:
        """Whether nothing was answered for longer than the patience with such a failure."""
        patience = self.patience * (LIMITED_PATIENCE if error.limited else 1)
        return self._failing_since is not None and time.monotonic() - self._failing_since > patience


class Sender:
    """One server, asked from an event loop in a thread of its own; outcomes are collected in the caller's thread.

    Args:
        server: address, key and model; the key appears in no message.
        execution: `concurrency` (the window), `request_seconds` (one try's limit), `patience_seconds`,
            `reply_mb` (a reply's limit).
    """

    def __init__(self, server: OpenServer, execution: ExecutionConfig) -> None:
        import openai

        self.server, self.capacity = server, execution.concurrency
        where = f"{server.base_url}: {server.model}"
        self._seconds = execution.request_seconds
        self._breaker = Breaker(where, execution.patience_seconds)
        self._window = Window(execution.concurrency)
        self._done: queue.SimpleQueue[tuple[str, Answered | Refusal] | Exception] = queue.SimpleQueue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_wire: set[asyncio.Task[Any] | None] = set()
        self._ended = False
        # No proxy of the environment may stand before a server of this machine.
        http = bounded.client(execution.reply_mb, server.api_key, trust_env=LOOPBACK not in server.base_url)
        self._client = openai.AsyncOpenAI(
            base_url=server.base_url, api_key=server.api_key, max_retries=0, timeout=self._seconds, http_client=http
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sender", daemon=True)
        self._thread.start()

    def submit(self, ticket: str, call: Call) -> None:
        """Send what `call(client)` awaits, as soon as the window has room."""
        self._loop.call_soon_threadsafe(self._start, ticket, call)

    def collect(self) -> list[tuple[str, Answered | Refusal]]:
        """Wait for the next outcome; all that are there by then.

        Raises:
            InputError: the server does not know the key or the model.
            ServerError: it is down, or the account's quota is spent.
        """
        found = [self._done.get()]
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._done.get_nowait())
        outcomes = [item for item in found if not isinstance(item, Exception)]
        fatal = [item for item in found if isinstance(item, Exception)]
        if fatal and outcomes:
            self._done.put(fatal[0])  # first what was answered, and paid for
        elif fatal:
            raise fatal[0]
        return outcomes

    def once(self, call: Call, *, again: bool = True, refused: type[InputError | ServerError] = InputError) -> Any:
        """What `call(client)` returns, for the few calls that are not the work itself.

        Tried again like any request; with `again` False only once, and what may pass is raised as PassingError, what
        was refused as RefusedError. `refused` is raised where it was refused for good, ServerError where it failed.
        """
        sent = self._persist(call) if again else self._try(call)
        outcome = asyncio.run_coroutine_threadsafe(sent, self._loop).result()
        if isinstance(outcome, Refusal):
            raise (refused if outcome.lasting else ServerError)(f"{self._breaker.where}: {outcome.why}")
        return outcome.reply

    def close(self) -> None:
        """Stop what is on the way and the connections."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.close()

    def _start(self, ticket: str, call: Call) -> None:
        if self._ended:
            return  # `collect` is about to say why
        task = self._loop.create_task(self._deliver(ticket, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, ticket: str, call: Call) -> None:
        try:
            outcome = await self._persist(call)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 (a template is somebody else's program)
            await self._end(error)
            return
        if isinstance(outcome, Answered) or not self._ended:
            self._done.put((ticket, outcome))

    async def _end(self, error: Exception) -> None:
        """Start nothing more; let `collect` raise the error once what is on the wire, and paid for, has come."""
        if self._ended:
            return
        self._ended = True
        others = self._tasks - {asyncio.current_task()}
        for task in others - self._on_wire:
            task.cancel()
        if waited := len(others & self._on_wire):
            say(f"{self._breaker.where}: ends, and waits for {waited} requests that are under way: {error}")
        await asyncio.gather(*others, return_exceptions=True)
        self._done.put(error)

    async def _persist(self, call: Call) -> Answered | Refusal:
        """Try until there is an answer, a refusal, or no more use in it."""
        answers = self._breaker.answers

        def enough(state: RetryCallState) -> bool:
            """It is this request alone, others having been answered meanwhile; or patience with the server is spent."""
            error = state.outcome.exception() if state.outcome else None
            if self._ended or not isinstance(error, PassingError) or self._breaker.spent(error):
                return True
            tries = LIMITED_TRIES if error.limited else TRIES
            return self._breaker.answers > answers and state.attempt_number >= tries

        retrying = AsyncRetrying(retry=retry_if_exception_type(PassingError), wait=_pause, stop=enough, reraise=True)
        try:
            return await retrying(self._try, call)
        except RefusedError as error:
            return Refusal(str(error), lasting=True)
        except PassingError as error:
            return Refusal(f"gave up after several tries: {error}", lasting=False)

    async def _try(self, call: Call) -> Answered:
        task = asyncio.current_task()
        try:
            async with self._window:
                start = time.monotonic()
                self._on_wire.add(task)
                try:
                    async with asyncio.timeout(self._seconds):
                        reply = checked(await call(self._client))
                except Exception as error:  # noqa: BLE001 (a template is somebody else's program)
                    raise judged(error, self.server) from None
        except PassingError as error:
            self._breaker.failed(error)
            raise
        finally:
            self._on_wire.discard(task)
        self._breaker.answered()
        return Answered(reply, time.monotonic() - start)


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    drawn = wait_random_exponential(multiplier=BACKOFF_SECONDS, max=LONGEST_BACKOFF)(state)
    return max(drawn, getattr(error, "wait", None) or 0.0)
