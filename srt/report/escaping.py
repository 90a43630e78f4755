"""Foreign text in a table: what a model or a server wrote is shown as it is: no markup, no link, no formula."""

from __future__ import annotations

import html
import re
from typing import Any

# What begins a formula for a spreadsheet (OWASP, "CSV Injection"), also in full width; behind quotes it may be our own.
FORMULA = re.compile("'*[=+\\-@\t\r\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH HYPHEN-MINUS}\uff20]")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

# Everything that is markup inside a line, in CommonMark and in GitHub's dialect (tables, strikethrough, formulas).
MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")
# GitHub makes bare addresses links. An escape within them ends that and is not seen.
BARE_LINK = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)|(?<=\w)(?=@\w)|(?<=mailto)(?=:)|(?<=xmpp)(?=:)", re.IGNORECASE)
# What makes a block of a line that begins with it: headings, lists, rules, quotes, fences.
BLOCK = re.compile(r"^(\d{1,9}(?=[.)](?:\s|$))|(?=[#=:]|[+-](?:[\s-]|$)))")

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{MINUS SIGN}": "$-$",
    "\N{GREATER-THAN OR EQUAL TO}": r"$\geq$",
    # At the beginning of a row these are arguments of the line break before it.
    **{character: "{" + character + "}" for character in "[]*"},
    **{character: "\\" + character for character in "&%$#_"},
}


def one_line(text: str) -> str:
    """A text on one line: line breaks of every kind and runs of blanks are one blank, NUL is U+FFFD."""
    return " ".join(text.replace("\0", "\N{REPLACEMENT CHARACTER}").split())


def markdown(text: str, code: bool = False) -> str:
    """A text as a cell of a Markdown table, or in a line: one line in which nothing is markup, no address a link."""
    line = one_line(text)
    if code and line and not set("`|\\") & set(line):
        return f"`{line}`"
    line = MARKUP.sub(lambda match: "\\" + match[0], line)
    line = BLOCK.sub(r"\1\\", BARE_LINK.sub(r"\\", line))
    return html.escape(line, quote=False)


def latex(text: str) -> str:
    """Text in which LaTeX's special characters print as themselves, in one pass."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda match: LATEX[match.group()], one_line(text))


def csv_cell(value: Any) -> Any:
    """A value as a cell of a CSV. A text that a spreadsheet would compute gets a quote in front (back by `csv_text`).

    Numbers stay numbers, negative ones and those that come as text included.
    """
    if isinstance(value, str) and FORMULA.match(value) and NUMBER.fullmatch(value) is None:
        return f"'{value}"
    return value


def csv_text(cell: str) -> str:
    """The text that `csv_cell` made a cell of."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
