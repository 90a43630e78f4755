"""One thing that is wrong with what somebody gave, and how all of them are told at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from srt.storage.errors import InputError, shown


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        file: the file that has it; empty for the command line.
        key: the key, row and column, or flag.
        message: what was expected, and what was found.
        about: the key of the config that leads here, where it is not `key` itself.
        beside: a key whose own fault would be the reason for this one.
    """

    file: str
    key: str
    message: str
    about: str = ""
    beside: str = ""

    @property
    def line(self) -> str:
        """The finding as it is told."""
        return " ".join(": ".join(filter(None, (self.file, self.key, self.message))).split())


class Refused(InputError):
    """Everything that is wrong: a line for each."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.lines = lines_of(findings)
        super().__init__("\n".join(self.lines))


def lines_in(error: InputError) -> list[str]:
    """What an error says, a line for each of the things that are wrong."""
    return error.lines if isinstance(error, Refused) else [" ".join(str(error).split())]


def lines_of(findings: Iterable[Finding]) -> list[str]:
    """The lines of findings in their order, each once."""
    return list(dict.fromkeys(finding.line for finding in findings))


def refuse(findings: Iterable[Finding]) -> None:
    """InputError with a line for each of the findings, where there are any."""
    found = list(findings)
    if found:
        raise Refused(found)


def did_you_mean(name: object, known: Collection[str]) -> str:
    """`, did you mean 'NAME'?` where a known name is close; else nothing."""
    near = similar(name, known)
    return f", did you mean {near!r}?" if near else ""


def similar(name: object, known: Collection[str]) -> str | None:
    """The known name that is closest to this one, if it is close at all; capitals make no difference."""
    by_lower = {other.lower(): other for other in known if other != name}
    near = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    return by_lower[near[0]] if near else None


def expected_one_of(known: Collection[str], found: object) -> str:
    """The message about a name that is none of the known ones."""
    return f"expected one of {sorted(known)}, found {shown(found)}{did_you_mean(found, known)}"
