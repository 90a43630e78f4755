"""Coherence: the cosine between the embeddings of a pair's instruction and response (an ablation's statistic).

An embedding is the mean of the last hidden states over a text's tokens, of the student or of a named model.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from srt import models, probe
from srt.layout import meta_of
from srt.progress import track
from srt.prompts import joined
from srt.records import Coherence, InputError, Pair, ReflectedPair, write_json, write_records
from srt.settings import CoherenceConfig, ExecutionConfig
from srt.sources import read_pairs


def coherence(
    pairs: Path,
    out: Path,
    model: str,
    revision: str | None,
    settings: CoherenceConfig,
    execution: ExecutionConfig,
) -> None:
    """Write the coherence of every pair of a file; null with a reason where a text is empty or was not reflected."""
    import torch
    from torch.nn.functional import cosine_similarity

    if settings.embedding:
        model, revision = settings.embedding, None
    records = read_pairs(pairs)
    texts = {p.id: (joined(p.instruction, p.input), p.output) for p in records if _unusable(p) is None}
    tokenizer = models.load_tokenizer(model, revision)
    device = models.device(execution.device)
    loaded = models.load_model(model, revision, settings.dtype, device)
    if reason := probe.why_padding_is_seen(loaded):
        raise InputError(f"{model}: its embedding of a text is not that of the text alone: {reason}")
    body = loaded.base_model
    distinct = sorted({text for both in texts.values() for text in both}, key=len, reverse=True)
    embeddings: dict[str, torch.Tensor] = {}
    embedded = _embed(distinct, tokenizer, body, settings.max_length, execution.score_batch_tokens, device)
    for text, embedding in track(embedded, len(distinct), "coherence"):
        embeddings[text] = embedding
    results = []
    for pair in records:
        value = None
        if pair.id in texts:
            instruction, response = (embeddings[text] for text in texts[pair.id])
            value = float(cosine_similarity(instruction, response, dim=0))
        results.append(Coherence(id=pair.id, coherence=value, reason=_unusable(pair)))
    meta = {"model": model, "identity": models.identity(model, revision), "settings": settings.model_dump()}
    write_json(Path(meta_of(str(out))), meta | {"versions": models.versions("torch", "transformers")})
    write_records(out, results)


def _unusable(pair: Pair) -> str | None:
    if isinstance(pair, ReflectedPair) and pair.status == "failed":
        return f"reflection failed: {pair.reason}"
    return None if pair.instruction.strip() and pair.output.strip() else "a text is empty"


def _embed(
    texts: list[str], tokenizer: Any, body: Any, max_length: int, batch_tokens: int, device: str
) -> Iterator[tuple[str, Any]]:
    """(text, mean last hidden state as float32 of shape [hidden]) for every text, in batches by token budget."""
    import torch

    tokenized = [(text, tokenizer(text).input_ids[:max_length]) for text in texts]
    tokenized.sort(key=lambda item: len(item[1]), reverse=True)
    start = 0
    with torch.inference_mode():
        while start < len(tokenized):
            width = len(tokenized[start][1])
            batch = tokenized[start : start + max(1, batch_tokens // width)]
            ids = torch.tensor([ids + [0] * (width - len(ids)) for _, ids in batch], device=device)
            hidden = body(ids, use_cache=False)[0].float()
            for row, (text, tokens) in enumerate(batch):
                yield text, hidden[row, : len(tokens)].mean(0).cpu()
            start += len(batch)
