"""Reading a teacher's reply: the parts that were asked for, out of the forms that models really write them in.

Nothing is cut inside a word. `srt.cleaning` then cleans the parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srt.cleaning import Failure, Reading, without_fence


def read_text(text: str, name: str, cut: bool) -> Reading | Failure:
    """An answer that is one field as a whole. A critique is only a note: cut off, its whole sentences will do."""
    if not cut:
        return Reading({name: text})
    if name == "critique":
        return Reading({name: text[: max(text.rfind(mark) for mark in ".!?") + 1] or text})
    return Failure("cut_off", f"{name} is cut off")


def read_json(text: str, fields: Sequence[str], cut: bool) -> Reading | Failure:
    """The texts of a JSON object, wherever in the answer it stands; checked whatever the backend promised."""
    value, repairs = _json_object(text, fields)
    if value is None:
        reason = "the answer is not a JSON object"
        return Failure("cut_off" if cut and "{" in text else "unreadable", reason)
    for name in fields:
        if not isinstance(value.get(name), str):
            return Failure("unreadable", f"the answer has no text in {name}")
    return Reading({name: value[name].strip() for name in fields}, repairs)


def _json_object(text: str, fields: Sequence[str]) -> tuple[dict[str, Any] | None, list[str]]:
    """The first object that has one of the fields, else the first of all; none of those nested in another."""
    found: list[dict[str, Any]] = []
    position, decoder = 0, json.JSONDecoder()
    while (start := text.find("{", position)) >= 0:
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):  # no JSON, an integer of 5,000 digits, or nested too deep
            position = start + 1
            continue
        found.append(value)
    best = next((value for value in found if set(fields) & set(value)), found[0] if found else None)
    whole = text.startswith("{") and text.endswith("}")
    return best, [] if whole else ["text around JSON"]


def read_tags(text: str, tags: Mapping[str, str], cut: bool) -> Reading | Failure:
    """The sections between tags; what stands before the first is the critique."""
    unfenced = without_fence(text)
    marks = _marks(unfenced, tags)
    if not any(mark.name in tags for mark in marks):
        return Failure("unreadable", f"no [{next(iter(tags.values()))}] in the answer")
    chosen: dict[str, _Section] = {}
    after, run_ends = 0, len(unfenced)
    for name, tag in tags.items():
        later = [section for section in _sections(unfenced, marks, name) if section.start >= after]
        section = _best([section for section in later if section.start < run_ends] or later)
        if section is None:
            return Failure("cut_off" if cut else "unreadable", f"no [{tag}] in the answer")
        if cut and not section.closed and section.end == len(unfenced):
            return Failure("cut_off", f"[{tag}] is cut off")
        if not chosen:  # a model that runs on repeats the tags: what belongs together stays together
            repeats = (mark.start for mark in marks if mark.name == name and mark.start > section.end)
            run_ends = next(repeats, run_ends)
        chosen[name], after = section, section.end
    critique = _tidy(unfenced[: next(iter(chosen.values())).tag_start])
    repairs = ["fence"] * (unfenced != text.strip()) + [r for section in chosen.values() for r in section.repairs]
    fields = {name: _tidy(section.text) if not section.closed else section.text for name, section in chosen.items()}
    return Reading(({"critique": critique} if critique else {}) | fields, list(dict.fromkeys(repairs)))


@dataclass(frozen=True)
class _Mark:
    """A tag in the text: the field that it opens, or `end`; `exact` as it was asked for."""

    name: str
    start: int
    end: int
    exact: bool


@dataclass(frozen=True)
class _Section:
    tag_start: int
    start: int
    end: int
    text: str
    closed: bool
    repairs: tuple[str, ...]


def _marks(text: str, tags: Mapping[str, str]) -> list[_Mark]:
    """Every tag in the text, in order, none within another."""
    found = [_Mark("end", m.start(), m.end(), m[0].strip() == "[End]") for m in _closers(tags).finditer(text)]
    for name, tag in tags.items():
        exact = f"[{tag}]"
        found += [_Mark(name, m.start(), m.end(), m[0].strip() == exact) for m in _opener(tag).finditer(text)]
    kept: list[_Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, -mark.end)):
        if not kept or mark.start >= kept[-1].end:
            kept.append(mark)
    return kept


# Marks around a tag; their number is bounded, or a run of a thousand asterisks would be tried from each of them.
_STARS, _BLANKS = r"[*_]{0,4}", r"[ \t]{0,8}"
_LINE = rf"(?:(?<=\n)|^){_BLANKS}(?:\d{{1,3}}[.)]{_BLANKS})?"
_DECORATION = rf"(?:{_LINE}(?:\#{{1,6}}{_BLANKS}|>{_BLANKS})?)?{_STARS}"


def _opener(tag: str) -> re.Pattern[str]:
    """`[Tag]` anywhere, in any case and bold or as a heading; without brackets only as a line's own label."""
    words = r"\s+".join(map(re.escape, tag.split()))
    bracketed = rf"{_DECORATION}[\[<]\s{{0,8}}{words}\s{{0,8}}:?\s{{0,8}}[\]>](?:{_STARS}{_BLANKS}:)?{_STARS}"
    labelled = rf"{_LINE}(?:\#{{1,6}}{_BLANKS})?{_STARS}{words}{_STARS}{_BLANKS}:{_STARS}"
    headed = rf"{_LINE}(?:\#{{1,6}}{_BLANKS}{_STARS}|[*_]{{1,4}}){words}{_STARS}{_BLANKS}(?=\n|$)"
    return re.compile(f"{bracketed}|{labelled}|{headed}", re.IGNORECASE)


