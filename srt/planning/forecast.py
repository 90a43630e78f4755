"""What each run's finetuning will take: steps, memory and hours by recipe and card, and disk; a table of `srt plan`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.llm.devices import has_gpu
from srt.machine import gpus
from srt.machine.schedule import side_by_side
from srt.prepare.prepare import prepared_file
from srt.selection.ledger import places
from srt.settings import Config, FinetuneConfig
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.records import Pair
from srt.storage.trainings import RECORD
from srt.training import cost, memory
from srt.training.batches import plan as batches_of

COLUMNS = ("run", "recipe", "records", "steps", "devices", "GB each", "fits", "disk GB", "hours", "remark")
CHARACTERS = 4.0  # of a token, before anything was tokenised
PROMPT_TOKENS = 45  # of the training prompt around a pair
UNKNOWN_RECORDS = "the number of records is not known before its data is there"


@dataclass(frozen=True)
class Forecast:
    """One run's finetuning to come; null where it is not known, which the remark says."""

    run: str
    recipe: str
    records: int | None
    steps: int | None
    devices: int
    memory: dict[str, float] | None
    gb: float | None
    limit_gb: float | None
    fits: bool | None
    checkpointing: bool | None
    checkpoints_gb: float | None
    model_gb: float | None
    hours: float | None
    remark: str

    def row(self) -> dict[str, str]:
        """As a row of COLUMNS."""
        fits = {None: "unknown", True: "yes", False: "no"}[self.fits]
        disk = None if self.model_gb is None else self.model_gb + (self.checkpoints_gb or 0)
        shown = [self.run, self.recipe, _shown(self.records), _shown(self.steps), str(self.devices)]
        shown += [_shown(self.gb), fits, _shown(disk), _shown(self.hours), self.remark]
        return dict(zip(COLUMNS, shown, strict=True))


def forecast(config: Config, runs: Sequence[Run]) -> list[Forecast]:
    """The trainings of the run table that are still to be done."""
    todo = [run for run in runs if run.recipe and not (_model_dir(config, run) / RECORD).is_file()]
    return [_of_run(config, run, config.recipes[str(run.recipe)]) for run in todo]


def _model_dir(config: Config, run: Run) -> Path:
    return Path(config.results) / layout.MODEL.format(run=run.run)


def _of_run(config: Config, run: Run, settings: FinetuneConfig) -> Forecast:
    execution = config.execution
    remarks: list[str] = []
    devices = execution.finetune_gpus * execution.finetune_nodes
    found: dict[str, Any] = dict.fromkeys(Forecast.__dataclass_fields__)
    found |= {"run": run.run, "recipe": run.recipe, "devices": devices}
    try:
        student = config.students[run.student]
        shape = _shape(student.model, student.revision)
        if isinstance(shape, str):
            raise InputError(shape)
        found |= _memory(config, settings, shape, devices, remarks)
        found["checkpoints_gb"] = cost.checkpoint_gb(shape, settings) * (execution.keep_checkpoints + 1)
        found["model_gb"] = cost.model_gb(shape, settings)
    except InputError as error:
        shape = str(error)
        remarks.append(shape)
    try:
        records, characters, remark = _data(config, run)
        batches = batches_of(records, settings, execution.device_batch, devices)
        found |= {"records": records, "steps": batches.steps}
        remarks.append(remark)
        if not isinstance(shape, str):
            epochs = min(batches.steps / batches.steps_per_epoch, settings.epochs)
            found["hours"] = _hours(config, settings, shape, found, epochs * records, characters)
            remarks.append("" if execution.card_tflops else "hours: set execution.card_tflops")
    except InputError as error:
        remarks.append(str(error))
    return Forecast(**{**found, "remark": "; ".join(filter(None, remarks))})


