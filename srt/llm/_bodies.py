"""The body of a server's answer as one JSON value, in whatever encoding or stream; `srt.llm._bounded` unpacks it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from srt.llm.failures import PassingError, RefusedError

STREAM = re.compile(r"(?:data|event|id|retry)?:")  # how a line of an event stream begins
DONE = "[DONE]"
LONGEST_INTEGER = 18  # digits; a longer number is read as a float


def read_body(body: bytes) -> Any:
    """A body as JSON, or the chat completion that an event stream amounts to.

    Bytes that are no UTF-8 stay in their text as lone surrogates, so that whoever reads it can tell.

    Raises:
        PassingError: it is neither, which may pass.
        RefusedError: it is nested too deep, which will be so the next time.
    """
    try:
        text = body.decode(json.detect_encoding(body), "surrogateescape")
        return _streamed(text) if STREAM.match(text.lstrip()) else parsed(text)
    except RecursionError:
        raise RefusedError("HTTP 200 with JSON that is nested too deep") from None
    except ValueError:
        shown = " ".join(body[:200].decode("utf-8", "replace").split())
        raise PassingError(f"HTTP 200 with a body that is no JSON: {shown or 'empty'}") from None


def parsed(text: str) -> Any:
    """JSON with integers of any length; ValueError, or RecursionError where it is nested too deep."""
    return json.loads(text, parse_int=lambda digits: int(digits) if len(digits) <= LONGEST_INTEGER else float(digits))


def _streamed(text: str) -> dict[str, Any]:
    """An event stream (`data: {...}`) as one chat completion.

    Raises:
        PassingError: the stream has no end.
        ValueError: a piece is no JSON object.
    """
    events = [_data(event) for event in re.split(r"\n{2,}", re.sub(r"\r\n?", "\n", text))]
    chunks = [parsed(event) for event in events if event and event != DONE]
    if not all(isinstance(chunk, Mapping) for chunk in chunks):
        raise ValueError("a piece of the stream is no object")
    whole = {name: _last(chunks, name) for name in ("model", "usage", "error")}
    pieces = [piece for chunk in chunks for piece in _pieces(chunk)]
    finish = _last(pieces, "finish_reason")
    if not whole["error"] and finish is None and DONE not in events:
        raise PassingError("HTTP 200 with an event stream that has no end")
    message = {"content": _joined(pieces, "content", "text"), "reasoning_content": _thoughts(pieces)}
    return whole | {"choices": [{"finish_reason": finish, "message": message}]}


def _data(event: str) -> str:
    return "\n".join(line[5:].removeprefix(" ") for line in event.split("\n") if line.startswith("data:"))


def _last(maps: Sequence[Mapping[str, Any]], name: str) -> Any:
    return next((value for known in reversed(maps) if (value := known.get(name))), None)


def _pieces(chunk: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a chunk adds to the first choice: its delta (or whole message) beside the choice's own fields."""
    choices = chunk.get("choices")
    found = [c for c in choices if isinstance(c, Mapping)] if isinstance(choices, list) else []
    added = [(c, c.get("delta") or c.get("message")) for c in found if c.get("index") in (0, None)]
    return [{**choice, **(delta if isinstance(delta, Mapping) else {})} for choice, delta in added]


def _joined(pieces: Sequence[Mapping[str, Any]], *names: str) -> list[Any] | None:
    """The parts of a text that came in pieces; None where there is none."""
    texts = [next((piece[name] for name in names if piece.get(name) is not None), None) for piece in pieces]
    parts = [part for text in texts for part in (text if isinstance(text, list) else [text]) if part is not None]
    return parts or None


def _thoughts(pieces: Sequence[Mapping[str, Any]]) -> str | None:
    return "".join(map(str, _joined(pieces, "reasoning_content", "reasoning") or [])) or None