def _closers(tags: Mapping[str, str]) -> re.Pattern[str]:
    """`[End]` and its kin, or a line that is nothing but `End` before the next tag or the end of the text."""
    names = "|".join(r"\s+".join(map(re.escape, tag.split())) for tag in tags.values())
    named = rf"/?\s{{0,8}}End(?:\s+(?:of\s+)?(?:the\s+)?(?:{names}))?|/\s{{0,8}}(?:{names})"
    bracketed = rf"{_STARS}[\[<]\s{{0,8}}(?:{named})\s{{0,8}}[\]>]{_STARS}"
    alone = rf"(?:(?<=\n)|^){_BLANKS}{_STARS}End{_STARS}{_BLANKS}(?=\n\s*(?:\d{{1,3}}[.)]\s*)?[\[<#*]|\s*$)"
    return re.compile(f"{bracketed}|{alone}", re.IGNORECASE)


def _sections(text: str, marks: Sequence[_Mark], name: str) -> list[_Section]:
    """What follows each of a field's tags, up to the next tag of any kind."""
    found = []
    for place, mark in enumerate(marks):
        if mark.name != name:
            continue
        following = marks[place + 1] if place + 1 < len(marks) else None
        end = following.start if following else len(text)
        closed = following is not None and following.name == "end"
        repairs = [] if mark.exact else ["tag's form"]
        if following is None or following.name != "end":
            repairs.append("missing [End]")
        elif not following.exact:
            repairs.append("[End]'s form")
        found.append(_Section(mark.start, mark.end, end, text[mark.end : end].strip(), closed, tuple(repairs)))
    return found


def _best(sections: Sequence[_Section]) -> _Section | None:
    """The first section with a text that is closed, else the first with a text, else the first."""
    with_text = [section for section in sections if section.text]
    closed = [section for section in with_text if section.closed]
    return next(iter([*closed, *with_text, *sections]), None)


def _tidy(text: str) -> str:
    """Without the number of a list's next item, rules and stray marks, each on a line of its own at the end."""
    lines = text.strip().split("\n")
    while lines and re.fullmatch(r"\s*(?:\d+[.)]|[-*_#]*)\s*", lines[-1]):
        lines.pop()
    return "\n".join(lines).strip()
