"""The methods by their names: this package's, and those of other packages that are installed beside it.

Such a package names an object of `srt.selection.method.Method` as an entry point of GROUP, under the method's own name.
It is imported when somebody asks for that method, or for all of them, and not before.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points

from srt.selection.builtin import METHODS
from srt.selection.method import Method
from srt.storage.errors import InputError
from srt.storage.findings import expected_one_of

__all__ = ["GROUP", "Method", "controls", "method_named", "methods", "names", "selecting"]
GROUP = "srt.methods"
_BUILT_IN = {method.name: method for method in METHODS}


def names() -> tuple[str, ...]:
    """The names of all methods: those of this package, then those of others."""
    return (*_BUILT_IN, *_others())


def selecting() -> tuple[str, ...]:
    """The names of the methods that choose; those of other packages all do."""
    return (*(name for name, method in _BUILT_IN.items() if method.chooses), *_others())


def methods() -> list[Method]:
    """All methods; InputError where an entry point cannot be loaded."""
    return [method_named(name) for name in names()]


def controls() -> list[Method]:
    """The methods that choose at random, so that what another one gains can be told from what any choice would."""
    return [method for method in methods() if method.role == "control"]


@cache
def method_named(name: str) -> Method:
    """The method of that name; InputError where there is none, or where its entry point cannot be loaded."""
    if name in _BUILT_IN:
        return _BUILT_IN[name]
    if name not in _others():
        raise InputError(f"method: {expected_one_of(names(), name)}")
    return _loaded(_others()[name])


@cache
def _others() -> dict[str, EntryPoint]:
    """Entry points by name; InputError for one with the name of another method."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.setdefault(point.name, point)
        if point.name in _BUILT_IN or other.value != point.value:
            raise InputError(f"{_called(point)}: expected another name: there is a method {point.name!r}")
    return found


def _loaded(point: EntryPoint) -> Method:
    try:
        found = point.load()
    except Exception as error:
        raise InputError(f"{_called(point)}: cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, Method):
        raise InputError(f"{_called(point)}: expected a srt.selection.method.Method, found {type(found).__name__}")
    if found.name != point.name or not found.chooses:
        raise InputError(
            f"{_called(point)}: expected a method that chooses, of the entry point's name, found {found.name!r}"
        )
    return found


def _called(point: EntryPoint) -> str:
    """An entry point as its package writes it."""
    return f"entry point {point.name} = {point.value} of {GROUP}"
