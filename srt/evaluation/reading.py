"""Numbers in what a judge wrote: one grade, or two scores, in the forms in which models really give them.

Whatever is not plainly that is null, and asked for again: a misread number would count.
"""

from __future__ import annotations

import json
import re
from typing import Any

Scores = tuple[float, float]
LEAST, MOST = 1, 10
_NUMBER = r"(\d{1,2}(?:\.\d{1,4})?)(?:\s*(?:/|out of)\s*10)?"
_SEPARATOR = r"(?:\s*[,;|]\s*|\s+and\s+|\s+)"
_LABEL = r"(?:(?:the |my )?(?:scores?|ratings?|grades?)(?:\s*1(?:-|\s*to\s*)10)?(?:\s+(?:is|are))?\s*[:=]?\s*)?"
_SCORES = (
    rf"{_LABEL}{_NUMBER}{_SEPARATOR}{_NUMBER}\.?",
    rf"{_LABEL}assistant\s*(?:1|a)\s*[:=]\s*{_NUMBER}{_SEPARATOR}assistant\s*(?:2|b)\s*[:=]\s*{_NUMBER}\.?",
)
_GRADE = rf"{_LABEL}{_NUMBER}\.?"
LINES_READ = 3  # a verdict that comes later is none that was asked for on the first line


def scores(text: str) -> Scores | None:
    """The two scores at the head of a reply, or JSON's `first` and `second`; null unless both are from 1 to 10."""
    said = _said(text)
    found = _json(said)
    if found is not None:
        values = [_usable(found.get(name)) for name in ("first", "second")]
    else:
        match = _at_head(_SCORES, said)
        values = [_usable(match[1]), _usable(match[2])] if match else [None, None]
    return None if values[0] is None or values[1] is None else (values[0], values[1])


def grade(text: str) -> float | None:
    """The grade at the head of a reply, in brackets (`[[7]]`), or JSON's `grade`; null unless it is from 1 to 10."""
    said = _said(text)
    found = _json(said)
    if found is not None:
        return _usable(found.get("grade"))
    match = _at_head((_GRADE,), said)
    if match:
        return _usable(match[1])
    marked = set(re.findall(r"\[\[\s*([\d.]+)\s*\]\]", said))
    return _usable(marked.pop()) if len(marked) == 1 else None


def _said(text: str) -> str:
    """A reply without the thoughts before it and without a code block's fences."""
    text = re.sub(r"^\s*<think>.*?</think>", "", text, flags=re.DOTALL)
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


def _at_head(forms: tuple[str, ...], said: str) -> re.Match[str] | None:
    """A form that is a reply's first lines as a whole, one to LINES_READ of them, lines of talk before it left out."""
    lines = [re.sub(r"[*_#`\[\]()]", "", line).strip() if "[[" not in line else line for line in said.splitlines()]
    plain = [line for line in lines if line]
    while plain and not re.search(r"\d", plain[0]) and not re.fullmatch(_LABEL, plain[0], re.IGNORECASE):
        plain = plain[1:]
    for number in range(1, min(LINES_READ, len(plain)) + 1):
        head = "\n".join(plain[:number])
        for form in forms:
            if match := re.fullmatch(form, head, re.IGNORECASE):
                return match
    return None


def _usable(value: Any) -> float | None:
    """A number as text, from LEAST to MOST; null for everything else."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{1,2}(\.\d+)?", value.strip()):
        return None
    number = float(value)
    return number if LEAST <= number <= MOST else None
