"""Calls of the batch API, and what it says of files and batches: typed once, in whatever shape a server sends it.

What is no such reply may pass (PassingError): it is asked for again, but never created again. The errors are those of
`srt.llm._bodies.read_body`, and of an `error` inside a reply.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from srt.llm._bodies import read_body
from srt.llm.failures import PassingError, RefusedError, raise_error_inside, words_of
from srt.llm.wire import count

PAGE = 100  # batches in one reply, the API's most
MOST_PAGES = 1000


@dataclass(frozen=True)
class Batch:
    """A batch as the server tells of it.

    Attributes:
        id: the server's.
        status: in the server's words.
        token: ours, by which a batch is known whose id was lost; None where the server sends none.
        files: the ids of what was answered, and of what was not.
        counts: how much of it is answered, in words; empty where the server does not say.
        errors: why it failed, in the server's words.
    """

    id: str
    status: str
    token: str | None
    files: tuple[str, ...]
    counts: str
    errors: str


@dataclass(frozen=True)
class Uploaded:
    """A file that the server has."""

    id: str


async def upload(content: bytes, client: Any) -> Uploaded:
    """Send a batch's requests as a file."""
    reply = await client.files.with_raw_response.create(file=("requests.jsonl", content), purpose="batch")
    value = _object(reply.content)
    if not _is_name(value.get("id")):
        raise PassingError(f"HTTP 200 with no file inside: {words_of(value)}")
    return Uploaded(value["id"])


async def create(about: Mapping[str, Any], client: Any) -> Batch:
    """Create a batch with these arguments of the library."""
    return _batch_in((await client.batches.with_raw_response.create(**about)).content)


async def retrieve(batch: str, client: Any) -> Batch:
    """How a batch is by now."""
    return _batch_in((await client.batches.with_raw_response.retrieve(batch)).content)


def _batch_in(body: bytes) -> Batch:
    value = _object(body)
    found = _batch(value)
    if found is None:
        raise PassingError(f"HTTP 200 with no batch inside: {words_of(value)}")
    return found


async def all_batches(client: Any) -> list[Batch]:
    """All batches of the account, the newest first; entries that cannot be read are passed over."""
    found: list[Batch] = []
    after: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        page = _object((await client.batches.with_raw_response.list(limit=PAGE, **after)).content)
        entries = page.get("data")
        if not isinstance(entries, list):
            raise PassingError(f"HTTP 200 with no list of batches inside: {words_of(page)}")
        new = [batch for entry in entries if (batch := _batch(entry)) is not None]
        found += new
        if page.get("has_more") is not True or not new or after == {"after": new[-1].id}:
            break
        after = {"after": new[-1].id}
    return found


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = read_body(body)
    except RefusedError as error:  # that it cannot be read says nothing of what was done
        raise PassingError(str(error)) from None
    raise_error_inside(value)
    if not isinstance(value, Mapping):
        raise PassingError(f"HTTP 200 with no object inside: {words_of(value)}")
    return value


def _batch(value: Any) -> Batch | None:
    if not (isinstance(value, Mapping) and _is_name(value.get("id")) and _is_name(value.get("status"))):
        return None
    metadata, counts = value.get("metadata"), value.get("request_counts")
    token = metadata.get("srt") if isinstance(metadata, Mapping) else None
    done, total = (count(counts.get(name)) if isinstance(counts, Mapping) else None for name in ("completed", "total"))
    return Batch(
        value["id"],
        value["status"],
        token if isinstance(token, str) else None,
        tuple(str(value[name]) for name in ("output_file_id", "error_file_id") if _is_name(value.get(name))),
        "" if done is None or total is None else f", {done} of {total} answered",
        _errors(value.get("errors")),
    )


def _errors(errors: Any) -> str:
    listed = errors.get("data") if isinstance(errors, Mapping) else errors
    return "; ".join(map(words_of, listed)) if isinstance(listed, list) else words_of(listed) if listed else ""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""
