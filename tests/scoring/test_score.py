import json
import math
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.naive_scorer import naive
from srt.cli import main
from srt.experiment.config import load
from srt.llm import loading
from srt.llm.model import ModelRef
from srt.llm.prompts import fill, guess_prompt, student_template
from srt.prepare.sources import read_pairs
from srt.scoring.nll import Scorer
from srt.scoring.score import gather, score
from srt.scoring.sequences import Target
from srt.settings import ExecutionConfig, ScoreConfig
from srt.settings.job import Job
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.records import Pair, ReflectedPair, Score

pytestmark = pytest.mark.slow

CONFIG, _ = load()
NLLS = [name for name in Score.model_fields if name.startswith("nll")]


def run(
    pairs: Path,
    out: Path,
    model: Path,
    cache: Path,
    budget: int = 4096,
    shard: tuple[int, int] = (1, 1),
    **changes: object,
) -> list[Score]:
    settings = ScoreConfig(**{**CONFIG.score.model_dump(), **changes})
    execution = ExecutionConfig(**{**CONFIG.execution.model_dump(), "score_batch_tokens": budget})
    score(pairs, ModelRef(str(model)), settings, Job(out, cache, execution), shard)
    return read_records(out, Score)


def nlls(found: Score) -> list[float]:
    """The four NLLs, -1 for a null."""
    return [-1.0 if getattr(found, name) is None else getattr(found, name) for name in NLLS]


def check_against_naive(
    scores: list[Score],
    pairs: list[Pair],
    model: Path,
    limit: int,
    template_name: str = "vicuna_v1.1",
    guess_name: str = "config/prompts/guess.txt",
) -> None:
    tokenizer = loading.load_tokenizer(str(model), None)
    loaded = loading.load_model(str(model), None, "float32", "cpu")
    template, guess = student_template(template_name), guess_prompt(guess_name)
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
        assert nlls(a) == pytest.approx(nlls(b), rel=1e-5)


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
    state = {"critique": None, "status": "reflected", "outcome": "clean", "repairs": [], "reason": None}
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


def test_real_records_with_the_real_model(tmp_path: Path, shared_data: Path, demo_model: Path) -> None:
    records = json.loads((shared_data / "alpaca" / "cherry_alpaca_5_percent.json").read_text())
    chosen = [r for r in records if r["input"]][:3] + [r for r in records if not r["input"]][:3]
    (tmp_path / "s.json").write_text(json.dumps(chosen))
    scores = run(tmp_path / "s.json", tmp_path / "scores.jsonl", demo_model, tmp_path / "cache", max_length=256)
    check_against_naive(scores, read_pairs(tmp_path / "s.json"), demo_model, 256)


@pytest.mark.parametrize("name", ["plain", "bos"])
def test_template_and_guess_prompt_come_from_files_byte_for_byte(
    name: str, some: Path, tmp_path: Path, tiny_llamas: dict[str, Path]
) -> None:
    template, guess = tmp_path / "template.yaml", tmp_path / "guess.txt"
    template.write_text('without_input: "Q:  {instruction}\\n\\n A:"\nwith_input: "{input} | {instruction}\\t=>"\n')
    guess.write_bytes(b"  Which question\r\nhas the answer {response}?\n\n")
    words = ["score", some, tmp_path / "s.jsonl", "--model", tiny_llamas[name], "--template", template]
    words += ["--guess-prompt", guess, "--dtype", "float32", "--max-length", "200", "--cache", tmp_path / "cache"]
    assert main([str(word) for word in words]) == 0
    texts = json.loads((tmp_path / "s.meta.json").read_text())["texts"]
    assert texts["without_input"] == "Q:  {instruction}\n\n A:"
    assert texts["guess_prompt"] == "  Which question\r\nhas the answer {response}?\n\n"
    scores = read_records(tmp_path / "s.jsonl", Score)
    check_against_naive(scores, read_pairs(some), tiny_llamas[name], 200, str(template), str(guess))


