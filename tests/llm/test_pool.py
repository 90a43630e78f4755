"""Servers that outlive their jobs, with real processes, sockets and locks; the servers and the GPUs are made up."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from helpers import TESTS
from helpers.fake_judge import execution_config, judge_config
from helpers.judge_server import FAKE_SERVER, judged
from srt.llm import _pool as pool
from srt.llm import server
from srt.machine import gpus, processes, warm

pytestmark = pytest.mark.slow

SLOW_SECONDS = 60.0  # for what takes one, on a machine with other work
JOB = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from srt.llm import server
server._command = lambda *_: [sys.executable, "-c", sys.argv[3], "judge"]
from helpers.judge_server import judged
with judged(Path(sys.argv[2])) as opened:
    print(opened.base_url, flush=True)
    time.sleep(600)
"""
HOLD = "import sys, time; from srt.machine import gpus; print(gpus.hold(int(sys.argv[1])), flush=True); time.sleep(600)"


@pytest.fixture
def place(monkeypatch):
    """A folder with a short name (a socket's may not be long), a model, and a workflow whose process may be killed."""
    folder = Path(tempfile.mkdtemp(prefix="srt-"))
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    command = [sys.executable, "-c", FAKE_SERVER, str(folder / "model")]
    monkeypatch.setattr(server, "_command", lambda *_: command)
    monkeypatch.setattr("srt.llm.devices.require_vllm", lambda kind: None)
    workflow = subprocess.Popen(["sleep", "600"])
    monkeypatch.setenv(processes.OWNER_VARIABLE, str(workflow.pid))
    yield folder
    workflow.kill()
    workflow.wait()
    wait_for(lambda: not keepers(folder))
    shutil.rmtree(folder)


@pytest.fixture
def workflow(place):
    return psutil.Process(int(os.environ[processes.OWNER_VARIABLE]))


def wait_for(condition):
    deadline = time.monotonic() + SLOW_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def keepers(folder):
    """What runs of the servers of this test: keepers, lifelines, servers."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if str(folder / "model") in words and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def answers(opened):
    port = int(opened.base_url.split(":")[2].split("/")[0])
    return pool._get(port, "/v1/models", opened.api_key) is not None


def test_the_next_job_of_a_workflow_finds_the_server_warm(place, capsys):
    with judged(place) as first:
        assert answers(first)
    with judged(place) as second:
        assert (second.base_url, second.api_key) == (first.base_url, first.api_key)
        assert second.extra["cache_salt"] != first.extra["cache_salt"]  # nothing of what was asked before
        with judged(place) as beside:  # a server is one job's at a time
            assert beside.base_url != first.base_url
    said = capsys.readouterr().err
    assert (said.count("starting the server of"), said.count("goes on")) == (2, 1)


def test_what_a_library_sets_when_it_is_imported_makes_no_other_server(place, monkeypatch):
    """As alpaca-eval's do: KMP_DUPLICATE_LIB_OK and others."""
    with judged(place) as first:
        pass
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")
    with judged(place) as second:
        assert second.base_url == first.base_url


@pytest.mark.parametrize("what", ["length", "weights", "environment", "workflow"])
def test_what_could_change_an_answer_is_another_server(place, monkeypatch, what):
    with judged(place) as first:
        pass
    if what == "length":
        monkeypatch.setattr(server, "_command", lambda *_: [sys.executable, "-c", FAKE_SERVER + "#", first.model])
    elif what == "weights":
        (place / "model" / "config.json").write_text('{"replaced": true}')
    elif what == "environment":
        monkeypatch.setitem(pool.BEGAN_WITH, "OMP_NUM_THREADS", "7")
    else:
        other = subprocess.Popen(["sleep", "600"])
        monkeypatch.setenv(processes.OWNER_VARIABLE, str(other.pid))
    with judged(place) as second:
        assert second.base_url != first.base_url
    if what == "workflow":
        other.kill()
        other.wait()


