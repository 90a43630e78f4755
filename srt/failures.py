"""What a failed request to an OpenAI-compatible server means: try again, pass over this one, or end the run."""

from __future__ import annotations

import contextlib
import email.utils
import time
from typing import Any

from srt.records import InputError
from srt.server import NO_KEY, OpenServer, ServerError

FATAL_CODES = ("model_not_found", "invalid_api_key")
QUOTA = "insufficient_quota"


class PassingError(Exception):
    """What may pass: `wait` seconds where the server asked for them, `limited` where it was a 429."""

    def __init__(self, why: str, wait: float | None = None, limited: bool = False) -> None:
        super().__init__(why)
        self.wait, self.limited = wait, limited


class RefusedError(Exception):
    """The server will not answer this one request."""


def checked(reply: Any) -> Any:
    """The reply, if it is one: some servers send an error, or nothing, with HTTP 200."""
    error = (getattr(reply, "model_extra", None) or {}).get("error")
    if error:
        code = str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
        said = error.get("message", error) if isinstance(error, dict) else error
        if code == QUOTA:
            raise ServerError(f"the account's quota is spent: {said}")
        if code in FATAL_CODES:
            raise InputError(f"{code}: {said}")
        raise PassingError(f"HTTP 200 with an error inside: {said}")
    if hasattr(reply, "choices") and not reply.choices:
        raise PassingError("HTTP 200 with no choice inside")
    if reply is None or isinstance(reply, str):
        raise PassingError("HTTP 200 with a body that is no JSON")
    return reply


def judged(error: Exception, server: OpenServer) -> Exception:
    """What a failed try means: PassingError, RefusedError, or the InputError or ServerError that ends the run."""
    import openai

    where, said = f"{server.base_url}: {server.model}", printable(error, server.api_key)
    if isinstance(error, openai.APIStatusError):
        return _status(error, where, said)
    if isinstance(error, InputError | ServerError):
        return type(error)(f"{where}: {said}")
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        said = "no answer in time"
    elif isinstance(error, openai.APIConnectionError):
        said = f"connection failed: {printable(error.__cause__ or error, server.api_key)}"
    elif not isinstance(error, PassingError | openai.APIError | ValueError):
        return error
    return PassingError(said)


def _status(error: Any, where: str, said: str) -> Exception:
    status, code = error.status_code, str(error.code or "")
    if code == QUOTA or status == 402:
        return ServerError(f"{where}: the account's quota is spent: {said}")
    if status in (401, 403, 404) or code in FATAL_CODES or error.param == "model":
        return InputError(f"{where}: HTTP {status}: {said}: expected a valid key and a known model")
    if status == 429:
        return PassingError(said, asked_wait(error.response.headers), limited=True)
    if status in (408, 409) or status >= 500:
        return PassingError(f"HTTP {status}: {said}", asked_wait(error.response.headers))
    return RefusedError(f"HTTP {status}: {said}")


def asked_wait(headers: Any) -> float | None:
    """The seconds of `Retry-After` (a number or a date) or `retry-after-ms`; None where neither can be read."""
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    text = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(text))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return None


def printable(error: BaseException, key: str) -> str:
    """An error on one line, never with the key in it: some servers send it back."""
    text = " ".join(str(error).split()) or type(error).__name__
    if key and key != NO_KEY:
        for form in (key, repr(key)[1:-1]):
            text = text.replace(form, "(key)")  # before the text is cut: no part of it may stay
    return text[:300]
