"""What a model can be given: the tokens that it has an embedding of, and the positions that it knows.

A tokenizer may know more words than the model (a pad token that was added last), and a setting ask for longer texts.
A table of positions ends where it ends, so texts are cut there; rotary positions go on, and are only spoken of.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from srt.llm import loading
from srt.storage.progress import say

STRETCHED = ("linear", "dynamic", "yarn")  # ways of scaling rotary positions that name a factor, not the length
UNNAMED_POSITIONS = 2048  # of a model whose config names none, as lm-eval takes it to be


class Limits(NamedTuple):
    """Of a model.

    Attributes:
        words: rows of its embedding: token ids are below.
        positions: tokens that it was made for; None where its config names none, or needs none.
        fixed: whether more than these cannot be computed.
    """

    words: int
    positions: int | None
    fixed: bool

    def outside(self, ids: Iterable[int]) -> int | None:
        """The first token that the model has no embedding of."""
        return next((token for token in ids if token >= self.words), None)

    def why_outside(self, token: int) -> str:
        """The reason of what such a token makes impossible."""
        return f"token {token} is outside of the model's {self.words} embeddings"

    def longest(self, wanted: int, what: str, fixed: bool = False) -> int:
        """The `wanted` number of tokens of a text, or the model's positions where it can have no more; says which.

        Args:
            wanted: tokens that a setting asks for.
            what: names the setting in the line.
            fixed: whether what runs the model knows no more positions in any case.
        """
        if self.positions is None or wanted <= self.positions:
            return wanted
        told = f"{what}: {wanted} is beyond the model's {self.positions} positions"
        if self.fixed or fixed:
            say(f"{told}: texts are cut at {self.positions} tokens")
            return self.positions
        say(f"{told}: longer texts are beyond what it was trained on")
        return wanted


def of(model: str, revision: str | None) -> Limits:
    """The limits of a model folder or hub name; InputError where it has no config."""
    return of_config(loading.load_config(model, revision))


def of_config(config: Any) -> Limits:
    """The limits that a config names."""
    text = config.get_text_config()
    positions = getattr(text, "max_position_embeddings", None) or getattr(text, "max_seq_len", None)
    rope = getattr(text, "rope_parameters", None) or {}
    if getattr(text, "alibi", False) or not isinstance(positions, int) or positions < 1:
        return Limits(int(text.vocab_size), None, fixed=False)
    if rope.get("rope_type") in STRETCHED:
        made_for = rope.get("original_max_position_embeddings") or positions
        positions = max(positions, int(made_for * (rope.get("factor") or 1)))
    return Limits(int(text.vocab_size), positions, fixed=not rope)
