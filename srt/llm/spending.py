"""What a teacher costs: a price per token, a limit for all of it, and what its journals say was spent."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from srt.llm.completions import Ending, ending
from srt.llm.requests import Completion, Request
from srt.llm.wire import count, dumped, finish_of, number_of, text_of
from srt.settings import BUDGET_EXPECTED, BUDGET_FORM, Price
from srt.storage.errors import InputError

MILLION = 1_000_000
CHARACTERS_PER_TOKEN = 4.0  # of English text, where nothing better is known
TEMPLATE_TOKENS = 64  # what a chat template may add to a prompt


class BudgetError(RuntimeError):
    """The budget is spent: one line that says what is left to do. Nothing was lost; a larger budget goes on."""


@dataclass
class Spent:
    """Sums over answers: money in USD, `seconds` of the `timed` ones from answer to answer."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    money: float = 0.0
    seconds: float = 0.0
    timed: int = 0
    prompt_characters: int = 0
    measured_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Of prompts and answers."""
        return self.prompt_tokens + self.completion_tokens

    def add(self, value: Mapping[str, Any], price: Price | None) -> None:
        """Count one answer as its journal has it; one that was received before there was a price, at this one."""
        prompt, completion = count(value.get("prompt_tokens")) or 0, count(value.get("tokens")) or 0
        self.requests += 1
        self.prompt_tokens += prompt
        self.completion_tokens += completion
        cost = number_of(value.get("cost"))
        if cost is None:
            cost = cost_of(prompt, completion, price, batch=False)
        self.money += cost or 0.0
        wall = number_of(value.get("wall"))
        if wall is not None:
            self.seconds, self.timed = self.seconds + wall, self.timed + 1
        if prompt and not value.get("estimated"):
            self.measured_tokens += prompt
            self.prompt_characters += count(value.get("characters")) or 0

    @property
    def characters_per_token(self) -> float:
        """Measured on the answered prompts; an assumption before the first."""
        if self.measured_tokens and self.prompt_characters:
            return self.prompt_characters / self.measured_tokens
        return CHARACTERS_PER_TOKEN


def spent_of(entries: Iterable[Any], price: Price | None) -> Spent:
    """What the entries of a teacher's journals sum up to; what is no answer among them is passed over."""
    total = Spent()
    for value in entries:
        if is_answer(value):
            total.add(value, price)
    return total


def endings_of(entries: Iterable[Any]) -> Iterator[Ending]:
    """How the answers among a journal's entries came to their ends, as their server says."""
    return (ending(finish_of(value["finish_reason"])) for value in entries if is_answer(value))


def is_answer(value: Any) -> bool:
    """Whether a journal's entry is an answer, and not a note about a finished run."""
    return isinstance(value, dict) and "finish_reason" in value


def cost_of(prompt_tokens: float, completion_tokens: float, price: Price | None, batch: bool) -> float | None:
    """Money for these tokens; None without a price."""
    if price is None:
        return None
    whole = (prompt_tokens * price.prompt + completion_tokens * price.completion) / MILLION
    return whole * price.batch if batch else whole


def estimated_usage(completion: Completion, asked: int, ratio: float) -> dict[str, Any]:
    """The tokens of an answer whose server does not say all of them: by characters, and marked as such.

    Args:
        completion: the answer; what its server says is kept.
        asked: characters of the request.
        ratio: characters per token.
    """
    tokens = completion.tokens or math.ceil(len(completion.text) / ratio)
    prompt = math.ceil(asked / ratio) if completion.prompt_tokens is None else completion.prompt_tokens
    return {"prompt_tokens": prompt, "tokens": tokens, "estimated": True}


def completion_of(entry: Any) -> Completion:
    """The completion in a journal's entry, of today or before; one that cannot be read has a fault."""
    if not is_answer(entry):
        return Completion("", 0, "stop", fault="the journal's entry is no answer", raw=dumped(entry))
    text, thoughts, fault = text_of(entry.get("text"))
    told = {name: entry[name] for name in ("model", "reasoning", "fault", "raw", "moved") if _is_text(entry.get(name))}
    return Completion(
        text,
        count(entry.get("tokens")) or 0,
        finish_of(entry["finish_reason"]),
        count(entry.get("prompt_tokens")),
        seconds=number_of(entry.get("seconds")),
        **{"reasoning": thoughts, "fault": fault, "raw": dumped(entry) if fault else None, **told},
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


@dataclass(frozen=True)
class Budget:
    """The most that one teacher's journals may come to, in `USD`, `tokens` or `requests`."""

    most: float
    unit: str

    @classmethod
    def read(cls, text: str | None, price: Price | None) -> Budget | None:
        """`20 USD`, `3000000 tokens`, `5000 requests`; InputError for money without a price to count it by."""
        if text is None:
            return None
        form = re.fullmatch(BUDGET_FORM, text)
        if form is None:
            raise InputError(f"budget: {BUDGET_EXPECTED}, found {text!r}")
        if form["unit"] == "USD" and price is None:
            raise InputError(
                "budget: in USD needs the teacher's price: expected --price, or an entry under execution.prices"
            )
        return cls(float(form["most"]), form["unit"])

    def used(self, spent: Spent) -> float:
        """What of it is gone."""
        return {"USD": spent.money, "tokens": spent.tokens, "requests": spent.requests}[self.unit]

    def of(self, request: Request, price: Price | None, batch: bool) -> float:
        """The most that one more request may come to: a token for each byte of its prompt, and a full answer."""
        prompt = request.bytes + TEMPLATE_TOKENS
        if self.unit == "requests":
            return 1.0
        if self.unit == "tokens":
            return prompt + request.max_new_tokens
        return cost_of(prompt, request.max_new_tokens, price, batch) or 0.0
