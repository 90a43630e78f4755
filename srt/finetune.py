"""finetune: supervised finetuning of the student on the selected pairs, with TRL's SFTTrainer.

The trained text is FastChat's for Vicuna v1.1: the prompt up to `ASSISTANT:`, a space, the response, the
end-of-sequence token; the loss is the mean NLL of the response's tokens and that end token (PROTOCOL.md).
The pairs are tokenised here, so what the saved record counts is what the trainer sees. Weights and AdamW's
moments are float32; a recipe's bfloat16 or float16 is the arithmetic (autocast) and the saved weights, because
bfloat16 weights lose most updates of a 2e-5 learning rate to rounding.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import sys
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from srt import models
from srt.checkpoints import alone, newest_checkpoint, sync, watcher
from srt.journal import content_key
from srt.progress import say
from srt.prompts import SEPARATORS, fill, joined, text_ids, training_prompt
from srt.records import InputError, Pair, read_records, write_json
from srt.settings import STEP_VERSIONS, ExecutionConfig, FinetuneConfig

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
IGNORED = -100  # the label of a token without loss
RECORD = "srt_finetune.json"


class Examples(NamedTuple):
    """Tokenised pairs (`input_ids`, `labels`), and the numbers of records and tokens for the saved record."""

    rows: list[dict[str, list[int]]]
    counts: dict[str, Any]


class Batches(NamedTuple):
    """How a global batch is made of micro-batches, and the number of optimizer steps."""

    device_batch: int
    accumulation: int
    world_size: int
    steps: int


def finetune(
    train: Path,
    model_dir: Path,
    model: str,
    revision: str | None,
    seed: int,
    settings: FinetuneConfig,
    execution: ExecutionConfig,
    cache: Path,
) -> None:
    """Train `model` on the pairs of `train` and write the checkpoint folder `model_dir`, whole or not at all.

    A killed run goes on from the newest complete checkpoint in `cache`. Under `torchrun` every process calls this.

    Raises:
        InputError: an unusable train file, model, folder, device or batch size.
        FloatingPointError: the loss is no longer finite.
    """
    pairs = read_records(train, Pair)
    if not pairs:
        raise InputError(f"{train}: holds no pair, expected at least one to train on")
    models.require(model)
    _refuse_foreign(model_dir)
    device = _device(execution.device, settings.dtype)
    tokenizer = load_tokenizer(model, revision)
    examples = tokenize(pairs, tokenizer, settings, str(train))
    batches = plan(len(examples.rows), settings, execution.device_batch, int(os.environ.get("WORLD_SIZE", "1")))
    identity = models.identity(model, revision)
    data = {"sha256": hashlib.sha256(train.read_bytes()).hexdigest(), "records": len(pairs), **examples.counts}
    about = {"base_model": model, "revision": revision, "base_identity": identity, "seed": seed, "data": data}
    about["settings"] = settings.model_dump()
    key = content_key(STEP_VERSIONS["finetune"], identity, data["sha256"], about["settings"], seed)
    with alone(cache / "finetune" / key) as checkpoints:
        arguments = training_arguments(seed, settings, execution, batches, checkpoints)
        weights = models.load_model(model, revision, "float32", "cpu")  # the trainer moves them to the device
        trainer = make_trainer(weights, tokenizer, examples, arguments)
        _train(trainer)
        record = {**about, **batches._asdict(), **_outcome(trainer, device)}
        _save(trainer, model_dir, settings.dtype, record)
        if trainer.is_world_process_zero():
            shutil.rmtree(checkpoints)


def tokenize(pairs: list[Pair], tokenizer: Any, settings: FinetuneConfig, where: str) -> Examples:
    """Token ids and labels of all pairs that keep at least one response token within `max_length`.

    Prompt and response are tokenised as one text; the response starts where that differs from the prompt alone.
    Special tokens spelled out in a pair stay text: the only EOS is the one that ends the response.
    InputError, naming the file `where`, if nothing is left.
    """
    template, separator, limit = training_prompt(settings.prompt), SEPARATORS[settings.prompt], settings.max_length
    answered = [pair for pair in pairs if pair.output.strip()]
    prompts = [fill(template, {"instruction": joined(pair.instruction, pair.input)}) for pair in answered]
    texts = [prompt + separator + pair.output for prompt, pair in zip(prompts, answered, strict=True)]
    dropped: Counter[str] = Counter({"empty response": len(pairs) - len(answered)})
    rows: list[dict[str, list[int]]] = []
    truncated = 0
    for prompt, ids in zip(text_ids(tokenizer, prompts), text_ids(tokenizer, texts), strict=True):
        start = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(prompt, ids, strict=False)))
        if start >= limit:
            dropped["no response token within max_length"] += 1
            continue
        kept = [*ids, tokenizer.eos_token_id][:limit]
        truncated += len(ids) + 1 > limit
        rows.append({"input_ids": kept, "labels": [IGNORED] * start + kept[start:]})
    if not rows:
        found = ", ".join(f"{number} x {reason}" for reason, number in dropped.items() if number)
        raise InputError(f"{where}: expected a pair to train on (max_length {limit}), found only {found}")
    counts = {"trained_on": len(rows), "truncated": truncated, "dropped": {k: n for k, n in dropped.items() if n}}
    counts["tokens"] = sum(len(row["labels"]) for row in rows)
    counts["loss_tokens"] = sum(label != IGNORED for row in rows for label in row["labels"])
    return Examples(rows, counts)


def plan(records: int, settings: FinetuneConfig, device_batch: int, world_size: int) -> Batches:
    """Micro-batches and steps; InputError where the global batch cannot be divided evenly.

    The steps are those of all epochs, or `max_steps` where that is less; the schedule spans just these.
    """
    share, rest = divmod(settings.global_batch, world_size)
    if rest or not share:
        expected = f"a multiple of the {world_size} processes"
        raise InputError(f"finetune: global_batch: expected {expected}, found {settings.global_batch}")
    device_batch = min(device_batch, share)
    if share % device_batch:
        expected = f"a divisor of {share} (global_batch {settings.global_batch}, {world_size} process(es))"
        raise InputError(f"finetune: device_batch: expected {expected}, found {device_batch}")
    steps = math.ceil(settings.epochs * math.ceil(records / settings.global_batch))
    return Batches(device_batch, share // device_batch, world_size, min(steps, settings.max_steps or steps))


def load_tokenizer(model: str, revision: str | None) -> Any:
    """The model's tokenizer, which pads with its EOS if it has no pad token; InputError without an EOS."""
    tokenizer = models.load_tokenizer(model, revision)
    if tokenizer.eos_token is None:
        raise InputError(f"{model}: tokenizer: has no end-of-sequence token, expected one to end responses with")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked by position, so the real EOS keeps its loss
    return tokenizer


