"""When refusals end a run: a server that refuses everything, and records that are refused."""

from __future__ import annotations

import re
from collections import Counter, deque

from srt.journal import Journal, content_key
from srt.server import ServerError
from srt.settings import Limits


class Refusals:
    """Tells a server that refuses everything from records that are refused.

    Until one request was answered, `at_start` new refusals in the same words stop the run. After that a refusal is its
    record's failure, until more than `percent` of the last `window` requests were refused.

    Args:
        where: the server, for the messages.
        journal: has a note of every refused request, which is no answer: the next run asks again. What an earlier run
            met as well is not new and says nothing of the server: every run gets further, and refused records alone
            never stop one for good.
        limits: None stops no run: then no server is asked, and a refusal is its record's alone.
        answered: whether the server has answered before, in an earlier run.
    """

    def __init__(self, where: str, journal: Journal, limits: Limits | None, answered: bool) -> None:
        self.stop: ServerError | None = None  # why no more should be asked
        self._where, self._journal, self._limits, self._answered = where, journal, limits, answered
        self._words: Counter[str] = Counter()
        self._new: Counter[str] = Counter()  # those of them that no earlier run met
        self._said: dict[str, str] = {}  # the same words as they came first
        self._last: deque[bool] = deque(maxlen=limits.window if limits else 0)

    def answered(self) -> None:
        """A request was answered."""
        self._answered = True
        self._last.append(False)

    def refused(self, key: str, why: str) -> None:
        """The request that has this key in the journal was refused."""
        words, note = without_ids(why), content_key("refused", key)
        is_new = note not in self._journal
        self._words[words] += 1
        self._new[words] += is_new
        self._said.setdefault(words, why)
        self._last.append(is_new)
        if is_new:
            self._journal.add(note, {"refused": why})
        if self._limits is not None and self.stop is None:
            self.stop = self._too_many(words, why, self._limits)

    def _too_many(self, words: str, why: str, limits: Limits) -> ServerError | None:
        """The error where the last refusal was one too many."""
        failed, asked = sum(self._last), len(self._last)
        if not self._answered and limits.at_start is not None and self._new[words] >= limits.at_start:
            told = f"answered nothing and refused {self._words[words]} requests with the same words: {why}"
            again = f"execution.refusals_at_start {limits.at_start}"
        elif 100 * failed > limits.percent * limits.window:
            told = f"{failed} of the last {asked} requests failed, the last one: {why}; what was answered is kept"
            again = f"execution.failure_percent {limits.percent}"
        else:
            return None
        return ServerError(f"{self._where}: {told}: run again to go on from here, or allow more than {again}")

    def end(self, usable: int) -> None:
        """ServerError where not one of a run's requests was answered, now or before, and some were refused."""
        if self._limits is not None and self._words and not usable:
            why = self._said[self._words.most_common(1)[0][0]]
            raise ServerError(f"{self._where}: refused all of {self._words.total()} requests, most often so: {why}")


def without_ids(words: str) -> str:
    """A server's words without a request's own ids and times, by which equal refusals would differ."""
    return re.sub(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{8,}|\d{8,}", "#", words)
