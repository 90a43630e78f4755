"""Two processes over one folder of journals: each request is asked, and paid for, once."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from helpers import TESTS
from helpers.fake_teacher import KEY, MODEL, Running, completion
from srt.storage import claims
from srt.storage.claims import Aside, Claims
from srt.storage.journal import Journal, content_key
from srt.storage.readers import read_json

REQUESTS, WINDOW = 40, 4
TEACHER = """
import sys
from pathlib import Path
from helpers.fake_judge import execution_config
from srt.llm import batch_api as batch
from srt.llm.requests import Request, Sampling
from srt.llm.endpoint import EndpointBackend
from srt.llm.servers import OpenServer
from srt.llm.asking import Teacher
from srt.llm.terms import Terms
url, folder, name, count, window, kind, key, model = sys.argv[1:]
batch.POLL_SECONDS = 0.05
server = OpenServer(url, key, model)
execution = execution_config(concurrency=int(window), batch=None if kind == "live" else 10)
def opened(folder):
    return EndpointBackend(server, execution) if kind == "live" else batch.BatchBackend(server, execution, folder)
numbers = range(int(count)) if name < "z" else reversed(range(int(count)))
requests = [Request((("user", f"case {i}"),), 40, Sampling(0.0, 1.0, 1.0, 0)) for i in numbers]
with Teacher("t", opened, Path(folder), name, Terms(batch=kind != "live")) as teacher:
    answers = teacher.ask(requests, "x")
assert len(answers) == int(count) and all(answer.text for answer in answers)
print(teacher.received, teacher.reused)
"""
JUDGE = """
import sys
from pathlib import Path
from helpers.fake_judge import judging
from srt.evaluation.judge import Judge
from srt.llm.servers import OpenServer
url, folder, name, count, window = sys.argv[1:6]
server = OpenServer(url, "k", "m")
requests = [{"messages": [{"role": "user", "content": f"case {i}"}]} for i in range(int(count))]
with Judge(server, judging(Path(folder), concurrency=int(window)), name) as judge:
    replies = judge.ask(requests, 0, "x")
