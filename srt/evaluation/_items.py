"""The leaderboard's items from local files, in the shapes that people have them, given in the shapes of the hub's data.

JSON and JSONL may hold the hub's own shape; TruthfulQA's may be the published one, a map of choice to 0 or 1; MMLU
also comes as CSV, with or without a header, its answers as letters or as numbers from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from srt.storage.errors import InputError
from srt.storage.files import describe
from srt.storage.readers import csv_rows, form_of, read_json, read_lines

Text = Annotated[str, StringConstraints(min_length=1)]
MMLU_FIELDS = "six fields: the question, four choices, the answer"
ANSWERS = {name: place for place, letter in enumerate("ABCD") for name in (letter, str(place))}


class Item(BaseModel):
    """One item with what lm-eval's task reads of it; other fields are left out."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class ArcChoices(Item):
    """ARC's choices and their names, mostly A to D, sometimes 1 to 4."""

    text: list[Text] = Field(min_length=2)
    label: list[str]

    @field_validator("label")
    @classmethod
    def _as_many_names_as_choices(cls, label: list[str], others: ValidationInfo) -> list[str]:
        if len(label) != len(others.data.get("text", label)):
            raise ValueError("expected one for each choice")
        return label


class ArcItem(Item):
    """ARC-Challenge."""

    question: str
    choices: ArcChoices
    answerKey: str

    @field_validator("answerKey")
    @classmethod
    def _answer_is_a_choice(cls, answer: str, others: ValidationInfo) -> str:
        if "choices" in others.data and answer not in others.data["choices"].label:
            raise ValueError(f"expected one of {others.data['choices'].label}")
        return answer


class HellaSwagItem(Item):
    """HellaSwag; the right ending's place is a number, on the hub as text."""

    activity_label: str
    ctx_a: str
    ctx_b: str
    endings: list[Text] = Field(min_length=2)
    label: int = Field(ge=0)

    @field_validator("label", mode="before")
    @classmethod
    def _number(cls, label: Any) -> Any:
        return int(label) if isinstance(label, str) and label.isdecimal() else label

    @field_validator("label")
    @classmethod
    def _label_is_an_ending(cls, label: int, others: ValidationInfo) -> int:
        if label >= len(others.data.get("endings", [])):
            raise ValueError("expected the place of an ending, from 0")
        return label


class MmluItem(Item):
    """MMLU: four choices."""

    question: str
    choices: list[str] = Field(min_length=4, max_length=4)
    answer: int = Field(ge=0, le=3)


class TruthfulQaTargets(Item):
    """Choices with 1 for a true one and 0 for a false one."""

    choices: list[Text] = Field(min_length=2)
    labels: list[Annotated[int, Field(ge=0, le=1)]]

    @model_validator(mode="before")
    @classmethod
    def _from_the_published_map(cls, targets: Any) -> Any:
        if isinstance(targets, dict) and targets.keys() != {"choices", "labels"}:
            return {"choices": list(targets), "labels": list(targets.values())}
        return targets

    @field_validator("labels")
    @classmethod
    def _some_are_true(cls, labels: list[int], others: ValidationInfo) -> list[int]:
        if len(labels) != len(others.data.get("choices", labels)) or 1 not in labels:
            raise ValueError("expected one for each choice, and a true one among them")
        return labels


class TruthfulQaItem(Item):
    """TruthfulQA, multiple choice with several true answers (mc2)."""

    question: str
    mc2_targets: TruthfulQaTargets


SHAPES: dict[str, type[Item]] = {
    "arc": ArcItem,
    "hellaswag": HellaSwagItem,
    "mmlu": MmluItem,
    "truthfulqa": TruthfulQaItem,
}


def read_items(path: Path, benchmark: str) -> list[dict[str, Any]]:
    """A benchmark's items from a JSONL, JSON or (MMLU) CSV file, in the shape of its hub data set.

    Raises:
        InputError: with file, record and field of what is wrong; the file is missing or has no items.
    """
    items = []
    for place, value in _records(path, benchmark):
        try:
            items.append(SHAPES[benchmark].model_validate(value).model_dump())
        except ValidationError as error:
            raise InputError(f"{path}: {place}: is no item of {benchmark}: {describe(error)}") from None
    if not items:
        raise InputError(f"{path}: has no items, expected at least one")
    return items


def _records(path: Path, benchmark: str) -> Iterator[tuple[str, Any]]:
    """(place in the file, value) of every record."""
    form = form_of(path)
    if form == ".csv" and benchmark == "mmlu":
        yield from _csv_records(path)
    elif form == ".json":
        values = read_json(path, nan_is_null=True)
        if not isinstance(values, list):
            raise InputError(f"{path}: expected a list of items, found {type(values).__name__}")
        yield from ((f"record {number}", value) for number, value in enumerate(values, start=1))
    elif form == ".jsonl":
        yield from ((f"line {number}", value) for number, value in read_lines(path))
    else:
        raise InputError(f"{path}: expected a file in JSONL or JSON, or for MMLU in CSV")


def _csv_records(path: Path) -> Iterator[tuple[str, Any]]:
    """MMLU's rows, whose first one may be a header from `question` to `answer`."""
    for number, row in csv_rows(path):
        if not row or (number == 1 and [row[0], row[-1]] == ["question", "answer"]):
            continue
        if len(row) != 6:
            raise InputError(f"{path}: row {number}: expected {MMLU_FIELDS}; found {len(row)}")
        question, *choices, answer = row
        answer = answer.strip()
        yield f"row {number}", {"question": question, "choices": choices, "answer": ANSWERS.get(answer, answer)}
