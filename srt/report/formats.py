"""A table once, in four forms: CSV (every column, full precision, what is read back), Markdown, LaTeX, HTML cells."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from srt.report.escaping import csv_cell, csv_text, latex, markdown, one_line
from srt.storage.errors import InputError
from srt.storage.finite import is_finite
from srt.storage.readers import csv_records

NOT_RUN = "not run"  # the source of a row whose evaluation file is not there
REPORTED = "reported"  # the source of a row that only the paper has
NONE = "none"  # the first cell of a CSV without rows

Row = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """One column: its key in rows and CSV, its heading, and how its numbers are shown.

    Attributes:
        digits: decimals of a number; None for text.
        group: a heading over several neighbouring columns.
        signed: show a plus sign (differences).
        shown: False for what only the CSV has.
        main: the column that says `not run` where the row was not run.
        path: a file's path: shown as code, and left to a comment in LaTeX.
        setup: what the run table has as well: left out where width is dear (LaTeX, HTML).
        letters: the most letters of a text that are shown for reading; None for all.
    """

    key: str
    header: str
    digits: int | None = None
    group: str = ""
    signed: bool = False
    shown: bool = True
    main: bool = False
    path: bool = False
    setup: bool = False
    letters: int | None = None


@dataclass(frozen=True)
class Part:
    """Rows of one kind under one heading; `none` is the line that stands where there are no rows."""

    kind: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    none: str

    def shown(self, paths: bool = True, setup: bool = False) -> list[Column]:
        """The columns of a form for reading, with or without those of the two dispensable kinds."""
        kept = [column for column in self.columns if column.shown and (paths or not column.path)]
        return [column for column in kept if setup or not column.setup]


def printable(text: str) -> str:
    """Text that UTF-8 can hold: what a model wrote may have half of a surrogate pair, which becomes `?`."""
    return text.encode("utf-8", "replace").decode("utf-8")


def cell(column: Column, row: Row) -> str:
    """A value as it is read: rounded, with a minus sign proper; empty where there is none."""
    value = row.get(column.key)
    if value is None:
        return NOT_RUN if column.main and row.get("source") == NOT_RUN else ""
    if column.digits is None or isinstance(value, str):
        return _shortened(str(value), column.letters)
    return f"{value:{'+' if column.signed else ''},.{column.digits}f}".replace("-", "\N{MINUS SIGN}")


def _shortened(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else text[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def headings(columns: Sequence[Column]) -> list[tuple[str, int]]:
    """(group, number of columns) from left to right; columns without a group stand under an empty one."""
    return [(group, len(list(members))) for group, members in groupby(columns, key=lambda column: column.group)]


def to_csv(parts: Sequence[Part]) -> str:
    """One header for all parts; with several parts the first column, `kind`, tells them apart."""
    keys = list(dict.fromkeys(column.key for part in parts for column in part.columns))
    keys = ["kind", *keys] if len(parts) > 1 else keys
    rows = [{"kind": part.kind, **row} for part in parts for row in part.rows]
    lines = [[csv_cell(row.get(key)) for key in keys] for row in rows or [{keys[0]: NONE}]]
    return "".join(map(_csv_line, [keys, *lines]))


def _csv_line(cells: Sequence[Any]) -> str:
    """One line. Python quotes a carriage return only where it is part of a line's end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().removesuffix("\r\n") + "\n"


def read_csv(path: Path, part: Part) -> Part:
    """The part with the rows that its CSV holds, numbers as numbers; InputError where the file is not such a table."""
    if not path.exists():
        raise InputError(f"{path}: no such file, expected a table of `srt report tables`")
    header, rows = csv_records(path)
    lacking = [column.key for column in part.columns if column.key not in header]
    if lacking:
        raise InputError(f"{path}: column {lacking[0]}: is missing")
    typed = [
        {column.key: _typed(path, column, row[column.key]) for column in part.columns}
        for row in rows
        if row.get("kind", part.kind) == part.kind and not _is_none(row)
    ]
    return Part(part.kind, part.title, part.columns, typed, part.none)


def _is_none(row: dict[str, str]) -> bool:
    first, *others = row.values()
    return first == NONE and not any(others)


def _typed(path: Path, column: Column, text: str) -> Any:
    if text == "":
        return None
    if column.digits is None:
        return csv_text(text)
    try:
        number = int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        number = math.nan
    if not is_finite(number):
        raise InputError(f"{path}: column {column.key}: expected a number, found {text!r}")
    return number


def to_markdown(title: str, parts: Sequence[Part], notes: Iterable[str] = ()) -> str:
    """A GitHub table per part; group and heading share the one header row that Markdown has."""
    blocks = [f"# {title}"]
    for part in parts:
        if len(parts) > 1:
            blocks.append(f"## {part.title}")
        blocks.append("\n".join(_markdown_lines(part)))
        if not part.rows:
            blocks.append(part.none)
    return "\n\n".join([*blocks, *notes]) + "\n"


def _markdown_lines(part: Part) -> list[str]:
    columns = part.shown(setup=True)
    header = [markdown(f"{c.group}: {c.header}" if c.group else c.header) for c in columns]
    rule = ["---" if column.digits is None else "---:" for column in columns]
    lines = [[markdown(cell(column, row), column.path) for column in columns] for row in part.rows]
    return ["| " + " | ".join(line) + " |" for line in [header, rule, *lines]]


def to_latex(name: str, title: str, parts: Sequence[Part], notes: Iterable[str] = ()) -> str:
    """A booktabs float per part. A row's source stands in a comment at its end, where it takes no width."""
    blocks = ["% Needs \\usepackage[T1]{fontenc} and \\usepackage{booktabs,graphicx}."]
    for part in parts:
        label = name if len(parts) == 1 else f"{name}_{part.kind}"
        heading = title if len(parts) == 1 else f"{title}: {part.title}"
        caption = latex(" ".join([f"{heading}.", *(notes if part is parts[0] else ())]))
        blocks += [
            "\\begin{table}[t]",
            "\\centering",
            f"\\caption{{{caption}}}",
            f"\\label{{tab:{label}}}",
            "\\resizebox{\\linewidth}{!}{%",
            *_latex_tabular(part),
            "\\end{table}",
        ]
    return "\n".join(blocks) + "\n"


def _latex_tabular(part: Part) -> list[str]:
    columns = part.shown(paths=False)
    lines = ["\\begin{tabular}{" + "".join("l" if c.digits is None else "r" for c in columns) + "}", "\\toprule"]
    if any(column.group for column in columns):
        lines += _latex_groups(columns)
    lines += [" & ".join(latex(column.header) for column in columns) + " \\\\", "\\midrule"]
    for row in part.rows:
        source = one_line(str(row.get("source") or ""))
        lines.append(" & ".join(latex(cell(column, row)) for column in columns) + f" \\\\ % {source}")
    if not part.rows:
        lines.append(f"\\multicolumn{{{len(columns)}}}{{l}}{{{latex(part.none)}}} \\\\")
    return [*lines, "\\bottomrule", "\\end{tabular}}"]


def _latex_groups(columns: Sequence[Column]) -> list[str]:
    cells, rules, start = [], [], 1
    for group, width in headings(columns):
        cells.append(f"\\multicolumn{{{width}}}{{c}}{{{latex(group)}}}")
        if group:
            rules.append(f"\\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [" & ".join(cells) + " \\\\", " ".join(rules)]
