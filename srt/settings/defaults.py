"""The defaults of a step that is run by hand, and the lines that say where its settings come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from srt.settings import Settings
from srt.settings.cases import section_of
from srt.settings.flags import flag_text
from srt.storage.errors import InputError
from srt.storage.progress import say_first
from srt.storage.yaml_files import read_yaml

DEFAULTS = "srt/settings/defaults.yaml"


@cache
def defaults() -> dict[str, dict[str, Any]]:
    """Section: its settings that have a default."""
    found: dict[str, dict[str, Any]] = read_yaml(Path(__file__).with_name("defaults.yaml"))
    return found


def section_name(kind: type[Settings]) -> str:
    """A section as the defaults and the log name it: `OpenLlmConfig` is `open_llm`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", section_of(kind).__name__.removesuffix("Config")).lower()


def defaults_of(kind: type[Settings]) -> dict[str, Any]:
    """The settings of a section that have a default."""
    return defaults().get(section_name(kind), {})


def told_default(kind: type[Settings], name: str) -> str:
    """A field's default as `--help` tells it."""
    known = defaults_of(kind)
    if name in known:
        return f"(default: {flag_text(known[name])})"
    return "(no default: must be given)" if name in kind.model_fields else "(no default: must be given there)"


def flag(name: str, prefix: str = "") -> str:
    """The flag of a field."""
    return f"--{prefix}{name}".replace("_", "-")


def require_all(needed: Iterable[str], found: Mapping[str, Any], prefix: str = "") -> None:
    """InputError that names every flag whose value neither the flags nor a config file nor a default has."""
    lacking = [flag(name, prefix) for name in needed if name not in found]
    if lacking:
        raise InputError(f"{', '.join(lacking)}: expected as a flag, or from --config FILE: there is no default")


def tell(section: str, source: str, values: Mapping[str, Any]) -> None:
    """A line that stands before the work: which values come from where."""
    if values:
        say_first(f"{section} {source}: " + ", ".join(f"{name} {_text(value)}" for name, value in values.items()))


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else flag_text(value)
