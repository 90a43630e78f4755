"""Cleaning what a teacher wrote: its announcements, marks and remains go, and what is no answer is told apart.

What had to be mended is named and counted (`repairs`); what cannot be used has an outcome and a reason. Nothing is
thrown away for a word that it contains.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import Field

from srt.settings import Settings
from srt.settings.values import validated
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

# What became of a reflection: usable as it came or after mending, or why it failed.
OUTCOMES = {
    "clean": "the answer had the form that was asked for",
    "repaired": "the answer was usable once its form was mended",
    "unanswered": "the endpoint gave no answer",
    "refusal": "the teacher declined",
    "cut_off": "the answer did not come to its end",
    "unreadable": "what was asked for is not in the answer",
    "empty": "a part has no text",
    "placeholder": "the template's words were handed back",
    "not_applicable": "a part says that there is nothing",
    "leak": "a part contains the prompt's own words",
    "unchanged": "the instruction is the old one",
    "repeated": "the response repeats the pair, or the instruction another record's",
    "mismatch": "an imported reflection that does not fit its record",
    "upstream": "the instruction's reflection had failed",
}


@dataclass(frozen=True)
class Failure:
    """Why an answer cannot be used: one of OUTCOMES, and what exactly."""

    outcome: str
    reason: str


@dataclass
class Reading:
    """The parts of an answer by field, and what had to be mended to get at them."""

    fields: dict[str, str]
    repairs: list[str] = field(default_factory=list)


class Cleaning(Settings):
    """The phrases by which an answer is cleaned (config/prompts/answers.yaml)."""

    openings: list[str] = Field(description="announcements that are stripped from the start of a section")
    courtesies: list[str] = Field(description="words that may stand before an announcement")
    placeholders: list[str] = Field(description="template words that are no section")
    nothing: list[str] = Field(description="sections that say that there is nothing")
    refusals: list[str] = Field(description="how a teacher declines")

    @cached_property
    def opening(self) -> re.Pattern[str]:
        """An announcement with its end; matched against text with straight apostrophes.

        Runs are possessive (`*+`), and the marks at the end are tried from their first one only: however long a run of
        asterisks or spaces is, each is looked at a bounded number of times.
        """
        polite = "|".join(map(_phrase, self.courtesies)) or r"(?!)"
        phrases = "|".join(map(_phrase, sorted(self.openings, key=len, reverse=True))) or r"(?!)"
        end = r"(?<![*_])[*_]*+(?:[:.!]++[*_]*+|(?=\n)|$)"
        return re.compile(rf"[*_#\s]*+(?:(?:{polite})[,.!]?\s++)?(?:{phrases}){end}\s*+", re.IGNORECASE)

    def is_in(self, text: str, phrases: Sequence[str]) -> bool:
        """Whether a whole text is one of these phrases, its brackets, quotes and stops aside."""
        return _bare(text) in {_bare(phrase) for phrase in phrases}

    def declines(self, text: str) -> bool:
        """Whether a text opens with a refusal."""
        start = _straight(text).lstrip("*_#>\"' \n").lower()
        return any(start.startswith(phrase.lower()) for phrase in self.refusals)


def read_cleaning(name: str) -> Cleaning:
    """The cleaning's file; InputError with file and key where it does not fit."""
    path = locate(name)
    return validated(Cleaning, read_yaml(path), str(path))


def _phrase(phrase: str) -> str:
    """A phrase as a pattern: ` * ` stands for up to six words, `*` at the end for the rest of the sentence."""
    whole, rest = (phrase.removesuffix("*").strip(), r"[^\n:.!]{0,300}?") if phrase.endswith("*") else (phrase, "")
    words = [_SOME_WORDS if word == "*" else re.escape(word) + r"\s++" for word in whole.split()]
    return "".join(words).removesuffix(r"\s++") + rest


_SOME_WORDS = r"(?:[^\s:.!]++\s++){0,6}?"


def _straight(text: str) -> str:
    return text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})


def _bare(text: str) -> str:
    return re.sub(r"[^\w/]+", " ", text.lower()).strip()


def cleaned(text: str, name: str, cleaning: Cleaning) -> tuple[str, list[str]]:
    """A section without fence, bold marks, list remains and announcement; and which of these it had."""
    repairs: list[str] = []

    def changed(new: str, repair: str) -> str:
        if new != text:
            repairs.append(repair)
        return new

    text = text.strip()
    text = changed(without_fence(text), "fence")
    opening = cleaning.opening.match(_straight(text))
    text = changed(text[opening.end() :] if opening else text, "announcement")
    text = changed(without_fence(text), "fence")
    text = changed(_without_bold(text), "bold")
    text = changed(_without_lone_number(text), "list number")
    if name == "instruction":
        text = changed(_without_quotes(text), "quotes")
    return text, list(dict.fromkeys(repairs))


def without_fence(text: str) -> str:
    """A text without the Markdown fence around all of it, where the fence names no programming language."""
    first, _, rest = text.partition("\n")
    found = re.fullmatch(r"(`{3,}|~{3,})(?:text|markdown|md|plaintext)?", first.rstrip(" \t"), re.IGNORECASE)
    if found is None or not rest.endswith(found[1]):
        return text
    inner = rest.removesuffix(found[1])
    return text if found[1] in inner else inner.strip()


def _without_bold(text: str) -> str:
    found = re.fullmatch(r"\*\*(.+)\*\*", text, re.S)
    return found[1].strip() if found and "**" not in found[1] else text


def _without_quotes(text: str) -> str:
    found = re.fullmatch(r'"(.+)"|\u201c(.+)\u201d', text, re.S)
    inner = (found[1] or found[2]) if found else None
    return inner.strip() if inner and not re.search('["\u201c\u201d]', inner) else text


def _without_lone_number(text: str) -> str:
    """A number that a list around the sections left at the start, where no second item follows."""
    found = re.match(r"(\d{1,3})[.)]\s+", text)
    another = re.search(rf"(?:^|\s){int(found[1]) + 1}[.)]\s", text[found.end() :]) if found else None
    return text[found.end() :] if found and not another else text


def usable(reading: Reading, cleaning: Cleaning) -> Reading | Failure:
    """A reading with its sections cleaned, or why it cannot be used."""
    fields, repairs = {}, list(reading.repairs)
    for name, text in reading.fields.items():
        if name == "critique":
            fields[name] = text.strip()
            continue
        fields[name], mended = cleaned(text, name, cleaning)
        repairs += mended
        failure = _unusable(fields[name], name, cleaning)
        if failure is not None:
            return failure
    return Reading(fields, list(dict.fromkeys(repairs)))


def _unusable(text: str, name: str, cleaning: Cleaning) -> Failure | None:
    if not text:
        return Failure("empty", f"{name} is empty")
    if re.fullmatch(r"[\s.\u2026_<>\[\](){}*-]+", text) or cleaning.is_in(text, cleaning.placeholders):
        return Failure("placeholder", f"{name} is the template's own word {text[:40]!r}")
    if cleaning.is_in(text, cleaning.nothing):
        return Failure("not_applicable", f"{name} is {text[:40]!r}")
    if cleaning.declines(text):
        return Failure("refusal", f"{name} declines: {text[:60]!r}")
    return None
