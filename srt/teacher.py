"""The teacher as reflection sees it: requests in, completions out, nothing that was received asked for again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from srt.backends import Backend, Completion, Request
from srt.progress import track
from srt.records import Journal, content_key


class JournaledBackend:
    """A backend whose completions go into a journal under the content of their request, and come from it again.

    `folder` is below the cache; all journals of one model share a folder, each job (`name`) writes its own. The
    model is opened when a request first misses the journal. What it refused is not kept: the next run asks again.
    """

    def __init__(self, identity: str, opened: Callable[[], Backend], folder: Path, name: str) -> None:
        self.identity = identity
        self.journal = Journal(folder / content_key(identity)[:16] / f"{content_key(name)[:16]}.jsonl")
        self.received = 0
        self.reused = 0
        self._open = opened
        self._backend: Backend | None = None

    def __enter__(self) -> JournaledBackend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.journal.close()
        if self._backend is not None:
            self._backend.close()

    def ask(self, requests: Sequence[Request], label: str) -> list[Completion]:
        """One completion per request, in order."""
        completions: dict[int, Completion] = {}
        missing: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            key = content_key(self.identity, dataclasses.asdict(request))
            if key in self.journal:
                completions[i] = Completion(**self.journal[key])
                self.reused += 1
            else:
                missing.setdefault(key, []).append(i)
        for key, completion in track(self._received(requests, missing), len(missing), label):
            for i in missing[key]:
                completions[i] = completion
        return [completions[i] for i in range(len(requests))]

    def _received(self, requests: Sequence[Request], missing: dict[str, list[int]]) -> Iterator[tuple[str, Completion]]:
        keys = list(missing)
        if not keys:
            return
        if self._backend is None:
            self._backend = self._open()
        for position, completion in self._backend.complete([requests[missing[key][0]] for key in keys]):
            if not completion.finish_reason.startswith("refused"):
                self.journal.add(keys[position], completion.as_json())
                self.received += 1
            yield keys[position], completion
