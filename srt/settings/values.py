"""Values against the types of settings: all complaints at once, and the settings with what is right of them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from srt.settings.cases import Cased, fields_of
from srt.settings.types import above_json, bare, is_model, names_at, stand_in, type_at
from srt.storage.errors import InputError, shown
from srt.storage.findings import Finding, did_you_mean, refuse, similar

AnySettings = TypeVar("AnySettings", bound=BaseModel)
Steps = tuple[str | int, ...]  # from the outermost key inwards
UNKNOWN = ("extra_forbidden", "invalid_key")  # the second: no text
# What was a key, by its section and itself, and what is always taken now.
GONE: dict[Steps, str] = {
    ("recipes", "attention"): "PyTorch's own attention (sdpa)",
    ("recipes", "kernels"): "PyTorch's own kernels (with TRL's chunked loss)",
}
ROUNDS = 4  # a section's own rules are looked at only when all its values are right


class Reading(Generic[AnySettings]):
    """Values of a file, read as settings of a type.

    Where a value is wrong another one stands in for it, so that what does not depend on it can still be looked at.

    Attributes:
        settings: what came of it; None where even that was of no use.
        findings: everything that is wrong with the values.
        replaced: the keys where something stands in.
        incomplete: the keys of maps that lack an entry, as its name is none.
    """

    def __init__(self, kind: type[AnySettings], values: Any, where: str) -> None:
        self.kind, self.where = kind, where
        self.settings: AnySettings | None = None
        self.findings: list[Finding] = []
        self.replaced: set[str] = set()
        self.incomplete: set[str] = set()
        for _ in range(ROUNDS):
            try:
                self.settings = kind.model_validate(values)
                break
            except ValidationError as error:
                values = self._put_right(copy.deepcopy(values), error.errors())

    def whole(self) -> AnySettings:
        """The settings where nothing is wrong; InputError with a line for everything that is."""
        refuse(self.findings)
        if self.settings is None:
            raise InputError(f"{self.where}: cannot be read")
        return self.settings

    def hides(self, key: str) -> bool:
        """Whether something stands in at a key or around it, so that what is there says nothing."""
        return any(not place or key == place or key.startswith(f"{place}.") for place in self.replaced)

    def _holds_stand_in(self, key: str) -> bool:
        """Whether something below a key stands in, so that a complaint about the whole may be about that."""
        return any(not key or place.startswith(f"{key}.") for place in self.replaced)

    def without_consequences(self, findings: Iterable[Finding]) -> Iterator[Finding]:
        """The findings that say more than what is already known to be wrong here."""
        for finding in findings:
            if not (self.hides(finding.key) or (finding.beside and self._is_doubtful(finding.beside))):
                yield finding

    def _is_doubtful(self, key: str) -> bool:
        return self.hides(key) or key in self.incomplete

    def _put_right(self, values: Any, complaints: Sequence[Any]) -> Any:
        """The values without what the complaints are about, each of which is noted."""
        complaints = list(_of_named(complaints))
        missing = [complaint["loc"] for complaint in complaints if complaint["type"] == "missing"]
        for complaint in complaints:
            if complaint["type"] in UNKNOWN:
                self._rename(values, complaint["loc"], missing)
        for complaint in complaints:
            is_told = complaint["type"] in UNKNOWN
            is_told |= complaint["type"] == "missing" and complaint["loc"] not in missing
            values = values if is_told else self._replace(values, complaint)
        return values

    def _rename(self, values: Any, steps: Steps, missing: list[Steps]) -> None:
        """Note an unknown key; what stands there goes to the missing key that was meant, which is missing no longer."""
        section = parent(values, steps)
        value = section.pop(next(key for key in section if steps[-1] in (str(key), key)))
        case = self._case_without(section, steps)
        if case is not None:
            if not self.hides(_key_of((*steps[:-1], case))):
                told = f"has no meaning where {case} is {shown(section[case])}"
                self.findings.append(Finding(self.where, _key_of(steps), told))
            return
        lacking = [str(other[-1]) for other in missing if other[:-1] == steps[:-1]]
        meant = similar(steps[-1], lacking)
        near = did_you_mean(steps[-1], [meant] if meant else names_at(self.kind, steps[:-1]))
        taken = GONE.get((steps[0], steps[-1]))
        told = f"is no longer a key, leave it out: {taken} is always taken" if taken else f"is not a known key{near}"
        self.findings.append(Finding(self.where, _key_of(steps), told))
        if meant:
            section[meant] = value
            missing.remove((*steps[:-1], meant))

    def _case_without(self, section: Any, steps: Steps) -> str | None:
        """The field that decides that a key does not exist, as it does in another case of the section."""
        kind = bare(type_at(self.kind, steps[:-1]))
        exists = is_model(kind) and issubclass(kind, Cased) and steps[-1] in fields_of(kind)
        return kind.TOLD_BY if exists and kind.TOLD_BY in section else None

    def _is_of_doubtful_case(self, complaint: Any) -> bool:
        """Whether a key is missed only because something stands in for the field that decides whether it exists."""
        if complaint["type"] != "missing":
            return False
        *around, name = complaint["loc"]
        kind = bare(type_at(self.kind, around))
        depends = is_model(kind) and issubclass(kind, Cased) and name not in kind.model_fields
        return depends and self.hides(_key_of((*around, kind.TOLD_BY)))

    def _replace(self, values: Any, complaint: Any) -> Any:
        """Note a complaint, unless it is about a stand-in, and let a value stand in that will do."""
        steps = complaint["loc"]
        entry = steps[:-1] if steps[-1:] == ("[key]",) else ()  # of a map, whose name is none
        steps = entry[:-1] if entry else above_json(self.kind, steps)
        key = _key_of(steps)
        if not (self.hides(key) or self._holds_stand_in(key) or self._is_of_doubtful_case(complaint)):
            known = names_at(self.kind, steps) if complaint["type"] == "literal_error" else ()
            self.findings.append(Finding(self.where, key, _message_of(complaint, known)))
        if entry:
            parent(values, entry).pop(entry[-1], None)
            self.incomplete.add(key)
            return values
        self.replaced.add(key)
        if not steps:
            return stand_in(self.kind)
        parent(values, steps)[steps[-1]] = stand_in(type_at(self.kind, steps))
        return values


def _of_named(complaints: Sequence[Any]) -> Iterator[Any]:
    """The complaints but for those about what stands under a name that is none."""
    entries = [complaint["loc"][:-1] for complaint in complaints if complaint["loc"][-1:] == ("[key]",)]
    for complaint in complaints:
        steps: Steps = complaint["loc"]
        if steps[-1:] == ("[key]",) or not any(steps[: len(entry)] == entry for entry in entries):
            yield complaint


def _key_of(steps: Steps) -> str:
    """The way to a value as the text of a key."""
    return ".".join(map(str, steps))


def _message_of(complaint: Any, known: Collection[str] = ()) -> str:
    """Pydantic's complaint in this program's words; `known` are the words that are allowed, where there is a choice."""
    if complaint["type"] == "missing":
        return "is missing"
    is_section = complaint["type"] in ("model_type", "model_attributes_type", "dict_type")
    message = "expected keys with their values" if is_section else complaint["msg"].removeprefix("Value error, ")
    found = complaint.get("input")
    if complaint["type"] == "value_error" and isinstance(found, dict):
        return str(message)  # of a whole section: the message says which of its values
    return f"{message}, found {shown(found)}{did_you_mean(found, known)}"


def parent(values: Any, steps: Steps) -> Any:
    """What holds the last of these steps."""
    for step in steps[:-1]:
        values = values[step]
    return values


def validated(kind: type[AnySettings], values: Any, where: str) -> AnySettings:
    """`values` as settings of that kind; InputError with a line for every key that is wrong."""
    return Reading(kind, values, where).whole()
