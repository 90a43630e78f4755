"""A slot per GPU, with real processes and real locks; the GPUs themselves are made up."""

import os
import subprocess
import sys
import time

import pytest

from srt import gpus
from srt.records import InputError

HOLD = "import sys, time; from srt import gpus; print(gpus.hold(int(sys.argv[1])), flush=True); time.sleep(600)"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Two GPUs, as nvidia-smi would list them, and lock files of this test alone."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '0, GPU-aaaa'\necho '1, GPU-bbbb'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    started = []

    def job(count=1, **env):
        command = [sys.executable, "-c", HOLD, str(count)]
        started.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | env)
        )
        return started[-1]

    yield job
    for process in started:
        process.kill()
        process.communicate()


def test_two_jobs_get_two_gpus_and_the_third_waits_for_one(machine):
    first, second = machine(), machine()
    held = {process.stdout.readline().strip(): process for process in (first, second)}
    assert set(held) == {"['0']", "['1']"}
    third = machine()
    assert third.stderr.readline().startswith("waiting for 1 of the GPUs 0, 1")
    assert third.poll() is None
    held["['1']"].kill()
    assert third.stdout.readline().strip() == "['1']"


def test_a_job_for_both_waits_without_holding_one(machine):
    first = machine()
    assert first.stdout.readline().strip() == "['0']"
    both = machine(2)
    assert both.stderr.readline().startswith("waiting for 2")
    assert machine().stdout.readline().strip() == "['1']"


def test_one_gpu_under_two_numbers_is_one_slot(machine):
    """A cluster may call any GPU number 0; a slot is the GPU's own."""
    assert machine(**{gpus.VISIBLE: "1"}).stdout.readline().strip() == "['1']"
    again = machine(**{gpus.VISIBLE: "GPU-bbbb"})
    assert again.stderr.readline().startswith("waiting for 1 of the GPUs GPU-bbbb")
    time.sleep(1.5)
    assert again.poll() is None


def test_a_launchers_process_takes_the_gpu_of_its_rank(machine):
    assert machine(LOCAL_RANK="1").stdout.readline().strip() == "['1']"
    assert machine(LOCAL_RANK="0").stdout.readline().strip() == "['0']"


def test_more_gpus_than_there_are_is_an_error(machine):
    with pytest.raises(InputError, match="expected 3 GPUs for one job, found 2: 0, 1"):
        gpus.hold(3)


def test_without_gpus_nothing_is_held(machine, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "")
    assert gpus.hold(1) == []
