"""Sections some of whose settings exist in some cases only, told apart by one of their fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ModelWrapValidatorHandler, model_validator
from pydantic.fields import FieldInfo

from srt.settings.base import Settings


class Cased(Settings):
    """A section with a subclass for each case: it has the fields that all share, the subclasses those of their own.

    Values are read as the case that the field `TOLD_BY` names. Pydantic's own tagged unions would do, but for the tags
    that they put into the way to a complaint, where no key stands.

    Attributes:
        TOLD_BY: the field that tells the cases apart.
        ORDER: the first flags in their order, where it is not that of the fields; Snakemake takes another order for
            other settings.
    """

    TOLD_BY: ClassVar[str]
    ORDER: ClassVar[tuple[str, ...]] = ()

    def __new__(cls, **values: Any) -> Self:
        """An object of the case: what is called is validated in place, so that it has to be of its type already."""
        made: Self = super().__new__(case_of(cls, values))
        return made

    @model_validator(mode="wrap")
    @classmethod
    def _as_its_case(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if not cls.__subclasses__() or not isinstance(values, Mapping):
            return handler(values)
        case = case_of(cls, values)
        if case is not cls:
            found: Self = case.model_validate(values)
            return found
        some = fields_of(cls).keys() - cls.model_fields.keys()  # whether these exist cannot be told
        return handler({name: value for name, value in values.items() if name not in some})


def section_of(kind: type[BaseModel]) -> type[BaseModel]:
    """The section that a case is one of; what is no case, itself."""
    return next((base for base in kind.__mro__ if Cased in base.__bases__), kind)


def case_of(kind: type[BaseModel], values: Mapping[str, Any]) -> type[Any]:
    """The case that values are of; the section itself where it has no cases, or the values name none of them."""
    if not issubclass(kind, Cased):
        return kind
    word = values.get(kind.TOLD_BY)
    cases = (case for case in kind.__subclasses__() if word in get_args(case.model_fields[kind.TOLD_BY].annotation))
    return next(cases, kind)


def fields_of(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a section in all of its cases, as the section itself has those that they share."""
    of_cases = [fields_of(case) for case in kind.__subclasses__()] if issubclass(kind, Cased) else []
    found = {name: field for fields in (*of_cases, kind.model_fields) for name, field in fields.items()}
    first = kind.ORDER if issubclass(kind, Cased) else ()
    return {name: found[name] for name in sorted(found, key=lambda name: (*first, name).index(name))}
