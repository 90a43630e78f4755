"""A slot per GPU, with real processes and real locks; the GPUs themselves are made up."""

import os
import subprocess
import sys
import time

import pytest

from srt.llm import devices
from srt.machine import _nvml as nvml
from srt.machine import gpus
from srt.storage.errors import InputError

HOLD = "import sys, time; from srt.machine import gpus; print(gpus.hold(int(sys.argv[1])), flush=True); time.sleep(600)"


@pytest.fixture
def machine(tmp_path, monkeypatch, cards):
    """Two GPUs, and lock files of this test alone."""
    cards([{"uuid": "GPU-aaaa"}, {"uuid": "GPU-bbbb"}])
    monkeypatch.setenv("TMPDIR", str(tmp_path))
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


@pytest.mark.slow
def test_two_jobs_get_two_gpus_and_the_third_waits_for_one(machine):
    first, second = machine(), machine()
    held = {process.stdout.readline().strip(): process for process in (first, second)}
    assert set(held) == {"['0']", "['1']"}
    third = machine()
    assert third.stderr.readline().startswith("waiting for 1 of the GPUs 0, 1")
    assert third.poll() is None
    held["['1']"].kill()
    assert third.stdout.readline().strip() == "['1']"


@pytest.mark.slow
def test_a_job_for_both_waits_without_holding_one(machine):
    first = machine()
    assert first.stdout.readline().strip() == "['0']"
    both = machine(2)
    assert both.stderr.readline().startswith("waiting for 2")
    assert machine().stdout.readline().strip() == "['1']"


@pytest.mark.slow
def test_one_gpu_under_two_numbers_is_one_slot(machine):
    """A cluster may call any GPU number 0; a slot is the GPU's own."""
    assert machine(**{gpus.VISIBLE: "1"}).stdout.readline().strip() == "['1']"
    again = machine(**{gpus.VISIBLE: "GPU-bbbb"})
    assert again.stderr.readline().startswith("waiting for 1 of the GPUs GPU-bbbb")
    time.sleep(1.5)
    assert again.poll() is None


@pytest.mark.slow
def test_a_launchers_process_takes_the_gpu_of_its_rank(machine):
    assert machine(LOCAL_RANK="1").stdout.readline().strip() == "['1']"
    assert machine(LOCAL_RANK="0").stdout.readline().strip() == "['0']"


def test_more_gpus_than_there_are_is_an_error(machine):
    with pytest.raises(InputError, match="expected 3 GPUs for one job, found 2: 0, 1"):
        gpus.hold(3)


def test_without_gpus_nothing_is_held(machine, monkeypatch):
    monkeypatch.setenv(gpus.VISIBLE, "")
    assert gpus.hold(1) == []


SLICES = [{"uuid": "MIG-11", "gb": 10}, {"uuid": "MIG-12", "gb": 20}]
IN_MIG_MODE = {"uuid": "GPU-abbb", "instances": SLICES}
MIXED = [{"uuid": "GPU-aaaa", "gb": 80}, IN_MIG_MODE, None, {"uuid": "GPU-cccc", "gb": 40}]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (None, {"0": "GPU-aaaa", "MIG-11": "MIG-11", "MIG-12": "MIG-12", "3": "GPU-cccc"}),  # 2 is lost
        ("", {}),
        ("-1", {}),
        ("NoDevFiles", {}),
        ("3,0", {"3": "GPU-cccc", "0": "GPU-aaaa"}),
        (" 3 , 0 ", {"3": "GPU-cccc", "0": "GPU-aaaa"}),
        ("0,-1,3", {"0": "GPU-aaaa"}),
        ("0,9,3", {"0": "GPU-aaaa"}),
        ("0,2,3", {"0": "GPU-aaaa"}),
        ("0,0", {}),
        ("0,GPU-cccc", {"0": "GPU-aaaa"}),
        ("1", {"1": "MIG-11"}),  # of a card in MIG mode CUDA uses the first instance
        ("GPU-c,GPU-aaaa", {"GPU-cccc": "GPU-cccc", "GPU-aaaa": "GPU-aaaa"}),  # NVML, which vLLM asks, wants all of it
        ("GPU-ab", {"GPU-abbb": "MIG-11"}),
        ("GPU-a", {}),  # two begin so
        ("GPU-cccc,GPU-a,GPU-aaaa", {"GPU-cccc": "GPU-cccc"}),
        ("GPU-cccc,GPU-c", {}),  # one card twice
        ("GPU-cccc,0", {"GPU-cccc": "GPU-cccc"}),
        ("MIG-12", {"MIG-12": "MIG-12"}),
        ("MIG-12,MIG-11", {"MIG-12": "MIG-12", "MIG-11": "MIG-11"}),
        ("MIG-9", {}),
    ],
)
def test_visible_gpus_are_those_that_cuda_would_show(cards, monkeypatch, named, expected):
    cards(MIXED)
    if named is not None:
        monkeypatch.setenv(gpus.VISIBLE, named)
    assert gpus.visible() == expected
    assert list(gpus.visible()) == list(expected)
    assert devices.has_gpu("auto") is bool(expected)


@pytest.mark.parametrize(
    ("named", "expected"), [(None, 10.0), ("0", 80.0), ("GPU-c,0", 40.0), ("MIG-12", 20.0), ("", None)]
)
def test_memory_is_that_of_the_smallest_visible_gpu(cards, monkeypatch, named, expected):
    cards(MIXED)
    if named is not None:
        monkeypatch.setenv(gpus.VISIBLE, named)
    assert gpus.memory_gb() == expected


@pytest.mark.slow
def test_mig_instances_are_slots_of_their_own(machine, cards):
    cards([IN_MIG_MODE])
    held = {machine().stdout.readline().strip(), machine().stdout.readline().strip()}
    assert held == {"['MIG-11']", "['MIG-12']"}


def test_a_card_in_mig_mode_without_instances_is_none(cards):
    cards([{"uuid": "GPU-abbb", "instances": []}])
    assert gpus.visible() == {}


def test_without_nvml_the_device_files_are_counted(cards, tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "DEVICES", tmp_path)
    monkeypatch.setattr(nvml, "read", lambda: None)
    assert gpus.visible() == {}
    for number in (0, 2, 10):
        (tmp_path / f"nvidia{number}").touch()
    (tmp_path / "nvidiactl").touch()
    assert gpus.visible() == {"0": "nvidia0", "2": "nvidia2", "10": "nvidia10"}
    monkeypatch.setenv(gpus.VISIBLE, "2,1")
    assert gpus.visible() == {"2": "nvidia2"}
