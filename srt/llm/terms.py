"""On what terms somebody is asked: at what price, within which budget, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass

from srt.settings import Limits, Price


@dataclass(frozen=True)
class Terms:
    """What answers cost, and what stops the asking.

    Attributes:
        price: USD per million tokens; None where answers cost nothing, or nobody knows.
        batch: whether they come through the batch API, at that one's price.
        budget: the most that may be spent (`srt.llm.spending.Budget.read`); None for no end.
        limits: when refusals and answers without a known end stop the run; None where they never do.
    """

    price: Price | None = None
    batch: bool = False
    budget: str | None = None
    limits: Limits | None = None


FREE = Terms()
