"""What somebody has already made and that takes the place of the step that would make it (`given:`)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from srt.settings.base import Location, Name, OptionalLocation, Place, Settings
from srt.settings.benchmarks import SOURCE

Variant = Literal["original", "instruction", "response", "both"]
COLUMN = "a dot leads into a struct, as data.output"
MISMATCHES = (
    "records that may not fit the original data before the file is refused; each of them is null with the reason"
)


class GivenReflections(Settings):
    """A teacher's finished reflections of one data set: a file per version, record for record as in the data set."""

    instruction: str = Field(description=f"the column with the instruction; {COLUMN}")
    input: str | None = Field(description="the column with the input; null for none")
    output: str = Field(description="the column with the response")
    allowed_mismatches: int = Field(ge=0, description=MISMATCHES)
    files: dict[Variant, Annotated[Location, Place.SOURCE]] = Field(
        description=f"version: {SOURCE}; `original` is read to check the order"
    )


class GivenScores(Settings):
    """A student's scores of one data set as the published scorer writes them, record for record as in the data set."""

    teacher: str | None = Field(description="whose reflections were scored; null where only the original was")
    loss: str = Field(
        description="the column with four mean NLLs: instruction, response, instruction given response, response "
        f"given instruction; {COLUMN}"
    )
    ppl: str = Field(description="the column with their four perplexities")
    allowed_mismatches: int = Field(ge=0, description=MISMATCHES)
    files: dict[Variant, Annotated[Location, Place.SOURCE]] = Field(description=f"version: {SOURCE}")


class GivenTrain(Settings):
    """The train file of a run of the method `given`."""

    source: Annotated[Location, Place.SOURCE] = Field(description=SOURCE)
    instruction: str = Field(description=f"the column with the instruction; {COLUMN}")
    input: str | None = Field(description="the column with the input; null for none")
    output: str = Field(description="the column with the response")
    records: int | None = Field(ge=1, description="how many records it must have; null: not checked")


class GivenJudgments(Settings):
    """The judgments of one evaluation: AlpacaEval's annotations, or scores of a pairwise comparison."""

    source: Annotated[Location, Place.SOURCE] = Field(
        description=f"what `srt evaluate` takes as --annotations or --judgments: {SOURCE}"
    )
    outputs: Annotated[OptionalLocation, Place.SOURCE] = Field(
        description="AlpacaEval: the model's outputs, to count what was not judged"
    )


class GivenConfig(Settings):
    """What is imported, by the name under which the run table and the other sections know it."""

    reflections: dict[Name, dict[Name, GivenReflections]] = Field(description="teacher: data set: its reflections")
    scores: dict[Name, dict[Name, GivenScores]] = Field(description="student: data set: its scores")
    train: dict[Name, GivenTrain] = Field(description="run of the method `given`: its train file")
    judgments: dict[Name, dict[str, GivenJudgments]] = Field(description="run: evaluation: its judgments")

    @field_validator("scores")
    @classmethod
    def _reflections_have_a_teacher(
        cls, scores: dict[Name, dict[Name, GivenScores]]
    ) -> dict[Name, dict[Name, GivenScores]]:
        for student, by_dataset in scores.items():
            for dataset, given in by_dataset.items():
                if given.teacher is None and set(given.files) - {"original"}:
                    raise ValueError(f"{student}: {dataset}: teacher: expected a name, as reflections were scored")
        return scores
