"""Sidecars: what a step writes beside its file about how it was made, as typed records.

They are JSON that lies open in the results folder. What somebody changed there by hand, or another version wrote, ends
in one line, and not somewhere in the middle of a report.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ModelWrapValidatorHandler,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from srt.storage.errors import InputError
from srt.storage.files import describe, write_json
from srt.storage.readers import read_json

Count = Annotated[int, Field(ge=0)]
Counts = dict[str, Count]
SCORING = ("identity", "settings", "texts", "model")  # what scores must agree in, the gravest first


class Part(BaseModel):
    """A record of how something was made, or a part of one.

    Each step gives the fields that it has. These are written, null ones too, in the order in which they were given or
    read; what another version wrote besides is kept.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    _given: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _note_what_is_given(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        part = handler(values)
        if isinstance(values, dict):
            part._given = tuple(values)
        return part

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> dict[str, JsonValue]:
        fields = handler(self)
        return {name: fields[name] for name in self._given}


AnyPart = TypeVar("AnyPart", bound=Part)


class StepSettings(Part):
    """A step's settings: all of them are kept, those that are read again have their types."""

    model: str | None = None
    prompts: str | None = None
    optimizer: str | None = None
    global_batch: Count | None = None
    limit: Count | None = None
    seed: int | None = None


class Imported(Part):
    """A file that was made elsewhere, and how far what was checked of it held.

    Attributes:
        source: its name.
        sha256: of its content, as a name on the hub can move.
        beside: the files of the same release that it was checked against.
        student: whose scores it holds.
        texts_compared: unconditional NLLs that another record or version has too.
        mismatches: records that do not fit the data set.
        rank_correlation_with_length: Spearman's, of unconditional NLLs and the lengths of their texts, by side.
    """

    source: str
    sha256: str
    beside: list[Imported] | None = None
    student: str | None = None
    texts_compared: Count | None = None
    mismatches: Count | None = None
    rank_correlation_with_length: dict[str, float] | None = None


class QuestionSet(Part):
    """The questions that a model answered: their source, number and SHA-256."""

    source: str
    n: Count
    sha256: str


class Spent(Part):
    """What a teacher's journals come to."""

    requests: Count
    prompt_tokens: Count
    completion_tokens: Count
    usd: float | None = None


class MeasuredError(Part):
    """The error of low-precision NLLs: at most `scale / sqrt(tokens)` nats, as so many measurements have it."""

    scale: float
    measured_on: Count


class Scoring(NamedTuple):
    """What scores must agree in to be compared: the student, its identity, the settings, the texts around a pair."""

    model: str | None
    identity: str | None
    settings: Mapping[str, JsonValue]
    texts: Mapping[str, str] | None

    def differs_from(self, other: Scoring, facts: Sequence[str] = SCORING) -> str | None:
        """The name of the first of these facts that is another."""
        return next((name for name in facts if getattr(self, name) != getattr(other, name)), None)


class Sidecar(Part):
    """How an artefact was made; each step gives the fields that it has.

    Attributes:
        variant: which version of the pairs.
        origin: file or hub data set that was prepared, with the commit.
        given: the file that was imported in the place of a step.
        model: folder or hub name; `identity` is what journals know it by, `teacher` that of a teacher.
        prompt: the prompt around a question.
        questions: what was answered.
        settings: the step's own, without those that change nothing of the result.
        selection: the choice that was scored again.
        texts: templates and prompts of a scoring.
        error: measured by a rescoring.
        max_length: most tokens of a text.
        positions: the model's; null where its config names none.
        max_total_tokens: most tokens of prompt and answer.
        batch_tokens: token budget of a batch of scores, `compiled` whether the model was: both move low-precision NLLs.
        batch: answers that are drawn at once, where that matters.
        shards: files that the scores were gathered from.
        counts: records, answers or NLLs by what became of them.
        outcomes, reasons, repairs, unanswered: the same, by kind of outcome, reason, repair.
        not_used: records by what they have and a pair cannot hold.
        left_out: positions in the source, from 0, of the records that became no pair.
        rounds: how often a reflection with failures was run.
        answers: received and reused; `thoughts` the same by how thoughts ended, `moved` by where the system text went.
        shares_more_words_with: reflections that are nearer to their own original, or to another record's.
        teacher_in_all: what all jobs of this teacher have spent.
        versions: of the packages that computed it.
    """

    variant: str | None = None
    origin: dict[str, str | None] = Field(default_factory=dict)
    given: Imported | None = None
    model: str | None = None
    identity: str | None = None
    teacher: str | None = None
    prompt: str | None = None
    questions: QuestionSet | None = None
    settings: StepSettings = Field(default_factory=StepSettings)
    selection: dict[str, JsonValue] | None = None
    texts: dict[str, str] | None = None
    error: MeasuredError | None = None
    max_length: Count | None = None
    positions: Count | None = None
    max_total_tokens: Count | None = None
    batch_tokens: Count | None = None
    compiled: bool | None = None
    batch: Count | None = None
    shards: Annotated[int, Field(ge=1)] | None = None
    counts: Counts = Field(default_factory=dict)
    outcomes: Counts = Field(default_factory=dict)
    reasons: Counts = Field(default_factory=dict)
    repairs: Counts = Field(default_factory=dict)
    unanswered: Counts = Field(default_factory=dict)
    not_used: Counts = Field(default_factory=dict)
    left_out: list[Count] = Field(default_factory=list)
    rounds: Count | None = None
    answers: Counts = Field(default_factory=dict)
    thoughts: dict[str, Counts] = Field(default_factory=dict)
    moved: Counts = Field(default_factory=dict)
    shares_more_words_with: Counts = Field(default_factory=dict)
    teacher_in_all: Spent | None = None
    versions: dict[str, str] = Field(default_factory=dict)

    @property
    def scoring(self) -> Scoring:
        """What other scores are compared with."""
        return Scoring(self.model, self.identity, self.settings.model_dump(), self.texts)


class ShardSidecar(Sidecar):
    """The sidecar of scores that can be gathered."""

    identity: str
    settings: StepSettings
    texts: dict[str, str]
    batch_tokens: Count


class Agreement(Part):
    """How far a proxy's scores stand in for the student's: ranks by variant and ratio, and shares of equal decisions.

    Attributes:
        proxy: the model that scored for the student; null where its scores have no sidecar.
        records: how many both scored.
        spearman: variant: ratio: rank correlation; null below three records.
    """

    proxy: str | None
    student: str
    records: Count
    spearman: dict[str, dict[str, float | None]]
    decisions: dict[str, float | None]
    versions: dict[str, str]


def read_sidecar(path: Path, kind: type[AnyPart]) -> AnyPart:
    """The record in a file; an empty one where there is no such file and the kind requires nothing.

    Raises:
        InputError: it is no such record, a field is of another type, or a required one is missing or null.
    """
    if not path.exists() and not any(field.is_required() for field in kind.model_fields.values()):
        return kind()
    values = read_json(path)
    if isinstance(values, dict):  # null is as good as missing where a field is never null
        filled = {name for name, field in kind.model_fields.items() if field.default is not None}
        values = {name: value for name, value in values.items() if value is not None or name not in filled}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from None


def write_sidecar(path: Path, record: Part) -> None:
    """Write a record as JSON, whole or not at all."""
    write_json(path, record.model_dump())


def sidecar_of(artefact: Path) -> Path:
    """Where the sidecar of a JSONL artefact lies."""
    return Path(meta_of(str(artefact)))


def meta_of(path: str) -> str:
    """The sidecar with the settings and versions behind a JSONL artefact, by its path below the results."""
    return path.removesuffix(".jsonl") + ".meta.json"


def items_of(evaluation: str) -> str:
    """The values of an evaluation by question, beside it."""
    return evaluation.removesuffix(".json") + ".items.jsonl"
