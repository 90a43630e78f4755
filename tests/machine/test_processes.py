import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from helpers import ROOT
from srt.machine import processes

# A server as vLLM is one: a process that spawns another; both note their pids and sleep.
SERVER = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open(sys.argv[1] + ".partial", "w").write(f"{os.getpid()} {child.pid}")
os.replace(sys.argv[1] + ".partial", sys.argv[1])
time.sleep(600)
"""
JOB = """
import os, sys, time
from srt.machine import processes
with open(os.devnull, "wb") as output:
    processes.start([sys.executable, "-c", sys.argv[1], sys.argv[2]], env=os.environ, output=output)
time.sleep(600)
"""
WATCHING_JOB = """
import subprocess, sys, time
from srt.machine.processes import watch_owner
watch_owner()
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True)
while True:
    open(sys.argv[3], "a").write("x")
    time.sleep(0.01)
"""


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def pids_in(path):
    wait_for(path.exists)
    return [int(pid) for pid in path.read_text().split()]


def gone(pids):
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


@pytest.fixture
def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, True])
def test_server_and_its_child_die_with_a_killed_job(tmp_path, environment, whole_group):
    noted = tmp_path / "pids"
    job = subprocess.Popen([sys.executable, "-c", JOB, SERVER, str(noted)], env=environment, start_new_session=True)
    pids = pids_in(noted)
    assert not gone(pids)
    (os.killpg if whole_group else os.kill)(job.pid, signal.SIGKILL)
    job.wait()
    wait_for(lambda: gone(pids))


@pytest.mark.slow
@pytest.mark.parametrize("ignores_sigterm", [False, True])
def test_stop_leaves_nothing(tmp_path, ignores_sigterm):
    prefix = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if ignores_sigterm else ""
    with (tmp_path / "log").open("wb") as output:
        command = [sys.executable, "-c", prefix + SERVER, str(tmp_path / "pids")]
        process = processes.start(command, env=os.environ, output=output)
    pids = pids_in(tmp_path / "pids")
    processes.stop(process, grace=0.5)
    assert gone([*pids, process.pid])
    assert processes.session_members(process.pid) == []


@pytest.mark.slow
def test_stop_finds_what_a_killed_lifeline_left(tmp_path):
    with (tmp_path / "log").open("wb") as output:
        process = processes.start([sys.executable, "-c", SERVER, str(tmp_path / "pids")], env=os.environ, output=output)
    pids = pids_in(tmp_path / "pids")
    process.kill()
    process.wait()
    assert not gone(pids)
    processes.stop(process, grace=0.5)
    assert gone(pids)


@pytest.mark.slow
def test_children_of_a_command_that_ended_die_too(tmp_path):
    code = SERVER.replace("time.sleep(600)\n", "sys.exit(3)\n")
    with (tmp_path / "log").open("wb") as output:
        process = processes.start([sys.executable, "-c", code, str(tmp_path / "pids")], env=os.environ, output=output)
    process.wait(20)
    wait_for(lambda: gone(pids_in(tmp_path / "pids")))


@pytest.mark.slow
@pytest.mark.parametrize("pidfd", [True, False])
def test_job_and_descendants_die_with_their_owner(tmp_path, environment, pidfd):
    owner = subprocess.Popen(["sleep", "600"])
    code = WATCHING_JOB if pidfd else "import os; del os.pidfd_open\n" + WATCHING_JOB
    command = [sys.executable, "-c", code, SERVER, str(tmp_path / "pids"), str(tmp_path / "written")]
    job = subprocess.Popen(
        command, env={**environment, processes.OWNER_VARIABLE: str(owner.pid)}, start_new_session=True
    )
    pids = pids_in(tmp_path / "pids")
    wait_for((tmp_path / "written").exists)
    owner.kill()
    owner.wait()
    assert job.wait(20) == 137
    wait_for(lambda: gone(pids))


@pytest.mark.slow
def test_owner_gone_at_the_start_ends_the_job_at_once(environment):
    owner = subprocess.Popen(["true"])
    owner.wait()
    code = "from srt.machine.processes import watch_owner; watch_owner(); import time; time.sleep(60)"
    job = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, processes.OWNER_VARIABLE: str(owner.pid)},
        timeout=20,
        check=False,
    )
    assert job.returncode == 137


@pytest.fixture
def watched(monkeypatch):
    """The processes for which a watching thread was started."""
    pids = []

    class Noted:
        def __init__(self, args, **_):
            self.pid = args[0]

        def start(self):
            pids.append(self.pid)

    monkeypatch.setattr(processes.threading, "Thread", Noted)
    return pids


@pytest.mark.parametrize("value", [None, "1@another-host.invalid"])
def test_without_an_owner_here_nothing_is_watched(monkeypatch, watched, value):
    monkeypatch.delenv(processes.OWNER_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(processes.OWNER_VARIABLE, value)
    processes.watch_owner()
    assert watched == []


def test_an_owner_here_is_watched(monkeypatch, watched):
    monkeypatch.setenv(processes.OWNER_VARIABLE, str(os.getpid()))
    processes.watch_owner()
    assert watched == [os.getpid()]
