"""The run table's row, where an ablation is written, and the names of the methods that it can choose."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from srt.settings import Settings
from srt.settings.base import Name

Method = Literal[
    "none",
    "original",
    "instruction",
    "response",
    "both",
    "paper",
    "released",
    "random",
    "length",
    "ifd",
    "r_ifd",
    "perplexity",
    "coherence",
    "given",
]
METHODS: tuple[str, ...] = get_args(Method)
SELECTING = tuple(name for name in METHODS if name not in ("none", "given"))
FIXED_METHODS = ("original", "instruction", "response", "both")


def variants_of(method: str) -> tuple[str, ...]:
    """The variants that a method of selection reads: of a fixed one its own; two phases can choose any of four."""
    return (method,) if method in FIXED_METHODS else FIXED_METHODS


# What chooses at random, so that what a method gains can be told from what any choice would.
CONTROLS = ("random", "length")
# Under the plan `selected` only the winners by IFD have a reflected response.
SELECTED_METHODS = ("none", "original", "instruction", "paper", "released", "ifd")


class Run(Settings):
    """One row of the run table. `-` stands for what a method does not use.

    A run without a recipe ends with its train file: nothing is trained, nothing evaluated.
    """

    run: Name
    dataset: str | None
    teacher: str | None
    student: str
    method: Method
    ratio: float | None = Field(gt=0, le=1)
    recipe: str | None
    seed: int | None = Field(ge=0)
    # An optional column: another entry of `students:` that scores in the student's place.
    scorer: str | None = None

    @property
    def scored_by(self) -> str:
        """The student, or the proxy that scores for it."""
        return self.scorer or self.student

    @property
    def is_evaluated(self) -> bool:
        """Whether there is a model to evaluate: one that the run trains, or the student as it is."""
        return self.method == "none" or self.recipe is not None

    @model_validator(mode="after")
    def _needs_what_its_method_reads(self) -> Run:
        if self.method == "none":
            self._refuse("trains nothing", "dataset", "ratio", "recipe", "seed", "teacher", "scorer")
            return self
        if self.method == "given":
            self._refuse("selects nothing", "ratio", "scorer")
            needed = {"dataset", "teacher"} if self.dataset or self.teacher else set()
            needed |= {"seed"} if self.recipe else set()
        else:
            needed = {"dataset", "ratio", "seed"} | ({"teacher"} if self.method != "original" else set())
        absent = [name for name in ("dataset", "ratio", "seed", "teacher") if name in needed]
        absent = [name for name in absent if getattr(self, name) is None]
        if absent:
            raise ValueError(f"method {self.method} needs a value in the column {absent[0]}")
        return self

    def _refuse(self, why: str, *columns: str) -> None:
        given = [name for name in columns if getattr(self, name) is not None]
        if given:
            raise ValueError(f"method {self.method} {why}: expected '-' in the column {given[0]}")
