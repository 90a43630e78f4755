"""A fuzz in small: mutants of valid inputs, by fixed seeds, and what becomes of each in process.

An input is a value with a way to write it and a command or a reader that takes it. What a mutant should end in is an
accepted file, or one line and exit code 2. Whatever else happens is a `Finding`.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import os
import random
import resource
import shutil
import signal
import traceback
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from srt import cli
from srt.storage import progress

MOST_SECONDS = 5.0  # of this process's own time for one mutant; a valid input takes milliseconds
MOST_WAITING = 60.0  # of anybody's time
MOST_MEMORY = 700 << 20  # bytes of address space beyond what the process has
ALL = 1_000  # changes of an input's structure, where time does not matter
LONGEST_LINE = 2_000  # characters of what is said
DEEP = 20_000
Run = Callable[[Path], Any]


@dataclass(frozen=True)
class Finding:
    """What should not have happened to a mutant: an exception and where it was raised, or another kind of harm."""

    input: str
    mutation: str
    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.input}\t{self.mutation}\t{self.kind}\t{self.detail}"


@dataclass(frozen=True)
class Mutant:
    """A changed file: its bytes, or how it is made; `nonsense` where nobody could mean anything by it."""

    name: str
    data: bytes = b""
    nonsense: bool = False
    make: Callable[[Path], object] | None = None

    def write(self, path: Path) -> None:
        """Put the file in the place of what is there."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        if self.make:
            self.make(path)
        else:
            path.write_bytes(self.data)


@dataclass(frozen=True)
class Form:
    """A way to write a value, what stands for a text of the format itself, and whole files of it that are odd."""

    name: str
    dump: Callable[[Any], bytes]
    raw: dict[str, str] = field(default_factory=dict)
    whole: dict[str, bytes] = field(default_factory=dict)


# Values that a field may be given instead of its own. `Raw` is a text of the format that its writer cannot make.
@dataclass(frozen=True)
class Raw:
    """The name of one of a form's raw texts, written without quotes."""

    name: str


VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "-1": -1,
    "0": 0,
    "0.5": 0.5,
    "2**40": 2**40,
    "empty": "",
    "blank": " ",
    "word": "word",
    "number as text": "7",
    "huge text": "a b " * 50_000,
    "emoji": "\U0001f600",
    "control": "a\x00b\x1bc",
    "bidi": "a\u202eb\u2028c",
    "braces": "{x} {} {0} {input.x} %s $(touch owned)",
    "path up": "../../../../etc/passwd",
    "list": [],
    "list of null": [None],
    "list of lists": [[["x"]]],
    "dict": {},
    "dict of dict": {"x": {"y": [1]}},
}
JSON_RAW = {
    "1e400": "1e400",
    "-1e400": "-1e400",
    "NaN": "NaN",
    "5,000 digits": "9" * 5_000,
    "400 digits": "9" * 400,
    "deep list": "[" * DEEP + "]" * DEEP,
    "deep dict": '{"a":' * DEEP + "1" + "}" * DEEP,
    "lone surrogate": '"\\ud800x"',
    "no value": "",
}
YAML_RAW = {
    "1e400": "1e400",
    "2e-5": "2e-5",
    ".inf": ".inf",
    ".nan": ".nan",
    "5,000 digits": "9" * 5_000,
    "400 digits": "9" * 400,
    "deep list": "[" * DEEP + "]" * DEEP,
    "deep dict": "{a: " * DEEP + "1" + "}" * DEEP,
    "lone surrogate": '"\\ud800x"',
    "control": '"a\\x00b\\e"',
    "date": "2024-01-01",
    "no date": "2024-13-45",
    "time": "2024-01-01 25:61:61",
    "octal": "0o777",
    "sixties": "1:99:99",
    "python": "!!python/object/apply:os.getcwd []",
    "binary": "!!binary aGVsbG8=",
    "no binary": "!!binary \u00e9",
    "set": "!!set {a, b}",
    "omap": "!!omap [1]",
    "pairs": "!!pairs [{a: 1, b: 2}]",
    "no int": "!!int x",
    "no float": "!!float [1]",
    "no bool": "!!bool x",
    "no timestamp": "!!timestamp x",
    "no str": "!!str [1]",
    "empty int": '!!int ""',
    "unknown tag": "!foo bar",
    "unknown alias": "*nothing",
    "recursive": "&r [*r]",
    "recursive map": "&r {x: *r}",
    "merge": "{<<: 5}",
    "merge itself": "&r {<<: *r}",
    "list as key": "{[1, 2]: 3}",
    "dict as key": "{{a: b}: c}",
    "null as key": "{~: 1, true: 2}",
    "equals": "=",
    "twice": "{a: 1, a: 2}",
    "unclosed": '"abc',
    "bomb": "BOMB",
}
BOMB = "\n".join(["b0: &b0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"] + [
    f"b{n}: &b{n} [{', '.join([f'*b{n - 1}'] * 10)}]" for n in range(1, 9)
])  # fmt: skip
YAML_RAW["bomb"] = (
    "[&b0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol], "
    + ", ".join(f"&b{n} [{', '.join([f'*b{n - 1}'] * 10)}]" for n in range(1, 9))
    + "]"
)
JSON_WHOLE = {
    name: text.encode()
    for name, text in {
        "null": "null",
        "true": "true",
        "number": "1",
        "text": '"text"',
        "empty list": "[]",
        "empty dict": "{}",
        "list of null": "[null]",
        "list of lists": "[[[]]]",
        "list of numbers": "[1, 2]",
        "list of text": '["a"]',
        "deep": JSON_RAW["deep list"],
        "deep open": "[" * 100_000,
        "deep dicts": JSON_RAW["deep dict"],
        "digits": JSON_RAW["5,000 digits"],
        "digits in list": f"[{JSON_RAW['5,000 digits']}]",
        "NaN": "NaN",
        "list of NaN": "[NaN]",
        "1e400": "[1e400]",
        "two values": "{} {}",
        "comment": "// x\n{}",
        "html": "<!DOCTYPE html><html></html>",
        "LFS pointer": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    }.items()
}
YAML_WHOLE = {
    **{
        name: text.encode()
        for name, text in {
            **{name: JSON_WHOLE[name].decode() for name in ("null", "true", "number", "text", "empty list")},
            "empty dict": "{}",
            "deep": "[" * DEEP,
            "deep blocks": "\n".join(" " * n + "a:" for n in range(2_000)),
            "dashes": "- " * DEEP,
            "documents": "a: 1\n---\nb: 2\n",
            "directive": "%YAML 9.9\n---\na: 1\n",
            "no directive": "%FOO\na: 1\n",
            "tab": "a:\n\tb: 1\n",
            "bomb": BOMB,
            "word": "abc",
            "keys": "? [a]\n: b\n",
            "question": "? ? ? a",
            "merges": "<<: [1, 2]\n",
            "html": "<!DOCTYPE html><html></html>",
            "percent": "%",
            "at": "@a: 1",
            "tick": "`a`",
        }.items()
    },
    **{f"is {name}": text.encode() for name, text in YAML_RAW.items() if name != "bomb"},
}
TSV_WHOLE = {
    "header only": b"run\tdataset\n",
    "lines": b"\n\n\n",
    "tabs": b"\t\t\t\n\t\t\t\n",
    "quote": b'"\n',
    "huge cell": b"run\n" + b"a" * 200_000 + b"\n",
    "comments": b"# a\n# b\n",
    "commas": b"run,dataset,teacher,student,method,ratio,recipe,seed\nx,-,-,smollm2,none,-,-,-\n",
}


class _Twice(str):
    """A key that is written as the same text as another one."""


def _marked(value: Any, marks: dict[str, str]) -> Any:
    """The value with words in the place of raw texts."""
    if isinstance(value, Raw):
        marks.setdefault(value.name, f"MARK{len(marks)}KRAM")
        return marks[value.name]
    if isinstance(value, dict):
        return {
            f"TWICE{key}" if isinstance(key, _Twice) else _marked(key, marks): _marked(each, marks)
            for key, each in value.items()
        }
    return [_marked(each, marks) for each in value] if isinstance(value, list) else value


def _unmarked(text: str, marks: dict[str, str], raw: dict[str, str], quote: str) -> bytes:
    for name, mark in marks.items():
        text = text.replace(f"{quote}{mark}{quote}", raw[name])
    return text.replace("TWICE", "").encode("utf-8", "surrogatepass")


def _json(value: Any) -> bytes:
    marks: dict[str, str] = {}
    return _unmarked(json.dumps(_marked(value, marks)), marks, JSON_RAW, '"')


