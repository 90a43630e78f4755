"""Reading a teacher's reply: the parts that were asked for, out of the forms that models really write them in.

Nothing is cut inside a word. `srt.reflection.cleaning` then cleans the parts.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from srt.reflection.cleaning import Failure, Reading, without_fence


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
    position, broken, decoder = 0, 0, json.JSONDecoder()
    while broken < MOST_BROKEN and (start := _OBJECT.search(text, position)):
        try:
            value, position = decoder.raw_decode(text, start.start())
            found.append(value)
        except (ValueError, RecursionError):  # no JSON, a number of too many digits, or too deep
            position, broken = start.start() + 1, broken + 1
    best = next((value for value in found if set(fields) & set(value)), found[0] if found else None)
    whole = text.startswith("{") and text.endswith("}")
    return best, [] if whole else ["text around JSON"]


def read_tags(text: str, tags: Mapping[str, str], cut: bool) -> Reading | Failure:
    """The sections between tags; what stands before the first is the critique."""
    unfenced = without_fence(text)
    marks = _marks(unfenced, tags)
    if not any(mark.name in tags for mark in marks):
        return Failure("cut_off" if cut else "unreadable", f"no [{next(iter(tags.values()))}] in the answer")
    chosen: dict[str, _Section] = {}
    after, run_ends = 0, len(unfenced)
    for name, tag in tags.items():
        later = [section for section in _sections(unfenced, marks, name) if section.start >= after]
        section = _best([section for section in later if section.start < run_ends] or later)
        if section is None:
            return Failure("cut_off" if cut else "unreadable", f"no [{tag}] in the answer")
        if section.doubtful:
            return Failure("cut_off" if cut else "unreadable", f"[{tag}] goes on after an [End]")
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
    """A tag in the text: the field that it opens, or `end`.

    `exact` is one as it was asked for, `plain` one that can hardly be anything else: in square brackets, or with a
    section's name. Other ends (`</end>`, `End` on a line) are often part of an answer.
    """

    name: str
    start: int
    end: int
    exact: bool
    plain: bool = True


@dataclass(frozen=True)
class _Section:
    """What a tag opens; `doubtful` where it may go on after the [End] that seems to close it."""

    tag_start: int
    start: int
    end: int
    text: str
    closed: bool
    doubtful: bool
    repairs: tuple[str, ...]


def _marks(text: str, tags: Mapping[str, str]) -> list[_Mark]:
    """Every tag in the text, in order, none within another."""
    found = [
        _Mark("end", m.start(), m.end(), m[0].strip() == "[End]", "[" in m[0] or bool(m["named"]))
        for m in _closers(tags).finditer(text)
    ]
    for name, tag in tags.items():
        exact = f"[{tag}]"
        found += [_Mark(name, m.start(), m.end(), m[0].strip() == exact) for m in _opener(tag).finditer(text)]
    kept: list[_Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, -mark.end)):
        if not kept or mark.start >= kept[-1].end:
            kept.append(mark)
    return kept


# How a JSON object begins. A text with many that break off is one that a looping model wrote, and each of them may be
# read to the end of the text before that is seen.
_OBJECT = re.compile(r'\{\s*+(?:\}|"(?:[^"\\]|\\.)*+"\s*+:)', re.DOTALL)
MOST_BROKEN = 100

AFTER, DOUBTFUL = "text after [End]", "doubtful"
# A block of the answer's own, which has an end too.
_BEGIN = re.compile(r"[\[<]\s{0,8}(?:begin|start)\b", re.IGNORECASE)
_BLOCK = re.compile(r"[\[<]\s{0,8}(?:begin|start|/?\s{0,8}end)\b", re.IGNORECASE)

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
    """`[End]` and its kin, or a line that is nothing but `End` before the next tag or the end of the text.

    In lower case such a line ends a block of code. A tag as code takes its own backticks along, and no others.
    """
    names = "|".join(r"\s+".join(map(re.escape, tag.split())) for tag in tags.values())
    named = rf"(?P<named>/?\s{{0,8}}End\s+(?:of\s+)?(?:the\s+)?(?:{names})|/\s{{0,8}}(?:{names}))"
    tag = rf"[\[<]\s{{0,8}}(?:{named}|/?\s{{0,8}}End)\s{{0,8}}[\]>]"
    bracketed = rf"{_STARS}(?P<tick>(?<!`)`)?{tag}(?(tick)`(?!`)){_STARS}"
    alone = rf"(?:(?<=\n)|^){_BLANKS}{_STARS}(?-i:End|END){_STARS}{_BLANKS}(?=\n\s*(?:\d{{1,3}}[.)]\s*)?[\[<#*]|\s*$)"
    return re.compile(f"{bracketed}|{alone}", re.IGNORECASE)


def _sections(text: str, marks: Sequence[_Mark], name: str) -> list[_Section]:
    """What follows each of a field's tags: up to its [End], at the latest up to the next tag that opens something."""
    found: list[_Section] = []
    limit, ends = len(text), deque[_Mark]()
    for mark in reversed(marks):
        if mark.name == "end":
            ends.appendleft(mark)
            continue
        if mark.name == name:
            found.append(_section(text, mark, [*ends], limit))
        limit = mark.start
        ends.clear()
    return found[::-1]


