"""The tests themselves: what several share stands in tests/helpers under a public name."""

import ast
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import TESTS

FILES = sorted({*TESTS.rglob("*.py")} - {Path(__file__)})  # this one has examples of what is wrong


def trees(text: str) -> Iterator[ast.Module]:
    """A module, and the scripts that it holds as texts and runs as processes."""
    module = ast.parse(text)
    yield module
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import" in node.value:
            with contextlib.suppress(SyntaxError, ValueError):
                yield ast.parse(node.value)


def imported(text: str) -> Iterator[tuple[str, str]]:
    """(module, name) of each import, wherever it stands; the name of a whole module is empty."""
    for node in (node for tree in trees(text) for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name) for alias in node.names)


def of_a_test(module: str, name: str) -> bool:
    return any(part.startswith("test_") for part in [*module.split("."), name])


def private_to_tests(module: str, name: str) -> bool:
    parts = module.split(".")
    return (of_a_test(module, "") or parts[0] == "helpers") and any(part.startswith("_") for part in [*parts, name])


@pytest.mark.parametrize("wrong", [of_a_test, private_to_tests])
def test_no_test_imports_another_test_or_a_private_name_of_a_helper(wrong) -> None:
    found = [
        f"{path.relative_to(TESTS)}: from {module} import {name}"
        for path in FILES
        for module, name in imported(path.read_text(encoding="utf-8"))
        if wrong(module, name)
    ]
    assert not found


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("from test_report import RUNS", of_a_test),
        ("from report.test_report import RUNS", of_a_test),
        ("def late():\n    import test_report", of_a_test),
        ("JOB = 'import sys\\nfrom test_pool import judged'", of_a_test),
        ("from helpers.results import _items", private_to_tests),
    ],
)
def test_such_an_import_is_found(line: str, wrong) -> None:
    assert any(wrong(module, name) for module, name in imported(line))
