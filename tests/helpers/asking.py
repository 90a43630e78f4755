"""Asking a backend a list of requests, as the tests of backends do."""

from collections.abc import Iterator, Sequence

from srt.llm.requests import Backend, Completion, Request


def completed(backend: Backend, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
    """(position in `requests`, completion), in the order in which they are ready."""
    position, waiting = 0, 0
    while position < len(requests) or waiting:
        while position < len(requests) and waiting < backend.capacity:
            backend.submit(str(position), requests[position])
            position, waiting = position + 1, waiting + 1
        collected = backend.collect()
        backend.settled()
        for ticket, completion in collected:
            waiting -= 1
            yield int(ticket), completion
