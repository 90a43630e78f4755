"""What a method of selection is: the versions that it reads, what each phase prefers, what its filter drops.

Another package writes its own with these classes and names the object as an entry point (`srt.selection.registry`).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

from srt.selection.candidates import STATISTICS, Candidate, branch_of, statistic
from srt.settings import SelectionConfig
from srt.storage.errors import InputError
from srt.storage.findings import expected_one_of
from srt.storage.records import RATIOS, VARIANTS

LABELS = {"ifd": "IFD", "r_ifd": "r-IFD"}  # in a ledger
UNREFLECTED_RESPONSE = frozenset({"original", "instruction"})
Role = Literal["baseline", "method", "control"]
Direction = Literal["higher", "lower"]
# The settings by what they can be: the direction of a preference, the limit of a filter.
_KINDS = {name: field.annotation for name, field in SelectionConfig.model_fields.items()}
DIRECTIONS = tuple(name for name, kind in _KINDS.items() if get_args(kind) == get_args(Direction))
LIMITS = tuple(name for name, kind in _KINDS.items() if kind is float)


@dataclass(frozen=True)
class Preference:
    """A phase that keeps the candidate with the higher, or the lower, value of a statistic.

    Attributes:
        statistic: one of `srt.selection.candidates.STATISTICS`.
        direction: which value is preferred.
        set_by: the field of `SelectionConfig` that says the direction in its place.
    """

    statistic: str
    direction: Direction = "higher"
    set_by: str | None = None

    def __post_init__(self) -> None:
        _check("statistic", self.statistic, STATISTICS)
        _check("direction", self.direction, get_args(Direction))
        _check("set_by", self.set_by or "", ("", *DIRECTIONS))

    @property
    def uses(self) -> frozenset[str]:
        """The names of the settings, and of the files beside the scores, that decide the phase."""
        return frozenset({self.set_by} if self.set_by else ()) | ({"coherence"} & {self.statistic})

    def directed(self, settings: SelectionConfig) -> Preference:
        """The same preference, in the direction of the settings."""
        return Preference(self.statistic, getattr(settings, self.set_by)) if self.set_by else self

    def __call__(self, candidate: Candidate) -> float | None:
        """What is maximised; None where the statistic was not computed."""
        value = statistic(candidate, self.statistic)
        return -value if value is not None and self.direction == "lower" else value


@dataclass(frozen=True)
class Coin:
    """A phase without a preference: a fair coin, which the run's seed, the record and the phase decide."""

    uses: frozenset[str] = frozenset({"seed"})


@dataclass(frozen=True)
class Limit:
    """A ratio that has to be below the value of a setting.

    Attributes:
        statistic: `ifd` or `r_ifd`.
        below: the field of `SelectionConfig` that holds the limit.
    """

    statistic: str
    below: str

    def __post_init__(self) -> None:
        _check("statistic", self.statistic, RATIOS)
        _check("below", self.below, LIMITS)

    def refusal(self, chosen: Candidate, settings: SelectionConfig) -> str | None:
        """Why a winner is dropped, in the ledger's words; None if it is not."""
        label, value = LABELS[self.statistic], statistic(chosen, self.statistic)
        if value is None:
            return chosen.why_null(label)
        limit: float = getattr(settings, self.below)
        return f"{label} is not below {limit:g}" if value >= limit else None


@dataclass(frozen=True)
class Filter:
    """What drops a winner.

    Attributes:
        limits: what its statistics have to be below, in the order in which they are looked at.
        only_reflected: whether it is dropped unless its response was reflected; that is looked at first.
    """

    limits: tuple[Limit, ...] = ()
    only_reflected: bool = False

    def is_outside(self, chosen: Candidate) -> bool:
        """Whether a winner is dropped whatever its statistics are."""
        return self.only_reflected and not chosen.has_reflected_response

    def refusal(self, chosen: Candidate, settings: SelectionConfig) -> str | None:
        """Why a winner is dropped, in the ledger's words; None if it is not."""
        if self.is_outside(chosen):
            return "the response was not reflected"
        return next(filter(None, (limit.refusal(chosen, settings) for limit in self.limits)), None)