def _jsonl(rows: Any) -> bytes:
    return b"".join(_json(row) + b"\n" for row in rows) if isinstance(rows, list) else _json(rows)


def _yaml(value: Any) -> bytes:
    marks: dict[str, str] = {}
    text = yaml.dump(_marked(value, marks), Dumper=_Dumper, sort_keys=False, width=1_000)
    return _unmarked(text, marks, YAML_RAW, "")


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _tsv(rows: Any) -> bytes:
    return b"".join("\t".join(map(_cell, row)).encode("utf-8", "surrogatepass") + b"\n" for row in rows)


def _cell(value: Any) -> str:
    if isinstance(value, Raw):
        return JSON_RAW[value.name]
    return value if isinstance(value, str) else json.dumps(value)


def parquet(rows: Any) -> bytes:
    """Rows as Parquet; what it cannot hold stays out."""
    import pyarrow
    from pyarrow import parquet as format_

    file = io.BytesIO()
    format_.write_table(pyarrow.Table.from_pylist(rows), file)
    return file.getvalue()


JSON = Form("json", _json, JSON_RAW, JSON_WHOLE)
JSONL = Form("jsonl", _jsonl, JSON_RAW, {**JSON_WHOLE, "one object over lines": b'{\n"a": 1\n}\n'})
YAML = Form("yaml", _yaml, YAML_RAW, YAML_WHOLE)
TSV = Form("tsv", _tsv, {name: JSON_RAW[name] for name in ("1e400", "NaN", "5,000 digits")}, TSV_WHOLE)
PARQUET = Form("parquet", parquet)
TEXT = Form("text", lambda text: text.encode())


@dataclass(frozen=True)
class Input:
    """A valid input: `run` reads it from the file of that name; `out` is what it writes, if it does.

    `optional` need not be there, `may_be_empty`; `lenient` passes over what it cannot read; `only_values` is no file.
    Of a `dear` one, which takes long, a sixth of the mutants is tried.
    """

    name: str
    file: str
    form: Form
    value: Any
    run: Run
    out: str | None = None
    optional: bool = False
    may_be_empty: bool = False
    lenient: bool = False
    only_values: bool = False
    dear: bool = False


def mutants(given: Input, values: int) -> Iterator[Mutant]:
    """Mutants of an input, `values` of them by a change of its structure."""
    valid = given.form.dump(given.value)
    if not given.only_values:
        yield from _of_bytes(given, valid)
        yield from _of_files(given, valid)
        yield from (Mutant(f"whole: {name}", data) for name, data in given.form.whole.items())
    yield from _of_structure(given, values)


