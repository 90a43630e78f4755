"""TRL's SFTTrainer over a recipe: its arguments, our order of records, whole checkpoints, a stop at a broken loss."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

from srt.llm import devices, loading
from srt.settings import ExecutionConfig, FinetuneConfig
from srt.settings.training import AdapterRecipe
from srt.storage.atomic import leaving_nothing
from srt.storage.errors import InputError
from srt.storage.progress import say
from srt.training import attention
from srt.training.batches import Batches, StepSampler, collator, filler
from srt.training.checkpoints import PREFIX, SAVING, complete
from srt.training.examples import Examples

SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}
OPTIMIZERS = {"adamw": "adamw_torch", "adamw_8bit": "adamw_bnb_8bit", "paged_adamw_8bit": "paged_adamw_8bit"}
# What a recipe asks for beyond the CPU environment: its module, and the package that brings it.
PACKAGES = {
    ("optimizer", "adamw_8bit"): ("bitsandbytes", "bitsandbytes"),
    ("optimizer", "paged_adamw_8bit"): ("bitsandbytes", "bitsandbytes"),
    ("adapter", "qlora"): ("bitsandbytes", "bitsandbytes"),
}


def require_packages(settings: FinetuneConfig, device: str) -> None:
    """InputError where the recipe asks for a package that is not installed, or for CUDA on a CPU."""
    from importlib.util import find_spec

    for (field, value), (module, package) in PACKAGES.items():
        if getattr(settings, field) != value:
            continue
        if find_spec(module) is None:
            raise InputError(f"finetune: {field}: {value} needs the package {package}: pip install {package}")
        if device == "cpu":
            raise InputError(f"finetune: {field}: {value} needs CUDA, found device cpu")


def training_arguments(
    seed: int,
    settings: FinetuneConfig,
    execution: ExecutionConfig,
    batches: Batches,
    checkpoints: Path,
    checkpointing: bool,
) -> Any:
    """TRL's arguments; everything that decides the result is said aloud."""
    from trl import SFTConfig

    cpu = devices.device(execution.device) == "cpu"
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
        optim=OPTIMIZERS[settings.optimizer],
        max_grad_norm=1.0,
        bf16=settings.dtype == "bfloat16",
        fp16=settings.dtype == "float16",
        # FSDP2 has a checkpointing of its own, which transformers asks to be used in its place.
        gradient_checkpointing=checkpointing and settings.sharding != "fsdp2",
        use_cpu=cpu,
        dataloader_pin_memory=not cpu,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_steps=execution.save_steps,
        save_total_limit=execution.keep_checkpoints,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=not sys.stderr.isatty(),
    )


def load_weights(model: str, revision: str | None, settings: FinetuneConfig) -> Any:
    """The model in its weights' dtype, or in 4 bits below a qlora adapter; how it sees a batch is settled later."""
    import torch
    from transformers import BitsAndBytesConfig

    dtype = settings.dtype if settings.adapter != "none" else settings.weights
    config = loading.load_config(model, revision)
    more: dict[str, Any] = {"attn_implementation": attention.implementation(config, attention.PADDED)}
    if settings.adapter == "qlora":
        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, settings.dtype),
        )
        more["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    return loading.load_model(model, revision, dtype, None, **more)  # the trainer moves it to the device


def make_trainer(
    model: Any, tokenizer: Any, examples: Examples, arguments: Any, settings: FinetuneConfig, batches: Batches
) -> Any:
    """TRL's SFTTrainer over tokenised pairs; it logs through our callback.

    `trainer.layout` says how records lie in its batches: as the recipe asks, where the model honours that.

    Raises:
        InputError: no layout keeps the records apart in this model.
    """
    from datasets import Dataset
    from transformers import PrinterCallback, set_seed

    _make_saveable(model.generation_config)
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    set_seed(arguments.seed)
    _head_on_labels_only()
    trainer = _trainer_class()(
        model,
        args=arguments,
        train_dataset=Dataset.from_list([*examples.rows, filler(tokenizer.eos_token_id)]),
        processing_class=tokenizer,
        peft_config=_adapter(settings),
    )
    trainer.record_ids = examples.ids
    trainer.layout = _settled(trainer, model, settings)
    laid_out = settings.model_copy(update={"batches": trainer.layout.name})
    trainer.data_collator = collator(tokenizer.pad_token_id, laid_out)
    trainer.sampler = StepSampler(examples.lengths, batches, laid_out.batches, arguments.seed)
    trainer.add_callback(_watcher(trainer.sampler))
    trainer.remove_callback(PrinterCallback)
    return trainer


def _settled(trainer: Any, model: Any, settings: FinetuneConfig) -> attention.Layout:
    """The layout that the model honours, said where it is another than the recipe's."""
    layout = attention.settle(trainer, model, settings)
    if layout.reason:
        if trainer.is_world_process_zero():
            told = f"{type(model).__name__} does not keep records apart in {settings.batches} batches: {layout.reason}"
            say(f"finetune: batches: {told}; going on with {layout.name} ones")
        # What was trained in the recipe's layout, before anybody looked, is not gone on with.
        trainer.args.output_dir = str(Path(trainer.args.output_dir) / layout.name)
    return layout


def _head_on_labels_only() -> None:
    """Let TRL's head skip positions without a label on a CPU too; it does so by itself where Triton is.

    The loss is the same sum; on a CPU the head over the prompts' and the padding's tokens is half of a step.
    """
    from trl.trainer import utils

    utils._use_triton = lambda device: True


def _adapter(settings: FinetuneConfig) -> Any:
    """Peft's LoRA on every linear layer but the head, as in QLoRA (arXiv 2305.14314); None without an adapter."""
    if not isinstance(settings, AdapterRecipe):
        return None
    from peft import LoraConfig

    sizes: dict[str, Any] = {"lora_alpha": settings.lora_alpha, "lora_dropout": settings.lora_dropout}
    return LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=settings.lora_rank, **sizes)