@dataclass(frozen=True)
class Method:
    """A method of selection. What else is asked of it follows from these fields.

    Without phases the one variant that it reads is taken from every record.

    Attributes:
        name: as the run table says it.
        variants: the versions of a record that it reads.
        phases: what decides between original and instruction, then between the winner and its reflected response.
        filter: what drops a winner.
        matches: of a control by length, the method whose numbers of records and whose response lengths it draws.
        role: what it is in an ablation.
        precedence: where the report shows one run, that of the lowest is shown.
        chooses: False where nothing is chosen: the train file is somebody's own, or there is none.
        trains: False where the student, or another finished model, is evaluated as it is.
    """

    name: str
    variants: tuple[str, ...] = VARIANTS
    phases: tuple[Preference | Coin, Preference | Coin] | None = None
    filter: Filter = Filter()
    matches: Method | None = None
    role: Role = "method"
    precedence: int = 9
    chooses: bool = True
    trains: bool = True

    def __post_init__(self) -> None:
        _check("role", self.role, get_args(Role))
        for variant in self.variants:
            _check("variants", variant, VARIANTS)
        if self.chooses and not (self.phases or self.matches) and len(self.variants) != 1:
            raise InputError(f"method {self.name}: without phases: expected one variant, found {self.variants}")

    @property
    def fixed(self) -> str | None:
        """The variant that is taken from every record; None where versions compete."""
        return self.variants[0] if self.chooses and not (self.phases or self.matches) else None

    @property
    def compares(self) -> bool:
        """Whether it chooses between the versions of a record."""
        return self.chooses and self.fixed is None

    @property
    def decides_by(self) -> Method:
        """The method whose decisions matter: of a control by length the one that it matches."""
        return self.matches or self

    @property
    def reads_reflections(self) -> bool:
        """Whether it reads anything that a teacher wrote."""
        return any(variant != "original" for variant in self.variants)

    def reads_scores(self, ratio: float | None) -> bool:
        """Whether scores are needed; not where a variant is taken whole: nothing is compared, dropped or ranked."""
        return self.chooses and not (self.fixed and not self.filter.limits and ratio == 1)

    @property
    def reads_coherence(self) -> bool:
        """Whether it compares the cosines of instruction and response, which are files of their own."""
        return "coherence" in self.uses

    @property
    def uses(self) -> frozenset[str]:
        """The names of the settings that it reads; a value of any other one has no effect.

        They are `ratio`, `seed`, `coherence` (the files) and fields of `SelectionConfig`. No method reads
        `proxy_sample`: it belongs to the comparison of a proxy with its student (`srt agreement`).
        """
        if not self.chooses:
            return frozenset()
        of_phases = [name for phase in self.phases or () for name in phase.uses]
        of_match = self.matches.uses | {"seed"} if self.matches else frozenset()
        return frozenset({"ratio", *of_phases, *(limit.below for limit in self.filter.limits)}) | of_match

    @property
    def serves_winners(self) -> bool:
        """Whether it can be had where only the winners of phase 1, by IFD, have a reflected response."""
        by_ifd = self.phases is not None and self.phases[0] == Preference("ifd")
        return by_ifd or UNREFLECTED_RESPONSE.issuperset(self.variants)

    def branch(self, chosen: Candidate) -> str:
        """What a winner came by, in the ledger's words."""
        return f"{self.fixed}: fixed" if self.fixed else branch_of(chosen)


def _check(field: str, name: str, known: Collection[str]) -> None:
    """InputError for a name that is none of the known ones."""
    if name not in known:
        raise InputError(f"{field}: {expected_one_of(known, name)}")
