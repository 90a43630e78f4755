"""A step that writes something else for the same inputs has another version; tests/golden.py stores what it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import TESTS
from helpers.golden import digests, store
from helpers.golden.steps import STEPS
from srt.prepare import prepare
from srt.settings.step_versions import STEP_VERSIONS

UNIT = ("prepare", "import", "selection")  # they run no model, ask no server and start no git


def test_every_step_that_has_a_version_has_a_golden_run() -> None:
    assert [*STEPS] == [*STEP_VERSIONS]


def check(step: str) -> None:
    now = store.found(step)
    now.pop("near")
    line = store.complaint(step, store.read().get(step), now)
    assert line is None, line


@pytest.mark.parametrize("step", UNIT)
def test_a_step_writes_what_is_stored_under_its_version(step: str) -> None:
    check(step)


@pytest.mark.slow
@pytest.mark.parametrize("step", [step for step in STEPS if step not in UNIT])
def test_a_heavier_step_writes_what_is_stored_under_its_version(step: str) -> None:
    check(step)


def test_a_changed_output_under_the_same_version_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with_ids = prepare.with_ids
    monkeypatch.setattr(prepare, "with_ids", lambda rows: with_ids(rows)[::-1])
    with pytest.raises(AssertionError) as failed:
        check("prepare")
    assert str(failed.value).startswith(
        "prepare: writes something else for the same inputs under the same version (drop.jsonl, keep.jsonl, "
        "turns.jsonl): raise STEP_VERSIONS['prepare'] in srt/settings/step_versions.py, then run `python "
        "tests/golden.py --write`; or take the change back"
    )


STORED = {"version": 2, "inputs": "i", "outputs": {"a": "1", "b": "2"}}


@pytest.mark.parametrize(
    ("stored", "now", "line", "refused"),
    [
        (STORED, {}, None, False),
        (None, {}, "is not in tests/data/golden.yaml: run `python tests/golden.py --write`", False),
        (STORED, {"version": 3}, "version 3 in srt/settings/step_versions.py, 2 in tests/data/golden.yaml", False),
        (STORED, {"version": 3, "outputs": {}}, "version 3 in srt/settings/step_versions.py", False),
        (STORED, {"inputs": "j", "outputs": {}}, "its golden inputs or its defaults are others", False),
        (STORED, {"outputs": {"a": "1", "b": "3"}}, "(b): raise STEP_VERSIONS['score']", True),
        (STORED, {"outputs": {"a": "1"}}, "(b): raise STEP_VERSIONS['score']", True),
        (STORED, {"outputs": {**STORED["outputs"], "c": "4"}}, "(c): raise STEP_VERSIONS['score']", True),
    ],
)
def test_what_differs_is_told_apart(stored: dict | None, now: dict, line: str | None, refused: bool) -> None:
    told = store.complaint("score", stored, {**STORED, **now})
    assert told is None if line is None else line in told
    assert store.is_refused(stored, {**STORED, **now}) is refused


def test_a_hash_is_of_what_was_decided_and_not_of_machine_and_day(tmp_path: Path) -> None:
    one = {"loss": 5.541, "n": 3, "versions": {"torch": "2.13.0"}, "seconds": 1.5, "data": [{"identity": "x"}]}
    other = {"loss": 5.5410001, "n": 3, "versions": {}, "seconds": 9.0, "data": [{"identity": "y"}]}
    (tmp_path / "one.json").write_text(json.dumps(one))
    (tmp_path / "other.json").write_text(json.dumps(other, indent=1))
    (tmp_path / "third.json").write_text(json.dumps({**one, "loss": 5.551}))
    of = {name: digests.digest(tmp_path / f"{name}.json", of_model=True) for name in ("one", "other", "third")}
    assert of["one"] == of["other"] != of["third"]
    assert digests.digest(tmp_path / "one.json", False) != digests.digest(tmp_path / "other.json", False)


def test_a_number_that_two_processors_may_round_apart_is_noticed(tmp_path: Path) -> None:
    numbers = [5.544999, 5.545001, 5.5452, 0.0, 5.0, 3, 0.00012345]
    (tmp_path / "n.jsonl").write_text("".join(json.dumps({"n": [n], "seconds": 5.545}) + "\n" for n in numbers))
    assert digests.near_edges(tmp_path / "n.jsonl") == [5.544999, 5.545001]


# As on an old processor: PyTorch's, oneDNN's and MKL's kernels without AVX.
OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}


@pytest.mark.more
@pytest.mark.parametrize(("threads", "processor"), [("1", {}), ("2", {}), ("2", OLD)])
def test_another_folder_other_threads_and_an_older_processor_change_nothing(
    tmp_path: Path, threads: str, processor: dict[str, str]
) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    environment = {**os.environ, **processor, "OMP_NUM_THREADS": threads, "TMPDIR": str(folder)}
    command = [sys.executable, str(TESTS / "golden.py")]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