def _device(name: str, dtype: str) -> str:
    """`cpu` or `cuda`; InputError for what the trainer would get wrong in silence or refuse late."""
    import torch

    device, gpus = models.device(name), torch.cuda.device_count()
    if device == "cpu" and dtype == "float16":
        raise InputError("finetune: dtype: expected float32 or bfloat16 on a CPU, found float16")
    if device == "cuda" and not gpus:
        raise InputError("finetune: device: expected cpu or auto, found cuda where torch sees no GPU")
    if device == "cuda" and gpus > 1 and "WORLD_SIZE" not in os.environ:
        hint = "set CUDA_VISIBLE_DEVICES, or start one process per GPU with torchrun"
        raise InputError(f"finetune: device: expected one GPU per process, found {gpus}: {hint}")
    return device


def training_arguments(
    seed: int, settings: FinetuneConfig, execution: ExecutionConfig, batches: Batches, checkpoints: Path
) -> Any:
    """TRL's arguments; everything that decides the result is said aloud."""
    from trl import SFTConfig

    cpu = models.device(execution.device) == "cpu"
    return SFTConfig(
        output_dir=str(checkpoints),
        max_length=settings.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_steps=batches.steps,
        per_device_train_batch_size=batches.device_batch,
        gradient_accumulation_steps=batches.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=SCHEDULES[settings.schedule],
        warmup_steps=settings.warmup,  # below 1 it is a share
        weight_decay=settings.weight_decay,
        optim="adamw_torch",
        max_grad_norm=1.0,
        bf16=settings.dtype == "bfloat16",
        fp16=settings.dtype == "float16",
        gradient_checkpointing=execution.gradient_checkpointing,
        use_cpu=cpu,
        dataloader_pin_memory=not cpu,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=execution.save_steps,
        save_total_limit=2,
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )


