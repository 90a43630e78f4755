"""The definition of the four NLLs, as plainly as it can be written: one sequence, one forward, no batch, no cache.

Independent of srt.scoring.score: it shares nothing with it but the template's text.
"""

from __future__ import annotations

from typing import Any

import torch


def mean_nll(model: Any, ids: list[int], start: int) -> float | None:
    """Mean NLL of the tokens from `start` on, each predicted from all before it; None without such a token."""
    labels = torch.tensor([ids])
    labels[:, :start] = -100
    if not (labels[:, 1:] != -100).any():
        return None
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits
    return float(torch.nn.functional.cross_entropy(logits[0, :-1].double(), labels[0, 1:], ignore_index=-100))


def naive(model: Any, tokenizer: Any, prompt: str, asked: str, pair: Any, limit: int) -> dict[str, float | None]:
    """The four NLLs of a pair; `prompt` is T(x), `asked` is T(g(y))."""

    def count(text: str) -> int:
        return len(tokenizer(text).input_ids)

    def whole(text: str, context: str) -> float | None:
        ids = tokenizer(text).input_ids[: max(0, limit - count(context) + 1)]
        return mean_nll(model, ids, 1) if ids else None

    def after(text: str, before: str) -> float | None:
        return mean_nll(model, tokenizer(text).input_ids[:limit], count(before))

    question = pair.instruction + pair.input
    guessed = asked + question
    return {
        "nll_response": whole(pair.output, prompt),
        "nll_response_given_instruction": after(prompt + pair.output, prompt),
        "nll_instruction": whole(question, asked),
        "nll_instruction_given_response": after(guessed, guessed[: guessed.rfind(pair.instruction)]),
    }