def _section(text: str, opener: _Mark, ends: Sequence[_Mark], limit: int) -> _Section:
    """What a tag opens; `ends` are those before `limit`, the start of the next opening tag or the end of the text."""
    repairs = [] if opener.exact else ["tag's form"]
    closer, odd = _closer(text, opener, ends, limit)
    end = limit if closer is None else closer.start
    if closer is None:
        repairs.append("missing [End]")
    elif not closer.exact:
        repairs.append("[End]'s form")
    if any(mark.end <= end for mark in ends):
        repairs.append("[End] within the text")
    if odd == AFTER:
        repairs.append(AFTER)
    inner = text[opener.end : end].strip()
    return _Section(opener.start, opener.end, end, inner, closer is not None, odd == DOUBTFUL, tuple(repairs))


def _closer(text: str, opener: _Mark, ends: Sequence[_Mark], limit: int) -> tuple[_Mark | None, str | None]:
    """The end that closes a section, None where none does; and what is odd about it: AFTER, DOUBTFUL or nothing.

    It is the last one: an answer may speak of the tag itself. Text after it is the teacher's own talk where an empty
    line parts them, and otherwise may be the rest of the answer.
    """
    if ends and not ends[-1].plain and not _words_in(text[ends[-1].end : limit]):
        return ends[-1], DOUBTFUL if _BLOCK.search(text, opener.end, ends[-1].start) else None
    plain = [mark for mark in ends if mark.plain]
    if not plain:
        return None, None
    after = text[plain[-1].end : limit]
    while len(plain) > 1 and not text[plain[-2].end : plain[-1].start].strip():
        plain.pop()  # said twice
    closer = plain[-1]
    if not _words_in(after):
        in_a_fence = "```" in after and text.count("```", opener.end, closer.start) % 2
        return closer, DOUBTFUL if in_a_fence else None
    if "\n" not in after[: len(after) - len(after.lstrip())]:
        last = text[closer.start - 1]
        return (closer, AFTER) if last.isalnum() or last in ".!?" else (None, None)  # within a sentence it is a word
    parted = re.match(r"[ \t]*\n[ \t]*\n", after) is not None
    sure = parted and len(plain) == 1 and not _BEGIN.search(text, opener.end, closer.start)
    return closer, AFTER if sure else DOUBTFUL


def _words_in(text: str) -> str:
    """What is left without rules, a fence's end, a list's next number and a chat template's control words."""
    return _tidy(re.sub(r"[`~]|</s>|<eos>|<end_of_turn>|<\|\w{1,40}\|>", "", text))


def _best(sections: Sequence[_Section]) -> _Section | None:
    """The first section with a text that is closed, else the first with a text, else the first."""
    with_text = [section for section in sections if section.text]
    closed = [section for section in with_text if section.closed]
    return next(iter([*closed, *with_text, *sections]), None)


def _tidy(text: str) -> str:
    """Without the number of a list's next item, rules and stray marks, each on a line of its own at the end."""
    lines = text.strip().split("\n")
    while lines and re.fullmatch(r"\d+[.)]|[-*_#]*", lines[-1].strip()):
        lines.pop()
    return "\n".join(lines).strip()
