"""The run table's row, where an ablation is written, and the names of the methods that it can choose."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from srt.settings import Settings

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
]
METHODS: tuple[str, ...] = get_args(Method)
FIXED_METHODS = ("original", "instruction", "response", "both")
# What chooses at random, so that what a method gains can be told from what any choice would.
CONTROLS = ("random", "length")
# Under the plan `selected` only the winners by IFD have a reflected response.
SELECTED_METHODS = ("none", "original", "instruction", "paper", "released", "ifd")


class Run(Settings):
    """One row of the run table. `-` stands for what a method does not use."""

    run: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
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

    @model_validator(mode="after")
    def _needs_what_its_method_reads(self) -> Run:
        trained = {"dataset": self.dataset, "ratio": self.ratio, "recipe": self.recipe, "seed": self.seed}
        if self.method == "none":
            unused = {**trained, "teacher": self.teacher, "scorer": self.scorer}
            given = [name for name, value in unused.items() if value is not None]
            if given:
                raise ValueError(f"method none trains nothing: expected '-' in the column {given[0]}")
            return self
        if self.method != "original":
            trained["teacher"] = self.teacher
        absent = [name for name, value in trained.items() if value is None]
        if absent:
            raise ValueError(f"method {self.method} needs a value in the column {absent[0]}")
        return self
