"""What a training needs of a device's memory, before it starts; pure arithmetic on shapes.

The activations of a decoder layer of Llama's kind are counted as autograd saves them under PyTorch's own attention (no
score matrix is kept); tests/training/test_memory.py holds the count to what is really saved. What a library takes
besides is assumed, in RESERVED_GB and FRAGMENTED.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from srt.llm import loading
from srt.machine import gpus
from srt.settings import ExecutionConfig, FinetuneConfig
from srt.settings.training import AdapterRecipe
from srt.storage.errors import InputError

GB = 1e9
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
NF4 = 0.5 + 0.127 / 8  # bytes of a weight in 4 bits with its doubly quantised scales (arXiv 2305.14314, section 3)
MOMENT_8BIT = 1 + 4 / 256  # bytes of a moment: one, and a float32 scale for every 256
RESERVED_GB = 1.0  # CUDA's context, or the libraries on a CPU
FRAGMENTED = 0.05  # of what is allocated
# TRL's head: rows and words of a tile of logits.
TILE = (4096, 32768)
MORE_GPUS = (2, 4, 8, 16, 32)


class Shape(NamedTuple):
    """What the estimate reads of a model: parameters in all and in linear layers, their sides, and its widths."""

    parameters: int
    linear: int
    sides: int  # sum of inputs and outputs of the linear layers that an adapter sits on
    layers: int
    hidden: int
    keys: int
    intermediate: int
    vocabulary: int

    @classmethod
    def of_model(cls, model: Any) -> Shape:
        """Of a model, with weights or on the meta device."""
        import torch

        head, text = model.get_output_embeddings(), model.config.get_text_config()
        linears = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]
        heads = getattr(text, "num_attention_heads", None) or 1  # RWKV and Mamba have none: as one as wide as the model
        width = getattr(text, "head_dim", None) or text.hidden_size // heads
        return cls(
            sum(p.numel() for p in model.parameters()),
            sum(linear.weight.numel() for linear in linears),
            sum(linear.in_features + linear.out_features for linear in linears),
            text.num_hidden_layers,
            text.hidden_size,
            width * (getattr(text, "num_key_value_heads", None) or heads),
            getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
            text.vocab_size,
        )


def shape_of(model: str, revision: str | None) -> Shape:
    """Of a model folder or hub name, from its config alone; InputError where that cannot be read."""
    import torch
    from transformers import AutoModelForCausalLM

    config = loading.load_config(model, revision)
    try:
        with torch.device("meta"):
            return Shape.of_model(AutoModelForCausalLM.from_config(config))
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise InputError(f"{model}: the model's config cannot be read: {first}") from None


@dataclass(frozen=True)
class Footprint:
    """Bytes on one device at the peak of a step, by what they are for."""

    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def gb(self) -> float:
        """All of it, with what libraries take besides."""
        parts = self.weights + self.gradients + self.optimizer + self.activations
        return parts * (1 + FRAGMENTED) / GB + RESERVED_GB

    def told(self) -> str:
        """In one line."""
        parts = vars(self).items()
        return f"{self.gb:.1f} GB ({', '.join(f'{name} {size / GB:.1f}' for name, size in parts)})"


def estimate(shape: Shape, settings: FinetuneConfig, devices: int, tokens: int, checkpointing: bool) -> Footprint:
    """The footprint on each of `devices` with micro-batches of `tokens` tokens."""
    share = devices if settings.sharding != "none" else 1
    trained = trained_parameters(shape, settings)
    size = BYTES[settings.weights]
    copies = 2 if devices > 1 and share == 1 else 1  # every process keeps the gradients once more, to send them
    moment = 2 * (size if settings.optimizer == "adamw" else MOMENT_8BIT)
    head = shape.vocabulary * shape.hidden
    weights = _frozen_bytes(shape, settings) + size * trained / share
    if share > 1:  # one layer is gathered while the last one is still there, and the head whole, in float32
        weights += 2 * BYTES[settings.dtype] * shape.linear / shape.layers + 4 * head
    elif settings.adapter == "none" and settings.dtype != settings.weights:
        weights += BYTES[settings.dtype] * shape.linear  # autocast's copies, kept for the backward pass
    return Footprint(
        weights,
        copies * size * trained / share + (4 * head if settings.adapter == "none" else 0),
        moment * trained / share,
        _activations(shape, settings, tokens, checkpointing),
    )


def trained_parameters(shape: Shape, settings: FinetuneConfig) -> int:
    """All of them, or those of the adapter."""
    return settings.lora_rank * shape.sides if isinstance(settings, AdapterRecipe) else shape.parameters


def _frozen_bytes(shape: Shape, settings: FinetuneConfig) -> float:
    """The model below an adapter; none without one."""
    if settings.adapter == "none":
        return 0.0
    if settings.adapter == "lora":
        return float(BYTES[settings.dtype] * shape.parameters)
    return NF4 * shape.linear + BYTES[settings.dtype] * (shape.parameters - shape.linear)


def _activations(shape: Shape, settings: FinetuneConfig, tokens: int, checkpointing: bool) -> float:
    h, k, i = shape.hidden, shape.keys, shape.intermediate
    size = BYTES[settings.dtype]
    stream = 4 if settings.dtype == "float32" or (settings.adapter == "none" and settings.weights == "float32") else 2
    # As counted of what autograd saves: the norms' inputs and outputs, queries, keys, values, and the gated layer's.
    of_layer = {(4, 4): 32, (4, 2): 30, (2, 2): 20}[stream, size] * h + 2 * size * k + 4 * size * i
    if (
        settings.adapter != "none"
    ):  # an adapter keeps the inputs of its seven layers after dropout, and dropout's factors
        of_layer += 2 * size * (6 * h + i)
    layers = shape.layers * stream * h + of_layer if checkpointing else shape.layers * of_layer
    tile = min(tokens, TILE[0]) * min(shape.vocabulary, TILE[1]) * (size + 4)
    return tokens * (layers + 4 * stream * h) + tile


class Chosen(NamedTuple):
    """A training that fits, or that nothing is known to stop."""

    checkpointing: bool
    footprint: Footprint
    devices: int

    def told(self, limit: float | None) -> str:
        """In one line."""
        known = "whose memory is not known" if limit is None else f"of {limit:.1f} GB"
        twice = "computed twice" if self.checkpointing else "kept"
        need = self.footprint.told()
        return f"about {need} on each of {self.devices} device(s) {known}, activations {twice}"


def choose(
    shape: Shape, settings: FinetuneConfig, devices: int, lengths: Sequence[int], device_batch: int, limit: float | None
) -> Chosen:
    """Whether activations are computed twice: as the recipe says; `auto` where they do not fit otherwise.

    Args:
        shape: the model's.
        settings: the recipe.
        devices: GPUs, or processes on a CPU.
        lengths: tokens of the records; a micro-batch may have the longest ones.
        device_batch: records of a micro-batch.
        limit: GB of a device; None where it is not known.

    Raises:
        InputError: it does not fit; the line says what would.
    """
    tokens = sum(sorted(lengths)[-device_batch:])
    options = {"on": [True], "off": [False], "auto": [False, True]}[settings.gradient_checkpointing]
    found = [Chosen(twice, estimate(shape, settings, devices, tokens, twice), devices) for twice in options]
    if limit is None:
        return found[-1]
    for chosen in found:
        if chosen.footprint.gb <= limit:
            return chosen
    need = f"{found[-1].footprint.told()} on each of {devices} device(s), found {limit:.1f} GB"
    ways = list(_ways_out(shape, settings, devices, sorted(lengths), device_batch, limit))
    raise InputError(
        f"finetune: does not fit: needs about {need}; would fit: {'; '.join(ways) or 'nothing known here'}"
    )


def _ways_out(
    shape: Shape, settings: FinetuneConfig, devices: int, lengths: list[int], device_batch: int, limit: float
) -> Iterator[str]:
    """Changes that fit, from the mildest to the largest; with the smallest micro-batch where it needs that."""
    low = {"weights": "bfloat16", "dtype": "bfloat16"}
    small = {"optimizer": "paged_adamw_8bit", **low}
    lora = {"lora_rank": 64, "lora_alpha": 128.0, "lora_dropout": 0.05, "sharding": "none", "dtype": "bfloat16"}
    shared = "fsdp2" if settings.sharding == "none" else settings.sharding
    tried: list[tuple[dict[str, Any], int]] = [({}, devices)]
    if settings.adapter == "none":
        tried += [({"sharding": shared}, count) for count in MORE_GPUS if count > devices]
        tried += [(low, devices), (small, devices)]
        tried += [({"adapter": "lora", **lora, "weights": "float32"}, devices)]
    if settings.adapter != "qlora":
        tried += [({"adapter": "qlora", **lora, **small}, devices)]
    sharded = False
    for changes, count in tried:
        if sharded and "fsdp2" in changes.values():
            continue  # the least number of GPUs is enough to say
        changed = FinetuneConfig.model_validate({**settings.model_dump(), **changes})
        for records in (device_batch, 1):
            need = estimate(shape, changed, count, sum(lengths[-records:]), checkpointing=True)
            if need.gb <= limit:
                told = [f"{key}: {value}" for key, value in changes.items() if getattr(settings, key, None) != value]
                told += [f"finetune_gpus: {count}"] if count != devices else []
                told += ["device_batch: 1"] if records != device_batch else []
                told += ["gradient_checkpointing: auto"] if settings.gradient_checkpointing == "off" else []
                sharded = sharded or count != devices
                yield f"{', '.join(told)} ({need.gb:.1f} GB)"
                break


def limit_gb(execution: ExecutionConfig, device: str, processes: int) -> float | None:
    """Memory of a device in GB: as `execution.card_gb` says, else asked; a CPU's processes share the machine's."""
    if execution.card_gb is not None:
        return execution.card_gb
    if device == "cuda":
        return gpus.memory_gb()
    import psutil

    return float(psutil.virtual_memory().total) / GB / processes
