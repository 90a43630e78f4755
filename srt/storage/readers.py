"""How a file that somebody else wrote is read: each kind in one place, whatever is in it.

What cannot be read is an InputError of one line: the file, the line or record, what was expected. A file is a regular
one, since it is read more than once; a name that ends in `.gz` says that it is packed. `srt.storage.yaml_files` reads
YAML.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srt.storage import finite
from srt.storage.errors import InputError

BOM = "\ufeff"  # a byte order mark, which some programs write before UTF-8
PACKED = ".gz"
MOST_UNPACKED = 100  # times its size; text shrinks to a tenth
SMALL = 1 << 26  # bytes that any file may unpack to
# How files begin that are no text, in words.
BEGINNINGS = {
    b"\x1f\x8b": "is gzip: unpack it, or let its name end in .gz",
    b"PK\x03\x04": "is a zip archive: unpack it",
    b"PAR1\x15": "is Parquet: let its name end in .parquet",
    b"(\xb5/\xfd": "is packed by zstd: unpack it",
    b"\xfd7zXZ": "is packed by xz: unpack it",
    b"BZh91AY": "is packed by bzip2: unpack it",
    b"\x89HDF": "is HDF5",
    b"ARROW1\0": "is Arrow",
    b"\xff\xfe": "is not UTF-8 text (byte 0) but UTF-16: save it as UTF-8",
    b"\xfe\xff": "is not UTF-8 text (byte 0) but UTF-16: save it as UTF-8",
}
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe, which can be read only once",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def other_kind(path: Path) -> str | None:
    """What is there in the place of a file, in words; None for a file, or nothing. The system's OSError otherwise."""
    mode = path.stat().st_mode if os.path.exists(path) else stat.S_IFREG
    return None if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no file")


def form_of(name: str | Path) -> str:
    """The ending that says how a file is written (`.json`), without that of its packing; in lower case."""
    return Path(str(name).lower().removesuffix(PACKED)).suffix


@contextlib.contextmanager
def opened(path: Path, expected: str) -> Iterator[io.BufferedIOBase]:
    """A file's bytes, unpacked where its name ends in `.gz`; reads nothing but what is asked for.

    Args:
        path: a regular file, or a link to one.
        expected: what it should be, as `a JSON file`.

    Raises:
        InputError: it is not there, no regular file, may not be read, or is packed otherwise than its name says; also
            what goes wrong with it while the context is open.
    """
    try:
        found = path.stat()
        if kind := other_kind(path):
            raise InputError(f"{path}: is {kind}, expected {expected}")
        with path.open("rb") as file:
            yield file if path.suffix.lower() != PACKED else _unpacked(file, found.st_size, path)
    except FileNotFoundError:
        target = f": it is a link to {path.readlink()}" if path.is_symlink() else ""
        raise InputError(f"{path}: no such file{target}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: is not gzip, as its name says, or is damaged: {error}") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _unpacked(file: io.BufferedReader, size: int, path: Path) -> io.BytesIO:
    """What a packed file holds; InputError where that is so much that it can be no text."""
    most = max(SMALL, MOST_UNPACKED * size)
    with gzip.GzipFile(fileobj=file) as packed:
        content = packed.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: expected at most {most:,} bytes in {size:,} of gzip, found more")
    return io.BytesIO(content)


def read_bytes(path: Path, expected: str = "a file") -> bytes:
    """All bytes of a file; the errors of `opened`."""
    with opened(path, expected) as file:
        return file.read()


def read_text(path: Path, expected: str = "a text file") -> str:
    """A file's UTF-8 text as it stands, but for a byte order mark; InputError also where it is none."""
    data = read_bytes(path, expected)
    _refuse_beginning(data, path, expected)
    return _decoded(data, f"{path}:", 0).removeprefix(BOM)


def _refuse_beginning(data: bytes, path: Path, expected: str) -> None:
    for beginning, told in BEGINNINGS.items():
        if data.startswith(beginning):
            raise InputError(f"{path}: {told}, expected {expected}")