@pytest.mark.parametrize("owner", ["", "1@another-host.invalid"])
def test_by_hand_and_on_another_host_it_is_gone_with_its_job(place, monkeypatch, owner):
    monkeypatch.setenv(processes.OWNER_VARIABLE, owner)
    with judged(place) as opened:
        assert answers(opened)
    assert not keepers(place)


@pytest.mark.parametrize("killed", ["job", "workflow"])
def test_with_a_killed_job_or_workflow_its_server_is_gone(place, workflow, killed):
    command = [sys.executable, "-c", JOB, str(TESTS), str(place), FAKE_SERVER]
    code = command[2].replace('"judge"]', "str(Path(sys.argv[2]) / 'model')]")
    job = subprocess.Popen([*command[:2], code, *command[3:]], stdout=subprocess.PIPE, start_new_session=True)
    assert job.stdout.readline().startswith(b"http")
    assert len(keepers(place)) == 3
    (job if killed == "job" else workflow).kill()
    wait_for(lambda: not keepers(place))
    os.killpg(job.pid, signal.SIGKILL)
    job.communicate()


def test_a_server_that_waits_is_gone_with_its_killed_workflow(place, workflow):
    with judged(place):
        pass
    assert len(keepers(place)) == 3
    workflow.kill()
    wait_for(lambda: not keepers(place))
    assert not list((place / f"srt-servers-{os.getuid()}").iterdir())


def test_with_a_killed_keeper_its_server_is_gone_and_the_next_job_starts_one(place):
    with judged(place) as first:
        pass
    (keeper,) = [process for process in keepers(place) if "srt.machine.keeper" in process.cmdline()]
    keeper.kill()
    with judged(place) as second:
        assert answers(second)
        assert second.base_url != first.base_url
        wait_for(lambda: len(keepers(place)) == 3)


def test_after_an_error_the_server_is_gone(place):
    with pytest.raises(ZeroDivisionError), judged(place):
        _ = 1 / 0
    assert not keepers(place)


def test_a_server_that_no_longer_answers_is_ended_and_replaced(place):
    with judged(place) as first:
        pass
    servers = [process for process in keepers(place) if FAKE_SERVER in process.cmdline()[:3]]
    for process in servers:
        process.suspend()
    assert len(servers) == 1
    with judged(place) as second:
        assert second.base_url != first.base_url
        assert answers(second)


def test_its_key_reaches_no_file_and_its_socket_nobody_else(place):
    with judged(place) as opened:
        pass
    (address,) = (place / f"srt-servers-{os.getuid()}").iterdir()
    assert address.parent.stat().st_mode & 0o077 == 0
    files = [path for path in place.rglob("*") if path.is_file()]
    assert files
    assert not any(opened.api_key.encode() in path.read_bytes() for path in files)
    assert not any(opened.api_key in word for process in keepers(place) for word in process.cmdline())


@pytest.mark.parametrize("word", [b"status\n", b"end\n", b"lease\n", b""])
def test_who_asks_and_is_gone_before_the_reply_ends_no_server_at_work(place, word):
    """A job that looks for a server is killed, or gives up: the next one's judge must not die of it."""
    with judged(place) as opened:
        (address,) = (place / f"srt-servers-{os.getuid()}").iterdir()
        (keeper,) = [process for process in keepers(place) if "srt.machine.keeper" in process.cmdline()]
        keeper.suspend()
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(address))
            other.sendall(word)
        keeper.resume()
        time.sleep(0.7)
        assert answers(opened)


def test_where_others_could_reach_the_socket_no_server_waits(place):
    (place / f"srt-servers-{os.getuid()}").mkdir(mode=0o777)
    (place / f"srt-servers-{os.getuid()}").chmod(0o777)
    with judged(place):
        pass
    assert not keepers(place)


