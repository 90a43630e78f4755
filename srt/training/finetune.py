"""finetune: supervised finetuning of the student on the selected pairs, with TRL's SFTTrainer.

Labels are made in `examples`, batches in `batches`; `memory` says whether it fits, `launch` starts the processes of
several devices, `saving` moves the model into place. Weights and AdamW's moments are float32
unless the recipe says otherwise; a recipe's bfloat16 or float16 is the arithmetic (autocast) and the saved
weights, because bfloat16 weights lose most updates of a 2e-5 learning rate to rounding.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any, TypedDict

from srt.llm import devices, limits, loading
from srt.llm.model import ModelRef
from srt.settings import ExecutionConfig, FinetuneConfig
from srt.settings.job import Job
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.progress import say
from srt.storage.records import Pair
from srt.storage.sidecars import StepSettings
from srt.storage.trainings import FORMAT, Step, TrainedOn, TrainingRecord
from srt.training import launch, memory
from srt.training.batches import Batches, plan
from srt.training.checkpoints import alone, key_of, newest_checkpoint
from srt.training.examples import Examples, load_tokenizer, tokenize
from srt.training.saving import refuse_foreign, save
from srt.training.trainer import load_weights, make_trainer, require_packages, training_arguments


def finetune(train: Path, model: ModelRef, seed: int, settings: FinetuneConfig, job: Job) -> None:
    """Train `model` on the pairs of `train` and write the checkpoint folder `job.out`, whole or not at all.

    A killed run goes on from the newest checkpoint in `job.cache`. For several devices this starts a process for each,
    which calls this again; by hand, `accelerate launch -m srt.cli finetune ...` does.

    Raises:
        InputError: an unusable train file, model, folder, device or batch size, or a training that does not fit.
        FloatingPointError: the loss or the gradient is no longer finite.
        LaunchError: a process of several ended in an error.
    """
    pairs, execution = read_records(train, Pair), job.execution
    if not pairs:
        raise InputError(f"{train}: holds no pair, expected at least one to train on")
    loading.require(model.name)
    refuse_foreign(job.out)
    several = launch.is_needed(execution)
    device = _device(execution, settings, holding=not several)
    tokenizer = load_tokenizer(model.name, model.revision)
    examples = tokenize(pairs, tokenizer, settings, str(train), limits.of(model.name, model.revision))
    batches = plan(len(examples.rows), settings, execution.device_batch, launch.processes(execution))
    checkpointing = _fits(model, settings, execution, batches, examples, device)
    if several:
        arguments = launch.arguments(train, model, seed, settings, job)
        launch.run(settings, execution, device, checkpointing, arguments)
        return
    launch.require_sharding(settings, checkpointing)
    identity = loading.identity(model.name, model.revision)
    sha256 = hashlib.sha256(train.read_bytes()).hexdigest()
    key = key_of(identity, sha256, settings, seed, examples.counts["max_length"])
    with alone(job.cache / "finetune" / key) as checkpoints:
        args = training_arguments(seed, settings, execution, batches, checkpoints, checkpointing)
        weights = load_weights(model.name, model.revision, settings)
        trainer = make_trainer(weights, tokenizer, examples, args, settings, batches)
        seconds = _train(trainer)
        record = TrainingRecord(
            format=FORMAT,
            base_model=model.name,
            revision=model.revision,
            base_identity=identity,
            seed=seed,
            data=TrainedOn(sha256=sha256, records=len(pairs), **examples.counts),
            settings=StepSettings(**settings.model_dump()),
            **batches._asdict(),
            gradient_checkpointing=checkpointing,
            attention=str(trainer.model.config._attn_implementation),
            layout=trainer.layout.name,
            layout_reason=trainer.layout.reason,
            **_outcome(trainer, device, seconds),
        )
        save(trainer, job.out, settings, model, record)
        if trainer.is_world_process_zero():
            shutil.rmtree(checkpoints)


def _device(execution: ExecutionConfig, settings: FinetuneConfig, holding: bool) -> str:
    """`cpu` or `cuda`; InputError for what the trainer would get wrong in silence or refuse late.

    With `holding` this process takes its GPU; without, it leaves CUDA alone, for the processes that it will start.
    """
    device = devices.device(execution.device) if holding else launch.device(execution)
    if device == "cpu" and settings.dtype == "float16":
        raise InputError("finetune: dtype: expected float32 or bfloat16 on a CPU, found float16")
    if device == "cuda" and holding:
        import torch

        if not torch.cuda.device_count():
            raise InputError("finetune: device: expected cpu or auto, found cuda where torch sees no GPU")
    require_packages(settings, device)
    return device


def _fits(
    model: ModelRef,
    settings: FinetuneConfig,
    execution: ExecutionConfig,
    batches: Batches,
    examples: Examples,
    device: str,
) -> bool:
    """Whether activations are computed twice, as the recipe says or memory asks; InputError where it does not fit."""
    limit = memory.limit_gb(execution, device, batches.world_size)
    shape, devices = memory.shape_of(model.name, model.revision), batches.world_size
    chosen = memory.choose(shape, settings, devices, examples.lengths, batches.device_batch, limit)
    if launch.is_first():
        say(f"finetune: {chosen.told(limit)}")
    return chosen.checkpointing


def _train(trainer: Any) -> float:
    """Train to the last step, from the newest checkpoint on; the seconds that this process took for it."""
    with trainer.args.main_process_first(desc="looking for checkpoints"):
        newest = newest_checkpoint(Path(trainer.args.output_dir))
    if newest and trainer.is_world_process_zero():
        say(f"finetune: going on from {newest.name} of {trainer.args.max_steps} steps")
    start = time.monotonic()
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    return time.monotonic() - start


class _Outcome(TypedDict):
    device: str
    threads: int | None
    seconds: float
    versions: dict[str, str]
    loss_curve: list[Step]


def _outcome(trainer: Any, device: str, seconds: float) -> _Outcome:
    """What the record says of the training itself."""
    import torch

    keys = ("step", "loss", "learning_rate", "grad_norm")
    named = ("torch", "transformers", "trl", "accelerate", "peft", "tokenizers", "bitsandbytes")
    curve = [{key: entry[key] for key in keys} for entry in trainer.state.log_history if "loss" in entry]
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "threads": torch.get_num_threads() if device == "cpu" else None,
        "seconds": round(seconds, 1),
        "versions": packages.versions(*named),
        "loss_curve": [Step(**point) for point in curve],
    }
