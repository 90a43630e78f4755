"""Where a command writes: what it must not write over, and what cannot be written, is refused before the work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srt.storage.atomic import refuse_other_kind
from srt.storage.errors import InputError

PARTIAL = 24  # characters that the name of a file has more while it is written


@dataclass(frozen=True)
class Output:
    """An argument that names what a command writes.

    Attributes:
        folder: it is a folder, made where it is not there.
        names: the files that are written into that folder and must be none of the inputs.
        replaced: the folder is deleted once the new one is whole, so that no input may lie in it.
    """

    folder: bool = False
    names: tuple[str, ...] = ()
    replaced: bool = False

    def check(self, path: Path, inputs: Mapping[Path, str]) -> None:
        """InputError where the path cannot be written, or is an input."""
        try:
            if str(path) == "-":  # elsewhere standard output
                raise InputError("-: expected the name of a file to write, as `./-`")
            refuse_other_kind(path, self.folder)
            _refuse_parent(path)
            for file in [path / name for name in self.names] if self.folder else [path]:
                refuse_other_kind(file)
                _refuse_input(file, inputs)
            if self.replaced:
                _refuse_inside(path, inputs)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror}") from None


def check(args: argparse.Namespace) -> None:
    """Check the arguments of a command that name what it writes (its `writes`) against each other argument.

    A folder that is a default, as a cache that may never be needed, need not be writable.

    Raises:
        InputError: the first that cannot be written, or is an input.
    """
    outputs: Mapping[str, Output] = getattr(args, "writes", {})
    texts = {name: value for name, value in vars(args).items() if name not in outputs}
    inputs = {path: name for name, value in texts.items() for path in _paths(value)}
    for name, output in outputs.items():
        path = getattr(args, name)
        if path is not None and hasattr(args, "parser") and path == args.parser.get_default(name):
            refuse_other_kind(path, output.folder)
        elif path is not None:
            output.check(path, inputs)


def _refuse_parent(path: Path) -> None:
    """InputError where no file or folder of this name can be made: the next folder above it is none, or is closed."""
    above = path if path.is_dir() else next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not above.is_dir():
        raise InputError(f"{path}: cannot be written: {above} is no folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise InputError(f"{path}: cannot be written: the folder {above} is not writable")
    longest = os.pathconf(above, "PC_NAME_MAX") - PARTIAL
    if len(os.fsencode(path.name)) > longest:
        raise InputError(f"{path}: cannot be written: expected a name of at most {longest} bytes")


def _refuse_input(path: Path, inputs: Mapping[Path, str]) -> None:
    for read, name in inputs.items():
        if path.exists() and path.samefile(read):
            raise InputError(f"{path}: is read as well ({name} {read}): expected another file to write")


def _refuse_inside(folder: Path, inputs: Iterable[Path]) -> None:
    for read in inputs:
        if read.resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{folder}: is replaced as a whole and {read} is read from it: expected another folder")


def _paths(value: Any) -> Iterator[Path]:
    """What is there of what an argument names, by itself or behind `NAME=`."""
    for text in map(str, value if isinstance(value, list) else [value] if isinstance(value, str | Path) else []):
        for name in (text, text.partition("=")[2]):
            if name and os.path.exists(name):
                yield Path(name)
