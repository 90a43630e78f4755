"""Settings as command-line flags."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from srt.settings.cases import fields_of


def flag_fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields, of all cases, that are command-line flags: all but lists and maps, which only the workflow reads."""
    return {name: field for name, field in fields_of(kind).items() if get_origin(field.annotation) not in (list, dict)}


def as_flags(settings: BaseModel, prefix: str = "", only: Sequence[str] = (), without: Sequence[str] = ()) -> str:
    """Settings (those in `only`, not those in `without`) as shell-quoted flags, the inverse of `srt.cli`."""
    return " ".join(
        flag(f"{prefix}{name}".replace("_", "-"), getattr(settings, name))
        for name in flag_fields(type(settings))
        if (not only or name in only) and name not in without
    )


def flag(name: str, value: Any) -> str:
    """One flag with its value, quoted for the shell; joined by `=` where the value itself looks like a flag."""
    text = flag_text(value)
    return shlex.join([f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text])


def flag_text(value: Any) -> str:
    """One value as the text of a flag: null, true and false as in YAML."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
