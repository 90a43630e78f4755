"""The hash of what a step writes: of what it decided, and of nothing that machine, day or installation decides."""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Left out of every JSON, wherever the key stands.
LEFT_OUT = {
    "versions": "the installed packages",
    "device": "the machine",
    "threads": "the machine",
    "seconds": "the day",
    "identity": "a hash of the model's files, in which transformers writes its version",
    "base_identity": "the same",
    "config_sha256": "a hash of lm-eval's definition of a task, another one in each of its versions",
    "grad_norm": "follows from the loss, and carries more rounding than it",
}
# Left out as files: pixels and glyphs are matplotlib's and freetype's; their numbers stand in the tables.
PICTURES = (".pdf", ".png", ".svg")
# Left out of page and cards: embedded pictures, and the lines that say on which commit and machine they were made.
OF_THE_DAY = re.compile(
    r"data:[a-z]+/[^\"')]+|<dt>(?:Commit|Report made on)</dt><dd>.*?</dd>|^- Code: commit.*", re.MULTILINE
)
# Significant digits of a number that a model computed. Float32 sums in another order (another CPU, other threads) move
# it by 1e-7 of itself, and by some 1e-6 after optimizer steps. So no number may be stored that is nearer than NEAR, as
# a share of it, to the point where it is rounded to another digit.
DIGITS = 3
NEAR = 1e-5
# Of every other number: only the last place may be another C library's.
EXACT_DIGITS = 12


def digest(path: Path, of_model: bool) -> str:
    """The SHA-256 of a file's decided content; numbers are rounded where a model computed them."""
    return hashlib.sha256(_content(path, of_model).encode()).hexdigest()


def _content(path: Path, of_model: bool) -> str:
    if "json" not in path.suffix:
        return OF_THE_DAY.sub("", path.read_text(encoding="utf-8"))
    digits = DIGITS if of_model else EXACT_DIGITS
    return "\n".join(json.dumps(_rounded(_kept(value), digits), sort_keys=True) for value in _values(path))


def _values(path: Path) -> list[Any]:
    """What a JSON file holds, or each line of a JSONL file."""
    text = path.read_text(encoding="utf-8")
    return list(map(json.loads, text.splitlines() if path.suffix == ".jsonl" else [text]))


def _kept(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _kept(each) for key, each in value.items() if key not in LEFT_OUT}
    return list(map(_kept, value)) if isinstance(value, list) else value


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each, digits) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each, digits) for each in value]
    return f"{value:.{digits - 1}e}" if isinstance(value, float) else value


def near_edges(path: Path) -> list[float]:
    """The numbers of a JSON or JSONL file that another CPU might round to another digit."""
    return [number for value in _values(path) for number in _numbers(_kept(value)) if number and _edge(number) < NEAR]


def _numbers(value: Any) -> Iterator[float]:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    yield from (number for part in parts for number in _numbers(part))
    if isinstance(value, float):
        yield value


def _edge(value: float) -> float:
    """How far a number is from the nearest point where its rounding changes, as a share of it."""
    scale = 10.0 ** (DIGITS - 1 - math.floor(math.log10(abs(value))))
    return abs((abs(value) * scale) % 1 - 0.5) / (abs(value) * scale)
