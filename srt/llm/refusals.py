"""When a server's replies end a run: all or too many requests are refused, or no answer has a known end."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable

from srt.llm.completions import Ending, Said
from srt.llm.servers import ServerError
from srt.settings import Limits
from srt.storage.journal import Journal, content_key


class Refusals:
    """Tells a server that refuses everything from records that are refused.

    Until one request was answered, `at_start` new refusals in the same words stop the run. After that a refusal is its
    record's failure, until more than `percent` of the last `window` requests were refused. An answer whose end is not
    known is useless and paid for: until one had a known end, `at_start` new ones of the same end stop the run as well.

    Args:
        where: the server, for the messages.
        journal: has a note of every refused request, which is no answer: the next run asks again. What an earlier run
            met as well is not new and says nothing of the server: every run gets further, and refused records alone
            never stop one for good.
        limits: None stops no run: then no server is asked, and a refusal is its record's alone.
        before: how the server's answers in earlier runs came to their ends.
    """

    def __init__(self, where: str, journal: Journal, limits: Limits | None, before: Iterable[Ending]) -> None:
        self._where, self._journal, self._limits = where, journal, limits
        known = Counter(before)
        self._answered, self._ended = known.total() > 0, known.total() > known["broken"]
        self._received = 0  # answers, in this run
        self._refused: ServerError | None = None
        self._broken_before = known["broken"]
        self._broken: Counter[str] = Counter()  # this run's answers without a known end, by reason
        self._words: Counter[str] = Counter()
        self._new: Counter[str] = Counter()  # those of them that no earlier run met
        self._said: dict[str, str] = {}  # the same words as they came first
        self._last: deque[bool] = deque(maxlen=limits.window if limits else 0)

    @property
    def stop(self) -> ServerError | None:
        """Why no more should be asked."""
        at_start = self._limits.at_start if self._limits else None
        same = max(self._broken.values(), default=0)
        if self._refused is None and at_start is not None and not self._ended and same >= at_start:
            return self._unended(f"; allow more than execution.refusals_at_start {at_start} to ask on")
        return self._refused

    def _unended(self, more: str = "") -> ServerError:
        return ServerError(f"{self._where}: every answer {' or '.join(self._broken)}; they are kept{more}")

    def answered(self, answer: Said) -> None:
        """A request was answered."""
        self._answered = True
        self._received += 1
        self._last.append(False)
        if answer.ending == "broken":
            self._broken[str(answer.reason)] += 1
        else:
            self._ended = True

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
        if self._limits is not None and self._refused is None:
            self._refused = self._too_many(words, why, self._limits)

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
        """ServerError where a run has come to its end in vain.

        Not one of its requests was answered, now or before, and some were refused; or it received nothing and met
        `at_start` new refusals or more; or it received answers, and of `at_start` and more that there are, not one has
        a known end.
        """
        if self._limits is None:
            return
        broken, at_start = self._broken.total(), self._limits.at_start
        in_vain = at_start is not None and not self._received and self._new.total() >= at_start
        if self._words and (in_vain or not usable):
            why = self._said[self._words.most_common(1)[0][0]]
            raise ServerError(f"{self._where}: refused all of {self._words.total()} requests, most often so: {why}")
        if at_start is not None and broken and not self._ended and self._broken_before + broken >= at_start:
            raise self._unended()


def without_ids(words: str) -> str:
    """A server's words without a request's own ids and times, by which equal refusals would differ."""
    return re.sub(r"\b(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[\w-]{8,}|\d{8,}", "#", words)