def _make_saveable(generation_config: Any) -> None:
    """Some Llama checkpoints name a temperature without `do_sample`, which transformers 5 refuses to save."""
    try:
        generation_config.validate(strict=True)
    except ValueError:
        generation_config.do_sample = True


def _trainer_class() -> Any:
    from trl import SFTTrainer

    class Trainer(SFTTrainer):  # type: ignore[misc]
        """With our sampler, and with checkpoints that appear whole. Sets: `sampler`, `record_ids`."""

        saving, place = False, (-1, -1)  # `place`: optimizer step and micro-batch under way

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return self.sampler

        def training_step(self, *inputs: Any, **more: Any) -> Any:
            step, micro_batch = self.place
            step, micro_batch = (step, micro_batch + 1) if step == self.state.global_step else (step, 0)
            self.place = self.state.global_step, micro_batch
            loss = super().training_step(*inputs, **more)
            if not math.isfinite(float(loss)):
                rows = self.sampler.of_process(self.state.global_step, self.args.process_index, micro_batch)
                self._stop(f"the loss is {float(loss)}", rows)
            return loss

        def _get_grad_norm(self, *inputs: Any, **more: Any) -> Any:
            norm = super()._get_grad_norm(*inputs, **more)
            # In float16 a gradient that is not finite makes the scaler skip the step, and is no fault.
            if norm is not None and not self.args.fp16 and not math.isfinite(float(norm)):
                spe = self.sampler.batches.steps_per_epoch
                rows = self.sampler.records(*divmod(self.state.global_step, spe))
                self._stop(f"the gradient's norm is {float(norm)}", rows)
            return norm

        def _stop(self, what: str, rows: list[int]) -> None:
            ids = ", ".join(self.record_ids[row] for row in rows)
            raise FloatingPointError(f"finetune: step {self.state.global_step + 1}: {what} on the records {ids}")

        def _get_output_dir(self, trial: Any) -> str:
            folder: str = super()._get_output_dir(trial)
            return str(Path(folder) / SAVING) if self.saving else folder

        def _save_checkpoint(self, model: Any, trial: Any) -> None:
            self.saving = True
            folder = Path(self.args.output_dir)
            saved = folder / SAVING / f"{PREFIX}{self.state.global_step}"
            with leaving_nothing(saved, folder / saved.name):
                try:
                    super()._save_checkpoint(model, trial)
                finally:
                    self.saving = False
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    complete(saved, folder, self.args.save_total_limit)
            self.accelerator.wait_for_everyone()

    return Trainer


def _watcher(sampler: StepSampler) -> Any:
    """A callback that logs each step, holds the trainer to the steps of an epoch, and tells the sampler which it is."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, train_dataloader: Any = None, **_: Any) -> None:
            found, rest = divmod(len(train_dataloader), args.gradient_accumulation_steps)
            if rest or found != sampler.batches.steps_per_epoch:
                raise RuntimeError(f"expected {sampler.batches.steps_per_epoch} steps an epoch, found {found}")

        def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            # accelerate does not reach the sampler in every case (a resumed epoch of several processes).
            sampler.epoch = state.global_step // sampler.batches.steps_per_epoch

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
            if "loss" in logs and args.disable_tqdm and state.is_world_process_zero:
                rate = f"learning rate {logs['learning_rate']:.3g}"
                say(f"finetune: step {state.global_step} of {state.max_steps}: loss {logs['loss']:.4f}, {rate}")

    return Watcher()
