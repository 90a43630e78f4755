"""Numbers in what a judge wrote: one grade, or two scores, in the forms in which models really give them.

Whatever is not plainly that is null, and asked for again: a misread number would count.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from itertools import dropwhile
from typing import Any

from srt.storage.progress import say

Scores = tuple[float, float]
LEAST, MOST = 1, 10  # what judges are asked for; 0 is what GPT-4 gives an answer that is empty, and counts
OUTSIDE = f"judgments outside the asked scale of {LEAST} to {MOST}"
LINES_READ = 3  # a verdict that comes later is none that was asked for on the first line

_NUMBER = r"(\d{1,2}(?:\.\d{1,4})?)(?:\s*\(?(?:/|out of)\s*10\)?)?"
_SEPARATOR = r"(?:\s*[,;|]\s*|\s+and\s+|\s+)"
_RANGE = r"(?:\s*[(\[]?1(?:-|\s*to\s*)10[)\]]?)?"
_LABEL = rf"(?:(?:the |my )?(?:scores?|ratings?|grades?){_RANGE}(?:\s+(?:is|are))?\s?[:=]?\s*)?"
# One score may have a number (`Score 1 8`): before two of them, the word needs its plural or what parts it from them.
_SCORES_LABEL = rf"(?!(?:the |my )?(?:score|rating|grade)\s+\d{{1,2}}\s+\d){_LABEL}"


def _pair(first: str, second: str, number: str = _NUMBER) -> str:
    return rf"{first}{number}{_SEPARATOR}{second}{number}\.?"


def _assistant(names: str) -> str:
    return rf"assistant\s?#?[(\[]?(?:{names})[)\]]?\s?[:=]\s?"


def _item(number: int) -> str:
    """The beginning of a list's item, marked as one: `#1`, `1)`, `1.`, `1:`, `(1)`, `[1]`."""
    return rf"(?:#\s?{number}[.):]?|[(\[]{number}[)\]][.:]?|{number}[.):])\s+"


_SCORES = (
    _pair(rf"(?!1\.\d+\n2\.\d){_SCORES_LABEL}", ""),
    _pair(_SCORES_LABEL, "", rf"\({_NUMBER}\)"),
    _pair(_SCORES_LABEL, "", rf"\[{_NUMBER}\]"),
    _pair(_LABEL + _assistant("1|a"), _assistant("2|b")),
    _pair(_LABEL + _item(1), _item(2)),
)
_GRADE = (rf"{_LABEL}{_NUMBER}\.?",)


def _row(number: str) -> str:
    """A line, whatever follows in it, that gives an answer of that number a score: `2 7`, `2nd: 7`, `Score 2 is 7`."""
    name = rf"^(?:[-+|] )?(?:[a-z]+ ){{0,2}}[#(\[]?{number}(?: [a-z]+(?=:))?"
    return rf"{name}(?:[)\].,:;|=>-]| [|=>-]+| (?:is|gets)\b)*+(?:(?<=[:=])|\s+)[(\[]?(\d{{1,2}}(?:\.\d)?)"


_ROWS = (_row("(?:1(?:st)?|first(?!,))"), _row("(?:2(?:nd)?|second(?!,))"))
# Another grade after the first line's: that one may be a question's number, or the example of a scale.
_OTHER_GRADE = r"^\d{1,2}(?:\.\d{1,4})?(?![\d.)])"
# A heading that names the answers in the other order than asked for: `B A`, `Second | First`.
_JOIN = r"\W{1,4}(?:(?:and|then|the|assistant|answer|response|model)\W{1,4}){0,3}"
_SWAPPED = rf"\b(?-i:B){_JOIN}(?-i:A)\b|\bsecond{_JOIN}first\b"


def scores(text: str) -> Scores | None:
    """The two scores at the head of a reply, or JSON's `first` and `second`; null unless from 1 to 10, or 0."""
    said = _said(text)
    found = _json(said)
    if found is not None:
        values = [_usable(found.get(name)) for name in ("first", "second")]
    else:
        values = [_usable(number) for number in _at_head(_SCORES, said)]
    return None if len(values) != 2 or values[0] is None or values[1] is None else (values[0], values[1])


def grade(text: str) -> float | None:
    """The grade at the head of a reply, in brackets (`[[7]]`), or JSON's `grade`; null unless from 1 to 10, or 0."""
    said = _said(text)
    found = _json(said)
    if found is not None:
        return _usable(found.get("grade"))
    numbers = _at_head(_GRADE, said)
    marked = {*numbers} or set(re.findall(r"\[\[\s*([\d.]+)\s*\]\]", said))
    return _usable(marked.pop()) if len(marked) == 1 else None


