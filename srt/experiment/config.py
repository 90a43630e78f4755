"""Reading a config file with its run table: unknown, missing and mistyped keys are refused by name.

Importing this module imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srt.experiment.checks import name_findings
from srt.experiment.runs import Run
from srt.experiment.table import Table, table_of
from srt.settings import Config
from srt.settings.base import Place
from srt.settings.places import findings_at, is_file
from srt.settings.types import Spot
from srt.settings.values import Reading
from srt.settings.whole import config_type
from srt.storage.errors import InputError
from srt.storage.findings import Finding, refuse
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml


@dataclass(frozen=True)
class Parsed:
    """A config as far as it could be read, with its run table, and what is wrong with them.

    Attributes:
        config: None where nothing of it is of use.
        table: the runs that could be read, and the names of all.
        reading: which keys were wrong, so that what follows from them is not told as well.
        findings: everything that is wrong.
    """

    config: Config | None
    table: Table
    reading: Reading[Config]
    findings: list[Finding]

    def whole(self) -> tuple[Config, list[Run]]:
        """Config and runs where nothing is wrong with them; InputError with a line for everything that is."""
        refuse(self.findings)
        if self.config is None:
            raise InputError("the config cannot be read")
        return self.config, list(self.table.runs)


def parsed(values: Any, where: str) -> Parsed:
    """A config as Snakemake or YAML gives it, with its run table, as far as they can be read.

    InputError where a benchmark of another package is of no use, without which the config's keys are not known.
    """
    reading = Reading(config_type(), values, where)
    config, findings = reading.settings, list(reading.findings)
    if config is None or reading.hides(""):
        return Parsed(None, Table(), reading, findings)
    table = Table() if reading.hides("run_table") else _run_table(config, where)
    findings += table.findings
    if not table.names:
        reading.incomplete.add("run_table")
    findings += reading.without_consequences(name_findings(config, table.runs, table.names, where))
    return Parsed(config, table, reading, findings)


def _run_table(config: Config, where: str) -> Table:
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
