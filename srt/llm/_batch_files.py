"""The output file of a batch: it may be larger than the memory, and its lines longer than is sensible."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO, Any

from srt.llm._bodies import parsed
from srt.llm._bounded import MB, PIECE
from srt.llm.failures import RefusedError

MOST_FILE_BYTES = 4_000 * MB  # of a batch's output, which goes through the disk
TOO_LARGE = 413  # the HTTP status for what is too large
CUSTOM_ID = re.compile(rb'"custom_id"\s*:\s*"(\w+)"')


async def content(name: str, file: IO[bytes], client: Any) -> Any:
    """Put what is in a file of the account's into ours, however long, in pieces; a new try begins anew."""
    file.seek(0)
    file.truncate()
    async with client.files.with_streaming_response.content(name) as reply:
        async for piece in reply.iter_bytes():
            if file.write(piece) and file.tell() > MOST_FILE_BYTES:
                raise RefusedError(f"file {name} is longer than {MOST_FILE_BYTES // MB:,} MB")
    return file


def whole_or_begun(file: IO[bytes], most: int) -> Iterator[bytes]:
    """The lines of a file; of one that is longer than `most` bytes its beginning, one byte too long."""
    while line := file.readline(most + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(PIECE)
        yield line


def row(line: bytes, most: int) -> dict[str, Any] | None:
    """One line of an output file; None for what is empty or cannot be parsed, which counts as unanswered.

    One of more than `most` bytes is a refusal, where its beginning says of which request.
    """
    if len(line) > most:
        known = CUSTOM_ID.search(line[:PIECE])
        said = {"error": {"message": f"a reply beyond {most // MB} MB (execution.reply_mb)"}}
        return {"custom_id": known[1].decode(), "response": {"status_code": TOO_LARGE, "body": said}} if known else None
    try:
        value = parsed(line.decode("utf-8", "surrogateescape"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and isinstance(value.get("custom_id"), str) else None
