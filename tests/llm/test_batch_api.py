"""The batch mode through a server with `/files` and `/batches`, over real HTTP, with a restart at its worst moments."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from helpers import ROOT
from helpers.asking import completed
from helpers.fake_judge import execution_config
from helpers.fake_teacher import KEY, MODEL, Running
from helpers.odd_server import KINDS
from helpers.reflecting import command, environment, pairs
from srt.llm import _batch_files as batch_files
from srt.llm import batch_api
from srt.llm._batch_states import refuse_open_batches
from srt.llm.asking import Teacher
from srt.llm.requests import Completion, Request, Sampling
from srt.llm.servers import OpenServer, ServerError
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.journal import JournalError
from srt.storage.readers import read_json
from srt.storage.records import ReflectedPair

REQUESTS = [Request((("user", f"[Better Answer] {i}"),), 20, Sampling(0.0, 1.0, 1.0, 0)) for i in range(7)]
# A reflection in batch mode whose polling is quick; it writes its pid where the server can read it.
JOB = """
import os, sys
from pathlib import Path
from srt.llm import batch_api as batch
from srt import cli
Path(sys.argv[1]).write_text(str(os.getpid()))
batch.POLL_SECONDS = 0.05
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "POLL_SECONDS", 0.02)


def events(server: Running) -> Counter[str]:
    return Counter(line["event"] for line in server.lines())


