"""One record's way through the turns of a prompt style: what is asked, what is made of the answer, what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from srt.llm.requests import Completion, Request, Sampling
from srt.reflection.cleaning import Cleaning, Failure, Reading
from srt.reflection.styles import Style, Turn
from srt.settings import ReflectConfig
from srt.storage.records import ReflectedPair

SEED = 0
TRIES = 2  # of a turn whose answer cannot be used; running a finished reflection again grants as many more


@dataclass
class Conversation:
    """A `srt.llm.asking.Talk`: the turns of one phase about one record.

    An answer that cannot be used is asked for again, with the style's reminder and another seed, until the tries
    are used up; then the record has failed. What the endpoint did not answer is not asked for again in this run.

    Attributes:
        pair: the pair to reflect; one whose instruction reflection failed is not asked about.
        fields: the placeholders of the prompt: task, instruction, input, response.
        said: what the teacher has said, by field.
        failure: why the record failed; None while it has not.
    """

    pair: ReflectedPair
    fields: dict[str, str]
    turns: Sequence[Turn]
    style: Style
    cleaning: Cleaning
    settings: ReflectConfig
    tries: int = TRIES
    said: dict[str, str] = field(default_factory=dict)
    repairs: dict[str, list[str]] = field(default_factory=dict)
    failure: Failure | None = None
    place: int = 0
    used: dict[str, int] = field(default_factory=dict)

    @property
    def turn(self) -> str:
        """The name of the turn that is asked, for the journal."""
        return self.turns[self.place].name if self.place < len(self.turns) else ""

    def request(self) -> Request | None:
        """The next request; None at the end."""
        if self.failure is not None or self.place >= len(self.turns):
            return None
        return self.request_of(self.turns[self.place], self.said)

    def request_of(self, turn: Turn, said: Mapping[str, str]) -> Request:
        """A turn's request, its placeholders filled with what the teacher has said by then."""
        settings = self.settings
        tried = self.used.get(turn.name, 0)
        temperature = max(settings.temperature, self.style.retry_temperature) if tried else settings.temperature
        known = {**self.fields, **{f"new_{name}": text for name, text in said.items()}}
        return Request(
            chat=turn.chat(known, self.style.retry if tried else None),
            max_new_tokens=min(settings.max_new_tokens, turn.max_new_tokens or settings.max_new_tokens),
            sampling=Sampling(temperature, settings.top_p, settings.repetition_penalty, SEED + max(0, tried - 1)),
            schema=turn.answer_schema(),
        )

    def receive(self, completion: Completion) -> None:
        """Take the answer to the last request."""
        turn = self.turns[self.place]
        self.used[turn.name] = self.used.get(turn.name, 0) + 1
        found = self._read(turn, completion)
        if isinstance(found, Reading):
            self.said |= found.fields
            self.repairs[turn.name] = found.repairs
            self.place += 1
        elif found.outcome == "unanswered" or self.used[turn.name] >= self.tries:
            self.failure = Failure(found.outcome, f"{turn.name}: {found.reason}")

    def _read(self, turn: Turn, completion: Completion) -> Reading | Failure:
        """What an answer says. It is kept and would end every run anew: whatever happens here, it has failed."""
        try:
            return self._accepted(turn.read(completion, self.cleaning))
        except Exception as error:  # noqa: BLE001 (a template is somebody else's program)
            return Failure("unreadable", f"reading the answer failed: {type(error).__name__}: {error}"[:200])

    def _accepted(self, found: Reading | Failure) -> Reading | Failure:
        """What is read is used unless it leaks the prompt's words, or changes nothing."""
        if isinstance(found, Failure):
            return found
        allowed = (self.fields["task"], self.fields["response"])
        for name in ("instruction", "response"):
            phrase = self.style.leak_in(found.fields[name], *allowed) if name in found.fields else None
            if phrase:
                return Failure("leak", f"the {name} contains the prompt's own words {phrase!r}")
        old = [plain(self.fields["instruction"]), plain(self.fields["task"])]
        if "instruction" in found.fields and plain(found.fields["instruction"]) in old:
            return Failure("unchanged", "the instruction is unchanged")
        said = plain(found.fields.get("response", ""))
        if said and said in (plain(self.fields["response"]), plain(self.fields["task"])):
            return Failure("repeated", "the response repeats what was there")
        return found

    def doubled(self) -> bool:
        """The new instruction is another record's: ask for it again, or fail where no try is left; True if asked."""
        place = next(i for i, turn in enumerate(self.turns) if "instruction" in turn.fields)
        if self.used[self.turns[place].name] >= self.tries:
            self.failure = Failure("repeated", "the instruction is another record's new instruction")
            return False
        for turn in self.turns[place:]:
            for name in turn.fields:
                self.said.pop(name, None)
            self.repairs.pop(turn.name, None)
        for turn in self.turns[place + 1 :]:
            self.used.pop(turn.name, None)
        self.place = place
        return True

    def result(self, variant: str) -> ReflectedPair:
        """The pair after reflection, or where that failed the pair as it came, and why."""
        pair: dict[str, Any] = self.pair.model_dump(include={"id", "instruction", "input", "output"})
        repairs = list(dict.fromkeys(repair for of_turn in self.repairs.values() for repair in of_turn))
        told: dict[str, Any] = {"critique": self.said.get("critique"), "reason": None, "repairs": repairs}
        if self.failure is not None:
            told |= {"outcome": self.failure.outcome, "reason": self.failure.reason, "repairs": []}
            return ReflectedPair(**pair, **told, status="failed")
        pair["output"] = self.said["response"]
        if variant == "instruction":
            pair |= {"instruction": self.said["instruction"], "input": ""}
        return ReflectedPair(**pair, **told, status="reflected", outcome="repaired" if repairs else "clean")


def plain(text: str) -> str:
    """A text as it is compared with others: lower case, single spaces."""
    return " ".join(text.lower().split())