def _hours(
    config: Config,
    settings: FinetuneConfig,
    shape: memory.Shape,
    found: dict[str, Any],
    records: float,
    characters: float,
) -> float | None:
    """Hours for records of so many characters; None where the card's arithmetic is not known."""
    tflops = config.execution.card_tflops
    length = min(characters / CHARACTERS + PROMPT_TOKENS, settings.max_length)
    if tflops is None:
        return None
    twice, speed = bool(found["checkpointing"]), tflops * found["devices"]
    return cost.hours(shape, settings, records * length, length, twice, speed)


def _memory(
    config: Config, settings: FinetuneConfig, shape: memory.Shape, devices: int, remarks: list[str]
) -> dict[str, Any]:
    """The footprint with micro-batches of the longest records that the recipe takes."""
    execution = config.execution
    device_batch = max(1, min(execution.device_batch, settings.global_batch // devices))
    lengths = [settings.max_length] * device_batch
    device = "cuda" if has_gpu(execution.device) else "cpu"  # a plan may be made where there is none
    limit = memory.limit_gb(execution, device, devices)
    try:
        chosen = memory.choose(shape, settings, devices, lengths, device_batch, limit)
        footprint, twice, fits = chosen.footprint, chosen.checkpointing, None if limit is None else True
    except InputError as error:
        remarks.append(str(error).partition("; ")[2])
        twice, fits = settings.gradient_checkpointing != "off", False
        footprint = memory.estimate(shape, settings, devices, sum(lengths), twice)
    parts = {name: round(size / memory.GB, 2) for name, size in asdict(footprint).items()}
    return {"memory": parts, "gb": footprint.gb, "limit_gb": limit, "fits": fits, "checkpointing": twice}


@lru_cache
def _shape(model: str, revision: str | None) -> memory.Shape | str:
    """The model's shape, or why it is not known."""
    try:
        return memory.shape_of(model, revision)
    except InputError as error:
        return str(error)


def _data(config: Config, run: Run) -> tuple[int, float, str]:
    """Records that the run trains on, their mean characters, and what stands in for what is not there yet."""
    train = Path(config.results) / layout.TRAIN.format(run=run.run)
    if train.exists():
        pairs = read_records(train, Pair)
        return len(pairs), _mean_characters(pairs), "lengths assumed"
    original = Path(config.results) / layout.ORIGINAL.format(dataset=run.dataset)
    known = read_records(original, Pair) if original.exists() else prepared_file(config.datasets[str(run.dataset)])
    if not known:
        raise InputError(UNKNOWN_RECORDS)
    most = places(len(known), run.ratio or 1.0)
    return most, _mean_characters(known), "at most: before selection; lengths assumed, of the originals"


def _mean_characters(pairs: Sequence[Pair]) -> float:
    return math.fsum(len(p.instruction) + len(p.input) + len(p.output) for p in pairs) / len(pairs)


def told(forecasts: Sequence[Forecast], config: Config) -> str:
    """The trainings as a table, and the disk that they need together."""
    from tabulate import tabulate

    if not forecasts:
        return "No run is left to be finetuned."
    align = ("left", "left", *["right"] * 4, "left", "right", "right", "left")
    table = tabulate([f.row() for f in forecasts], headers="keys", colalign=align, disable_numparse=True)
    loading = [f.model_gb for f in forecasts if f.model_gb is not None]
    many = side_by_side(config.execution.finetune_gpus, len(gpus.visible()))
    kept = sum(loading)
    checkpoints = _largest([f.checkpoints_gb or 0 for f in forecasts], many)
    each = "one" if many == 1 else str(many)
    how = "all models kept" if config.execution.keep_models else "all models until the report (keep_models: false)"
    number = config.execution.keep_checkpoints
    at_a_time = f"{checkpoints:,.1f} for {number} checkpoint(s) and the one being written, {each} training at a time"
    return f"{table}\nDisk: {kept + checkpoints:,.1f} GB: {kept:,.1f} with {how}, {at_a_time}."


def _largest(sizes: Sequence[float], number: int) -> float:
    """The sum of so many of the largest sizes."""
    return sum(sorted(sizes, reverse=True)[:number])


def _shown(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
