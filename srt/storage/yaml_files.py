"""Reading YAML that somebody else wrote: plain values only, each key once, and never more than fits a config.

Numbers are read as in YAML 1.2: `2e-5` is one, where YAML 1.1 and so PyYAML has a text. A date is a text.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from srt.storage.errors import InputError
from srt.storage.readers import read_text

MOST_BYTES = 4_000_000  # of a file; it is read at about 100 kB/s
MOST_VALUES = 100_000  # once aliases are unfolded
DEEPEST = 50  # maps and lists inside each other
LARGEST, LONGEST = 10**30, 120  # an integer, and its digits in any base
# The numbers that YAML 1.1 does not know; no digit is looked at twice.
EXPONENT = re.compile(r"\A[-+]?(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)[eE][-+]?[0-9]++\Z")
TAG = "tag:yaml.org,2002:"


def as_number(text: str) -> float | None:
    """The number that a text is in YAML 1.2 and not in 1.1; None where it is none."""
    return float(text) if EXPONENT.match(text) else None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which keeps the last of two equal keys in silence and unfolds aliases without an end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=self.peek_event().start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            _measure(node, {})
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError):  # what PyYAML leaves to Python
            kind = node.tag.removeprefix(TAG)
            raise yaml.MarkedYAMLError(problem=f"is no {kind}", problem_mark=node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == f"{TAG}merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.MarkedYAMLError(problem="expected a text as key", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} occurs twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        value: int = super().construct_yaml_int(node) if len(node.value) <= LONGEST else LARGEST + 1
        if abs(value) > LARGEST:
            raise yaml.MarkedYAMLError(problem="an integer has too many digits", problem_mark=node.start_mark)
        return value


_Loader.add_constructor(f"{TAG}int", _Loader.construct_yaml_int)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in known if tag != f"{TAG}timestamp"]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(f"{TAG}float", EXPONENT, list("-+.0123456789"))


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a node has once its aliases are unfolded, and how deep they lie.

    MarkedYAMLError where that is too much, or where a node is inside itself.
    """
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise yaml.MarkedYAMLError(problem="an alias stands inside what it names", problem_mark=node.start_mark)
        return found
    known[id(node)] = None
    inside = node.value if isinstance(node, yaml.CollectionNode) else []
    parts = [part for item in inside for part in (item if isinstance(item, tuple) else (item,))]
    values, depth = 1, 0
    for part in parts:
        more, below = _measure(part, known)
        values, depth = values + more, max(depth, below)
    if values > MOST_VALUES or depth >= DEEPEST:
        what = f"more than {MOST_VALUES:,} values" if values > MOST_VALUES else "nested too deeply"
        raise yaml.MarkedYAMLError(problem=f"{what}, aliases unfolded", problem_mark=node.start_mark)
    known[id(node)] = values, depth + 1
    return values, depth + 1


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; InputError with file and line where it is missing or malformed."""
    text = read_text(path, "a YAML file")
    if len(text) > MOST_BYTES:
        raise InputError(f"{path}: expected YAML of at most {MOST_BYTES:,} characters, found {len(text):,}")
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InputError(f"{path}: line {line}: is not YAML: control character U+{error.character:04X}") from None
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        told = ", ".join(filter(None, (error.context, error.problem)))
        raise InputError(f"{path}: {place}is not YAML: {told}") from None
    if value is None and text.strip() != "null":
        raise InputError(f"{path}: is empty, expected YAML")
    return value
