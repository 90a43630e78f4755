"""What differs from the paper's experiment: said in `deviations.yaml`, compared with the config where it can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, model_validator

from srt.experiment.judges import read_judge
from srt.experiment.runs import Run
from srt.report.formats import Column, Part, Row
from srt.settings import Config, Settings
from srt.settings.flags import flag_text
from srt.settings.judge import judge_name
from srt.settings.values import validated
from srt.storage.yaml_files import read_yaml

FILE = Path(__file__).resolve().parent / "deviations.yaml"
COLUMNS = (
    Column("topic", "What"),
    Column("paper", "The paper"),
    Column("here", "Here"),
    Column("why", "Why"),
)


class Deviation(Settings):
    """One entry: always a deviation (`here`), or one where the config's section has other values."""

    topic: str
    paper: str
    why: str
    here: str | None = None
    section: str | None = None
    values: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_two(self) -> Deviation:
        if (self.here is None) == (self.section is None) or bool(self.section) != bool(self.values):
            raise ValueError(f"{self.topic}: expected either `here`, or `section` with `values`")
        return self


class Deviations(Settings):
    """The file's entries under a name, as a list has none."""

    entries: list[Deviation]


@cache
def entries() -> list[Deviation]:
    """The entries of `deviations.yaml`; InputError names what is wrong in it."""
    return validated(Deviations, {"entries": read_yaml(FILE)}, str(FILE)).entries


def deviations(config: Config | None, runs: Sequence[Run]) -> tuple[Part, list[str]]:
    """The table of what differs, and the topics in which the config is as the paper.

    Args:
        config: the config of the results; without one, what depends on it is said to be unknown.
        runs: the run table; only what it uses of a named map is compared.
    """
    rows: list[Row] = []
    same: list[str] = []
    for entry in entries():
        here = entry.here or _compared(entry, config, runs)
        if here:
            rows.append({"topic": entry.topic, "paper": entry.paper, "here": here, "why": entry.why})
        else:
            same.append(entry.topic)
    return Part("deviations", "Deviations from the paper", COLUMNS, rows, "None."), same


def _compared(entry: Deviation, config: Config | None, runs: Sequence[Run]) -> str:
    """Every value that is not the paper's, by name; empty where all are."""
    if config is None:
        return "not known: no config was given"
    told = []
    for name, section in _sections(entry.section or "", config, runs).items():
        known = section.model_dump()
        differing = [
            f"{key} {flag_text(known[key])}"
            for key, value in entry.values.items()
            if key in known and not _is(known[key], value)
        ]
        if differing:
            told.append(f"{name}: {', '.join(differing)}" if name else ", ".join(differing))
    return "; ".join(told)


def _is(found: Any, expected: Any) -> bool:
    return found in expected if isinstance(expected, list) else bool(found == expected)


def _sections(name: str, config: Config, runs: Sequence[Run]) -> Mapping[str, BaseModel]:
    """The sections to compare: of a map, those entries that the runs and benchmarks use."""
    if name == "judges":
        return {judge_name(file): read_judge(file) for file in config.evaluate.judges()}
    section = getattr(config, name)
    if not isinstance(section, dict):
        return {"": section}
    field = {"teachers": "teacher", "students": "student", "recipes": "recipe"}.get(name)
    if field:
        used = {getattr(run, field) for run in runs}
    else:
        used = {config.questions[asked].decoding for asked in config.evaluate.question_sets()}
    return {key: value for key, value in section.items() if key in used}
