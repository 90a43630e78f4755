"""The finetuned model's folder: weights, tokenizer, record and loss curve, in place whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srt.llm import loading
from srt.llm.model import ModelRef
from srt.settings import FinetuneConfig
from srt.storage.atomic import leaving_nothing, sync
from srt.storage.errors import InputError
from srt.storage.sidecars import write_sidecar
from srt.storage.trainings import CURVE, RECORD, Step, TrainingRecord
from srt.training.checkpoints import sync_folder

ADAPTER = "adapter"


def refuse_foreign(model_dir: Path) -> None:
    """Only a folder that this step wrote, or an empty one, may be replaced; InputError otherwise."""
    if model_dir.exists() and not (model_dir / RECORD).is_file() and (model_dir.is_file() or any(model_dir.iterdir())):
        raise InputError(f"{model_dir}: exists and was not written by finetune, expected a new folder")


def save(trainer: Any, model_dir: Path, settings: FinetuneConfig, base: ModelRef, record: TrainingRecord) -> None:
    """Write the model, its record and its loss curve into a hidden sibling folder, sync it, and rename it.

    An adapter is merged into the base model, and kept beside it.
    """
    partial, old = (model_dir.with_name(f".{model_dir.name}.{suffix}") for suffix in ("partial", "old"))
    with trainer.args.main_process_first(desc="removing what a kill left"):
        if trainer.is_world_process_zero():
            for leftover in (partial, old):
                shutil.rmtree(leftover, ignore_errors=True)
    with leaving_nothing(partial, model_dir):
        _save_weights(trainer, partial, settings, base)
        if not trainer.is_world_process_zero():
            return
        for pickled in partial.rglob("training_args.bin"):  # with this machine's paths
            pickled.unlink()
        _loss_figure(record.loss_curve, partial)
        write_sidecar(partial / RECORD, record)
        sync_folder(partial)
    if model_dir.exists():
        model_dir.rename(old)
    partial.rename(model_dir)
    sync(model_dir.parent)
    shutil.rmtree(old, ignore_errors=True)


def _save_weights(trainer: Any, folder: Path, settings: FinetuneConfig, base: ModelRef) -> None:
    import torch

    if settings.adapter == "none":
        sharded = trainer.is_fsdp_enabled
        if not sharded:
            trainer.model.to(getattr(torch, settings.dtype))
        trainer.save_model(str(folder))
        if sharded and trainer.is_world_process_zero():
            _to_dtype(folder, settings.dtype)
        return
    trainer.save_model(str(folder / ADAPTER))
    if trainer.is_world_process_zero():
        from peft import PeftModel

        # In float32, whatever was trained over: what is merged is rounded once.
        loaded = loading.load_model(base.name, base.revision, "float32", "cpu")
        merged = PeftModel.from_pretrained(loaded, str(folder / ADAPTER))
        merged = merged.merge_and_unload().to(getattr(torch, settings.dtype))
        merged.generation_config = trainer.model.generation_config
        merged.config.get_text_config().pad_token_id = trainer.processing_class.pad_token_id
        merged.save_pretrained(folder)
        trainer.processing_class.save_pretrained(folder)


def _to_dtype(folder: Path, dtype: str) -> None:
    """Sharded weights come gathered as they were trained; the saved ones have the recipe's dtype."""
    import torch

    model = loading.load_model(str(folder), None, dtype, "cpu")
    if model.dtype != getattr(torch, dtype):
        raise RuntimeError(f"{folder}: expected weights in {dtype}, found {model.dtype}")
    for shard in folder.glob("*.safetensors*"):
        shard.unlink()
    model.save_pretrained(folder)


def _loss_figure(curve: Sequence[Step], folder: Path) -> None:
    """Loss and learning rate by optimizer step, as PDF and PNG (CURVE)."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from srt.plotting.save import save as save_figure
    from srt.plotting.style import BLUE, GREY, styled

    with styled():
        figure = Figure(figsize=(5.2, 3.0), layout="constrained")
        axes = figure.subplots()
        steps = [point.step for point in curve]
        axes.plot(steps, [point.loss for point in curve], color=BLUE, linewidth=1.2)
        axes.set(xlabel="optimizer step", ylabel="mean NLL of response tokens")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        rate = axes.twinx()
        rate.plot(steps, [point.learning_rate or 0.0 for point in curve], color=GREY, linewidth=0.8, linestyle="--")
        rate.set_ylabel("learning rate", color=GREY)
        rate.grid(visible=False)
        save_figure(figure, folder, Path(CURVE[0]).stem)
