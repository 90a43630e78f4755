"""PyTorch's attention over records that stand end to end in one row: each record is a call of its own.

transformers' own way with `sdpa` is a mask of all tokens against all, whose cost grows with the square of the row.
Here a record costs what it would cost alone, on any device, and no token sees another record.
"""

from __future__ import annotations

from typing import Any

NAME = "srt_records"


def implementation(config: Any, layout: str, attention: str) -> str:
    """The name under which transformers finds a recipe's attention for a model of this config.

    A model whose layers look at a window only keeps `sdpa` with transformers' mask, which knows about windows.
    """
    text = config.get_text_config()
    windows = {kind for kind in getattr(text, "layer_types", None) or () if kind != "full_attention"}
    if attention != "sdpa" or layout != "padding_free" or windows or getattr(text, "sliding_window", None):
        return attention
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, records_attention)
    AttentionMaskInterface.register(NAME, lambda *_, **__: None)
    return NAME


def records_attention(
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
