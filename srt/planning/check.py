"""A whole config with its run table: everything that is wrong with it, and with what it needs from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from srt.experiment.config import Parsed, parsed
from srt.experiment.runs import Run
from srt.planning._access import access_findings
from srt.planning.paths import path_findings
from srt.prepare.demo_model import FOLDER as DEMO_MODEL
from srt.settings import Config
from srt.storage.findings import Finding, lines_of

MADE = (DEMO_MODEL,)  # models that a rule of the workflow makes


@dataclass(frozen=True)
class Examined:
    """A config as far as it could be read, with its runs, and what is wrong with it.

    `outside` is what is wrong with what the config names: files, folders, servers, keys. It matters where it is needed.
    """

    parsed: Parsed[Config]
    outside: Sequence[Finding]

    @property
    def config(self) -> Config | None:
        """The config; None where nothing of it is of use."""
        return self.parsed.config

    @property
    def runs(self) -> Sequence[Run]:
        """The runs that could be read."""
        return self.parsed.table.runs

    @property
    def findings(self) -> Sequence[Finding]:
        """What is wrong with the config and its run table themselves."""
        return self.parsed.findings

    def whole(self) -> tuple[Config, list[Run]]:
        """Config and runs where nothing is wrong with them; InputError with a line for everything that is."""
        return self.parsed.whole()


def examine(values: Any, where: str) -> Examined:
    """Look at everything of a config and of what it names."""
    found = parsed(values, where)
    if found.config is None:
        return Examined(found, [])
    outside = [*path_findings(found.config, where, MADE), *access_findings(found.config, found.table, where)]
    return Examined(found, list(found.reading.without_consequences(outside)))


def lines(examined: Examined) -> list[str]:
    """Everything that is wrong, a line each."""
    return lines_of([*examined.findings, *examined.outside])
