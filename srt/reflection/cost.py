"""What reflection will cost: requests, tokens, money and hours, for what is still to be done only.

Prompts are counted on the records themselves; the length of an answer, the characters of a token and the seconds
of a request are measured on the journal's answers, and before the first they are assumptions, which is said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from srt.llm.asking import Known
from srt.llm.spending import cost_of, is_answer
from srt.llm.wire import count
from srt.reflection.conversation import Conversation

# Tokens of an answer's parts before anything was measured: a critique is about a paragraph, a new instruction or
# response half as long again as the old one. Of the paper's reflected data, roughly.
CRITIQUE_TOKENS = 150
GROWTH = 1.5
LEAST_TOKENS = 40


@dataclass(frozen=True)
class Estimate:
    """What is still to be done for some records; `money` is None without a price, `hours` without a measured rate."""

    records: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    money: float | None
    hours: float | None
    measured_on: int

    def told(self) -> str:
        """In one line."""
        if not self.requests:
            return f"{self.records} records, all of them answered in the journal"
        parts = [
            f"{self.records} records, {self.requests:,} requests to come",
            f"about {self.prompt_tokens:,} prompt and {self.completion_tokens:,} completion tokens",
            "no price is known" if self.money is None else f"{self.money:,.2f} USD",
            "no rate is known yet" if self.hours is None else f"{self.hours:,.2f} hours",
        ]
        return ", ".join(parts) + f" ({self.basis()}; second tries not counted)"

    def basis(self) -> str:
        """What the numbers rest on."""
        return f"measured on {self.measured_on:,} answers" if self.measured_on else "lengths assumed, none measured"


def estimate(talks: Sequence[Conversation], known: Known) -> Estimate:
    """What the conversations still need: those without their answers in the journal, every remaining turn once."""
    lengths = _answer_lengths(known)
    requests, characters, completion = 0, 0, 0.0
    for talk in talks:
        left = _replayed(talk, known)
        for turn in left.turns[left.place :] if left.failure is None else ():
            request = left.request_of(turn, _stand_ins(left))
            requests += 1
            characters += request.characters
            assumed = sum(_assumed(name, left, known) for name in turn.fields)
            completion += min(request.max_new_tokens, lengths.get(turn.name, assumed))
    spent = known.spent
    prompt = characters / spent.characters_per_token
    rate = spent.seconds / spent.timed if spent.timed else None
    return Estimate(
        len(talks),
        requests,
        round(prompt),
        round(completion),
        cost_of(prompt, completion, known.price, known.batch),
        None if rate is None else requests * rate / 3600,
        spent.requests,
    )


def _replayed(talk: Conversation, known: Known) -> Conversation:
    """A copy of the conversation, led as far as the journal goes."""
    copy = replace(talk, said={}, repairs={}, used={}, place=0)
    known.replay(copy)
    return copy


def _stand_ins(talk: Conversation) -> dict[str, str]:
    """What the teacher will have said by a later turn, taken as long as what is there."""
    there: dict[str, Any] = {"critique": "", "instruction": talk.fields["task"], "response": talk.fields["response"]}
    return {**there, **talk.said}


def _answer_lengths(known: Known) -> dict[str, float]:
    """turn: mean tokens of its answers so far."""
    found: dict[str, list[int]] = {}
    for value in known.entries.values():
        tokens = count(value.get("tokens")) if is_answer(value) else None
        if tokens is not None and isinstance(value.get("turn"), str):
            found.setdefault(value["turn"], []).append(tokens)
    return {turn: fmean(tokens) for turn, tokens in found.items()}


def _assumed(name: str, talk: Conversation, known: Known) -> float:
    if name == "critique":
        return CRITIQUE_TOKENS
    text = talk.fields["task"] if name == "instruction" else talk.fields["response"]
    return max(LEAST_TOKENS, GROWTH * len(text) / known.spent.characters_per_token)
