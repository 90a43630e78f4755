"""The run table's row, where an ablation is written, and what several rows make together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import Field, model_validator

from srt.selection.registry import FIXED_METHODS, Method
from srt.settings import Settings
from srt.settings.base import Name


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


def choosing(runs: Sequence[Run]) -> list[Run]:
    """The runs that choose between versions, the published selector's first, then the paper's."""
    order = ("released", "paper")
    found = [run for run in runs if run.method not in (*FIXED_METHODS, "given", "none")]
    return sorted(found, key=lambda run: order.index(run.method) if run.method in order else len(order))


def series(run: Run) -> str:
    """What runs of one series share, in words."""
    return f"{run.dataset}, {run.method}, {run.student}"


def in_series(runs: Sequence[Run]) -> list[Run]:
    """The runs of those series that have more than one ratio, by series and ratio."""
    ratios = Counter(name for name, _ in {(series(run), run.ratio) for run in runs if run.method != "none"})
    kept = [run for run in runs if run.method != "none" and ratios[series(run)] > 1]
    return sorted(kept, key=lambda run: (series(run), run.ratio or 0))
