"""Reading config files and run tables into the types of `srt.settings`, and settings into command-line flags.

Unknown, missing and mistyped keys are refused by name. Importing this module imports no torch.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from srt.readers import tab_rows
from srt.records import InputError, describe
from srt.runs import SELECTED_METHODS, Run
from srt.settings import MT_BENCH, Config, JudgeConfig
from srt.settings.base import check_name
from srt.yaml_files import read_yaml as read_yaml  # noqa: PLC0414 (also named here)

AnySettings = TypeVar("AnySettings", bound=BaseModel)


def validated(kind: type[AnySettings], values: Any, where: str) -> AnySettings:
    """`values` as settings of that kind; InputError with the place, the key and what was expected."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{where}: {describe(error)}") from None


def read_runs(path: Path) -> list[Run]:
    """The run table; InputError names file, row and column."""
    if not path.exists():
        raise InputError(f"{path}: no such run table")
    rows = list(tab_rows(path))
    runs = [
        validated(Run, _typed_row(row), f"{path}: " + (f"run {row['run']!r}" if "run" in row else f"line {line}"))
        for line, row in rows
    ]
    names = [run.run for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: run {name!r} occurs twice, expected unique names")
    if not runs:
        raise InputError(f"{path}: has no runs, expected at least one row under the header")
    return runs


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
    """A config as Snakemake or YAML gives it, with its run table, all names resolved; InputError otherwise."""
    config = validated(Config, values, where)
    runs = read_runs(locate(config.run_table))
    maps: dict[str, Mapping[str, object]] = {
        "dataset": config.datasets,
        "teacher": {**config.teachers, **config.given.reflections},
        "student": config.students,
        "scorer": config.students,
        "recipe": config.recipes,
    }
    for run in runs:
        place = f"{config.run_table}: run {run.run!r}"
        for column, known in maps.items():
            name = getattr(run, column)
            if name is not None and name not in known:
                raise InputError(f"{place}: {column}: expected one of {sorted(known)}, found {name!r}")
        if config.responses == "selected" and run.method not in SELECTED_METHODS:
            raise InputError(f"{place}: method: responses 'selected' serves {SELECTED_METHODS}, found {run.method!r}")
    if config.responses == "selected" and config.score.precision == "exact" and config.score.dtype != "float32":
        # Phase 1 is decided before the response reflection, when no run's selection can be looked at yet.
        expected = "expected 'plain', or dtype float32"
        raise InputError(f"{where}: score.precision: responses 'selected' decides early: {expected}, found 'exact'")
    _check_spelling(config, runs, where)
    _check_evaluation(config, where)
    for name in config.report.licences:
        if name not in config.datasets:
            raise InputError(f"{where}: report.licences: expected one of {sorted(config.datasets)}, found {name!r}")
    from srt.given.check import check_given  # which reads the layout, and that reads this module

    check_given(config, runs, where)
    _check_named_runs(config, runs, where)
    return config, runs


def _check_spelling(config: Config, runs: Sequence[Run], where: str) -> None:
    """InputError where two names differ in capitals only, which is one name to some file systems."""
    names = {
        "datasets": config.datasets,
        "teachers": [*config.teachers, *config.given.reflections],
        "students": config.students,
        "questions": config.questions,
        "evaluate.open_llm": config.evaluate.open_llm,
        str(config.run_table): [run.run for run in runs],
    }
    for place, known in names.items():
        seen: dict[str, str] = {}
        for name in known:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                raise InputError(
                    f"{where}: {place}: expected names that differ not only in capitals, found {name!r} and {other!r}"
                )


def _check_named_runs(config: Config, runs: Sequence[Run], where: str) -> None:
    """InputError where an opponent is no run with a model, or a compared run is none."""
    names, evaluated = [run.run for run in runs], [run.run for run in runs if run.is_evaluated]
    opponents = config.evaluate.pairwise.opponents if config.evaluate.pairwise else []
    places = [("evaluate.pairwise.opponents", opponents, evaluated), ("report.compare", config.report.compare, names)]
    for place, named, known in places:
        for name in named:
            if name not in known:
                raise InputError(f"{where}: {place}: expected a run of {config.run_table}, found {name!r}")


def _check_evaluation(config: Config, where: str) -> None:
    """InputError where a benchmark needs questions, a way to answer them, or a judge's form that is not there."""
    for name, needed_by in config.evaluate.question_sets().items():
        if name not in config.questions:
            known = sorted(config.questions)
            raise InputError(f"{where}: questions: evaluate.{needed_by} needs {name!r}, found {known}")
    for name, questions in config.questions.items():
        if questions.decoding not in config.generate:
            found = f"expected one of {sorted(config.generate)}, found {questions.decoding!r}"
            raise InputError(f"{where}: questions.{name}.decoding: {found}")
    if config.evaluate.pairwise and MT_BENCH in config.evaluate.pairwise.questions:
        raise InputError(f"{where}: evaluate.pairwise.questions: expected questions of one turn, found {MT_BENCH!r}")
    if config.evaluate.calibration and not config.evaluate.calibration.annotations:
        raise InputError(f"{where}: evaluate.calibration.annotations: expected at least one file, found none")
    names = [judge_name(file) for file in config.evaluate.judges()]
    if len(set(names)) < len(names):
        files = sorted(config.evaluate.judges())
        raise InputError(f"{where}: evaluate: expected judges' files of different names, found {files}")
    for file, forms in config.evaluate.judges().items():
        try:
            check_name(judge_name(file))
        except ValueError as error:
            raise InputError(
                f"{where}: evaluate: the judge's name is that of its file: {error}, found {file!r}"
            ) from None
        judge = read_judge(file)
        for form in sorted(forms):
            if getattr(judge, form) is None:
                raise InputError(f"{where}: evaluate: {file} is asked in the form {form}, which is null there")


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
    if path.exists() or path.is_absolute() or path.parts[:1] not in (("config",), ("profiles",)):
        return path
    package = Path(__file__).resolve().parent
    for root in (package / "shipped", package.parent):  # in a wheel; in a checkout
        if (root / path).exists():
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
