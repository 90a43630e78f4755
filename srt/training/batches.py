"""Which records make an optimizer step, and how they are laid out over devices, micro-batches and rows.

The order of an epoch is drawn from seed and epoch alone, and a step takes the next `global_batch` records of it. How
they are laid out changes nothing but rounding, because the loss of a step is the mean over the response tokens of
all its records. Where the epoch's last step has fewer records, it is filled up with rows that have one token
and no loss: a launcher's own way, taking records of the epoch's beginning twice, would change that step's loss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from torch.utils.data import Sampler

from srt.settings import FinetuneConfig
from srt.storage.errors import InputError
from srt.training.examples import IGNORED


class Batches(NamedTuple):
    """How a global batch is made of micro-batches, and the number of optimizer steps."""

    device_batch: int
    accumulation: int
    world_size: int
    steps_per_epoch: int
    steps: int


def plan(records: int, settings: FinetuneConfig, device_batch: int, world_size: int) -> Batches:
    """Micro-batches and steps: ceil(records / global_batch) steps an epoch.

    The steps are those of all epochs, or `max_steps` where that is less; the schedule spans just these.

    Raises:
        InputError: the global batch cannot be divided evenly.
    """
    share, rest = divmod(settings.global_batch, world_size)
    if rest or not share:
        expected = f"a multiple of the {world_size} processes"
        raise InputError(f"finetune: global_batch: expected {expected}, found {settings.global_batch}")
    device_batch = min(device_batch, share)
    if share % device_batch:
        expected = f"a divisor of {share} (global_batch {settings.global_batch}, {world_size} process(es))"
        raise InputError(f"finetune: device_batch: expected {expected}, found {device_batch}")
    of_epoch = math.ceil(records / settings.global_batch)
    steps = math.ceil(settings.epochs * of_epoch)
    return Batches(device_batch, share // device_batch, world_size, of_epoch, min(steps, settings.max_steps or steps))


class StepSampler(Sampler[int]):
    """The rows of an epoch in the order of its micro-batches; the row after the last one is the filler.

    `epoch` is set by whoever trains; micro-batches follow each other process by process, as accelerate deals them out.
    """

    def __init__(self, lengths: Sequence[int], batches: Batches, layout: str, seed: int) -> None:
        self.lengths, self.batches, self.layout, self.seed, self.epoch = lengths, batches, layout, seed, 0
        self.global_batch = batches.device_batch * batches.accumulation * batches.world_size

    def __len__(self) -> int:
        """Rows of an epoch, fillers included."""
        return self.batches.steps_per_epoch * self.global_batch

    def __iter__(self) -> Iterator[int]:
        """The rows of all steps of the epoch."""
        for step in range(self.batches.steps_per_epoch):
            yield from (row for batch in self.micro_batches(self.epoch, step) for row in batch)

    def records(self, epoch: int, step: int) -> list[int]:
        """The rows of a step of an epoch (both from 0), without fillers."""
        import torch

        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        order: list[int] = torch.randperm(len(self.lengths), generator=generator).tolist()
        return order[step * self.global_batch :][: self.global_batch]

    def micro_batches(self, epoch: int, step: int) -> list[list[int]]:
        """The rows of every micro-batch of a step, in the layout; each has `device_batch` rows."""
        rows, size = self.records(epoch, step), self.batches.device_batch
        number = self.global_batch // size
        filler = [len(self.lengths)] * (self.global_batch - len(rows))
        if self.layout != "padded":
            rows = sorted(rows, key=lambda row: (-self.lengths[row], row))
        rows += filler
        if self.layout != "padding_free":
            return [rows[start : start + size] for start in range(0, len(rows), size)]
        # Long beside short, dealt to and fro, so that every device has about as many tokens at a time.
        rounds = [rows[start : start + number] for start in range(0, len(rows), number)]
        dealt = [row[::-1] if index % 2 else row for index, row in enumerate(rounds)]
        return [list(batch) for batch in zip(*dealt, strict=True)]

    def of_process(self, step: int, rank: int, micro_batch: int) -> list[int]:
        """The rows that a process has in a micro-batch of a step that is counted from the training's start."""
        epoch, place = divmod(step, self.batches.steps_per_epoch)
        found = self.micro_batches(epoch, place)[micro_batch * self.batches.world_size + rank]
        return [row for row in found if row < len(self.lengths)]


def filler(token: int) -> dict[str, list[int]]:
    """A row of one token without loss."""
    return {"input_ids": [token], "labels": [IGNORED]}


def collator(pad_token: int, settings: FinetuneConfig) -> Any:
    """TRL's collator for a recipe's batches; it hands on the records' lengths where `attention` reads them."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    flat = DataCollatorForLanguageModeling(pad_token, padding_free=settings.batches == "padding_free")
    if settings.batches != "padding_free":
        return flat

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {**flat(rows), "record_lengths": [len(row["input_ids"]) for row in rows]}

    return collate
