"""A pair as the trainer sees it: token ids, and labels that cover the response and its end.

The trained text is FastChat's for Vicuna v1.1: the prompt up to `ASSISTANT:`, a space, the response, the
end-of-sequence token; the loss is the mean NLL of the response's tokens and that end token (PROTOCOL.md).
The pairs are tokenised here and not by TRL, so what the saved record counts is what is trained on.
"""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import Any, NamedTuple

from srt.llm import limits, loading
from srt.llm.prompts import SEPARATORS, fill, joined, text_ids, training_prompt
from srt.settings import FinetuneConfig
from srt.storage.errors import InputError
from srt.storage.records import Pair

IGNORED = -100  # the label of a token without loss


class Examples(NamedTuple):
    """Tokenised pairs (`input_ids`, `labels`), their records' ids, and the counts for the saved record."""

    rows: list[dict[str, list[int]]]
    ids: list[str]
    counts: dict[str, Any]

    @property
    def lengths(self) -> list[int]:
        """Tokens of every row."""
        return [len(row["input_ids"]) for row in self.rows]


def load_tokenizer(model: str, revision: str | None) -> Any:
    """The model's tokenizer, which pads with its EOS if it has no pad token that the model has an embedding of.

    InputError without such an EOS.
    """
    tokenizer, known = loading.load_tokenizer(model, revision), limits.of(model, revision)
    if tokenizer.eos_token is None:
        raise InputError(f"{model}: tokenizer: has no end-of-sequence token, expected one to end responses with")
    if known.outside([tokenizer.eos_token_id]) is not None:
        raise InputError(f"{model}: tokenizer: end-of-sequence {known.why_outside(tokenizer.eos_token_id)}")
    if tokenizer.pad_token is None or known.outside([tokenizer.pad_token_id]) is not None:
        tokenizer.pad_token = tokenizer.eos_token  # padding is masked by position, so the real EOS keeps its loss
    return tokenizer


def tokenize(
    pairs: list[Pair], tokenizer: Any, settings: FinetuneConfig, where: str, known: limits.Limits | None = None
) -> Examples:
    """Token ids and labels of all pairs that keep at least one response token within `max_length`.

    With the limits of a model, pairs with tokens that it has no embedding of are dropped, and `max_length` is at most
    what it can take.

    Prompt and response are tokenised as one text; the response starts where that differs from the prompt alone.
    Special tokens spelled out in a pair stay text: the only EOS is the one that ends the response.

    Raises:
        InputError: nothing is left; the line names the file `where`.
    """
    template, separator = training_prompt(settings.prompt), SEPARATORS[settings.prompt]
    limit = known.longest(settings.max_length, "finetune: max_length") if known else settings.max_length
    answered = [pair for pair in pairs if pair.output.strip()]
    prompts = [fill(template, {"instruction": joined(pair.instruction, pair.input)}) for pair in answered]
    texts = [prompt + separator + pair.output for prompt, pair in zip(prompts, answered, strict=True)]
    dropped: Counter[str] = Counter({"empty response": len(pairs) - len(answered)})
    rows: list[dict[str, list[int]]] = []
    records: list[str] = []
    truncated = 0
    for pair, prompt, ids in zip(answered, text_ids(tokenizer, prompts), text_ids(tokenizer, texts), strict=True):
        start = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(prompt, ids, strict=False)))
        if start >= limit:
            dropped["no response token within max_length"] += 1
            continue
        kept = [*ids, tokenizer.eos_token_id][:limit]
        if known and (outside := known.outside(kept)) is not None:
            dropped[known.why_outside(outside)] += 1
            continue
        truncated += len(ids) + 1 > limit
        rows.append({"input_ids": kept, "labels": [IGNORED] * start + kept[start:]})
        records.append(pair.id)
    if not rows:
        found = ", ".join(f"{number} x {reason}" for reason, number in dropped.items() if number)
        raise InputError(f"{where}: expected a pair to train on (max_length {limit}), found only {found}")
    counts: dict[str, Any] = {"max_length": limit, "positions": known.positions if known else None}
    counts |= {"trained_on": len(rows), "truncated": truncated, "dropped": {k: n for k, n in dropped.items() if n}}
    counts["tokens"] = sum(len(row["labels"]) for row in rows)
    counts["loss_tokens"] = sum(label != IGNORED for row in rows for label in row["labels"])
    return Examples(rows, records, counts)
