"""JSON that other programs wrote, where NaN, Infinity and 1e999 stand as numbers, and pass comparisons as none should.

Such a number becomes null where its record can say why; elsewhere it is refused (`srt.storage.records`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

LARGEST = 1e308  # a whole number beyond it is infinite as a float
DEEPEST = 100  # lists and objects inside each other: what is deeper can be read and then not be copied or shown


def parse(text: str, nan_is_null: bool = False) -> Any:
    """The value of a JSON text; with `nan_is_null`, NaN is what pandas makes of a null.

    JSONDecodeError also for what is too much for Python: the depth, or the digits of an integer.
    """
    try:
        value = json.loads(text, parse_constant=_null_of_nan if nan_is_null else None)
        if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
            raise RecursionError
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", text, 0) from None
    except json.JSONDecodeError:
        raise
    except ValueError:
        raise json.JSONDecodeError("an integer has too many digits", text, 0) from None
    return value


def _is_deep(value: Any) -> bool:
    """Whether lists and objects lie deeper inside each other than DEEPEST."""
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level for inner in _inside(outer)]
    return any(isinstance(each, list | dict) for each in level)


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _null_of_nan(constant: str) -> float | None:
    return None if constant == "NaN" else float(constant)


def is_finite(value: Any) -> bool:
    """False for NaN, infinity and a whole number that is infinite as a float; True for all that is no number."""
    if isinstance(value, int):
        return abs(value) <= LARGEST
    return not isinstance(value, float) or math.isfinite(value)


def _not_finite(value: Any) -> tuple[str, float] | None:
    """(its place, as `metrics.0.value`; the number) of a number in parsed JSON that is not finite; None without one."""
    todo: list[tuple[str, Any]] = [("", value)]
    while todo:  # no recursion: what `parse` could just hold may be deeper than what is left of Python's stack
        place, found = todo.pop()
        if not is_finite(found):
            return place.removeprefix(".") or "value", float("inf") if isinstance(found, int) else found
        inside = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        todo += [(f"{place}.{name}", each) for name, each in inside]
    return None


def complaint(value: Any) -> str | None:
    """`field: expected a finite number, found nan` of parsed JSON; None where every number is finite."""
    found = _not_finite(value)
    return f"{found[0]}: expected a finite number, found {found[1]}" if found else None


def null_unusable(row: Any, fields: Mapping[str, bool], has_status: bool) -> bool:
    """Make null, with the reason, the numbers of a row that are none; whether there were any.

    Args:
        row: parsed JSON, changed in place.
        fields: the numbers that may be null; True: a ratio of perplexities, which is above 0.
        has_status: whether the row also says `status`, which is `failed` then.
    """
    if not isinstance(row, dict):
        return False
    reasons = {name: why for name, is_ratio in fields.items() if (why := _unusable(row.get(name), is_ratio))}
    if reasons:
        told = [row["reason"]] if isinstance(row.get("reason"), str) else []
        row |= dict.fromkeys(reasons) | {"reason": "; ".join([*told, *(f"{n}: {why}" for n, why in reasons.items())])}
        row |= {"status": "failed"} if has_status else {}
    return bool(reasons)


def _unusable(value: Any, is_ratio: bool) -> str | None:
    if not is_finite(value):
        return "not finite in the file"
    not_positive = is_ratio and isinstance(value, int | float) and not isinstance(value, bool) and value <= 0
    return "not above 0 in the file, as a ratio of perplexities is" if not_positive else None