@pytest.mark.slow
def test_all_requests_are_answered_in_as_many_batches_as_the_limit_asks(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log") as server:
        backend = batch_api.BatchBackend(OpenServer(server.base_url, KEY, MODEL), execution_config(batch=3), tmp_path)
        answers = dict(completed(backend, REQUESTS))
        backend.close()
        assert events(server) == {"batch": 3, "in batch": 7}
    assert len(answers) == 7
    assert all(isinstance(answer, Completion) and "[Better Answer]" in answer.text for answer in answers.values())
    assert answers[0].prompt_tokens is not None
    assert read_json(tmp_path / "batches.json") == []


@pytest.mark.slow
def test_a_status_that_nobody_knows_is_no_end(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log", batch_status="queued") as server:
        backend = batch_api.BatchBackend(OpenServer(server.base_url, KEY, MODEL), execution_config(), tmp_path)
        assert len(dict(completed(backend, REQUESTS))) == 7
        backend.close()
        assert events(server) == {"batch": 1, "in batch": 7}


@pytest.mark.slow
def test_what_a_batch_left_unanswered_is_asked_again_and_then_refused(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log", faults=0.7) as server:
        backend = batch_api.BatchBackend(OpenServer(server.base_url, KEY, MODEL), execution_config(), tmp_path)
        answers = dict(completed(backend, REQUESTS))
        backend.close()
    assert len(answers) == 7
    refused = [answer for answer in answers.values() if answer.refused]
    assert 0 < len(refused) < 7
    assert refused[0].finish_reason == "refused: unanswered by 3 batches"


def run(folder: Path, base_url: str, check: bool = True) -> subprocess.CompletedProcess:
    words = command(folder, base_url, batch="50", price="1,10,0.5")[1:]
    job = [sys.executable, "-c", JOB, str(folder / "pid"), *words]
    env = {**environment(), "PYTHONPATH": str(ROOT)}
    return subprocess.run(job, env=env, check=check, capture_output=True, text=True)


@pytest.mark.slow
def test_a_kill_while_a_batch_is_created_pays_for_it_once(tmp_path: Path) -> None:
    """The server has made the batch and the job dies before it hears of it: the next run finds it by its token."""
    pairs(tmp_path, 30)
    with Running(log=tmp_path / "log", kill_on_batch=tmp_path / "pid") as server:
        assert run(tmp_path, server.base_url, check=False).returncode == -9
        (state,) = tmp_path.rglob("batches.json")
        assert [entry["id"] for entry in read_json(state)] == [None]
        run(tmp_path, server.base_url)
        assert events(server) == {"batch": 1, "in batch": 30}
    results = read_records(tmp_path / "out.jsonl", ReflectedPair)
    assert [result.status for result in results] == ["reflected"] * 30


@pytest.mark.slow
def test_a_reply_that_is_lost_makes_no_second_batch(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log", slow_batches=1.0) as server:
        execution = execution_config(batch=50, request_seconds=0.3)
        backend = batch_api.BatchBackend(OpenServer(server.base_url, KEY, MODEL), execution, tmp_path)
        answers = dict(completed(backend, REQUESTS))
        backend.close()
        assert events(server) == {"batch": 1, "in batch": 7}
    assert len(answers) == 7


@pytest.mark.slow
def test_a_full_disk_between_collection_and_journal_pays_for_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with Running(log=tmp_path / "log") as server:
        at = OpenServer(server.base_url, KEY, MODEL)

        def teacher() -> Teacher:
            return Teacher("t", lambda folder: batch_api.BatchBackend(at, execution_config(), folder), tmp_path, "job")

        with monkeypatch.context() as patched:
            patched.setattr("srt.storage.journal.os.write", full)
            with teacher() as asked, pytest.raises(JournalError, match="No space left"):
                asked.ask(REQUESTS, "x")
        with teacher() as asked:
            assert len(asked.ask(REQUESTS, "x")) == 7
        assert events(server)["batch"] == 1


def test_a_row_that_names_the_key_ends_the_run_without_naming_it() -> None:
    server = OpenServer("http://127.0.0.1:9/v1", KEY, MODEL)
    error = {"message": f"Incorrect API key provided: {KEY}", "code": "x"}
    row = {"custom_id": "k", "response": {"status_code": 401, "body": {"error": error}}}
    with pytest.raises(InputError, match="HTTP 401") as raised:
        batch_api._read(row, server)
    assert KEY not in str(raised.value)
    row["response"]["status_code"] = 400
    answer = batch_api._read(row, server)
    assert answer is not None
    assert answer.refused
    assert KEY not in answer.finish_reason
    assert batch_files.row(b'{"custom_id": "k", "resp', 1000) is None


def test_odd_rows_of_a_batch_are_read_or_asked_again() -> None:
    server = OpenServer("http://127.0.0.1:9/v1", KEY, MODEL)

    def read(response: object) -> Completion | None:
        return batch_api._read({"custom_id": "k", "response": response}, server)

    for kind, shapes in KINDS.items():
        for name, shape in shapes.items():
            reply = shape("some text")
            if isinstance(reply, tuple):
                continue  # a batch has no encodings
            if name == "quotainside":
                with pytest.raises(ServerError, match="quota is spent"):
                    read({"status_code": 200, "body": reply})
                continue
            answer = read({"status_code": 200, "body": reply})
            assert (answer is None) == (kind == "passing"), name
            assert answer is None or (answer.text == "some text" and not answer.fault) == (kind == "read"), name
    for odd in (None, [], "x", {}, {"status_code": "200"}, {"status_code": 500, "body": []}, {"status_code": 200}):
        assert read(odd) is None
    for status, body in ((403, None), (404, "no"), (400, [1]), (422, {"detail": [{"loc": ["seed"]}]})):
        assert read({"status_code": status, "body": body}).finish_reason.startswith(f"refused: HTTP {status}: ")
    for line in ("{" * 100_000, '{"custom_id": 5}', "[]", '{"custom_id": "k", "x": ' + "9" * 5000 + "x}"):
        assert batch_files.row(line.encode(), 1_000_000) is None


@pytest.mark.slow
def test_a_refused_key_among_a_batchs_rows_ends_the_run_once_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, read, bad = [], batch_api._read, [True]

    def spoiled(row: dict, server: OpenServer) -> Completion | None:
        rows.append(row["custom_id"])
        if len(rows) == 3 and bad[0]:
            row["response"] = {"status_code": 401, "body": {"error": {"message": "Incorrect API key"}}}
        return read(row, server)

    monkeypatch.setattr(batch_api, "_read", spoiled)
    with Running(log=tmp_path / "log") as running:
        at = OpenServer(running.base_url, KEY, MODEL)

        def teacher() -> Teacher:
            return Teacher("t", lambda folder: batch_api.BatchBackend(at, execution_config(), folder), tmp_path, "job")

        with teacher() as asked, pytest.raises(InputError, match="HTTP 401: Incorrect API key"):
            asked.ask(REQUESTS, "x")
        bad[0] = False
        with teacher() as asked:
            assert len(asked.ask(REQUESTS, "x")) == 7
            assert (asked.received, asked.reused) == (1, 6)
        assert events(running) == {"batch": 2, "in batch": 8}


def test_batches_under_way_are_not_paid_for_again_by_asking_live(tmp_path: Path) -> None:
    refuse_open_batches(tmp_path)
    (tmp_path / "batches.json").write_text('[{"token": "t", "id": "b", "keys": []}]')
    with pytest.raises(InputError, match="1 batches are under way"):
        refuse_open_batches(tmp_path)


@pytest.mark.slow
def test_a_kill_between_submission_and_collection_pays_for_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs(tmp_path, 30)
    with Running(log=tmp_path / "log", batch_looks=200) as server:
        words = command(tmp_path, server.base_url, batch="50")[1:]
        env = {**environment(), "PYTHONPATH": str(ROOT)}
        job = subprocess.Popen(
            [sys.executable, "-c", JOB, str(tmp_path / "pid"), *words], env=env, stderr=subprocess.DEVNULL
        )
        while not events(server)["batch"]:
            assert job.poll() is None
            time.sleep(0.02)
        time.sleep(0.5)
        os.kill(job.pid, 9)
        job.wait()
        monkeypatch.chdir(tmp_path)
        run(Path(), server.base_url)  # the same job under another spelling of its path
        assert events(server) == {"batch": 1, "in batch": 30}
    assert len(read_records(tmp_path / "out.jsonl", ReflectedPair)) == 30


@pytest.mark.slow
def test_a_batch_costs_its_share_of_the_price(tmp_path: Path) -> None:
    pairs(tmp_path, 4)
    with Running() as server:
        run(tmp_path, server.base_url)
    spent = read_json(tmp_path / "out.meta.json")["teacher_in_all"]
    whole = (spent["prompt_tokens"] * 1 + spent["completion_tokens"] * 10) / 1e6
    assert spent["usd"] == pytest.approx(whole / 2, abs=1e-6)
