"""The estimate of what is still to be asked, against what is then asked."""

import json
from pathlib import Path

import pytest
import yaml

from helpers.cases import changed, teacher
from helpers.steered import Answering
from srt import cli
from srt.experiment.config import load
from srt.llm.asking import Known, Teacher
from srt.llm.requests import Request
from srt.llm.terms import Terms
from srt.planning.plan import plan, told
from srt.reflection.cost import estimate
from srt.reflection.reflect import Service, conversations, reflect, unreflected
from srt.settings import Endpoint, Price, ReflectConfig
from srt.settings.job import Job
from srt.storage.files import write_records
from srt.storage.records import Pair
from srt.storage.yaml_files import read_yaml

CONFIG, _ = load()
SETTINGS = teacher(CONFIG.teachers["smollm2"], prompts="config/prompts/tags.yaml", backend="openai")
SETTINGS = SETTINGS.model_copy(update={"max_new_tokens": 2048})
SERVER = Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env=None)
PAIRS = [Pair(id=f"r{i}", instruction=f"Say {i}. " * 20, output=f"{i} " * 50) for i in range(30)]


def talks() -> list:
    return conversations(unreflected(PAIRS), "instruction", SETTINGS)


def test_the_estimate_is_of_what_is_left_and_measured_as_soon_as_it_can_be(tmp_path: Path) -> None:
    price = Price(prompt=1.0, completion=10.0, batch=0.5)
    before = estimate(talks(), Known("t", {}, price, False))
    assert (before.records, before.requests, before.measured_on, before.hours) == (30, 30, 0, None)
    with Teacher("t", lambda _: Answering(), tmp_path, "job", Terms(price)) as teacher:
        done = talks()
        teacher.converse(done[:10], "x")
        half = estimate(done, teacher)
        assert (half.requests, half.measured_on, half.completion_tokens) == (20, 10, 20 * 60)
        assert half.hours is not None
        spent = (teacher.spent.prompt_tokens, teacher.spent.money)
        teacher.converse(done, "x")
        assert half.prompt_tokens == pytest.approx(teacher.spent.prompt_tokens - spent[0], rel=0.02)
        assert half.money == pytest.approx(teacher.spent.money - spent[1], rel=0.02)
        after = estimate(done, teacher)
    assert (after.requests, after.money) == (0, 0.0)
    assert after.told() == "30 records, all of them answered in the journal"


def test_the_head_of_a_run_says_what_it_will_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srt.llm.opening.open_backend", lambda *_: Answering())
    write_records(tmp_path / "pairs.jsonl", PAIRS)
    price = Price(prompt=1.0, completion=10.0, batch=0.5)
    job = Job(tmp_path / "out.jsonl", tmp_path, CONFIG.execution)
    reflect(tmp_path / "pairs.jsonl", "instruction", SETTINGS, job, Service(SERVER, price))
    head = capsys.readouterr().err.splitlines()[0]
    assert "30 records, 30 requests to come, about " in head
    assert " USD, no rate is known yet (lengths assumed, none measured" in head


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    values = read_yaml(Path("config/config.yaml"))
    values |= {"results": str(tmp_path / "results"), "cache": str(tmp_path / "cache")}
    asked = {"backend": "openai", "model": "m", "prompts": "config/prompts/tags.yaml"}
    values["teachers"]["smollm2"] = changed(values["teachers"]["smollm2"], ReflectConfig, **asked)
    values["execution"]["prices"] = {"smollm2": {"prompt": 1.0, "completion": 10.0, "batch": 0.5}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    return tmp_path / "config.yaml"


def test_every_stage_is_listed_before_anything_was_run(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stages = plan(*load(config_file))
    assert [stage.variant for stage in stages] == ["instruction", "response", "both"]
    assert all(stage.estimate is not None and stage.estimate.requests == 24 for stage in stages)
    assert told(stages).splitlines()[-1].split()[:3] == ["all", "72", "72"]
    assert not (config_file.parent / "cache").exists()
    assert cli.main(["plan", "--config", str(config_file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown[0]["estimate"]["money"] > 0


def test_a_done_stage_and_one_that_cannot_be_counted_are_said(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, runs = load(config_file)
    monkeypatch.setattr("srt.llm.opening.open_backend", lambda *_: Answering())
    data = Path(config.results) / "data/demo"
    write_records(data / "original.jsonl", PAIRS)
    out = data / "smollm2/instruction.jsonl"
    job = Job(out, Path(config.cache), config.execution)
    reflect(data / "original.jsonl", "instruction", config.teachers["smollm2"], job, Service(SERVER))
    stages = plan(config, runs)
    assert (stages[0].estimate, stages[0].remark) == (None, "done (0 failed)")
    assert stages[1].estimate is not None
    hub = config.model_copy(update={"datasets": {"demo": config.datasets["demo"].model_copy(update={"source": "a/b"})}})
    (data / "original.jsonl").unlink()
    assert "not prepared yet" in plan(hub, runs)[1].remark


def test_answers_of_an_assumed_length_grow_with_the_record() -> None:
    assert isinstance(talks()[0].request(), Request)
    longer = conversations(
        unreflected([pair.model_copy(update={"output": pair.output * 4}) for pair in PAIRS]), "instruction", SETTINGS
    )
    known = Known("t", {}, None, False)
    short, long = estimate(talks(), known), estimate(longer, known)
    assert long.completion_tokens > short.completion_tokens
    assert short.money is None
