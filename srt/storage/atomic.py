"""Files and folders that are whole under their name or not there at all, whatever fails on the way."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from srt.storage.errors import InputError, writing

KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
}


def refuse_other_kind(path: Path, folder: bool = False) -> None:
    """InputError where something else than a file (or a folder) is there: a device, say, which root can replace.

    A link counts as what it points to. One to a file is replaced; the file that it points to stays as it is.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):  # the latter is told with the parent's name
        return
    if kind != (stat.S_IFDIR if folder else stat.S_IFREG):
        expected = "a folder" if folder else "the name of a file"
        raise InputError(f"{path}: is {KINDS.get(kind, 'no file')}: expected {expected} to write")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name to write a file under; it is on the disk and has the name `path` once the context is closed.

    Raises:
        InputError: what has that name is no file.
        OSError: it cannot be written; names `path`, and nothing is left of it.
    """
    refuse_other_kind(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            sync(partial)
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def leaving_nothing(partial: Path, path: Path) -> Iterator[None]:
    """Where what is to become the folder `path` cannot be written, `partial` is removed; the OSError names `path`."""
    try:
        with writing(path):
            yield
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