def _of_bytes(given: Input, valid: bytes) -> Iterator[Mutant]:
    rng = random.Random(f"bytes of {given.name}")
    binary = given.form in (PARQUET,)
    for n in range(6):
        place = rng.randrange(len(valid))
        flipped = bytes([valid[place] ^ (1 << rng.randrange(8))])
        yield Mutant(f"flip {n}", valid[:place] + flipped + valid[place + 1 :])
        yield Mutant(f"cut {n}", valid[:place], nonsense=binary)
        if not binary:
            break_in = rng.choice(
                (b'"', b"'", b"{", b"}", b"[", b"]", b":", b",", b"\\", b"\t", b"#", b"&", b"*", b"%")
            )
            yield Mutant(f"insert {break_in!r}", valid[:place] + break_in + valid[place:])
    if binary:
        return
    middle = valid.find(b"a", len(valid) // 2) if b"a" in valid[len(valid) // 2 :] else len(valid) // 2
    inserts = {
        "NUL": b"\0",
        "control": b"\x01\x1b\x7f",
        "latin-1": b"\xe9",
        "cp1252": b"\x93\x94",
        "surrogate": b"\xed\xa0\x80",
        "BOM within": b"\xef\xbb\xbf",
        "noncharacter": "\uffff".encode(),
        "separator": "\u2028\x0b\x0c\x85".encode(),
        "emoji": "\U0001f600".encode(),
    }
    bad = ("latin-1", "cp1252", "surrogate")
    for name, data in inserts.items():
        yield Mutant(name, valid[:middle] + data + valid[middle:], nonsense=name in bad)
        yield Mutant(f"{name} first", data + valid, nonsense=name in bad)
    yield Mutant("BOM", b"\xef\xbb\xbf" + valid)
    yield Mutant("two BOMs", b"\xef\xbb\xbf" * 2 + valid)
    text = valid.decode("utf-8", "surrogatepass")
    for encoding in ("utf-16", "utf-16-le", "utf-32", "utf-7", "cp037"):
        with contextlib.suppress(UnicodeEncodeError):
            yield Mutant(encoding, text.encode(encoding), nonsense=encoding in ("utf-16", "utf-32", "cp037"))
    yield Mutant("CRLF", valid.replace(b"\n", b"\r\n"))
    yield Mutant("CR", valid.replace(b"\n", b"\r"))
    yield Mutant("twice", valid + valid)
    yield Mutant("NULs", b"\0" * 4_096, nonsense=True)
    yield Mutant("noise", rng.randbytes(4_096), nonsense=True)


def _of_files(given: Input, valid: bytes) -> Iterator[Mutant]:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(given.file, valid)
    yield Mutant("empty", b"", nonsense=not given.may_be_empty)
    yield Mutant("blanks", b" \n\n \n", nonsense=not given.may_be_empty)
    yield Mutant("only a BOM", b"\xef\xbb\xbf", nonsense=not given.may_be_empty)
    yield Mutant("gz", gzip.compress(valid, mtime=0), nonsense=True)
    yield Mutant("zip", archive.getvalue(), nonsense=True)
    if given.form is not PARQUET:
        yield Mutant("parquet", parquet([{"instruction": "a", "output": "b"}]), nonsense=True)
    else:
        yield Mutant("json", b'[{"instruction": "a", "output": "b"}]', nonsense=True)
    yield Mutant("folder", nonsense=True, make=Path.mkdir)
    yield Mutant("not there", nonsense=not given.optional, make=lambda path: None)
    yield Mutant("link to itself", nonsense=not given.optional, make=lambda path: path.symlink_to(path.name))


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, each in items:
        yield from _places(each, (*at, key))


def _changed(value: Any, at: tuple[Any, ...], change: Callable[[Any, Any], Any]) -> Any:
    """A copy of the value in which `change(container, key)` gives the container of that place anew."""
    key, *rest = at
    copy = dict(value) if isinstance(value, dict) else list(value)
    if not rest:
        return change(copy, key)
    copy[key] = _changed(copy[key], tuple(rest), change)
    return copy


def _drop(container: Any, key: Any) -> Any:
    del container[key]
    return container


def _rename(new: Any) -> Callable[[Any, Any], Any]:
    def change(container: Any, key: Any) -> Any:
        if isinstance(container, list):
            return [*container, container[key]]
        return {(new(name) if name == key else name): each for name, each in container.items()}

    return change


def _swap(value: Any) -> Callable[[Any, Any], Any]:
    def change(container: Any, key: Any) -> Any:
        container[key] = value
        return container

    return change


def _double(container: Any, key: Any) -> Any:
    if isinstance(container, list):
        return [*container[: key + 1], container[key], *container[key + 1 :]]
    return {**container, _Twice(key): container[key]}


def _of_structure(given: Input, values: int) -> Iterator[Mutant]:
    if not isinstance(given.value, dict | list):
        return
    rng = random.Random(f"structure of {given.name}")
    changes: dict[str, Callable[[Any, Any], Any]] = {
        "drop": _drop,
        "double": _double,
        "rename": _rename(lambda key: f"{key}x"),
        "capitals": _rename(lambda key: str(key).upper()),
        "empty key": _rename(lambda key: ""),
        "odd key": _rename(lambda key: "\U0001f600 \x1b"),
        "number as key": _rename(lambda key: 1) if given.form is YAML else _drop,
        **{f"= {name}": _swap(value) for name, value in VALUES.items()},
        **{f"= raw {name}": _swap(Raw(name)) for name in given.form.raw},
    }
    pairs = [(at, name) for at in _places(given.value) for name in changes]
    for at, name in pairs if values >= len(pairs) else rng.sample(pairs, values):
        with contextlib.suppress(Exception):  # what the format itself cannot write
            data = given.form.dump(_changed(given.value, at, changes[name]))
            yield Mutant(f"{'.'.join(map(str, at))} {name}", data)


class TooSlow(BaseException):
    """Raised by the alarm; no handler of the program takes it for something of its own."""


def _alarm(*_: object) -> None:
    raise TooSlow


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Bounds of time and address space around one mutant, and a standard output that takes UTF-8 only."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = {number: signal.signal(number, _alarm) for number in (signal.SIGALRM, signal.SIGVTALRM)}
    signal.setitimer(signal.ITIMER_REAL, MOST_WAITING)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def outcome(run: Callable[[], Any]) -> tuple[str, str]:
    """(`accepted`, `refused` or what went wrong; the message, or the exception and its place).

    What runs is the call of a subcommand, so that its errors end as they do on the command line.
    """
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    try:
        with bounded(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _main(run)
            out.flush()
    except TooSlow:
        return "slow", f"more than {MOST_SECONDS:g} s"
    except (Exception, SystemExit) as error:  # noqa: BLE001 (each is a finding)
        return "traceback", f"{type(error).__name__} at {_place(error)}: {' '.join(str(error).split())[:100]}"
    return ("accepted", "") if code == 0 else _said(code, err.getvalue())


def _main(run: Callable[[], Any]) -> int:
    """`srt.cli.main` with a subcommand that calls this."""
    build, cli.build_parser = cli.build_parser, lambda: _OneCall(run, build)
    try:
        return cli.main([])
    finally:
        cli.build_parser = build


@dataclass
class _OneCall:
    """In the place of the parser; while its call runs, commands have the real one."""

    run: Callable[[], Any]
    build: Any

    def parse_args(self, _: object) -> argparse.Namespace:
        return argparse.Namespace(call=self._call)

    def _call(self, _: argparse.Namespace) -> int | None:
        cli.build_parser = self.build
        code = self.run()
        progress.forget_first()  # which a command that was refused leaves unsaid
        return code if isinstance(code, int) else None


def _said(code: int, text: str) -> tuple[str, str]:
    """What a command that ended with an exit code above 0 says, or what is wrong with that.

    It ends with one line for each of the things that are wrong.
    """
    told = [line for line in text.splitlines() if line.startswith("srt: ")]
    if not told or told != text.splitlines()[-len(told) :] or len(set(told)) < len(told):
        return "not a line each", f"{len(told)} lines"
    message = max(told, key=len)
    if code != 2:
        return f"exit code {code}", message[:200]
    if len(message) > LONGEST_LINE:
        return "long line", f"{len(message)} characters"
    if not all(map(str.isprintable, told)):
        return "control characters", repr(told)[:200]
    return "refused", message


def _place(error: BaseException) -> str:
    """The last place of the program itself on the way to an exception."""
    frames = traceback.extract_tb(error.__traceback__, limit=-60)
    ours = [frame for frame in frames if f"{os.sep}srt{os.sep}" in frame.filename] or frames
    return f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"


def findings(given: Input, folder: Path, values: int) -> tuple[int, list[Finding]]:
    """How many mutants of an input were tried, and what should not have happened."""
    found: list[Finding] = []
    path = folder / given.file
    out = folder / given.out if given.out else None
    valid = Mutant("valid", given.form.dump(given.value))
    _clear(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    valid.write(path)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        given.run(path)  # without bounds: what it imports stays
    kind, detail = outcome(lambda: given.run(path))
    if kind != "accepted":
        found.append(Finding(given.name, "valid", kind, detail))
    tried = 0
    for mutant in islice(mutants(given, values), None, None, 6 if given.dear and values < ALL else None):
        _clear(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        mutant.write(path)
        tried += 1
        kind, detail = outcome(lambda: given.run(path))
        if kind == "accepted" and mutant.nonsense and not given.lenient:
            found.append(Finding(given.name, mutant.name, "silent", "accepted"))
        elif kind not in ("accepted", "refused"):
            found.append(Finding(given.name, mutant.name, kind, detail))
        if out and kind not in ("accepted",) and out.exists():
            found.append(Finding(given.name, mutant.name, "half-written", out.name))
        for left in folder.rglob("*.partial"):
            found.append(Finding(given.name, mutant.name, "half-written", left.name))
            left.unlink()
    Mutant("", given.form.dump(given.value)).write(path)
    return tried, found


def _clear(out: Path | None) -> None:
    if out and out.is_dir():
        shutil.rmtree(out)
    elif out:
        out.unlink(missing_ok=True)


def command(*words: object) -> int:
    """A command of the program, in process; its parser is made once."""
    if not hasattr(cli.build_parser, "cache_info"):
        import functools

        cli.build_parser = functools.cache(cli.build_parser)
    return cli.main([str(word) for word in words])
