"""Hostile text in tables, read back by renderers of Markdown and HTML, by Python's csv, and out of LaTeX."""

import csv
import io
import re
from pathlib import Path

import mistune
import pytest
from bs4 import BeautifulSoup
from jinja2 import Environment
from markdown_it import MarkdownIt

from srt.report.escaping import csv_cell, csv_text, latex, markdown
from srt.report.formats import Column, Part, read_csv, to_csv, to_latex, to_markdown
from srt.report.page.cards import _cell
from srt.report.page.html import coded

TEXTS = [
    r"\[x\](http://evil.example)",
    r"\\[x](http://evil.example)",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    r"\![x](http://evil.example/x.png)",
    "[x]: http://evil.example",
    "[x][y] [^1]",
    "<http://evil.example>",
    "http://evil.example and https://evil.example/a_b_c?d=e&f#g, HTTP://EVIL.EXAMPLE",
    "www.evil.example, (www.evil.example) WWW.evil.example",
    "ftp://evil.example mailto:somebody@evil.example xmpp:somebody@evil.example",
    "somebody@evil.example",
    "<script>alert(1)</script><img src=x onerror=alert(1)><!-- x --> <a href='x'>y</a>",
    "&lt;b&gt; &amp; &#60; &copy;",
    "a | b \\| c \\\\| d || e",
    "```\ncode\n```",
    "`code` ``more` x` \\` \\\\`",
    "~~~ ~~struck~~ ~one~",
    "**bold** *it* __bold__ _it_ a_b_c *a*b",
    "$x^2$ $$y$$ \\(z\\) \\[w\\]",
    "# heading",
    "- item",
    "+ item",
    "* item",
    "12. item",
    "3) item",
    "> quote",
    "===",
    "---",
    ":---:",
    "a\u2028b\u2029c\rd\x85e\x0bf\x0cg\nh\tj",
    "a\n\n# b\n\n<b>c</b>",
    "ends with \\",
    "\\",
    "\\\\",
    '=HYPERLINK("http://evil.example")',
    "&#91;x](y)",
    "%00 100% _{x}^2 \\input{/etc/passwd} \\write18{id} ^^5cinput \\end{tabular}",
    "",
]
PLAIN = {"h1", "table", "thead", "tbody", "tr", "th", "td", "code"}
SIGNS = ["backslash", "asciitilde", "asciicircum", "less", "greater", "bar", "quotedbl"]
COMMANDS = {*"&%$#_{}", "geq", *(f"text{sign}" for sign in SIGNS)}
COLUMNS = [Column("a", "A"), Column("b", "B", path=True)]
COMMONMARK = MarkdownIt("commonmark").enable(["table", "strikethrough"])
GITHUB = mistune.create_markdown(plugins=["table", "url", "strikethrough", "math", "footnotes"], escape=False)
RENDERERS = {"CommonMark with tables": COMMONMARK.render, "mistune with bare addresses": GITHUB}


def table(text: str) -> Part:
    return Part("x", "X", COLUMNS, [{"a": text, "b": text, "source": text}], "none")


def on_one_line(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_in_markdown_is_shown_as_it_is_and_is_no_markup(renderer: str, text: str) -> None:
    render = RENDERERS[renderer]
    rendered = BeautifulSoup(str(render(to_markdown("T", [table(text)]))), "html.parser")
    assert {tag.name for tag in rendered.find_all(True)} <= PLAIN
    assert [on_one_line(cell.get_text()) for cell in rendered.find_all("td")] == [on_one_line(text)] * 2
    line = BeautifulSoup(str(render(f"{_cell(text)} finetuned\n\n**{_cell(text) or 'x'}**, more\n")), "html.parser")
    assert {tag.name for tag in line.find_all(True)} <= {"p", "strong"}
    first = line.find("p")
    assert first is not None
    assert on_one_line(first.get_text()) == on_one_line(f"{text} finetuned")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_in_html_is_shown_as_it_is(text: str) -> None:
    cell = Environment(autoescape=True).from_string("<td>{{ text }}</td>").render(text=text)  # as the report does
    for shown in (cell, f"<td>{coded(text)}</td>"):
        read = BeautifulSoup(shown, "html.parser")
        assert {tag.name for tag in read.find_all(True)} <= {"td", "code"}
        plain = text if shown == cell else re.sub(r"`([^`]+)`", r"\1", text)
        assert read.get_text().replace("\r", "\n") == plain.replace("\r", "\n")


@pytest.mark.parametrize("text", TEXTS)
def test_no_command_of_a_text_survives_in_latex(text: str) -> None:
    escaped = latex(text)
    commands = {*re.findall(r"\\([a-zA-Z]+|.)", escaped)}
    assert commands <= COMMANDS
    made = {
        r"\textbackslash{}": "\\",
        r"\textasciitilde{}": "~",
        r"\textasciicircum{}": "^",
        r"\textless{}": "<",
        r"\textgreater{}": ">",
        r"\textbar{}": "|",
        r"\textquotedbl{}": '"',
        **{"{" + mark + "}": mark for mark in "[]*"},
        **{"\\" + mark: mark for mark in "&%$#_{}"},
    }
    assert re.sub("|".join(map(re.escape, made)), lambda match: made[match[0]], escaped) == on_one_line(text)
    row = to_latex("x", "X", [table(text)]).split("\\midrule\n")[1].split("\n\\bottomrule")[0]
    assert "\n" not in row
    assert row[:1] not in ("[", "*")  # arguments of the line break before it


@pytest.mark.parametrize(
    "text", [*TEXTS, "+1 for this", "-- x", "@sum", "\t=1", "\r=1", "'=1", "''=1", "'quoted'", "\uff1d1"]
)
def test_a_text_in_a_csv_is_no_formula_and_comes_back(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(to_csv([table(text)]), newline="")
    with (tmp_path / "x.csv").open(newline="") as file:
        cells = [*csv.reader(file)][1]
    assert all(not cell or cell[0] not in "=+-@\t\r\uff1d" for cell in cells)
    row = read_csv(tmp_path / "x.csv", table("")).rows[0]
    assert (row["a"] or "", row["b"] or "") == (text, text)
    assert csv_text(str(csv_cell(text))) == text


def test_numbers_in_a_csv_stay_numbers(tmp_path: Path) -> None:
    columns = [Column("n", "N", 2), Column("t", "T")]
    rows = [{"n": value, "t": str(value)} for value in (-1.5, -3, 0, 2e-07, 1.25)]
    (tmp_path / "x.csv").write_text(to_csv([Part("x", "X", columns, rows, "none")]), newline="")
    assert (tmp_path / "x.csv").read_text().splitlines()[1:3] == ["-1.5,-1.5", "-3,-3"]
    assert read_csv(tmp_path / "x.csv", Part("x", "X", columns, [], "none")).rows == rows


def test_one_line_stays_one_cell() -> None:
    assert markdown("a\0b") == "a\N{REPLACEMENT CHARACTER}b"
    assert markdown("a`b", code=True) == r"a\`b"
    assert markdown("runs/a_b.json", code=True) == "`runs/a_b.json`"
    assert markdown("0.57, r_ifd, (x)") == "0.57, r_ifd, (x)"  # what is usual stays readable
    assert io.StringIO(to_csv([table("a\rb")]), newline="").read() == 'a,b\n"a\rb","a\rb"\n'
