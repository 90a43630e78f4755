"""The tests themselves: what several share stands in tests/helpers under a public name; a unit test is one."""

import ast
import contextlib
import functools
import multiprocessing
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import TESTS, tiers

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


@functools.cache
def all_imports() -> list[tuple[Path, str, str]]:
    return [(path.relative_to(TESTS), *each) for path in FILES for each in imported(path.read_text(encoding="utf-8"))]


def of_a_test(module: str, name: str) -> bool:
    return any(part.startswith("test_") for part in [*module.split("."), name])


def private_to_tests(module: str, name: str) -> bool:
    parts = module.split(".")
    return (of_a_test(module, "") or parts[0] == "helpers") and any(part.startswith("_") for part in [*parts, name])


@pytest.mark.parametrize("wrong", [of_a_test, private_to_tests])
def test_no_test_imports_another_test_or_a_private_name_of_a_helper(wrong) -> None:
    assert not [f"{path}: from {module} import {name}" for path, module, name in all_imports() if wrong(module, name)]


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


STARTS = {
    "subprocess": lambda: subprocess.run(["true"], check=True),
    "fork": os.fork,
    "posix_spawn": lambda: os.posix_spawn("/bin/true", ["true"], {}),
    "system": lambda: os.system("true"),  # noqa: S605
    "multiprocessing": lambda: multiprocessing.get_context("fork").Process(target=int).start(),
}


@pytest.mark.parametrize("how", STARTS)
def test_a_unit_test_that_starts_a_process_fails_by_its_name(how: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(pytest.fail.Exception, match="is a unit test and starts a process: mark it slow") as failed:
        STARTS[how]()
    assert request.node.nodeid in str(failed.value)
    assert len(tiers.started) == 1
    tiers.started.clear()  # else it fails at its end as well


@pytest.mark.parametrize("fixture", sorted(tiers.MODELS))
def test_a_unit_test_that_asks_for_a_model_fails_by_its_name(fixture: str, request: pytest.FixtureRequest) -> None:
    class Asking:
        nodeid, fixturenames = "the test", ["tmp_path", fixture]

        def get_closest_marker(self, name: str) -> None:
            return None

    with pytest.raises(pytest.fail.Exception, match=f"the test is a unit test and asks for a model.*{fixture}"):
        tiers.pytest_runtest_setup(Asking())


def test_a_file_of_slow_tests_alone_is_known_by_its_first_mark() -> None:
    whole = {path.name for path in FILES if tiers.WHOLE_FILE.search(path.read_text(encoding="utf-8"))}
    assert {"test_finetune.py", "test_workflow.py", "test_clean_install.py"} <= whole
    assert not whole & {"test_cli.py", "test_asking.py", "tiers.py"}
