"""A whole config with its run table: everything that is wrong with it, and with what it needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from srt.checks.access import access_findings
from srt.checks.finding import Finding, lines_of, refuse
from srt.checks.names import name_findings
from srt.checks.paths import findings_at, path_findings
from srt.checks.table import Table
from srt.checks.types import Spot
from srt.checks.values import Reading
from srt.config import locate, table_of
from srt.demo_model import FOLDER as DEMO_MODEL
from srt.records import InputError
from srt.runs import Run
from srt.settings import Config
from srt.settings.base import Place

MADE = (DEMO_MODEL,)  # models that a rule of the workflow makes


@dataclass(frozen=True)
class Examined:
    """A config as far as it could be read, with its runs, and what is wrong with it.

    `outside` is what is wrong with what the config names: files, folders, servers, keys. It matters where it is needed.
    """

    config: Config | None
    runs: Sequence[Run]
    findings: Sequence[Finding]
    outside: Sequence[Finding]

    def whole(self) -> tuple[Config, list[Run]]:
        """Config and runs where nothing is wrong with them; InputError with a line for everything that is."""
        refuse(self.findings)
        if self.config is None:
            raise InputError("the config cannot be read")
        return self.config, list(self.runs)


def examine(values: Any, where: str, outside: bool = True) -> Examined:
    """Look at everything of a config; without `outside` only at the config and its run table."""
    reading = Reading(Config, values, where)
    config, findings = reading.settings, list(reading.findings)
    if config is None or reading.hides(""):
        return Examined(None, [], findings, [])
    table = Table() if reading.hides("run_table") else _run_table(config, where)
    findings += table.findings
    if not table.names:
        reading.incomplete.add("run_table")
    findings += reading.without_consequences(name_findings(config, table.runs, table.names, where))
    found: list[Finding] = []
    if outside:
        found += path_findings(config, where, MADE)
        found += access_findings(config, table, where)
    return Examined(config, table.runs, findings, list(reading.without_consequences(found)))


def _run_table(config: Config, where: str) -> Table:
    """The run table that a config names; where it is no file, that is all that is wrong with it."""
    no_file = findings_at(Spot("run_table", config.run_table, Place.RUN_TABLE, config), where)
    return Table(findings=no_file) if no_file else table_of(locate(config.run_table))


def lines(examined: Examined) -> list[str]:
    """Everything that is wrong, a line each."""
    return lines_of([*examined.findings, *examined.outside])
