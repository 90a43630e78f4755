"""The tiers of the tests: a test without the marker `slow` or `more` is a unit test, and held to it.

A unit test starts no process and asks for no model; it fails by name where it does, in whatever tier it is run.
"""

import platform
import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

ABOVE = ("slow", "more")
PROCESSES = {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"}
PROCESSES |= {"subprocess.Popen"}
MODELS = {"demo_model", "tiny_base", "vllm_starts"}
WHOLE_FILE = re.compile(rf"^pytestmark = .*pytest\.mark\.({'|'.join(ABOVE)})\b", re.MULTILINE)
platform.platform()  # asks `uname` once for the whole process: the openai client does so with its first request
running: list[pytest.Item] = []  # the unit test that runs now
started: list[str] = []  # what it has started


def is_unit(item: pytest.Item) -> bool:
    return not any(item.get_closest_marker(name) for name in ABOVE)


def refuse_a_process(event: str, arguments: tuple[Any, ...]) -> None:
    if event in PROCESSES and running:
        started.append(f"{event} {arguments[:1]}")
        if threading.current_thread() is not threading.main_thread():
            raise OSError("a unit test starts no process")  # the test fails at its end: this thread's owner may wait
        pytest.fail(f"{running[0].nodeid} is a unit test and starts a process: mark it slow ({started[-1]})")


sys.addaudithook(refuse_a_process)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Any:
    running[:] = [item] if is_unit(item) else []
    try:
        return (yield)
    finally:
        running.clear()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if is_unit(item) and (asked := MODELS.intersection(getattr(item, "fixturenames", ()))):
        pytest.fail(f"{item.nodeid} is a unit test and asks for a model: mark it slow ({', '.join(asked)})")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Any:
    """What a thread started, or what the test took for an error of its own."""
    result = yield
    found, started[:] = [*started], []
    if found:
        pytest.fail(f"{item.nodeid} is a unit test and starts a process: mark it slow ({'; '.join(found)})")
    return result


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files of slow tests alone are not even imported for the unit tests: torch and transformers take seconds."""
    if "not slow" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return True if WHOLE_FILE.search(collection_path.read_text(encoding="utf-8")) else None
