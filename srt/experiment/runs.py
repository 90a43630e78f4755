"""The run table's row, where an ablation is written, and what several rows make together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from srt.selection.registry import Method, method_named, names
from srt.settings import Settings
from srt.settings.base import Name, OneOf
from srt.storage.errors import InputError


class Run(Settings):
    """One row of the run table. `-` stands for what a method does not use.

    A run without a recipe ends with its train file: nothing is trained, nothing evaluated.
    """

    run: Name
    dataset: str | None
    teacher: str | None
    student: str
    method: Annotated[str, OneOf(names)]
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
        return self.is_untuned or self.recipe is not None

    @property
    def chosen_by(self) -> Method:
        """The method itself."""
        return method_named(self.method)

    @property
    def is_untuned(self) -> bool:
        """Whether a model is evaluated as it is: there is no train file."""
        return not self.chosen_by.trains

    @property
    def is_baseline(self) -> bool:
        """Whether it is what methods are to be better than."""
        return self.chosen_by.role == "baseline"

    @property
    def is_imported(self) -> bool:
        """Whether the train file is somebody's own."""
        return self.chosen_by.trains and not self.chosen_by.chooses

    @field_validator("method")
    @classmethod
    def _can_be_loaded(cls, name: str) -> str:
        try:
            method_named(name)
        except InputError as error:
            raise ValueError(str(error)) from error
        return name

    @model_validator(mode="after")
    def _needs_what_its_method_reads(self) -> Run:
        if self.is_untuned:
            self._refuse("trains nothing", "dataset", "ratio", "recipe", "seed", "teacher", "scorer")
            return self
        if self.is_imported:
            self._refuse("selects nothing", "ratio", "scorer")
            needed = {"dataset", "teacher"} if self.dataset or self.teacher else set()
            needed |= {"seed"} if self.recipe else set()
        else:
            needed = {"dataset", "ratio", "seed"} | ({"teacher"} if self.chosen_by.reads_reflections else set())
        absent = [name for name in ("dataset", "ratio", "seed", "teacher") if name in needed]
        absent = [name for name in absent if getattr(self, name) is None]
        if absent:
            raise ValueError(f"method {self.method} needs a value in the column {absent[0]}")
        return self

    def _refuse(self, why: str, *columns: str) -> None:
        given = [name for name in columns if getattr(self, name) is not None]
        if given:
            raise ValueError(f"method {self.method} {why}: expected '-' in the column {given[0]}")


def choosing(runs: Sequence[Run]) -> list[Run]:
    """The runs that choose between versions, the published selector's first, then the paper's."""
    return sorted((run for run in runs if run.chosen_by.compares), key=lambda run: run.chosen_by.precedence)


def series(run: Run) -> str:
    """What runs of one series share, in words."""
    return f"{run.dataset}, {run.method}, {run.student}"


def in_series(runs: Sequence[Run]) -> list[Run]:
    """The runs of those series that have more than one ratio, by series and ratio."""
    ratios = Counter(name for name, _ in {(series(run), run.ratio) for run in runs if not run.is_untuned})
    kept = [run for run in runs if not run.is_untuned and ratios[series(run)] > 1]
    return sorted(kept, key=lambda run: (series(run), run.ratio or 0))
