"""PyTorch's attention over records that stand end to end in one row: each record is a call of its own.

transformers' own way with `sdpa` is a mask of all tokens against all, whose cost grows with the square of the row.
Here a record costs what it would cost alone, on any device, and no token sees another record. Whether a model honours
that, or any other layout of records, is not known by its name: `settle` tries it (`srt.llm.probe`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from srt.llm import probe
from srt.settings import FinetuneConfig
from srt.storage.errors import InputError
from srt.training.batches import collator

NAME = "srt_records"
PADDED = "grouped"  # the layout taken where `padding_free` is not honoured: records of about one length, padded


class Layout(NamedTuple):
    """How the records of a training lie in its batches; the reason says why it is not as the recipe asks."""

    name: str
    reason: str | None


def implementation(config: Any, layout: str) -> str:
    """The name under which transformers finds a layout's attention for a model of this config.

    A model whose layers look at a window only keeps `sdpa` with transformers' mask, which knows about windows. One
    that knows no `sdpa` keeps its own attention, `eager`.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AttentionInterface, AttentionMaskInterface

    text = config.get_text_config()
    windows = {kind for kind in getattr(text, "layer_types", None) or () if kind != "full_attention"}
    if layout != "padding_free" or windows or getattr(text, "sliding_window", None):
        kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
        return "eager" if kind and not kind._supports_sdpa else "sdpa"
    AttentionInterface.register(NAME, _records_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
    return NAME


def _records_attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, record_lengths: Any = None, **more: Any
) -> tuple[Any, None]:
    """Causal attention inside every record of a row.

    Args:
        module: the layer.
        query: (1, heads, tokens, width); key and value with as many heads or fewer.
        key: as query.
        value: as query.
        attention_mask: None.
        record_lengths: tokens of each record, in their order.
        more: what transformers gives to `sdpa` besides.

    Returns:
        (1, tokens, heads, width), None.

    Raises:
        ValueError: the lengths did not arrive; going on would let records see each other.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if record_lengths is None or sum(record_lengths) != query.shape[2] or query.shape[0] != 1:
        raise ValueError("this model does not hand the records' lengths on to its attention: take batches: grouped")
    parts = (tensor.split(record_lengths, dim=2) for tensor in (query, key, value))
    found = [sdpa_attention_forward(module, *part, None, **more)[0] for part in zip(*parts, strict=True)]
    return torch.cat(found, dim=1), None


def settle(trainer: Any, model: Any, settings: FinetuneConfig) -> Layout:
    """The layout in which the model, as it is trained, keeps records apart; the same in every process.

    It is the recipe's, or `grouped` where `padding_free` is not honoured. The model is left with its attention.

    Raises:
        InputError: the model keeps records apart in neither, as without a causal mask.
    """
    from accelerate.utils import broadcast_object_list

    found = _try_layouts(trainer, model, settings) if trainer.accelerator.is_main_process else None
    layout, reasons = broadcast_object_list([found])[0]  # the other processes may hold no weights of their own yet
    kind = type(model).__name__
    if layout is None:
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise InputError(f"finetune: batches: {kind} does not train on each record alone ({told})")
    _set_attention(model, layout)
    return Layout(layout, reasons.get(settings.batches))


def _try_layouts(trainer: Any, model: Any, settings: FinetuneConfig) -> tuple[str | None, dict[str, str]]:
    """The first layout that the model honours, and why it does not honour those before; without one, None."""
    layouts = ("padding_free", PADDED) if settings.batches == "padding_free" else (settings.batches,)
    reasons: dict[str, str] = {}
    _set_attention(model, PADDED)
    seen = probe.alone(trainer.model)
    for layout in layouts:
        reason = _why_not(trainer, model, settings.model_copy(update={"batches": layout}), seen)
        if reason is None:
            return layout, reasons
        reasons[layout] = reason
    return None, reasons


def _why_not(trainer: Any, model: Any, settings: FinetuneConfig, seen: list[probe.Seen] | str) -> str | None:
    """Why the model does not honour a layout; None where it does. It is asked through the trainer's own loss."""
    import torch

    if not _set_attention(model, settings.batches):
        return "its attention cannot be replaced"
    collate = collator(trainer.processing_class.pad_token_id, settings)
    experts = {"output_router_logits": True} if trainer.aux_loss_enabled else {}

    def log_probs(records: list[list[int]]) -> Any:
        batch = collate([{"input_ids": ids, "labels": ids} for ids in records])
        there = {k: value.to(model.device) if torch.is_tensor(value) else value for k, value in batch.items()}
        return trainer.model(**there, **experts, use_cache=False, fused_lm_head=True).log_probs

    places, coarse = (
        (probe.end_to_end, probe.COARSER) if settings.batches == "padding_free" else (probe.row_by_row, probe.LOOSE)
    )
    exact = model.dtype == torch.float32
    return probe.why_not_alone(trainer.model, seen, log_probs, places, probe.FLOAT32 if exact else coarse)


def _set_attention(model: Any, layout: str) -> bool:
    """Give the model the attention of a layout; whether it has it now. Some models cannot change theirs."""
    name = implementation(model.config, layout)
    if model.config._attn_implementation != name:
        model.set_attn_implementation(name)
    return bool(model.config._attn_implementation == name)
