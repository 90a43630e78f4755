"""No regular expression explodes: every pattern in srt/, and whatever reads foreign text, on 100 KB made to hurt it."""

import ast
import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest

from helpers import ROOT
from srt.evaluation import _reading as reading
from srt.evaluation.alpaca_eval import ranking
from srt.evaluation.judge import inert
from srt.imports.reflections import _words
from srt.llm.completions import without_thoughts
from srt.llm.prompts import fill
from srt.llm.requests import Completion
from srt.reflection import answers
from srt.reflection.cleaning import cleaned, read_cleaning
from srt.reflection.styles import read_style
from srt.report import escaping
from srt.report.page.html import coded

pytestmark = pytest.mark.slow

CLEANING = read_cleaning("config/prompts/answers.yaml")
STYLES = {name: read_style(f"config/prompts/{name}.yaml") for name in ("tags", "json", "turns")}
TAGS = STYLES["tags"].instruction[0].tags

# An attack is a beginning, one unit over and over, and an end at which a match must fail. What is slowest at one size
# is tried at the next, so that nothing that explodes is ever started at its full size.
BEGINNINGS = ("", "[[", "{", "8", '"', "**", "\n", "1", "<|", "New", "[New", "[End", "End", "```\n", "```", "score ")
BEGINNINGS += ("<think>", "[Better Answer]", "assistant 1: 8", "here is a new answer", "based on ", '[{"a":', '{"a": "')
UNITS = (
    *'*_#`~ \n\t{[<("1a.:-\\|\u2018\u2028',
    "a ",
    "* ",
    "\n*",
    "1.",
    "1) ",
    "{}",
    '{"',
    '{"a":',
    '{"a":{',
    '{"a":[',
)
UNITS += ('{"a":1,', '"\\', "[]", "[[1", "8 7\n", "[End]", "End\n", "[New Answer]", "[New Answer]a[End]", "here is a ")
UNITS += ("```\n", "\n \n", "<think>", "</think>", "<|a|>assistant\n")
ENDS = ("", "x]", "\nx]")
SIZES = (250, 1_000, 4_000, 16_000, 100_000)
KEPT = (150, 40, 15, 6)  # of the attacks, after each size
# Of the thread's own time, so that a busy machine changes little. Linear is milliseconds here; quadratic at 100,000
# characters is at least 5e9 steps, which is 20 seconds and more.
MOST_SECONDS = 3.0


def seconds(run: Callable[[str], Any], text: str) -> float:
    start = time.thread_time()
    run(text)
    return time.thread_time() - start