def make_trainer(model: Any, tokenizer: Any, examples: Examples, arguments: Any) -> Any:
    """TRL's SFTTrainer over tokenised pairs; it logs through our callback."""
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed
    from trl import SFTTrainer

    _make_saveable(model.generation_config)
    set_seed(arguments.seed)
    data = Dataset.from_list(examples.rows)
    trainer = SFTTrainer(model, args=arguments, train_dataset=data, processing_class=tokenizer, callbacks=[watcher()])
    trainer.remove_callback(PrinterCallback)
    return trainer


def _train(trainer: Any) -> None:
    """Train to the last step, from the newest complete checkpoint on."""
    with trainer.args.main_process_first(desc="looking for checkpoints"):
        newest = newest_checkpoint(Path(trainer.args.output_dir))
    if newest and trainer.is_world_process_zero():
        say(f"finetune: going on from {newest.name} of {trainer.args.max_steps} steps")
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)


def _make_saveable(generation_config: Any) -> None:
    """Some Llama checkpoints name a temperature without `do_sample`, which transformers 5 refuses to save."""
    try:
        generation_config.validate(strict=True)
    except ValueError:
        generation_config.do_sample = True


def _outcome(trainer: Any, device: str) -> dict[str, Any]:
    import torch

    keys = ("step", "loss", "learning_rate")
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "versions": models.versions("torch", "transformers", "trl", "accelerate", "tokenizers"),
        "loss_curve": [{key: entry[key] for key in keys} for entry in trainer.state.log_history if "loss" in entry],
    }


def _refuse_foreign(model_dir: Path) -> None:
    """Only a folder that this step wrote, or an empty one, may be replaced."""
    if model_dir.exists() and not (model_dir / RECORD).is_file() and (model_dir.is_file() or any(model_dir.iterdir())):
        raise InputError(f"{model_dir}: exists and was not written by finetune, expected a new folder")


def _save(trainer: Any, model_dir: Path, dtype: str, record: dict[str, Any]) -> None:
    """Write the checkpoint and the record into a hidden sibling folder, sync it, and rename it."""
    import torch

    partial, old = (model_dir.with_name(f".{model_dir.name}.{suffix}") for suffix in ("partial", "old"))
    with trainer.args.main_process_first(desc="removing what a kill left"):
        if trainer.is_world_process_zero():
            for leftover in (partial, old):
                shutil.rmtree(leftover, ignore_errors=True)
    if not (trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled):
        trainer.model.to(getattr(torch, dtype))
    trainer.save_model(str(partial))
    if not trainer.is_world_process_zero():
        return
    (partial / "training_args.bin").unlink(missing_ok=True)  # a pickle with this machine's paths
    write_json(partial / RECORD, record)
    for path in (*partial.rglob("*"), partial):
        sync(path)
    if model_dir.exists():
        model_dir.rename(old)
    partial.rename(model_dir)
    sync(model_dir.parent)
    shutil.rmtree(old, ignore_errors=True)
