"""A server that answers, the key that it is sent, and what its failure is called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from srt.storage.errors import InputError

NO_KEY = "none"  # what a server without keys is sent; the library insists on one


class ServerError(RuntimeError):
    """A server did not come up, or no longer answers: one line that says which, and where to read more."""


@dataclass(frozen=True)
class OpenServer:
    """An OpenAI-compatible server that answers now. The key is kept out of every printed form."""

    base_url: str
    api_key: str = field(repr=False)
    model: str
    parameters: Mapping[str, str | None] = field(default_factory=dict)  # as in `Endpoint`
    extra: Mapping[str, Any] = field(default_factory=dict)  # what every request has that does not say otherwise


@dataclass(frozen=True)
class Served:
    """A model that vLLM's server runs; `max_model_len` None is the model's own context length."""

    model: str
    revision: str | None
    dtype: str
    max_model_len: int | None


def key_in(*names: str) -> str | None:
    """The API key in the first of these environment variables that holds one; InputError where it cannot be one."""
    for name in names:
        key = os.environ.get(name, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise InputError(f"{name}: holds no API key: expected printable ASCII characters on one line")
        if key:
            return key
    return None