def attack(parts: tuple[str, str, str], size: int) -> str:
    beginning, unit, end = parts
    return beginning + unit * (size // len(unit)) + end


def slowest(run: Callable[[str], Any], beginnings: tuple[str, ...] = BEGINNINGS) -> tuple[float, tuple[str, str, str]]:
    """The time of the slowest attack at the largest size, and that attack; or of the first that takes too long."""
    attacks = list(product(beginnings, UNITS, ENDS))
    for size, kept in zip(SIZES, (*KEPT, 1), strict=True):
        timed = []
        for parts in attacks:
            timed.append((seconds(run, attack(parts, size)), parts))
            if timed[-1][0] > MOST_SECONDS:
                return timed[-1]
        timed.sort(reverse=True)
        attacks = [parts for _, parts in timed[:kept]]
    return timed[0]


def read(style: str, text: str) -> Any:
    return STYLES[style].response[-1].read(Completion(text, 9, "stop"), CLEANING)


READERS: dict[str, Callable[[str], Any]] = {
    "opening": CLEANING.opening.match,
    "cleaned response": lambda text: cleaned(text, "response", CLEANING),
    "cleaned instruction": lambda text: cleaned(text, "instruction", CLEANING),
    "tags": lambda text: STYLES["tags"].instruction[0].read(Completion(text, 9, "stop"), CLEANING),
    "a tag's section": lambda text: read("tags", f"[Better Answer]{text}"),
    "json": lambda text: read("json", text),
    "text": lambda text: read("turns", text),
    "leaks": STYLES["tags"].leak_in,
    "thoughts": without_thoughts,
    "scores": reading.scores,
    "grade": reading.grade,
    "ranking": ranking,
    "inert": inert,
    "placeholders": lambda text: fill("{a}" + text, {"a": text}),
    "words": _words,
    "markdown": escaping.markdown,
    "latex": escaping.latex,
    "html": coded,
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_of_foreign_text_takes_a_time_linear_in_its_length(name: str) -> None:
    found, parts = slowest(READERS[name])
    assert found < MOST_SECONDS, f"{name}: {found:.1f} s for {parts}"


# Patterns that are put together when they are used, by the function that does so: what they are in use.
MADE: dict[tuple[str, str], list[str | re.Pattern[str]]] = {
    ("srt/reflection/answers.py", "_opener"): [answers._opener(tag) for tag in (*TAGS.values(), "Better Answer")],
    ("srt/reflection/answers.py", "_closers"): [answers._closers(TAGS)],
    ("srt/reflection/cleaning.py", "opening"): [CLEANING.opening],
    ("srt/reflection/cleaning.py", "_without_lone_number"): [r"(?:^|\s)2[.)]\s"],
    ("srt/reflection/styles.py", "leak_in"): [r"(?<!\w)better\ answer(?!\w)"],
    ("srt/llm/prompts.py", "fill"): [r"\{a\}|\{b\}"],
    ("srt/report/escaping.py", "latex"): ["|".join(map(re.escape, escaping.LATEX))],
    ("srt/llm/failures.py", "printable"): [r"\bk\b", "sk\\-123456789"],
    ("srt/evaluation/_reading.py", "_matched"): [*reading._SCORES, *reading._GRADE],
    ("srt/evaluation/_reading.py", "_is_row"): [*reading._ROWS],
}
USES = ("match", "fullmatch", "search", "sub", "findall", "finditer", "split", "compile")


def patterns() -> Iterator[tuple[str, str, str, Any]]:
    """(file, function, use, pattern or None where it is put together) of every use of a regular expression in srt/."""
    for path in sorted((ROOT / "srt").rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        owners = {
            id(node): owner.name
            for owner in ast.walk(tree)
            if isinstance(owner, ast.FunctionDef)
            for node in ast.walk(owner)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                function = node.func
                direct = isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "re"
                values = [keyword.value for keyword in node.keywords if keyword.arg == "pattern"]
                if direct and function.attr in USES:  # type: ignore[union-attr]
                    values = [node.args[0]]
                for value in values:
                    use = function.attr if direct else "match"  # type: ignore[union-attr]
                    yield file, owners.get(id(node), ""), use, _constant(file, value)


def _constant(file: str, node: ast.expr) -> str | None:
    """A pattern's text: a literal, or a module's own constant."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name):
        module = __import__(file.removesuffix(".py").replace("/", "."), fromlist=["x"])
        found = getattr(module, node.id, None)
        return found if isinstance(found, str) else None
    return None


def cases() -> list[tuple[str, str, str | re.Pattern[str]]]:
    found: list[tuple[str, str, str | re.Pattern[str]]] = []
    for file, owner, use, pattern in patterns():
        for each in [pattern] if pattern is not None else MADE[file, owner]:
            found.append((f"{file} {owner}", use, each))
    return found


def test_every_pattern_is_known() -> None:
    made = {(file, owner) for file, owner, _, pattern in patterns() if pattern is None}
    assert made == set(MADE)
    assert len(cases()) >= 40


@pytest.mark.parametrize(("where", "use", "pattern"), cases())
def test_a_pattern_takes_a_time_linear_in_the_text(where: str, use: str, pattern: str | re.Pattern[str]) -> None:
    flags = re.IGNORECASE | (re.DOTALL if where.startswith("srt/evaluation/_reading.py _said") else 0)
    compiled = re.compile(pattern, flags) if isinstance(pattern, str) else pattern
    if compiled is CLEANING.opening:
        run: Callable[[str], Any] = compiled.match  # it is used at a text's start only
    elif use == "compile":
        run = lambda text: [*compiled.finditer(text)]  # noqa: E731
    elif use == "sub":
        run = lambda text: compiled.sub("", text)  # noqa: E731
    else:
        run = getattr(compiled, use)
    found, parts = slowest(run, ("", "[[", "8", "1", "<|", "```\n", "score ", "here is a new answer", "New", "[End"))
    assert found < MOST_SECONDS, f"{where}: {found:.1f} s for {parts}"