def test_four_variants_of_a_record_are_fourteen_sequences(tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    old, new = "Name a fruit.", "Name a fruit that grows on trees."
    texts = [(old, "An apple."), (new, "A ripe pear."), (old, "An apple is a fruit."), (new, "A pear is one of them.")]
    for number, (instruction, output) in enumerate(texts):
        write_records(tmp_path / f"{number}.jsonl", [Pair(id="x", instruction=instruction, output=output)])
        run(tmp_path / f"{number}.jsonl", tmp_path / f"s{number}.jsonl", tiny_llamas["plain"], tmp_path / "cache")
    journalled = [line for path in (tmp_path / "cache").rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(journalled) == 14


def test_shards_are_gathered_in_the_order_of_the_pairs(
    some: Path, tmp_path: Path, tiny_llamas: dict[str, Path]
) -> None:
    whole = run(some, tmp_path / "whole.jsonl", tiny_llamas["plain"], tmp_path / "cache1")
    shards = [tmp_path / f"{n}.jsonl" for n in (1, 2, 3)]
    for number, shard in enumerate(shards, start=1):
        run(some, shard, tiny_llamas["plain"], tmp_path / f"cache{number}x", shard=(number, 3))
    gather(some, tmp_path / "all.jsonl", shards)
    for one, other in zip(whole, read_records(tmp_path / "all.jsonl", Score), strict=True):
        assert (one.id, one.status, one.reason) == (other.id, other.status, other.reason)
        assert nlls(one) == pytest.approx(nlls(other), rel=1e-5)
    meta = json.loads((tmp_path / "all.meta.json").read_text())
    assert meta["counts"] == json.loads((tmp_path / "whole.meta.json").read_text())["counts"]
    with pytest.raises(InputError, match=r"expected in .* exactly one of 2 shards"):
        gather(some, tmp_path / "two.jsonl", shards[:2])
    run(some, shards[2], tiny_llamas["plain"], tmp_path / "cache4", shard=(3, 3), max_length=77)
    with pytest.raises(InputError, match=r"3\.jsonl: settings: differs"):
        gather(some, tmp_path / "odd.jsonl", shards)
    assert not (tmp_path / "two.jsonl").exists()
    assert not (tmp_path / "odd.jsonl").exists()


def test_the_order_of_the_pairs_changes_nothing(some: Path, tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    lines = some.read_text().splitlines(keepends=True)
    (tmp_path / "back.jsonl").write_text("".join(reversed(lines)))
    there = run(some, tmp_path / "a.jsonl", tiny_llamas["plain"], tmp_path / "cache1", dtype="bfloat16")
    back = run(
        tmp_path / "back.jsonl", tmp_path / "b.jsonl", tiny_llamas["plain"], tmp_path / "cache2", dtype="bfloat16"
    )
    assert there == back[::-1]


@pytest.mark.parametrize("error", ["cuda", "cpu"])
def test_out_of_memory_halves_the_budget_and_goes_on(
    error: str,
    some: Path,
    tmp_path: Path,
    tiny_llamas: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    small, expected = Scorer._means, run(some, tmp_path / "a.jsonl", tiny_llamas["plain"], tmp_path / "cache1")

    def means(self: Scorer, batch: list[Target]) -> list[float]:
        if len(batch) * len(batch[0].ids) > 600:
            if error == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory")
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate")
        return small(self, batch)

    monkeypatch.setattr(Scorer, "_means", means)
    found = run(some, tmp_path / "b.jsonl", tiny_llamas["plain"], tmp_path / "cache2", budget=4000)
    assert "out of memory" in capsys.readouterr().err
    assert 300 <= json.loads((tmp_path / "b.meta.json").read_text())["batch_tokens"] <= 600
    for one, other in zip(expected, found, strict=True):
        assert nlls(one) == pytest.approx(nlls(other), rel=1e-5)
    monkeypatch.setattr(Scorer, "_means", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no")))
    with pytest.raises(InputError, match="no memory for one sequence"):
        run(some, tmp_path / "c.jsonl", tiny_llamas["plain"], tmp_path / "cache3")
    assert not (tmp_path / "c.jsonl").exists()


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler, and g++ is not here")
def test_compiled_layers_score_the_same(
    some: Path, tmp_path: Path, tiny_llamas: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(some, tmp_path / "a.jsonl", tiny_llamas["plain"], tmp_path / "cache1")
    assert json.loads((tmp_path / "a.meta.json").read_text())["compiled"] is False
    monkeypatch.setattr("srt.scoring.nll.COMPILED_FROM", 1)
    found = run(some, tmp_path / "b.jsonl", tiny_llamas["plain"], tmp_path / "cache2")
    assert json.loads((tmp_path / "b.meta.json").read_text())["compiled"] is True
    for one, other in zip(expected, found, strict=True):
        assert nlls(one) == pytest.approx(nlls(other), rel=1e-5)


def test_without_a_compiler_scoring_goes_on(
    some: Path,
    tmp_path: Path,
    tiny_llamas: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch
    import torch._inductor.config as inductor

    torch._dynamo.reset()  # forgets what another test compiled
    monkeypatch.setattr("srt.scoring.nll.COMPILED_FROM", 1)
    monkeypatch.setattr(inductor.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    scores = run(some, tmp_path / "b.jsonl", tiny_llamas["plain"], tmp_path / "cache")
    assert "going on without compiling" in capsys.readouterr().err
    assert sum(found.status == "scored" for found in scores) == 6


def hostile_pairs(count: int) -> list[Pair]:
    """What records should not be, each with a seeded dose of it in instruction, input or output."""
    chance = random.Random(3)
    guess = guess_prompt("config/prompts/guess.txt")
    makers: list[Callable[[], str]] = [
        lambda: "",
        lambda: "a",
        lambda: chance.choice([" ", "\n", "\t \u3000", " " * 300]),
        lambda: "word " * chance.randint(18_000, 20_000),
        lambda: "before\x00after",
        lambda: "half \ud83d of it",
        lambda: "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u202e abc",
        lambda: "{instruction} {input} {response} {0} {{}} {",
        lambda: guess.replace("{response}", "an answer"),
        lambda: "USER: hi ASSISTANT: <|im_end|></s><|endoftext|>",
        lambda: "\U0001f469\u200d\U0001f680" * chance.randint(1, 30),
        lambda: "Repeat me. " * chance.randint(1, 12),
    ]
    pairs = []
    for number in range(count):
        instruction, extra, output = (
            chance.choice(makers)() if chance.random() < 0.6 else "Name a fruit." for _ in range(3)
        )
        if chance.random() < 0.2:
            output = f"You asked: {instruction} {instruction}"
        pairs.append(Pair(id=f"{number:03}", instruction=instruction, input=extra * (number % 2), output=output))
    return pairs


def test_hostile_records_are_all_accounted_for(tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    pairs = hostile_pairs(200)
    write_records(tmp_path / "pairs.jsonl", pairs)
    scores = run(tmp_path / "pairs.jsonl", tmp_path / "s.jsonl", tiny_llamas["bos"], tmp_path / "cache", max_length=300)
    assert [s.id for s in scores] == [p.id for p in pairs]
    meta = json.loads((tmp_path / "s.meta.json").read_text())
    assert meta["counts"]["scored"] + meta["counts"]["null"] == 200
    assert sum(meta["reasons"].values()) == meta["counts"]["null"]
    assert meta["counts"]["scored"] > 30
    texts = []
    for found, pair in zip(scores, pairs, strict=True):
        assert (found.reason is None) == (found.status == "scored")
        if found.status == "failed":
            assert found.ifd is None or found.r_ifd is None
        if not str(found.reason).endswith(("is empty", "is not valid Unicode")):
            texts.append((found, pair))
    check_against_naive(*map(list, zip(*texts, strict=True)), tiny_llamas["bos"], 300)