def test_on_a_cpu_no_more_than_two_wait(place, monkeypatch):
    urls = []
    for threads in ("1", "2", "3"):
        monkeypatch.setitem(pool.BEGAN_WITH, "OMP_NUM_THREADS", threads)
        with judged(place) as opened:
            urls.append(opened.base_url)
            assert len(keepers(place)) <= 6  # also while the third is there
    assert len(keepers(place)) == 6
    with judged(place) as again:
        assert again.base_url == urls[-1]


def test_it_waits_for_so_long_only(place, monkeypatch):
    monkeypatch.setattr(pool, "PATIENCE_SECONDS", 0.2)
    with judged(place):
        time.sleep(1)
        assert len(keepers(place)) == 3  # who is at work does not wait
    wait_for(lambda: not keepers(place))


# --- Their GPUs ---------------------------------------------------------------------------------------------------


@pytest.fixture
def two_gpus(place, monkeypatch):
    """Two made-up GPUs; and the calls that hold some of them, each a process of its own."""
    monkeypatch.setattr("srt.llm.devices.kind", lambda name: "cuda")
    slots = {"0": "GPU-aaaa", "1": "GPU-bbbb"}
    monkeypatch.setattr(gpus, "visible", lambda: dict(slots))
    code = f"from srt.machine import gpus; gpus.visible = lambda: {slots}; {HOLD}"
    started = []

    def job(count):
        command = [sys.executable, "-c", code, str(count)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield job
    for process in started:
        process.kill()
        process.communicate()


def test_a_job_that_takes_a_server_over_uses_its_gpu_and_no_other(two_gpus, place):
    with judged(place) as first:
        (name,) = {process.environ()[gpus.VISIBLE] for process in keepers(place)}
    with judged(place) as second:
        assert second.base_url == first.base_url
        other = two_gpus(1).stdout.readline().strip()  # the other one is free for another job, and for one alone
        assert {name, other.strip("[']")} == {"0", "1"}
        third = two_gpus(1)
        assert third.stderr.readline().startswith("waiting for 1 of the GPUs")
    assert third.stdout.readline().strip() == f"['{name}']"  # it waits: whoever needs its GPU gets it
    wait_for(lambda: not keepers(place))


def test_a_job_for_both_gpus_ends_the_servers_that_wait_and_none_at_work(two_gpus, place, monkeypatch):
    with judged(place):
        monkeypatch.setitem(pool.BEGAN_WITH, "OMP_NUM_THREADS", "7")
        with judged(place) as other:
            assert {process.environ()[gpus.VISIBLE] for process in keepers(place)} == {"0", "1"}
        both = two_gpus(2)
        assert both.stderr.readline().startswith("waiting for 2")
        assert not answers(other)  # it waited
    assert both.stdout.readline().strip() == "['0', '1']"
    wait_for(lambda: not keepers(place))


def test_a_server_waits_for_a_free_gpu_and_takes_the_longest_idle_ones(two_gpus, place, monkeypatch):
    urls = []
    for threads in ("1", "2"):
        monkeypatch.setitem(pool.BEGAN_WITH, "OMP_NUM_THREADS", threads)
        with judged(place) as opened:
            urls.append(opened)
    monkeypatch.setitem(pool.BEGAN_WITH, "OMP_NUM_THREADS", "3")
    with judged(place):
        assert [answers(opened) for opened in urls] == [False, True]


def test_a_server_that_needs_more_gpus_than_there_are_is_one_line(two_gpus, place, monkeypatch):
    monkeypatch.setattr("srt.llm.loading.require_divisible", lambda *_: None)
    judge = judge_config(model=str(place / "model"), serve=True)
    with (
        pytest.raises(server.InputError, match="expected 3 GPUs for one job, found 2"),
        server.serving(judge, execution_config(judge_gpus=3), None, place / "log"),
    ):
        pass


def test_no_socket_is_bound_that_is_too_long(place, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place / ("x" * 90)))
    (place / ("x" * 90)).mkdir()
    assert warm.address(1, "kind") is None
