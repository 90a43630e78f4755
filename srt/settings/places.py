"""What a path of settings leads to, looked at without knowing what its step reads: is it there, of the right kind?"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from pathlib import Path

from pydantic import BaseModel

from srt.settings.types import Spot
from srt.storage.errors import InputError
from srt.storage.findings import Finding, did_you_mean, lines_in
from srt.storage.readers import other_kind
from srt.storage.shipped import locate

NO_FILE = "no such file"
Look = Callable[[str, BaseModel], object]  # a path and its section; raises InputError


def findings_at(spot: Spot, look: Look, where: str, about: str = "") -> list[Finding]:
    """What is wrong with one path of a file, and what to do."""
    found = complaints(spot, look)
    told = [f"{text}: put it there, or name another" if text.endswith(NO_FILE) else text for text in found]
    return [Finding(where, spot.key, text, about) for text in told]


def complaints(spot: Spot, look: Look) -> list[str]:
    """What is wrong with what a path leads to, a line each."""
    try:
        look(spot.text, spot.section)
    except InputError as error:
        return lines_in(error)
    except OSError as error:
        return [f"{spot.text}: cannot be read: {error.strerror}"]
    except UnicodeDecodeError as error:
        return [f"{spot.text}: is not UTF-8 text (byte {error.start})"]
    return []


def require_file(text: str, also: Collection[str] = ()) -> None:
    """InputError unless a file is there; a name that is close, of a file beside it or of those in `also`, is told."""
    path = locate(text)
    if kind := other_kind(path):
        raise InputError(f"{text}: is {kind}, expected a file")
    if not os.path.exists(path):
        raise InputError(f"{text}: {NO_FILE}{did_you_mean(text, [*_beside(path), *also])}")


def require_folder(text: str) -> None:
    """InputError unless a folder is there."""
    path = locate(text)
    if not path.is_dir():
        what = "is a file, expected a folder" if path.exists() else f"no such folder{did_you_mean(text, _beside(path))}"
        raise InputError(f"{text}: {what}")


def _beside(path: Path) -> list[str]:
    """The paths that are there in a path's folder, or in the one that ships with the package."""
    try:
        return [str(path.parent / other.name) for other in locate(str(path.parent)).iterdir()]
    except OSError:
        return []


def is_file(text: str, section: BaseModel) -> None:
    """InputError unless the path is a file that is there."""
    require_file(text)


def read(reader: Callable[[str], object], text: str, section: BaseModel, also: Collection[str] = ()) -> None:
    """InputError unless the file is there and its own reader takes it."""
    require_file(text, also)
    reader(text)
