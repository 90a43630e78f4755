"""The recipes of finetuning: what is trained, in which precision, and in which batches."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from srt.settings.base import Dtype
from srt.settings.cases import Cased

LORA = ("lora_rank", "lora_alpha", "lora_dropout")


class FinetuneConfig(Cased):
    """A named recipe (`recipes:`) of supervised finetuning.

    What saves memory or time is said here and saved beside the model, so that no number changes in silence.
    """

    TOLD_BY = "adapter"

    prompt: Literal["vicuna_v1.1", "alpaca"] = Field(description="training prompt, read from alpaca-eval's wheel")
    learning_rate: float = Field(gt=0, description="peak learning rate")
    epochs: float = Field(gt=0, description="passes over the training data")
    max_steps: int | None = Field(ge=1, description="stop after this many optimizer steps; null for all epochs")
    global_batch: int = Field(ge=1, description="records per optimizer step, over all devices")
    max_length: int = Field(
        ge=2, description="most tokens of a training text; fewer where the model's positions end before"
    )
    weight_decay: float = Field(ge=0, description="AdamW's weight decay")
    warmup: float = Field(ge=0, lt=1, description="share of the steps in which the learning rate rises")
    schedule: Literal["cosine", "linear", "constant"] = Field(description="learning-rate schedule")
    dtype: Dtype = Field(description="arithmetic in training and dtype of the saved weights")
    weights: Literal["float32", "bfloat16"] = Field(
        description="trained weights and AdamW's moments; bfloat16 halves them and loses small updates to rounding. "
        "Below an adapter the model is in dtype, or in 4 bits"
    )
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] = Field(
        description="adamw is PyTorch's; the others keep the moments in 8 bits (bitsandbytes, CUDA), paged ones may "
        "move to the host's memory"
    )
    sharding: Literal["none", "fsdp2"] = Field(
        description="several GPUs: none copies the model to each; fsdp2 (PyTorch) shares it out"
    )
    adapter: Literal["none", "lora", "qlora"] = Field(
        description="none trains all weights; lora a low-rank adapter, merged at the end; qlora the same over 4 bits"
    )
    batches: Literal["padded", "grouped", "padding_free"] = Field(
        description="a step's records in random batches with padding, sorted by length into batches, or end to end "
        "without padding (grouped where the model does not honour that); the records of a step are the same"
    )
    gradient_checkpointing: Literal["auto", "on", "off"] = Field(
        description="compute activations twice to keep fewer; auto: where they do not fit otherwise"
    )

    @model_validator(mode="after")
    def _parts_fit_together(self) -> FinetuneConfig:
        if self.weights == "bfloat16" and self.dtype != "bfloat16":
            raise ValueError(f"weights: bfloat16 is trained in dtype bfloat16, found dtype {self.dtype}")
        if self.adapter == "lora" and self.weights != "float32":
            raise ValueError("weights: peft trains a LoRA adapter in float32, found bfloat16")
        if self.adapter == "qlora" and self.weights != "bfloat16":
            raise ValueError("weights: TRL trains the adapter over 4 bits in bfloat16, found float32")
        if self.adapter == "qlora" and self.sharding != "none":
            raise ValueError(f"sharding: 4-bit weights are not shared out, expected none, found {self.sharding}")
        return self

    def journalled(self) -> dict[str, Any]:
        """What checkpoints are kept under: all settings, those of an adapter as null without one, as they once were."""
        return {**dict.fromkeys(LORA), **self.model_dump()}


class FullRecipe(FinetuneConfig):
    """Trains all weights."""

    adapter: Literal["none"] = Field(description="trains all weights")


class AdapterRecipe(FinetuneConfig):
    """Trains an adapter."""

    adapter: Literal["lora", "qlora"] = Field(description="the kind of adapter")
    lora_rank: int = Field(ge=1, description="rank of the adapter; with an adapter only")
    lora_alpha: float = Field(gt=0, description="the adapter's scale is alpha / rank; with an adapter only")
    lora_dropout: float = Field(ge=0, lt=1, description="dropout before the adapter; with an adapter only")
