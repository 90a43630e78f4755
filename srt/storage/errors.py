"""The two kinds of errors that every part of the program may raise, both told in one line."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What to do about a disk that takes nothing more.
ADVICE = {
    errno.ENOSPC: "make room there and run again: what was finished before is kept",
    errno.EDQUOT: "make room within the quota and run again: what was finished before is kept",
    errno.EFBIG: "allow larger files (ulimit -f) and run again: what was finished before is kept",
}
# How libraries that write by themselves say so: safetensors (Rust), and PyTorch, which does not say why.
OS_ERROR = re.compile(r"\(os error (\d+)\)")
TORCH_WRITER = re.compile(r"PytorchStreamWriter failed|unexpected pos \d+ vs \d+")

SHOWN = 80  # characters of a wrong value


class InputError(Exception):
    """Something the user gave is wrong: one line with file, record, field and what was expected.

    The command line prints it and exits with code 2.
    """


def shown(value: object) -> str:
    """A value as a complaint shows it: in short, and without what stands before the @ of an address."""
    try:
        text = without_user(repr(value))
    except (ValueError, RecursionError):  # of an integer with too many digits, or of what is too deep
        text = f"a value of the kind {type(value).__name__}"
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def without_user(text: str) -> str:
    """A text with `***` in the place of what stands before the @ of an address: a message shows no password."""
    return re.sub(r"(?<=//)\S*@", "***@", text)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Whatever keeps a file from being written while the context is open is an OSError that names this one."""
    try:
        yield
    except Exception as error:
        if (number := _number_of(error)) is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from None


def _number_of(error: Exception) -> int | None:
    """The system's number of an error in writing, None where it is none."""
    if isinstance(error, OSError):
        return error.errno
    said = OS_ERROR.search(str(error))
    if said:
        return int(said[1])
    return errno.ENOSPC if isinstance(error, RuntimeError) and TORCH_WRITER.search(str(error)) else None


def told(error: Exception) -> str:
    """An error in one line; one of the disk with the file, what is wrong, and what to do."""
    if not isinstance(error, OSError):
        return str(error)
    line = f"{error.filename or 'a file or standard output'}: {error.strerror or error}"
    advice = ADVICE.get(error.errno or 0)
    return f"{line}: {advice}" if advice else line