def outside_scale(judgments: Iterable[Scores | float], where: object) -> dict[str, int]:
    """How many judgments have a number that was not asked for, as an evaluation's note; said in the log."""
    each = [judged if isinstance(judged, tuple) else (judged,) for judged in judgments]
    count = sum(any(not LEAST <= number <= MOST for number in numbers) for numbers in each)
    if count:
        say(f"{where}: {count} {OUTSIDE}")
    return {OUTSIDE: count} if count else {}


def _said(text: str) -> str:
    """A reply without a code block's fences."""
    return re.sub(r"^\s*```\w*\n(.*?)(?:```|$)", r"\1", text, flags=re.DOTALL).strip()


def _json(said: str) -> dict[str, Any] | None:
    """The object at the head of a reply, whatever follows it; an empty one for what begins as one and is none."""
    if not said.startswith("{"):
        return None
    try:
        value, _ = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode(said)
    except (json.JSONDecodeError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _at_head(forms: Sequence[str], said: str) -> list[str]:
    """The numbers of a form that is a reply's first lines as a whole, lines of talk before it left out; or none.

    None too where the talk or the later lines leave it in doubt whose they are.
    """
    lines = [line for line in map(_undecorated, said.splitlines()) if line]
    plain = list(dropwhile(_is_talk, lines))
    talk = "\n".join(lines[: len(lines) - len(plain)])
    for number in range(1, min(LINES_READ, len(plain)) + 1):
        numbers = _matched(forms, "\n".join(plain[:number]))
        if numbers:
            return [] if _in_doubt(forms, numbers, talk, plain[number:]) else numbers
    return []


def _in_doubt(forms: Sequence[str], numbers: Sequence[str], talk: str, later: Sequence[str]) -> bool:
    """Whether the numbers may be a list's, those of another order, or not the only ones."""
    if any(_differs(forms, line, numbers) for line in later[:LINES_READ]):
        return True
    if len(numbers) == 1:
        return float(numbers[0]) == LEAST and any(re.search(_OTHER_GRADE, line) for line in later[:1])
    return _swapped(talk) or _is_row(numbers, later)


def _is_row(numbers: Sequence[str], later: Sequence[str]) -> bool:
    """Whether two numbers are an answer's own and its score, `1 8`: a later line has the other answer's.

    Lines that only say again what both scores are leave no doubt.
    """
    first, text = float(numbers[0]), "\n".join(later)
    found = [re.search(row, text, re.IGNORECASE | re.MULTILINE) for row in _ROWS]
    if first not in (1, 2) or all(row and row[1] == number for row, number in zip(found, numbers, strict=True)):
        return False
    return found[0 if first == 2 else 1] is not None


def _swapped(talk: str) -> bool:
    return re.search(_SWAPPED, talk, re.IGNORECASE) is not None


def _undecorated(line: str) -> str:
    """A line with single spaces, without emphasis, a heading's marks and brackets around words or around all of it."""
    if "[[" in line:
        return line.strip()
    line = " ".join(re.sub(r"[*_`]", "", line).split())
    line = re.sub(r"^#{1,6} ", "", line)
    line = re.sub(r"[(\[]([^()\[\]\d]*)[)\]]", r"\1", line).strip()
    whole = re.fullmatch(r"\(([^()\[\]]*)\)|\[([^()\[\]]*)\]", line)
    return (whole[1] or whole[2] or "").strip() if whole else line


def _is_talk(line: str) -> bool:
    return not re.search(r"\d", line) or re.fullmatch(_LABEL, line, re.IGNORECASE) is not None


def _matched(forms: Sequence[str], text: str) -> list[str]:
    """The numbers in a text that is one of the forms as a whole; else none."""
    found = (re.fullmatch(form, text, re.IGNORECASE) for form in forms)
    return next((list(match.groups()) for match in found if match), [])


def _differs(forms: Sequence[str], line: str, numbers: Sequence[str]) -> bool:
    """Whether a line is another verdict, or numbers without a word."""
    again = _matched(forms, line)
    if again:
        return again != numbers
    return re.search(r"\d", line) is not None and re.search(r"[^\W\d_]", line) is None


def _usable(value: Any) -> float | None:
    """A number as text, from LEAST to MOST, or 0; null for everything else."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,2}(\.\d+)?", value.strip()):
        return None
    number = float(value)
    return number if is_score(number) else None


def is_score(number: float) -> bool:
    """Whether a number counts as a score: from LEAST to MOST, or 0."""
    return number == 0 or LEAST <= number <= MOST
