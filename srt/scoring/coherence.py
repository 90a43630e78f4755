"""Coherence: the cosine between the embeddings of a pair's instruction and response (an ablation's statistic).

An embedding is the mean of the last hidden states over a text's tokens, of the student or of a named model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srt.llm import devices, limits, loading, probe
from srt.llm.model import ModelRef
from srt.llm.prompts import joined, text_ids
from srt.prepare.sources import read_pairs
from srt.settings import CoherenceConfig, ExecutionConfig
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import write_records
from srt.storage.progress import track
from srt.storage.records import Coherence, Pair, ReflectedPair
from srt.storage.sidecars import Sidecar, StepSettings, sidecar_of, write_sidecar


def coherence(pairs: Path, out: Path, model: ModelRef, settings: CoherenceConfig, execution: ExecutionConfig) -> None:
    """Write the coherence of every pair of a file; null with a reason where a text is empty or was not reflected."""
    import torch

    chosen = ModelRef(settings.embedding) if settings.embedding else model
    records = read_pairs(pairs)
    known = limits.of(chosen.name, chosen.revision)
    longest = known.longest(settings.max_length, "coherence: max_length")
    texts, reasons = _tokenized(records, loading.load_tokenizer(chosen.name, chosen.revision), longest, known)
    device = devices.device(execution.device)
    loaded = loading.load_model(chosen.name, chosen.revision, settings.dtype, device)
    if reason := probe.why_padding_is_seen(loaded):
        raise InputError(f"{chosen.name}: its embedding of a text is not that of the text alone: {reason}")
    body = loaded.base_model
    distinct = sorted({text for both in texts.values() for text in both}, key=lambda ids: (-len(ids), ids))
    embeddings: dict[tuple[int, ...], torch.Tensor] = {}
    embedded = _embed(distinct, body, execution.score_batch_tokens, device)
    for text, embedding in track(embedded, len(distinct), "coherence"):
        embeddings[text] = embedding
    results = []
    for pair in records:
        value, reason = None, reasons.get(pair.id)
        if pair.id in texts:
            value = cosine(*(embeddings[text] for text in texts[pair.id]))
            reason = "the embeddings' cosine is not finite" if value is None else None
        results.append(Coherence(id=pair.id, coherence=value, reason=reason))
    sidecar = Sidecar(
        model=chosen.name,
        identity=loading.identity(chosen.name, chosen.revision),
        settings=StepSettings(**settings.model_dump()),
        max_length=longest,
        positions=known.positions,
        versions=packages.versions("torch", "transformers"),
    )
    write_sidecar(sidecar_of(out), sidecar)
    write_records(out, results)


def cosine(one: Any, other: Any) -> float | None:
    """The cosine of two vectors; None where it is not finite."""
    from torch.nn.functional import cosine_similarity

    value = float(cosine_similarity(one, other, dim=0))
    return value if math.isfinite(value) else None


def _unusable(pair: Pair) -> str | None:
    if isinstance(pair, ReflectedPair) and pair.status == "failed":
        return f"reflection failed: {pair.reason}"
    return None if pair.instruction.strip() and pair.output.strip() else "a text is empty"


def _tokenized(
    records: list[Pair], tokenizer: Any, longest: int, known: limits.Limits
) -> tuple[dict[str, tuple[tuple[int, ...], ...]], dict[str, str]]:
    """By id the token ids of instruction and response, or why there are none."""
    found: dict[str, tuple[tuple[int, ...], ...]] = {}
    reasons = {pair.id: reason for pair in records if (reason := _unusable(pair))}
    for pair in records:
        if pair.id in reasons:
            continue
        both = text_ids(tokenizer, [joined(pair.instruction, pair.input), pair.output], spelled_out=True)
        outside = known.outside(token for ids in both for token in ids)
        if outside is None:
            found[pair.id] = tuple(tuple(ids[:longest]) for ids in both)
        else:
            reasons[pair.id] = known.why_outside(outside)
    return found, reasons


def _embed(
    texts: list[tuple[int, ...]], body: Any, batch_tokens: int, device: str
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """(token ids, mean last hidden state as float32 of shape [hidden]) for texts from the longest to the shortest."""
    import torch

    start = 0
    with torch.inference_mode():
        while start < len(texts):
            width = len(texts[start])
            batch = texts[start : start + max(1, batch_tokens // width)]
            ids = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids in batch], device=device)
            hidden = body(ids, use_cache=False)[0].float()
            for row, text in enumerate(batch):
                yield text, hidden[row, : len(text)].mean(0).cpu()
            start += len(batch)
