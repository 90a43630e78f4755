"""The four token sequences of a pair, of which the student's NLLs are taken (PROTOCOL: IFD and r-IFD).

T(x) is the student's prompt around an instruction and g(y) the request to guess the instruction of a response:

    nll_response                      y            after nothing
    nll_response_given_instruction    y            after T(x)
    nll_instruction                   x            after nothing
    nll_instruction_given_response    x            after T(g(y))
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from srt.llm.prompts import StudentTemplate, fill, text_ids
from srt.storage.records import Pair

PAIRS_AT_A_TIME = 32  # given to the tokenizer, which works on them in parallel; its output is large


@dataclass(frozen=True, eq=False)
class Target:
    """A token sequence whose tokens from `start` on are scored; `truncated` if the length limit cut it."""

    ids: array[int]
    start: int
    truncated: bool

    @property
    def tokens(self) -> int:
        """The number of scored tokens."""
        return max(0, len(self.ids) - self.start)

    @property
    def key(self) -> str:
        """What the NLL is journalled under: equal for equal tokens and start, whatever text they came from."""
        return hashlib.sha256(self.start.to_bytes(8, "little") + self.ids.tobytes()).hexdigest()


class Sequencer:
    """Builds the four sequences of a pair.

    Args:
        tokenizer: the student's.
        template: the student's prompt around an instruction.
        guess: the request to guess the instruction.
        max_length: most tokens of a sequence.
        keep_end: whether what the tokenizer adds after a text counts as part of it, as it did before version 2 of the
            step `score`: NLLs of that time are told from ours by it.
    """

    def __init__(
        self, tokenizer: Any, template: StudentTemplate, guess: str, max_length: int, keep_end: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.guess = guess
        self.max_length = max_length
        self.keep_end = keep_end

    def all_targets(self, pairs: Sequence[Pair]) -> Iterator[dict[str, Target]]:
        """NLL name: sequence, for each pair. Contexts are not cut; a target may be left with no token."""
        for first in range(0, len(pairs), PAIRS_AT_A_TIME):
            texts = [self._texts(pair) for pair in pairs[first : first + PAIRS_AT_A_TIME]]
            ids = iter(self._ids(list(chain.from_iterable(texts))))
            for of_pair in texts:
                yield self._targets([next(ids) for _ in of_pair])

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if self.keep_end:
            return list(self.tokenizer(texts, verbose=False).input_ids)
        return text_ids(self.tokenizer, texts, spelled_out=True)

    def _texts(self, pair: Pair) -> list[str]:
        """What is tokenised of a pair, each text as a whole."""
        prompt = self.template.render(pair.instruction, pair.input)
        asked = self.template.render(fill(self.guess, {"response": pair.output}))
        wanted = pair.instruction + pair.input
        # The published scorer finds the instruction side by the last occurrence of the instruction alone.
        before = (asked + wanted)[: (asked + wanted).rfind(pair.instruction)]
        return [wanted, asked, asked + wanted, before, pair.output, prompt, prompt + pair.output]

    def _targets(self, ids: Sequence[list[int]]) -> dict[str, Target]:
        wanted, asked, guessed, before, output, prompt, answered = ids
        return {
            "nll_instruction": self._alone(wanted, len(asked)),
            "nll_response": self._alone(output, len(prompt)),
            "nll_instruction_given_response": self._after(guessed, len(before)),
            "nll_response_given_instruction": self._after(answered, len(prompt)),
        }

    def _alone(self, ids: list[int], context: int) -> Target:
        """The unconditional text, cut so that as many target tokens are left as after a context of that length."""
        budget = max(0, self.max_length - context + 1)
        return Target(array("i", ids[:budget]), 1, len(ids) > budget)

    def _after(self, ids: list[int], context: int) -> Target:
        """The whole text, tokenised at once; the target starts at the context's token count."""
        return Target(array("i", ids[: self.max_length]), max(1, context), len(ids) > self.max_length)