def _decoded(data: bytes, where: str, before: int) -> str:
    """UTF-8 text; InputError names the first bad byte, counted from the file's begin (`before` of them came before)."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text (byte {before + error.start})") from None


def _text_lines(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """(number from 1, text without its end) of each line of a UTF-8 file; the errors of `read_text`."""
    number = before = 0
    with opened(path, expected) as file:
        for data in file:
            if number == 0:
                _refuse_beginning(data, path, expected)
            for line in data.splitlines():  # also at a lone carriage return
                number += 1
                text = _decoded(line, f"{path}: line {number}:", before)
                yield number, text.removeprefix(BOM) if number == 1 else text
            before += len(data)


def read_lines(path: Path, nan_is_null: bool = False) -> Iterator[tuple[int, Any]]:
    """(line number from 1, parsed JSON) of every non-blank line; InputError names what cannot be parsed."""
    for number, line in _text_lines(path, "a JSONL file"):
        if line.strip():
            try:
                value = finite.parse(line, nan_is_null)
            except json.JSONDecodeError as error:
                raise InputError(f"{path}: line {number}: is not JSON: {error.msg} at column {error.colno}") from None
            yield number, value


def read_json(path: Path, nan_is_null: bool = False) -> Any:
    """Read one JSON value; InputError where the file is missing or malformed, or has a number that is not finite.

    With `nan_is_null` NaN is null, as pandas writes it, and what is infinite is left to the caller.
    """
    text = _json_text(path)
    try:
        value = finite.parse(text, nan_is_null)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}: line {error.lineno}: is not JSON: {error.msg}") from None
    complaint = None if nan_is_null else finite.complaint(value)
    if complaint:
        raise InputError(f"{path}: {complaint}")
    return value


def _json_text(path: Path, expected: str = "JSON") -> str:
    text = read_text(path, "a JSON file")
    if not text.strip():
        raise InputError(f"{path}: is empty, expected {expected}")
    return text


def json_rows(path: Path, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """(position in words, value) of each record of a JSON file: a list, or one record, which has one of these keys.

    A file with a value on each line is read as JSONL, and a list as JSON, whatever the file's name says.
    """
    text = _json_text(path, "a JSON list of records")
    try:
        rows = finite.parse(text)
    except json.JSONDecodeError as error:
        if error.lineno == 1 or not error.msg.startswith("Extra data"):
            raise InputError(f"{path}: line {error.lineno}: is not JSON: {error.msg} at column {error.colno}") from None
        yield from ((f"line {number}", row) for number, row in read_lines(path))
        return
    if isinstance(rows, dict) and any(key in rows for key in keys):
        rows = [rows]
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a JSON list of records, found {type(rows).__name__}")
    yield from ((f"record {number}", row) for number, row in enumerate(rows))


def jsonl_rows(path: Path, keys: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """(position in words, value) of each line of a JSONL file; one that begins as a list is read by `json_rows`."""
    with opened(path, "a JSONL file") as file:
        start = file.read(64).removeprefix(BOM.encode()).lstrip()
    if start.startswith(b"["):
        yield from json_rows(path, keys)
    else:
        yield from ((f"line {number}", row) for number, row in read_lines(path))


def parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(position in words, record) of a Parquet file; InputError where it is none, or a column is there twice."""
    import pyarrow
    from pyarrow import parquet

    with opened(path, "a Parquet file") as file:
        try:
            table = parquet.ParquetFile(file).read()
            names = table.column_names
            twice = next((name for name in names if names.count(name) > 1), None)
            rows = [] if twice is not None else table.to_pylist()
        except (pyarrow.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]
            raise InputError(f"{path}: is not Parquet: {told}") from None
    if twice is not None:
        raise InputError(f"{path}: column {twice!r} occurs twice, expected unique names")
    yield from ((f"record {number}", row) for number, row in enumerate(rows))


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """(number from 1, cells) of every row of a table as text; InputError also for quotes that do not close."""
    number = 0
    try:
        for number, row in enumerate(
            csv.reader(io.StringIO(read_text(path, "a table"), newline=""), delimiter=delimiter, strict=True), start=1
        ):
            yield number, row
    except csv.Error as error:
        raise InputError(f"{path}: row {number + 1}: is not CSV: {error}") from None


def csv_records(path: Path, delimiter: str = ",") -> tuple[list[str], list[dict[str, str]]]:
    """A table's header, and its rows by column; InputError where there is none, or a row has more or fewer cells."""
    rows = [(number, row) for number, row in csv_rows(path, delimiter) if row]
    if not rows:
        raise InputError(f"{path}: is empty, expected a table with a header")
    (_, header), *body = rows
    if len(set(header)) < len(header):
        raise InputError(f"{path}: row 1: expected columns of different names, found {header}")
    for number, row in body:
        if len(row) != len(header):
            raise InputError(f"{path}: row {number}: expected {len(header)} cells, found {len(row)}")
    return header, [dict(zip(header, row, strict=True)) for _, row in body]


def tab_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number from 1, cells by column) of a table with tabs: no blanks around cells, no lines that begin with `#`.

    InputError names the line with another number of cells than the header; empty ones at its end do not count.
    """
    header: list[str] = []
    for number, line in _text_lines(path, "a table"):
        if not line.strip() or line.startswith("#"):
            continue
        where = f"{path}: line {number}"
        cells = _cells(line, where)
        while len(cells) > max(1, len(header)) and not cells[-1]:
            cells.pop()
        if header and len(cells) != len(header):
            raise InputError(f"{where}: expected {len(header)} cells with a tab between them, found {_told(cells)}")
        if header:
            yield number, dict(zip(header, cells, strict=True))
            continue
        header = cells
        twice = next((name for name in header if header.count(name) > 1), None)
        if len(header) == 1 or twice is not None:
            found = _told(header) if twice is None else f"column {twice!r} twice"
            raise InputError(f"{where}: expected the names of columns with a tab between them, found {found}")


def _cells(line: str, where: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter="\t", strict=True))]
    except csv.Error as error:
        raise InputError(f"{where}: expected cells with a tab between them, each quote closed: {error}") from None


def _told(cells: list[str]) -> str:
    """How many cells there are and, where it is one, what may have been meant to divide it."""
    marks = {"commas": ",", "semicolons": ";", "spaces": " "}
    divided = next((name for name, mark in marks.items() if mark in cells[0]), "no tab")
    return str(len(cells)) if len(cells) > 1 else f"one with {divided}"
