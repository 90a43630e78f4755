"""`srt evaluate alpaca-eval` on 40 real pairs with a local judge over real HTTP: kills, garbage, another judge."""

import json
import math
import os
import subprocess
import sys
import threading
import time

import pytest
import yaml

from helpers import ROOT
from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge, judge_config
from srt.evaluation.questions import read_questions
from srt.storage.files import write_json, write_records
from srt.storage.readers import read_json
from srt.storage.records import Answer, Evaluation

pytestmark = pytest.mark.slow

N = 40
KILLS = 5


@pytest.fixture
def pairs(shared_data, tmp_path):
    """The first 40 real questions with their reference and the paper's 7B model's answers, in the job's own shapes."""
    folder = shared_data / "alpaca_eval"
    rows = read_json(folder / "text_davinci_003.reference.json")[:N]
    outputs = {
        row["instruction"]: row["output"] for row in read_json(folder / "recycled-wizardlm-7b-v2.0.outputs.json")
    }
    write_json(tmp_path / "reference.json", rows)
    answers = [
        Answer(id=q.id, question=q.question, answer=outputs[q.question], tokens=1, finish_reason="stop")
        for q in read_questions(str(tmp_path / "reference.json"))
    ]
    write_records(tmp_path / "answers.jsonl", answers)
    return tmp_path


def job(folder, fake, **changes):
    """The evaluation as a process of its own; a changed judge is another file under the same name."""
    (folder / "judge.yaml").write_text(yaml.safe_dump(judge_config(**changes).model_dump()))
    words = ["evaluate", "alpaca-eval", "answers.jsonl", "out.json", "--judge", "judge.yaml"]
    words += [
        "--reference",
        "reference.json",
        "--length-controlled",
        "null",
        "--missing-share",
        "0",
        "--concurrency",
        "4",
    ]
    words += ["--endpoint", f"judge={fake.endpoint.base_url},{KEY_VARIABLE}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), KEY_VARIABLE: KEY}
    return subprocess.Popen(
        [sys.executable, "-m", "srt.cli", *words], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )


def finished(folder, fake, **changes):
    process = job(folder, fake, **changes)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def verdict(request):
    """The longer answer is the better one, with some doubt."""
    text = request["messages"][-1]["content"]
    one, two = text.split("Answer of model m:\n")[1].split("\n\nAnswer of model M:\n")
    first = 0.8 if len(one) > len(two.split("\n\nWeigh how")[0]) else 0.2
    top = [{"token": name, "bytes": [], "logprob": math.log(p)} for name, p in (("m", first), ("M", 1 - first))]
    return {"logprobs": {"content": [{**top[0], "top_logprobs": top}], "refusal": None}}


def journaled(folder):
    return sum(len(path.read_text().splitlines()) for path in (folder / "cache").rglob("*.jsonl"))


def test_killed_five_times_no_judgment_is_asked_for_twice(pairs):
    allowed, given, gate = [0], [], threading.Condition()

    def answer(request, count):
        """A judgment as long as there are some allowed; then nothing until the client is dead."""
        with gate:
            epoch = allowed[0]
            gate.wait_for(lambda: len(given) < allowed[0], timeout=60)
            if allowed[0] != epoch:
                return 503  # nobody listens any more
            given.append(json.dumps(request))
        return verdict(request)

    with FakeJudge(answer) as fake:
        for kill in range(1, KILLS + 1):
            with gate:
                allowed[0] = 7 * kill
            process = job(pairs, fake)
            while journaled(pairs) < 7 * kill:
                assert process.poll() is None
                time.sleep(0.02)
            process.kill()
            process.wait()
            assert not (pairs / "out.json").exists()
        with gate:
            allowed[0] = 10 * N
            gate.notify_all()
        code, errors = finished(pairs, fake)
    assert code == 0, errors
    assert len(given) == len(set(given)) == N
    found = Evaluation.model_validate(read_json(pairs / "out.json"))
    assert (found.metrics[0].n, found.missing) == (N, {})


def test_garbage_is_asked_for_again_until_n_is_full(pairs):
    def answer(request, count):
        garbled = hash_of(request) < 0.1 and count == 1
        return "I would rather talk about gardens." if garbled else verdict(request)

    with FakeJudge(answer) as fake:
        code, errors = finished(pairs, fake)
        assert code == 0, errors
        again = len(fake.requests) - N
    assert again == sum(hash_of(request) < 0.1 for request in {json.dumps(r): r for r in fake.requests}.values())
    assert again > 0
    assert Evaluation.model_validate(read_json(pairs / "out.json")).metrics[0].n == N


def test_lasting_garbage_fails_with_one_clear_line_and_can_be_allowed(pairs):
    with FakeJudge(lambda request, count: "?" if hash_of(request) < 0.1 else verdict(request)) as fake:
        code, errors = finished(pairs, fake)
    assert code == 1
    assert not (pairs / "out.json").exists()
    line = errors.splitlines()[-1]
    assert "of 40 questions have no usable verdict" in line
    assert "run again to ask for these anew, or allow a larger missing_share" in line


def test_another_model_under_the_same_name_is_judged_anew(pairs):
    with FakeJudge(lambda request, count: verdict(request)) as fake:
        assert finished(pairs, fake)[0] == 0
        assert finished(pairs, fake)[0] == 0
        assert len(fake.requests) == N
        assert finished(pairs, fake, model="another")[0] == 0
        assert len(fake.requests) == 2 * N
    assert read_json(pairs / "out.json")["judge"]["model"] == "another"


def hash_of(request):
    """A number from 0 to 1 that a request always has."""
    from srt.storage.journal import content_key

    return int(content_key(request["messages"])[:8], 16) / 16**8
