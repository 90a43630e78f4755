"""Reading a config file with its run table: unknown, missing and mistyped keys are refused by name.

Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from srt.experiment.checks import name_findings, results_findings
from srt.experiment.runs import Run
from srt.experiment.table import Table, table_of
from srt.settings import Config, ResultsConfig
from srt.settings.base import Place
from srt.settings.places import findings_at, is_file
from srt.settings.types import Spot
from srt.settings.values import Reading
from srt.settings.whole import config_type
from srt.storage.errors import InputError
from srt.storage.findings import Finding, refuse
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

AnyConfig = TypeVar("AnyConfig", Config, ResultsConfig)
# What does not fit together in a config, its runs, the names of all of them, and the name of the file.
Check = Callable[[AnyConfig, Sequence[Run], Collection[str], str], Iterable[Finding]]


@dataclass(frozen=True)
class Parsed(Generic[AnyConfig]):
    """A config as far as it could be read, with its run table, and what is wrong with them.

    Attributes:
        config: None where nothing of it is of use.
        table: the runs that could be read, and the names of all.
        reading: which keys were wrong, so that what follows from them is not told as well.
        findings: everything that is wrong.
    """

    config: AnyConfig | None
    table: Table
    reading: Reading[AnyConfig]
    findings: list[Finding]

    def whole(self) -> tuple[AnyConfig, list[Run]]:
        """Config and runs where nothing is wrong with them; InputError with a line for everything that is."""
        refuse(self.findings)
        if self.config is None:
            raise InputError("the config cannot be read")
        return self.config, list(self.table.runs)


def parsed(values: Any, where: str) -> Parsed[Config]:
    """A config as Snakemake or YAML gives it, with its run table, as far as they can be read.

    InputError where a benchmark of another package is of no use, without which the config's keys are not known.
    """
    return _parsed(config_type(), name_findings, values, where)


def _parsed(kind: type[AnyConfig], check: Check[AnyConfig], values: Any, where: str) -> Parsed[AnyConfig]:
    reading = Reading(kind, values, where)
    config, findings = reading.settings, list(reading.findings)
    if config is None or reading.hides(""):
        return Parsed(None, Table(), reading, findings)
    table = Table() if reading.hides("run_table") else _run_table(config, where)
    findings += table.findings
    if not table.names:
        reading.incomplete.add("run_table")
    findings += reading.without_consequences(check(config, table.runs, table.names, where))
    return Parsed(config, table, reading, findings)


def _run_table(config: Config | ResultsConfig, where: str) -> Table:
    """The run table that a config names; where it is no file, that is all that is wrong with it."""
    no_file = findings_at(Spot("run_table", config.run_table, Place.RUN_TABLE, config), is_file, where)
    return Table(findings=no_file) if no_file else table_of(locate(config.run_table))


def parse(values: Any, where: str) -> tuple[Config, list[Run]]:
    """A config as Snakemake or YAML gives it, with its run table, all names resolved.

    InputError with a line for everything that is wrong otherwise.
    """
    return parsed(values, where).whole()


def default_config() -> Path:
    """The config file that ships with the package."""
    return locate("config/config.yaml")


def load(path: Path | None = None) -> tuple[Config, list[Run]]:
    """Load a config file, the shipped default where none is named."""
    path = path or default_config()
    return parse(read_yaml(path), str(path))


def load_results(path: Path | None = None) -> tuple[Config | ResultsConfig, list[Run]]:
    """Load what a report reads: a whole config file, or one of a `ResultsConfig`; the shipped default if None.

    InputError with a line for everything that is wrong. A file that has any other key of a config is a whole one.
    """
    path = path or default_config()
    values = read_yaml(path)
    others = Config.model_fields.keys() - ResultsConfig.model_fields.keys()
    if not isinstance(values, dict) or others & values.keys():
        return parse(values, str(path))
    return _parsed(ResultsConfig, results_findings, values, str(path)).whole()
