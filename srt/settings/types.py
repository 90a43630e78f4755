"""The types of settings, walked: what stands at a key, which paths a section has, and what could stand there."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from srt.settings.base import OneOf, Place
from srt.settings.cases import fields_of

TEXTS = ("x", "http://x/v1")  # what texts are allowed to be: names and paths, addresses


@dataclass(frozen=True)
class Spot:
    """A path in settings: its key, the path itself, what it leads to, and the section that has it."""

    key: str
    text: str
    place: Place
    section: BaseModel


def spots(section: BaseModel, before: str = "") -> Iterator[Spot]:
    """Every path in a section and in what is below it."""
    for name in type(section).model_fields:
        yield from _spots(getattr(section, name), field_type(type(section), name), f"{before}{name}", section)


def _spots(value: Any, kind: Any, key: str, section: BaseModel) -> Iterator[Spot]:
    if isinstance(value, BaseModel):
        yield from spots(value, f"{key}.")
    elif isinstance(value, dict | list):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for name, entry in entries:
            yield from _spots(entry, typing.get_args(bare(kind))[-1], f"{key}.{name}", section)
    elif isinstance(value, str):
        places = [mark for mark in getattr(kind, "__metadata__", ()) if isinstance(mark, Place)]
        yield from (Spot(key, value, place, section) for place in places)


def field_type(model: type[BaseModel], name: str) -> Any:
    """The type of a field with all that is said of it."""
    field = fields_of(model)[name]
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def bare(kind: Any) -> Any:
    """A type without its annotations and without null."""
    if typing.get_origin(kind) is Annotated:
        return bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return bare(next(part for part in typing.get_args(kind) if part is not types.NoneType))
    return kind


def is_model(kind: Any) -> bool:
    """Whether a bare type is a section."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def type_at(kind: Any, place: Sequence[str | int]) -> Any:
    """The type of what stands at a place in values of a type."""
    for part in place:
        inside = bare(kind)
        kind = field_type(inside, str(part)) if is_model(inside) else typing.get_args(inside)[-1]
    return kind


def above_json(kind: Any, place: Sequence[str | int]) -> tuple[str | int, ...]:
    """The part of a place that is typed: where plain JSON begins, pydantic goes on with names of its own."""
    for depth, part in enumerate(place):
        inside = bare(kind)
        if not (is_model(inside) or typing.get_args(inside)):
            return tuple(place[:depth])
        kind = field_type(inside, str(part)) if is_model(inside) else typing.get_args(inside)[-1]
    return tuple(place)


def names_at(kind: Any, place: Sequence[str | int]) -> list[str]:
    """The keys that may stand at a place, where there is a choice of them, or the words that are allowed there."""
    kind = type_at(kind, place)
    found = bare(kind)
    if is_model(found):
        return list(fields_of(found))
    return _words_of(kind) or [word for word in typing.get_args(found) if isinstance(word, str)]


def _words_of(kind: Any) -> list[str]:
    """The words that a type allows, where they are known only while the program runs."""
    marks = getattr(kind, "__metadata__", ())
    return [word for mark in marks if isinstance(mark, OneOf) for word in mark.words()]


def stand_in(kind: Any) -> Any:
    """Some value that a type allows, to go on with where the given one is none."""
    found = bare(kind)
    if kind is not found and _takes(kind, None):
        return None
    if words := _words_of(kind):
        return words[0]
    if is_model(found):
        return {name: stand_in(field_type(found, name)) for name in found.model_fields}
    if typing.get_origin(found) is typing.Literal:
        return typing.get_args(found)[0]
    if typing.get_origin(found) in (list, dict):
        return typing.get_origin(found)()
    plain: dict[Any, Any] = {bool: False, int: 2, float: 0.5}
    return plain[found] if found in plain else next(text for text in TEXTS if _takes(kind, text))


def _takes(kind: Any, value: Any) -> bool:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError:
        return False
    return True