assert all(reply.text for reply in replies)
"""


class Slow:
    """A server that takes its time and counts what it is asked, by the prompt."""

    def __init__(self, seconds: float) -> None:
        self.asked: Counter[str] = Counter()
        outer, self.lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.asked[body["messages"][-1]["content"]] += 1
                time.sleep(seconds)
                data = json.dumps(completion(body, "An answer.")).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "Slow":
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()


def start(script: str, *arguments: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=TESTS)


def ended(*processes: subprocess.Popen[str]) -> list[str]:
    found = []
    for process in processes:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        found.append(out.strip())
    return found


def wait_for(is_so: Any) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("names", [("a", "b"), ("a", "z")], ids=["the same order", "opposite orders"])
def test_two_teachers_of_one_journal_ask_each_request_once(tmp_path: Path, names: tuple[str, str]) -> None:
    with Slow(0.2) as server:
        jobs = [start(TEACHER, server.url, tmp_path, name, REQUESTS, WINDOW, "live", "k", "m") for name in names]
        received = [int(told.split()[0]) for told in ended(*jobs)]
        assert server.asked == Counter({f"case {i}": 1 for i in range(REQUESTS)})
    assert sum(received) == REQUESTS


@pytest.mark.slow
def test_two_judges_of_one_journal_ask_each_request_once(tmp_path: Path) -> None:
    with Slow(0.2) as server:
        ended(*[start(JUDGE, server.url, tmp_path, name, REQUESTS, WINDOW) for name in ("a", "b")])
        assert server.asked == Counter({f"case {i}": 1 for i in range(REQUESTS)})


@pytest.mark.slow
def test_what_a_killed_process_had_under_way_is_asked_by_the_other(tmp_path: Path) -> None:
    with Slow(0.3) as server:
        both = [start(TEACHER, server.url, tmp_path, name, REQUESTS, WINDOW, "live", "k", "m") for name in "ab"]
        wait_for(lambda: server.asked.total() > 3 * WINDOW)
        both[0].send_signal(signal.SIGKILL)
        both[0].wait()
        ended(both[1])
        assert len(server.asked) == REQUESTS
        assert server.asked.total() <= REQUESTS + WINDOW  # what was on the wire


@pytest.mark.slow
def test_two_processes_submit_no_request_in_two_batches(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log") as server:
        ended(*[start(TEACHER, server.base_url, tmp_path, name, 30, 9, "batch", KEY, MODEL) for name in "ab"])
        events = Counter(line["event"] for line in server.lines())
    assert events["in batch"] == 30


@pytest.mark.slow
def test_the_batches_of_a_killed_process_are_collected_by_another(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log", batch_looks=60) as server:
        first = start(TEACHER, server.base_url, tmp_path, "a", 30, 9, "batch", KEY, MODEL)
        wait_for(lambda: sum(line["event"] == "batch" for line in server.lines()) == 3)
        second = start(TEACHER, server.base_url, tmp_path, "b", 30, 9, "batch", KEY, MODEL)
        time.sleep(0.5)
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert ended(second) == ["30 0"]
        assert Counter(line["event"] for line in server.lines())["in batch"] == 30
        assert ended(start(TEACHER, server.base_url, tmp_path, "a", 30, 9, "batch", KEY, MODEL)) == ["0 30"]
    assert [read_json(state) for state in tmp_path.glob("*/*/batches.json")] == [[], []]


@pytest.mark.slow
def test_asking_live_pays_for_nothing_that_a_batch_of_another_job_holds(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log", batch_looks=60) as server:
        batched = start(TEACHER, server.base_url, tmp_path, "a", 30, 9, "batch", KEY, MODEL)
        wait_for(lambda: sum(line["event"] == "batch" for line in server.lines()) == 3)
        batched.send_signal(signal.SIGKILL)
        batched.wait()
        known = "EndpointBackend(server, execution, under_way(folder))"
        live = TEACHER.replace("EndpointBackend(server, execution)", known)
        live = live.replace("import sys", "import sys\nfrom srt.llm._batch_states import under_way", 1)
        done = start(live, server.base_url, tmp_path, "b", 30, 9, "live", KEY, MODEL)
        assert "AssertionError" in done.communicate(timeout=60)[1]  # no text: refused
        assert Counter(line["event"] for line in server.lines())["asked"] == 0


def test_a_claim_is_one_processes_until_it_is_given_up(tmp_path: Path) -> None:
    ours, theirs = Claims(tmp_path), Claims(tmp_path)
    keys = [content_key(i) for i in range(50)]
    assert all(ours.take(key) and ours.take(key) for key in keys)
    assert not any(theirs.take(key) or theirs.is_free(key) for key in keys)
    ours.release(keys[:10])
    assert [theirs.is_free(key) for key in keys] == [True] * 10 + [False] * 40
    ours.close()
    assert all(theirs.take(key) for key in keys)


def test_an_answer_that_came_meanwhile_is_not_asked_again(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "1.jsonl"), Journal(tmp_path / "2.jsonl")
    assert first.claim("k")
    assert not second.claim("k")
    assert second.settled(["k"]) == []
    first.add("k", 1)
    first.release(["k"])
    assert not second.claim("k")
    assert second["k"] == 1
    assert second.refresh() == [1]  # what `claim` saw is news as well
    assert first.claim("l")
    first.close()
    assert second.settled(["k", "l"]) == ["k", "l"]


def test_a_file_system_without_locks_is_said_once_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(claims.fcntl, "fcntl", no_locks)
    ours = Claims(tmp_path)
    assert ours.take("a")
    assert ours.take("b")
    assert capsys.readouterr().err.count("two jobs at a time may both pay") == 1


def test_what_is_set_aside_comes_back(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(claims, "WAIT_SECONDS", 0.001)
    looks = iter([[], [], [], ["b"]])
    aside = Aside(lambda keys: next(looks), "who")
    aside.add("a", 1)
    aside.add("b", 2)
    aside.add("b", 3)
    assert aside.back(wait=False) == []
    assert aside.back(wait=True) == [2, 3]
    assert aside
    assert capsys.readouterr().err == "who: waits for 2 requests that another process is asking\n"
