"""docs/architecture.md is true: its files are there, its table of imports is what the code does, its contracts bite."""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import ROOT

PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
SOURCES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "srt").rglob("*.py"))}
NAMED = re.findall(r"`((?:srt|config|workflow)/[\w./]*)(?::(\w+))?`", PAGE)
ROOMS = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE))


def scripts(tree: ast.Module) -> Iterator[ast.Module]:
    """The programs that a module holds as texts and runs as processes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import" in node.value:
            with contextlib.suppress(SyntaxError, ValueError):
                yield ast.parse(node.value)


def room(path: Path) -> str:
    """`srt/llm/wire.py` is in llm, `srt/cli.py` is cli."""
    return path.relative_to(ROOT / "srt").parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import from srt, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "srt":
            yield from ((str(node.module), alias.name) for alias in node.names)


def is_module(module: str, name: str) -> bool:
    """Whether `from module import name` imports a module."""
    return (ROOT / module.replace(".", "/") / f"{name}.py").exists()


def defined(tree: ast.Module) -> set[str]:
    """The names that a module defines itself."""
    found = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_the_page_names_is_there(file: str, name: str) -> None:
    assert (ROOT / file).exists()
    if name:
        assert name in defined(SOURCES[ROOT / file])


def test_the_page_answers_what_a_newcomer_asks() -> None:
    questions = re.findall(r"^\| ([^`|]*\?[^`|]*) \|", PAGE, re.MULTILINE)
    for words in ("r-IFD", "429", "phase 2", "batch size", "report read", "add a judge", "add a benchmark"):
        assert any(words in question for question in questions), words
    for words in ("add a method", "shape of data", "survives a kill"):
        assert any(words in question for question in questions), words


def test_the_table_of_rooms_says_what_each_imports() -> None:
    found: dict[str, set[str]] = {}
    for path, tree in SOURCES.items():
        if room(path) == "__init__":
            continue
        used = {(f"{module}.{name}").split(".")[1] for module, name in imports(tree)}
        found.setdefault(room(path), set()).update(used - {room(path), "__version__"})
    told = {name: {other for other in re.split(r"[,\s]+", others) if other} for name, others in ROOMS.items()}
    assert found == told


def test_programs_in_texts_import_what_is_there() -> None:
    found = []
    for path, tree in SOURCES.items():
        for module, name in (each for script in scripts(tree) for each in imports(script)):
            file = ROOT / f"{module.replace('.', '/')}.py"
            if not is_module(module, name) and not (file in SOURCES and name in defined(SOURCES[file])):
                found.append(f"{path.name}: from {module} import {name}")
    assert not found


def test_what_begins_with_an_underscore_is_used_in_its_own_file_only() -> None:
    found = []
    for path, tree in SOURCES.items():
        known = list(imports(tree))
        modules = {name for module, name in known if is_module(module, name)}
        used = [(module, name) for module, name in known if name not in modules]
        used += [
            (node.value.id, node.attr)
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
        ]
        found += [(path.name, *each) for each in used if each[1].startswith("_") and not each[1].startswith("__")]
    assert not found


def test_a_function_that_only_its_own_file_uses_begins_with_an_underscore() -> None:
    folders = ("srt", "tests", "workflow", "benchmarks", "notebooks")
    code = [
        path for folder in folders for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".smk", ".ipynb")
    ]
    code += [ROOT / "Snakefile", ROOT / "pyproject.toml", *(ROOT / "srt").rglob("*.j2")]
    words = {path: set(re.findall(r"\w+", path.read_text(encoding="utf-8"))) for path in code}
    functions = [
        (path, node.name) for path, tree in SOURCES.items() for node in tree.body if isinstance(node, ast.FunctionDef)
    ]
    own = [
        f"{path.relative_to(ROOT)}: {name}"
        for path, name in functions
        if not name.startswith("_") and not any(name in found for other, found in words.items() if other != path)
    ]
    assert not own


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        ("srt/storage/errors.py", "from srt.llm import wire", "Imports run downwards only"),
        ("srt/selection/method.py", "from srt.selection import choice", "No circle"),
        ("srt/report/explain.py", "from srt.llm import _bounded", "What begins with _"),
        ("srt/experiment/config.py", "from srt.selection.phases import coin", "the registry alone"),
        ("srt/evaluation/generate.py", "from srt.machine import gpus", "through srt.llm"),
        ("srt/scoring/score.py", "from srt.training import cost", "Imports run downwards only"),
    ],
)
@pytest.mark.slow
def test_an_import_inside_a_function_breaks_the_contract(tmp_path: Path, file: str, line: str, broken: str) -> None:
    shutil.copytree(ROOT / "srt", tmp_path / "srt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    lint = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    with (tmp_path / file).open("a") as source:
        source.write(f"\n\ndef later() -> None:\n    {line}\n")
    done = subprocess.run(lint, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = next(text for text in done.stdout.splitlines() if broken in text and text.split()[-1] in ("KEPT", "BROKEN"))
    assert (done.returncode, told.split()[-1]) == (1, "BROKEN")
