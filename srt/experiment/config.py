"""Reading config files and run tables into the types of `srt.settings`, and settings into command-line flags.

Unknown, missing and mistyped keys are refused by name. Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from srt.checks.finding import Finding, refuse
from srt.checks.table import Table, examine_rows
from srt.checks.values import Reading
from srt.readers import tab_rows
from srt.records import InputError
from srt.runs import Run
from srt.settings import Config, JudgeConfig
from srt.yaml_files import read_yaml as read_yaml  # noqa: PLC0414 (also named here)

AnySettings = TypeVar("AnySettings", bound=BaseModel)


def validated(kind: type[AnySettings], values: Any, where: str) -> AnySettings:
    """`values` as settings of that kind; InputError with a line for every key that is wrong."""
    return Reading(kind, values, where).whole()


def read_runs(path: Path) -> list[Run]:
    """The run table; InputError with a line for every row and column that is wrong."""
    table = table_of(path)
    refuse(table.findings)
    return table.runs


def table_of(path: Path) -> Table:
    """The run table as far as it can be read, and what is wrong with it."""
    try:
        return examine_rows([(line, _typed_row(row)) for line, row in _rows(path)], str(path))
    except InputError as error:
        return Table(findings=[Finding("", "", str(error))])


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    if not os.path.exists(path):  # also of a name that is too long
        raise InputError(f"{path}: no such run table")
    return tab_rows(path)


def _typed_row(row: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for column, text in row.items():
        value: Any = None if text == "-" else text
        if value is not None and column in ("ratio", "seed"):
            with contextlib.suppress(ValueError):  # what is no number stays text, which the strict type refuses by name
                value = float(value) if column == "ratio" else int(value)
        values[column] = value
    return values


def parse(values: Any, where: str) -> tuple[Config, list[Run]]:
    """A config as Snakemake or YAML gives it, with its run table, all names resolved.

    InputError with a line for everything that is wrong otherwise.
    """
    from srt.checks.whole import examine  # which reads judges' files, and so this module

    return examine(values, where, outside=False).whole()


def read_judge(name: str) -> JudgeConfig:
    """A judge from its file; InputError with file and key where it does not fit."""
    path = locate(name)
    return validated(JudgeConfig, read_yaml(path), str(path))


def judge_name(file: str) -> str:
    """The name of a judge: its file's, under which `execution.endpoints` says where it answers."""
    return Path(file).stem


def default_config() -> Path:
    """The config file that ships with the package."""
    return locate("config/config.yaml")


def load(path: Path | None = None) -> tuple[Config, list[Run]]:
    """Load a config file, the shipped default where none is named."""
    path = path or default_config()
    return parse(read_yaml(path), str(path))


def locate(name: str) -> Path:
    """A path as given or, for `config/...` and `profiles/...` where it does not exist, what ships with the package."""
    path = Path(name)
    if os.path.exists(path) or path.is_absolute() or path.parts[:1] not in (("config",), ("profiles",)):
        return path
    package = Path(__file__).resolve().parent
    for root in (package / "shipped", package.parent):  # in a wheel; in a checkout
        if os.path.exists(root / path):
            return root / path
    return path


def flag_fields(kind: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields that are command-line flags: all but lists and maps, which only the workflow reads."""
    return {
        name: field for name, field in kind.model_fields.items() if get_origin(field.annotation) not in (list, dict)
    }


def as_flags(settings: BaseModel, prefix: str = "", only: Sequence[str] = (), without: Sequence[str] = ()) -> str:
    """Settings (those in `only`, not those in `without`) as shell-quoted flags, the inverse of `srt.cli`."""
    return " ".join(
        flag(f"{prefix}{name}".replace("_", "-"), getattr(settings, name))
        for name in flag_fields(type(settings))
        if (not only or name in only) and name not in without
    )


def flag(name: str, value: Any) -> str:
    """One flag with its value, quoted for the shell; joined by `=` where the value itself looks like a flag."""
    text = flag_text(value)
    return shlex.join([f"--{name}={text}"] if text.startswith("-") else [f"--{name}", text])


def flag_text(value: Any) -> str:
    """One value as the text of a flag: null, true and false as in YAML."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)
