import json
import math
import shutil
from pathlib import Path

import pytest
from naive_scorer import naive

from srt import models
from srt.config import load
from srt.prompts import fill, guess_prompt, student_template
from srt.records import Pair, ReflectedPair, Score, read_records, write_records
from srt.score import score
from srt.settings import ExecutionConfig, ScoreConfig
from srt.sources import read_pairs

CONFIG, _ = load()
NLLS = [name for name in Score.model_fields if name.startswith("nll")]


def run(pairs: Path, out: Path, model: Path, cache: Path, budget: int = 4096, **changes: object) -> list[Score]:
    settings = ScoreConfig(**{**CONFIG.score.model_dump(), **changes})
    execution = ExecutionConfig(**{**CONFIG.execution.model_dump(), "score_batch_tokens": budget})
    score(pairs, out, str(model), None, settings, execution, cache)
    return read_records(out, Score)


def check_against_naive(scores: list[Score], pairs: list[Pair], model: Path, limit: int) -> None:
    tokenizer = models.load_tokenizer(str(model), None)
    loaded = models.load_model(str(model), None, "float32", "cpu")
    template, guess = student_template("vicuna_v1.1"), guess_prompt("config/prompts/guess.txt")
    for found, pair in zip(scores, pairs, strict=True):
        prompt = template.render(pair.instruction, pair.input)
        asked = template.render(fill(guess, {"response": pair.output}))
        expected = naive(loaded, tokenizer, prompt, asked, pair, limit)
        for name in NLLS:
            value = getattr(found, name)
            if expected[name] is None:
                assert value is None
                assert found.status == "failed"
            else:
                assert value == pytest.approx(expected[name], rel=1e-4), (name, pair)
        if found.status == "scored":
            ratio = expected["nll_response_given_instruction"] - expected["nll_response"]
            assert found.ifd == pytest.approx(math.exp(ratio), rel=1e-3)
            ratio = expected["nll_instruction_given_response"] - expected["nll_instruction"]
            assert found.r_ifd == pytest.approx(math.exp(ratio), rel=1e-3)


@pytest.fixture
def some(tmp_path: Path) -> Path:
    rows = [
        Pair(id="plain", instruction="Name a fruit.", output="An apple is a fruit."),
        Pair(id="input", instruction="Add the numbers.", input="1 and 2", output="3, because 1 + 2 = 3."),
        Pair(id="short", instruction="Hi", output="Yes"),
        Pair(id="echo", instruction="Say it", input="Say it twice: Say it", output="Say it"),
        Pair(id="braces", instruction="Fill {response} and {input}", output="{instruction}"),
        Pair(id="long", instruction="Tell a story.", output="Once upon a time there was a fox. " * 40),
        Pair(id="long question", instruction="Why? " * 200, output="Because."),
    ]
    write_records(tmp_path / "pairs.jsonl", rows)
    return tmp_path / "pairs.jsonl"


@pytest.mark.parametrize("name", ["plain", "bos"])
def test_every_nll_is_the_definitions(name: str, some: Path, tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    """With and without BOS, with inputs, longer than the limit, the target repeated in its context."""
    limit = 200
    scores = run(some, tmp_path / "scores.jsonl", tiny_llamas[name], tmp_path / "cache", max_length=limit)
    check_against_naive(scores, read_pairs(some), tiny_llamas[name], limit)
    by_id = {s.id: s for s in scores}
    assert "nll_response_given_instruction" in by_id["long"].truncated
    assert by_id["long question"].status == "failed"
    assert "truncation left no target token" in str(by_id["long question"].reason)
    assert by_id["plain"].truncated == []


def test_a_bos_is_what_the_tokenizer_adds_and_is_not_counted(
    some: Path, tmp_path: Path, tiny_llamas: dict[str, Path]
) -> None:
    with_bos = run(some, tmp_path / "b.jsonl", tiny_llamas["bos"], tmp_path / "cache")
    without = run(some, tmp_path / "p.jsonl", tiny_llamas["plain"], tmp_path / "cache")
    assert with_bos[0].tokens_response == without[0].tokens_response + 1


def test_the_batch_budget_changes_nothing(some: Path, tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    one = run(some, tmp_path / "a.jsonl", tiny_llamas["plain"], tmp_path / "cache1", budget=1)
    many = run(some, tmp_path / "b.jsonl", tiny_llamas["plain"], tmp_path / "cache2", budget=100_000)
    for a, b in zip(one, many, strict=True):
        assert a.status == b.status
        for name in NLLS:
            if getattr(a, name) is None:
                assert getattr(b, name) is None
            else:
                assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-5)


def test_a_shared_text_is_scored_once_and_a_changed_model_is_scored_anew(
    some: Path, tmp_path: Path, tiny_llamas: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_llamas["plain"], model)
    run(some, tmp_path / "a.jsonl", model, tmp_path / "cache")
    run(some, tmp_path / "other" / "b.jsonl", model, tmp_path / "cache")
    assert " 0 to be scored" in capsys.readouterr().err
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    run(some, tmp_path / "c.jsonl", model, tmp_path / "cache")
    assert " 0 to be scored" not in capsys.readouterr().err


def test_what_cannot_be_scored_is_null_with_a_reason(tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    state = {"critique": None, "status": "reflected", "reason": None}
    rows = [
        ReflectedPair(id="failed", instruction="i", output="o", **{**state, "status": "failed", "reason": "cut off"}),
        ReflectedPair(id="empty", instruction="i", output="", **state),
        ReflectedPair(id="surrogate", instruction="i \ud800", output="o", **state),
        ReflectedPair(id="fine", instruction="Name it.", output="A fine answer.", **state),
    ]
    write_records(tmp_path / "pairs.jsonl", rows)
    scores = run(tmp_path / "pairs.jsonl", tmp_path / "s.jsonl", tiny_llamas["plain"], tmp_path / "cache")
    assert [s.status for s in scores] == ["failed", "failed", "failed", "scored"]
    assert [s.reason for s in scores[:3]] == [
        "reflection failed: cut off",
        "output is empty",
        "instruction is not valid Unicode",
    ]
    assert all(getattr(s, name) is None for s in scores[:3] for name in [*NLLS, "ifd", "r_ifd"])
    meta = json.loads((tmp_path / "s.meta.json").read_text())
    assert meta["counts"] == {"scored": 1, "null": 3, "truncated": 0}
    assert meta["settings"]["dtype"] == "float32"


def test_an_nll_that_is_not_finite_is_null(some: Path, tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    broken = tmp_path / "broken"
    shutil.copytree(tiny_llamas["plain"], broken)
    model = AutoModelForCausalLM.from_pretrained(broken, dtype=torch.float32)
    model.lm_head.weight.data.fill_(1e38)
    model.save_pretrained(broken)
    scores = run(some, tmp_path / "s.jsonl", broken, tmp_path / "cache")
    assert {s.status for s in scores} == {"failed"}
    assert "not finite" in str(scores[0].reason)


@pytest.mark.slow
def test_real_records_with_the_real_model(tmp_path: Path, shared_data: Path, demo_model: Path) -> None:
    records = json.loads((shared_data / "alpaca" / "cherry_alpaca_5_percent.json").read_text())
    chosen = [r for r in records if r["input"]][:3] + [r for r in records if not r["input"]][:3]
    (tmp_path / "s.json").write_text(json.dumps(chosen))
    scores = run(tmp_path / "s.json", tmp_path / "scores.jsonl", demo_model, tmp_path / "cache", max_length=256)
    check_against_naive(scores, read_pairs(tmp_path / "s.json"), demo_model, 256)
