"""Prompt styles as data: what the teacher is asked, in how many turns, and how its answer is read.

A style file (config/prompts/*.yaml) has one list of turns for each phase. A turn's answer gives one field
(`answer: text`) or several (`tags`, `json`); later turns see the fields of earlier ones. `srt.reflection.answers`
reads it and `srt.reflection.cleaning` cleans it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from srt.llm.prompts import fill
from srt.llm.requests import REFUSED, Completion, Message
from srt.reflection import answers
from srt.reflection.cleaning import Cleaning, Failure, Reading, usable
from srt.settings import Settings
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml


class TaskForm(Settings):
    """How instruction and input are shown to the teacher as `{task}`."""

    without_input: str
    with_input: str


class Example(Settings):
    """One exchange that shows the teacher what is wanted."""

    user: str
    assistant: str


class Turn(Settings):
    """One question to the teacher, a chat of its own. `tags` maps a field to the tag that opens it."""

    name: str
    answer: Literal["text", "tags", "json"]
    fields: list[Literal["critique", "instruction", "response"]] = Field(min_length=1)
    tags: dict[str, str] = Field(default_factory=dict)
    system: str | None = None
    examples: list[Example] = Field(default_factory=list)
    ask: str
    max_new_tokens: int | None = None

    def chat(self, fields: Mapping[str, str], retry: str | None = None) -> tuple[Message, ...]:
        """The messages of this turn, its placeholders filled."""
        head: list[Message] = [("system", self.system)] if self.system else []
        for example in self.examples:
            head += [("user", example.user), ("assistant", example.assistant)]
        ask = fill(self.ask, fields) + (f"\n\n{retry}" if retry else "")
        return (*head, ("user", ask))

    def answer_schema(self) -> dict[str, Any] | None:
        """The JSON schema of the answer, for backends that can constrain it."""
        if self.answer != "json":
            return None
        properties = {name: {"type": "string", "minLength": 1} for name in self.fields}
        return {
            "type": "object",
            "properties": properties,
            "required": list(self.fields),
            "additionalProperties": False,
        }

    def read(self, completion: Completion, cleaning: Cleaning) -> Reading | Failure:
        """The fields of an answer, cleaned, or why it cannot be used."""
        if completion.refused:
            return Failure("unanswered", completion.finish_reason.removeprefix(REFUSED))
        if completion.fault:
            return Failure("unreadable", completion.fault)
        said = completion.said()
        if said.lost:
            return Failure("refusal" if said.ending == "filtered" else "cut_off", str(said.reason))
        found = self._fields(said.text.strip(), said.ending == "cut off", cleaning)
        if isinstance(found, Reading) and said.thoughts:
            found.repairs.insert(0, said.thoughts)
        return found

    def _fields(self, text: str, cut: bool, cleaning: Cleaning) -> Reading | Failure:
        """The fields of an answer's text, which may be cut off at its end."""
        if self.answer == "text":
            found = answers.read_text(text, self.fields[0], cut)
        elif self.answer == "tags":
            found = answers.read_tags(text, self.tags, cut)
        else:
            found = answers.read_json(text, self.fields, cut)
        if isinstance(found, Reading):
            return usable(found, cleaning)
        if found.outcome == "unreadable" and cleaning.declines(text):
            return Failure("refusal", f"the teacher declines: {text[:60]!r}")
        return found


class Style(Settings):
    """A prompt style file."""

    task: TaskForm
    leaks: list[str] = Field(description="phrases that belong to the prompt's frame; an answer with one is rejected")
    retry: str = Field(description="said after the question when it is asked once more")
    retry_temperature: float = Field(ge=0)
    instruction: list[Turn] = Field(min_length=1)
    response: list[Turn] = Field(min_length=1)

    def task_text(self, instruction: str, input: str) -> str:
        """`{task}`: instruction and input as the teacher sees them."""
        form = self.task.with_input if input else self.task.without_input
        return fill(form, {"instruction": instruction, "input": input})

    def leak_in(self, text: str, *allowed_in: str) -> str | None:
        """The first phrase of the prompt's frame in `text` that none of the texts in `allowed_in` has."""
        for phrase in self.leaks:
            pattern = re.compile(rf"(?<!\w){re.escape(phrase)}(?!\w)", re.IGNORECASE)
            if pattern.search(text) and not any(pattern.search(other) for other in allowed_in):
                return phrase
        return None


def read_style(name: str) -> Style:
    """A prompt style file; InputError with file and key where it does not fit."""
    path = locate(name)
    style = validated(Style, read_yaml(path), str(path))
    for phase, needed in (("instruction", {"instruction", "response"}), ("response", {"response"})):
        turns: list[Turn] = getattr(style, phase)
        given = {field for turn in turns for field in turn.fields}
        if not needed <= given:
            raise InputError(f"{path}: {phase}: expected turns that give {sorted(needed)}, found {sorted(given)}")
        for turn in turns:
            _check_turn(turn, f"{path}: {phase}: turn {turn.name!r}")
    return style


def _check_turn(turn: Turn, where: str) -> None:
    if turn.answer == "text" and len(turn.fields) != 1:
        raise InputError(f"{where}: fields: answer text gives exactly one field, found {turn.fields}")
    wanted = set(turn.fields) - {"critique"} if turn.answer == "tags" else set()
    if wanted != set(turn.tags):
        raise InputError(f"{where}: tags: expected a tag for each of {sorted(wanted)}, found {sorted(turn.tags)}")
