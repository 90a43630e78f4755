"""Progress of long work: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import io
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

LINE_SECONDS = 15.0
LONGEST_MESSAGE = 1_500  # characters of a complaint

T = TypeVar("T")


_first: list[str] = []  # waits for the beginning of the work


def say_first(line: str) -> None:
    """A line that stands before all others, once the work begins: a step that is refused before says only why.

    Of several processes of a training the first one says it.
    """
    if os.environ.get("RANK", "0") == "0":
        _first.append(line)


def forget_first() -> None:
    """Drop what would be said first: another command begins."""
    _first.clear()


def begin() -> None:
    """Say what is to be said first, where it was not yet."""
    while _first:
        print(_first.pop(0), file=sys.stderr, flush=True)


def say(message: str) -> None:
    """One line for the log or the terminal."""
    begin()
    print(message, file=sys.stderr, flush=True)


def take_any_text() -> None:
    """Let the standard streams take every text, also one with letters that the terminal, or UTF-8, does not have."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def one_line(message: object) -> str:
    """A message on one line that a terminal shows as it is: control characters escaped, a long one without its middle.

    What was found in a file stands in a complaint about it, and may be anything.
    """
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in " ".join(str(message).split()))
    half = LONGEST_MESSAGE // 2
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:half]} ... {text[-half:]}"


def track(items: Iterable[T], total: int, label: str, more: Callable[[], str] | None = None) -> Iterator[T]:
    """The items, with their progress shown on standard error; `more` tells what else is to be said of it."""
    begin()
    if sys.stderr.isatty():
        with tqdm(items, total=total, desc=label) as bar:
            for item in bar:
                yield item
                if more is not None:
                    bar.set_postfix_str(more(), refresh=False)
        return
    start = last = time.monotonic()
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= LINE_SECONDS or count == total:
            told = f"; {more()}" if more is not None else ""
            say(f"{label}: {count} of {total} ({now - start:.0f} s{told})")
            last = now


def say_counts(counts: Counter[str], what: str) -> None:
    """A line for each reason, the most frequent first."""
    for reason, count in counts.most_common():
        say(f"  {count} {what}: {reason}")
