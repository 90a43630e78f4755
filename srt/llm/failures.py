"""What a failed request to an OpenAI-compatible server means: try again, pass over this one, or end the run."""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from srt.llm.servers import NO_KEY, OpenServer, ServerError
from srt.storage.errors import InputError

FATAL_CODES = ("model_not_found", "invalid_api_key")
QUOTA = "insufficient_quota"
SHORT_KEY = 8  # characters; a shorter key, which is no secret, is hidden only where it is a word of its own


class PassingError(Exception):
    """What may pass: `wait` seconds where the server asked for them, `limited` where it was a 429.

    `reached` where the server had the request and so may have failed at this one; where not, it is down.
    """

    def __init__(self, why: str, wait: float | None = None, limited: bool = False, reached: bool = False) -> None:
        super().__init__(why)
        self.wait, self.limited, self.reached = wait, limited, reached


class RefusedError(Exception):
    """The server will not answer this one request."""


def checked(reply: Any) -> Any:
    """What a call returned, if it is something: some servers send an error, or nothing, with HTTP 200."""
    raise_error_inside(getattr(reply, "model_extra", None))
    if reply is None or isinstance(reply, str):
        raise PassingError("HTTP 200 with a body that is no JSON")
    return reply


def raise_error_inside(value: Any) -> None:
    """Raise what the `error` inside a reply of HTTP 200 means; nothing where there is none."""
    error = value.get("error") if isinstance(value, Mapping) else None
    if not error:
        return
    code = str(error.get("code") or error.get("type") or "") if isinstance(error, Mapping) else ""
    if code == QUOTA:
        raise ServerError(f"the account's quota is spent: {words_of(error)}")
    if code in FATAL_CODES:
        raise InputError(f"{code}: {words_of(error)}")
    raise PassingError(f"HTTP 200 with an error inside: {words_of(error)}")


def words_of(body: Any) -> str:
    """A server's own words in the body of an error, in whatever field they stand; all of it where in none."""
    for name in ("error", "message", "detail", "msg"):
        if isinstance(body, Mapping) and body.get(name):
            body = body[name]
    try:
        return body if isinstance(body, str) else json.dumps(body, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "(words that are nested too deep)"


def judged(error: Exception, server: OpenServer) -> Exception:
    """What a failed try means: PassingError, RefusedError, or the InputError or ServerError that ends the run."""
    import openai

    where, said = f"{server.base_url}: {server.model}", printable(error, server.api_key)
    if isinstance(error, openai.APIStatusError):
        headers, told = error.response.headers, error.body or str(error)
        if 300 <= error.status_code < 400 and "location" in headers:
            told = _sent_on(headers["location"])
        return meaning_of(error.status_code, told, where, server.api_key, headers)
    if isinstance(error, InputError | ServerError):
        return type(error)(f"{where}: {said}")
    if isinstance(error, RefusedError):
        return RefusedError(said)
    if isinstance(error, UnicodeEncodeError):
        return RefusedError("the request has half a character in it (a lone surrogate), which no server takes")
    reached = not type(error.__cause__).__name__.startswith("Connect")  # httpx's ConnectError, ConnectTimeout
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        said = "no answer in time"
    elif isinstance(error, openai.APIConnectionError):
        said = f"connection failed: {printable(error.__cause__ or error, server.api_key)}"
    elif not isinstance(error, PassingError | openai.APIError | ValueError):
        return error
    return PassingError(said, reached=reached)


def _sent_on(location: str) -> str:
    """Where a redirect points, without what may be a secret in it: users, passwords, queries."""
    parts = urlsplit(location)
    there = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
    return f"a redirect to {there or '?'}, which is not followed: expected the address of the server itself"


def meaning_of(status: int, body: Any, where: str, key: str, headers: Mapping[str, str] | None = None) -> Exception:
    """What an answer with an error's HTTP status means, by its body: as `judged`."""
    inner = body.get("error") if isinstance(body, Mapping) else None
    told = inner if isinstance(inner, Mapping) else body if isinstance(body, Mapping) else {}
    code, said = str(told.get("code") or ""), printable(ValueError(words_of(body)), key)
    if code == QUOTA or status == 402:
        return ServerError(f"{where}: the account's quota is spent: {said}")
    if status == 401 or code in FATAL_CODES or told.get("param") == "model":
        return InputError(f"{where}: HTTP {status}: {said}: expected a valid key and a known model")
    wait = asked_wait(headers) if headers is not None else None
    if status == 429:
        return PassingError(said, wait, limited=True, reached=True)
    if status in (408, 409) or status >= 500:
        return PassingError(f"HTTP {status}: {said}", wait, reached=True)
    return RefusedError(f"HTTP {status}: {said}")


def asked_wait(headers: Any) -> float | None:
    """The seconds of `Retry-After` (a number or a date) or `retry-after-ms`; None where neither can be read."""
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    text = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def printable(error: BaseException, key: str) -> str:
    """An error on one line, never with the key in it: some servers send it back."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(letter if letter.isprintable() else "?" for letter in text)  # half a character, a terminal's code
    if key and key != NO_KEY:
        for form in {key, repr(key)[1:-1]}:  # before the text is cut: no part of it may stay
            edge = "" if len(key) >= SHORT_KEY else r"\b"  # "k" is no key within a word
            text = re.sub(edge + re.escape(form) + edge, "(key)", text)
    return text[:300]
