"""Arguments of a step that name what it reads: looked at together, before the step begins.

Each function here is the `type` of such an argument, and so says what it names.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from srt.settings.defaults import flag
from srt.storage.errors import InputError
from srt.storage.findings import Finding, lines_in, refuse


def read_file(text: str) -> Path:
    """A file."""
    return Path(text)


def read_source(text: str) -> str:
    """A file, or `hub:OWNER/NAME/FILE`."""
    return text


def read_model(text: str) -> str:
    """A model's folder, or its name on the hub."""
    return text


def read_variant(text: str) -> str:
    """VARIANT=FILE."""
    return text


def require_inputs(args: argparse.Namespace) -> None:
    """InputError with a line for every argument that names what is not there."""
    looks = _looks()
    found: list[Finding] = []
    for action in args.parser._actions:
        for value in _texts(getattr(args, action.dest, None)) if action.type in looks else ():
            try:
                looks[action.type](value)
            except InputError as error:
                found += [Finding("", label(action), line) for line in lines_in(error)]
    refuse(found)


def label(action: argparse.Action) -> str:
    """An argument as its user knows it."""
    return action.option_strings[0] if action.option_strings else str(action.metavar or action.dest)


def require_settings(args: argparse.Namespace, section: BaseModel, prefix: str = "") -> None:
    """InputError with a line for every file or folder that a section of settings names and that is of no use."""
    from srt.planning.paths import require_paths

    known = {action.dest: label(action) for action in args.parser._actions} if hasattr(args, "parser") else {}
    require_paths(section, lambda key: known.get(f"{prefix}{key}".replace("-", "_"), flag(key, prefix)))


def _looks() -> Mapping[Any, Any]:
    from srt.llm.loading import require
    from srt.planning import paths
    from srt.settings.places import require_file

    return {
        read_file: require_file,
        read_source: paths.require_source,
        read_model: require,
        read_variant: lambda text: paths.require_source(text.partition("=")[2] or text),
    }


def _texts(value: Any) -> Iterator[str]:
    if value is not None:
        yield from map(str, value if isinstance(value, list) else [value])
