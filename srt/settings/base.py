"""What all sections of the config share: strict types, and what a name, a path and an address may look like.

All of them reach a shell and Snakemake. Every value is quoted on its way; what quoting cannot help is refused here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, GetCoreSchemaHandler, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticKnownError
from pydantic_core.core_schema import no_info_after_validator_function

from srt.storage.yaml_files import as_number

Dtype = Literal["float32", "bfloat16", "float16"]
Backend = Literal["auto", "transformers", "vllm", "vllm-server", "openai"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,79}")
NAME_EXPECTED = "expected at most 80 of the letters A to Z and a to z, digits, '.', '_' and '-', no mark in front"
# What RFC 3986 lets an address have, without the comma, behind which a flag names the key's variable.
ADDRESS = re.compile(r"https?://[A-Za-z0-9._~:/?#\[\]@!$&'()*+;=%-]+")
ADDRESS_EXPECTED = "expected an address as http(s)://HOST/v1 in RFC 3986's characters, without commas"
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
VARIABLE_EXPECTED = "expected the name of an environment variable"
PATH_EXPECTED = (
    "expected a path or name without braces, line breaks and outer blanks, with neither '-' nor '~' in front"
)


@dataclass(frozen=True)
class OneOf:
    """A word out of some that are known only while the program runs; it is told from others as a Literal's is.

    Attributes:
        words: gives the words that are allowed.
    """

    words: Callable[[], Collection[str]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(self._check, handler(source))

    def _check(self, text: str) -> str:
        words = list(map(repr, self.words()))
        if repr(text) not in words:
            raise PydanticKnownError("literal_error", {"expected": f"{', '.join(words[:-1])} or {words[-1]}"})
        return text


LARGEST = 2**53  # a larger whole number is not the same as a float


def _is_printable(text: str, allowed: str = "") -> bool:
    """Whether a text has neither control characters, but for those allowed, nor halves of characters (surrogates)."""
    return not any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in allowed for letter in text)


def _path(text: str | None) -> str | None:
    """A path stays as it is. Snakemake takes braces for wildcards; a leading dash makes a flag, a tilde a home."""
    if text is not None and (
        not text or text != text.strip() or text[0] in "-~" or set("{}") & set(text) or not _is_printable(text)
    ):
        raise ValueError(PATH_EXPECTED)
    return text


def check_name(text: str) -> str:
    """A name, which becomes part of a file's; ValueError for one that cannot."""
    if NAME.fullmatch(text) is None:
        raise ValueError(NAME_EXPECTED)
    return text


def check_address(text: str) -> str:
    """A server's address; ValueError for what is none."""
    if ADDRESS.fullmatch(text) is None:
        raise ValueError(ADDRESS_EXPECTED)
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ValueError("expected an address without user and password (a key comes from the environment)")
    try:
        parts.port  # noqa: B018 (read for its check)
    except ValueError:  # whose text has what may be a password in it
        raise ValueError(ADDRESS_EXPECTED) from None
    return text


def _variable(text: str | None) -> str | None:
    if text is not None and VARIABLE.fullmatch(text) is None:
        raise ValueError(VARIABLE_EXPECTED)
    return text


Name = Annotated[str, AfterValidator(check_name)]
Location = Annotated[str, AfterValidator(_path)]  # a file, a folder, or something on the hub
OptionalLocation = Annotated[str | None, AfterValidator(_path)]
Address = Annotated[str, AfterValidator(check_address)]


class Place(Enum):
    """What a path of the settings leads to; `srt.planning.paths` has a look at each kind before the work begins."""

    OUTPUT = auto()  # a folder that is made
    RUN_TABLE = auto()
    SOURCE = auto()  # a file of records, or `hub:OWNER/NAME/FILE`
    DATA_SET = auto()  # the same, or a hub data set by name
    QUESTIONS = auto()  # a source whose records are questions
    ANNOTATIONS = auto()  # a source whose records are published judgments
    MODEL = auto()  # a folder or a hub name; where an endpoint answers, its model's name
    STYLE = auto()  # how a teacher is asked
    CLEANING = auto()  # how its answers are cleaned
    TEMPLATE = auto()  # a name of alpaca-eval's, or a file
    GUESS = auto()
    JUDGE = auto()
    COMPARISON = auto()  # a folder, or a name in alpaca-eval
    SCORES = auto()
    GRADES = auto()
    SUITE = auto()
    ITEMS = auto()  # the folder of a suite's items


OptionalVariable = Annotated[str | None, AfterValidator(_variable)]


def _is_number(field: FieldInfo) -> bool:
    kinds = (field.annotation, *get_args(field.annotation))
    return float in kinds and str not in kinds


class Settings(BaseModel):
    """Base of all sections: strict types, no unknown key, immutable, no text that a command cannot hold."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers_of_yaml(cls, values: Any) -> Any:
        """Snakemake reads a config by YAML 1.1, where `2e-5` is a text: a number, where the field is one."""
        if not isinstance(values, Mapping):
            return values
        fields = {name: field for name, field in cls.model_fields.items() if _is_number(field)}
        read = {name: as_number(text) for name in fields if isinstance(text := values.get(name), str)}
        return {**values, **{name: number for name, number in read.items() if number is not None}}

    @field_validator("*")
    @classmethod
    def _has_printable_texts(cls, value: Any) -> Any:
        parts = value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else [value]
        if not all(_is_printable(part, allowed="\n\t") for part in parts if isinstance(part, str)):
            raise ValueError("expected text without control characters")
        if any(abs(part) > LARGEST for part in parts if isinstance(part, int)):
            raise ValueError(f"expected a whole number up to {LARGEST}")
        return value
