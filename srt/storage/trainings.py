"""What finetuning writes beside the weights about how they were made, and that it is no part of the model."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from srt.storage.errors import InputError
from srt.storage.readers import read_json
from srt.storage.sidecars import Count, Counts, Part, StepSettings

RECORD = "srt_finetune.json"
CURVE = ("loss_curve.pdf", "loss_curve.png")
# Since format 2 a model is known without its record and curve. Answers of an older one lie under all of its files.
FORMAT = 2


class TrainedOn(Part):
    """The data of a training.

    Attributes:
        sha256: of the train file.
        records: that it holds; `trained_on` those that are left, `truncated` those that were cut, `dropped` by reason.
        max_length: most tokens of a text; `positions` those that the model knows.
        tokens: of an epoch; `loss_tokens` those with a label.
    """

    sha256: str | None = None
    records: Count | None = None
    max_length: Count | None = None
    positions: Count | None = None
    trained_on: Count | None = None
    truncated: Count | None = None
    dropped: Counts = Field(default_factory=dict)
    tokens: Count | None = None
    loss_tokens: Count | None = None


class Step(Part):
    """One optimizer step: the mean loss in nats, the learning rate, the gradient's norm before clipping."""

    step: Count
    loss: float
    learning_rate: float | None = None
    grad_norm: float | None = None


class TrainingRecord(Part):
    """How a model was trained.

    Attributes:
        format: see FORMAT; none before.
        base_model: what was trained, with its `revision` and `base_identity`.
        device_batch: records of a device's batch; `accumulation` so many batches make a step.
        world_size: processes.
        layout: how records lay in a batch; `layout_reason` says why not as the recipe asks.
        threads: of a CPU.
        seconds: that the last process took, from its checkpoint on.
    """

    format: int | None = None
    base_model: str | None = None
    revision: str | None = None
    base_identity: str | None = None
    seed: int | None = None
    data: TrainedOn = Field(default_factory=TrainedOn)
    settings: StepSettings = Field(default_factory=StepSettings)
    device_batch: Count | None = None
    accumulation: Count | None = None
    world_size: Count | None = None
    steps_per_epoch: Count | None = None
    steps: Count | None = None
    gradient_checkpointing: bool | None = None
    attention: str | None = None
    layout: str | None = None
    layout_reason: str | None = None
    device: str | None = None
    threads: Count | None = None
    seconds: float | None = None
    versions: dict[str, str] = Field(default_factory=dict)
    loss_curve: list[Step] = Field(default_factory=list)


def accounts_of(folder: Path) -> frozenset[str]:
    """The files of a model folder that tell how it was trained, and not what it answers.

    Empty where the record names no format: that folder is known by all of its files, in journals too.
    """
    path = folder / RECORD
    try:
        record = read_json(path) if path.is_file() else None
    except InputError:
        return frozenset()
    told = isinstance(record, dict) and "format" in record
    return frozenset((RECORD, *CURVE)) if told else frozenset()
