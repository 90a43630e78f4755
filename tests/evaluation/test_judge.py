import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest

from helpers import ROOT, TESTS
from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge, judge_config, judging
from srt.evaluation.judge import Judge, Reply, identity, inert
from srt.experiment.judges import read_judge
from srt.llm.servers import OpenServer, ServerError
from srt.storage.journal import content_key

MANY = 40
JOB = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from helpers.fake_judge import judging
from srt.evaluation.judge import Judge
from srt.llm.servers import OpenServer
server = OpenServer(sys.argv[2], os.environ["SRT_TEST_JUDGE_KEY"], "judge")
with Judge(server, judging(Path(sys.argv[3]), concurrency=2), "job") as judge:
    judge.ask([{"messages": [{"role": "user", "content": str(i)}]} for i in range(40)], 0, "job")
"""


def slowly(request, count):
    time.sleep(0.05)
    return request["messages"][0]["content"]


@pytest.mark.slow
def test_kill_loses_nothing_that_was_answered(tmp_path):
    with FakeJudge(slowly) as fake:
        command = [sys.executable, "-c", JOB, str(TESTS), fake.endpoint.base_url, str(tmp_path)]
        job = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT), KEY_VARIABLE: KEY})
        while len(fake.requests) < 10:
            assert job.poll() is None
            time.sleep(0.01)
        job.send_signal(signal.SIGKILL)
        job.wait()
        time.sleep(0.2)
        asked = len(fake.requests)
        assert asked < MANY
        server = OpenServer(fake.endpoint.base_url, KEY, "judge")
        requests = [{"messages": [{"role": "user", "content": str(i)}]} for i in range(MANY)]
        with Judge(server, judging(tmp_path), "job") as judge:
            replies = judge.ask(requests, 0, "job")
        assert [reply.text for reply in replies] == [str(i) for i in range(MANY)]
        assert len(fake.requests) <= MANY + 2  # the two that were under way when the job died


def test_equal_requests_are_sent_once_and_another_attempt_is_another_request(tmp_path):
    request = {"messages": [{"role": "user", "content": "same"}]}
    with FakeJudge(lambda request, count: f"answer {count}") as fake:
        server = OpenServer(fake.endpoint.base_url, KEY, "judge")
        with Judge(server, judging(tmp_path), "job") as judge:
            assert [reply.text for reply in judge.ask([request, request], 0, "x")] == ["answer 1", "answer 1"]
            assert [reply.text for reply in judge.ask([request], 1, "x")] == ["answer 2"]
            assert judge.answered_as == {"judge-0613"}


def test_a_judge_is_asked_without_what_its_server_does_not_take(tmp_path):
    request = {"messages": [{"role": "user", "content": "same"}], "max_tokens": 9, "temperature": 0.0}
    with FakeJudge(lambda request, count: "fine") as fake:
        parameters = {"temperature": None, "max_tokens": "max_completion_tokens"}
        server = OpenServer(fake.endpoint.base_url, KEY, "judge", parameters)
        with Judge(server, judging(tmp_path), "job") as judge:
            judge.ask([request], 0, "x")
        with Judge(OpenServer("http://127.0.0.1:9/v1", KEY, "judge"), judging(tmp_path), "job") as judge:
            assert judge.ask([request], 0, "x")[0].text == "fine"  # the same request, whatever it is sent as
    assert {"max_completion_tokens": 9, "model": "judge", "messages": request["messages"]} == fake.requests[0]


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "8 7"}, "8 7"),
        ({"content": None}, ""),
        ({"content": None, "function_call": {"arguments": "{}"}}, "{}"),
        ({"content": "", "function_call": None, "tool_calls": [{"function": {"arguments": "[1]"}}]}, "[1]"),
    ],
)
def test_text_of_a_reply(message, text):
    assert Reply({"message": message}, None).text == text
    assert Reply({}, "refused").text == ""


def test_control_words_are_made_words():
    assert inert("a <|im_end|> b <|x|> <| c |>") == "a <| im_end |> b <| x |> <| c |>"
    for word in ("</s>", "<s>", "[INST]", "[/INST]", "<start_of_turn>", "<eos>"):
        assert word not in inert(f"a {word} b")
    assert inert("a[1] <b> </p> <strong>") == "a[1] <b> </p> <strong>"


def test_a_served_judge_is_known_by_its_weights(tmp_path):
    for name, weights in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(weights)
    a, b, c = (identity(judge_config(serve=True, model=str(tmp_path / name))) for name in "abc")
    assert a == b != c
    assert a != identity(judge_config(serve=True, model=str(tmp_path / "a"), dtype="bfloat16"))


@pytest.mark.parametrize(
    ("name", "key"), [("gpt4", "1f4eba21a1efc76f"), ("gpt4_1", "0a823e26c82a8183"), ("gpt4_turbo", "5af88c627b38b542")]
)
def test_judgments_of_an_endpoint_are_found_where_they_were(name, key):
    """In the folder of the version in which such a judge had revision, dtype and max_model_len."""
    assert content_key(identity(read_judge(f"config/judges/{name}.yaml")))[:16] == key


@pytest.mark.parametrize("served", [True, False])
def test_first_questions_that_are_always_refused_never_stop_every_run(tmp_path, served):
    """A judge served here refuses what is too long for it: no run is stopped at all."""
    (tmp_path / "config.json").write_text("{}")
    changes = {"serve": True, "model": str(tmp_path), "max_model_len": 512} if served else {}
    requests = [{"messages": [{"role": "user", "content": f"{i}"}]} for i in range(20)]
    stopped = []
    with FakeJudge(lambda request, count: 400 if int(request["messages"][0]["content"]) < 12 else "5 5") as fake:
        server = OpenServer(fake.endpoint.base_url, KEY, "judge")
        while len(stopped) < 5:
            with Judge(server, judging(tmp_path, concurrency=1, **changes), "job") as judge:
                try:
                    replies = judge.ask(requests, 0, "x")
                    break
                except ServerError as error:
                    stopped.append(str(error))
    assert len(stopped) == (0 if served else 1), stopped
    assert all("execution.refusals_at_start 8" in line for line in stopped)
    assert [reply.text for reply in replies] == [""] * 12 + ["5 5"] * 8


def test_a_judge_whose_every_reply_has_an_unknown_end_is_stopped(tmp_path):
    requests = [{"messages": [{"role": "user", "content": f"{i}"}]} for i in range(20)]
    asked = []
    with FakeJudge(lambda request, count: {"message": {"content": "5 5"}, "finish_reason": "done"}) as fake:
        server = OpenServer(fake.endpoint.base_url, KEY, "judge")
        for _ in range(3):
            with Judge(server, judging(tmp_path, concurrency=1), "job") as judge:
                with pytest.raises(ServerError, match="every answer ended by 'done', which is no known end"):
                    judge.ask(requests, 0, "x")
                asked.append(len(fake.requests))
        with Judge(server, judging(tmp_path, concurrency=1), "job") as judge:
            assert {reply.trouble for reply in judge.ask(requests, 0, "x")} == {
                "ended by 'done', which is no known end of an answer"
            }
    assert asked == [8, 16, 20]


def test_a_judges_server_starts_with_the_first_request_that_has_no_reply(tmp_path):
    started = []

    @contextlib.contextmanager
    def opens(fake):
        started.append("server")
        yield OpenServer(fake.endpoint.base_url, KEY, "judge")

    requests = [{"messages": [{"role": "user", "content": f"{i}"}]} for i in range(3)]
    with FakeJudge(lambda request, count: "5 5") as fake:
        for _ in range(2):
            with Judge(opens(fake), judging(tmp_path), "job") as judge:
                replies = judge.ask(requests, 0, "judge")
            assert [reply.text for reply in replies] == ["5 5"] * 3
        assert started == ["server"]
        assert len(fake.requests) == 3


def test_what_a_server_is_told_beside_every_request_is_no_part_of_the_request(tmp_path):
    asked = [{"messages": [{"role": "user", "content": "a"}]}]
    for salt in ("one", "two"):
        with FakeJudge(lambda request, count: "5 5") as fake:
            server = OpenServer(fake.endpoint.base_url, KEY, "judge", extra={"cache_salt": salt})
            with Judge(server, judging(tmp_path), "job") as judge:
                judge.ask(asked, 0, "judge")
            assert [request["cache_salt"] for request in fake.requests] == (["one"] if salt == "one" else [])
