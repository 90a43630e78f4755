import json
import re
from pathlib import Path
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing

from srt import cli
from srt.evaluation.generate import Wanted, generate
from srt.experiment.config import load
from srt.llm import loading
from srt.llm._rendering import token_ids
from srt.llm.inprocess import TransformersBackend
from srt.llm.loading import load_tokenizer
from srt.llm.model import ModelRef
from srt.llm.prompts import conversation_turns, training_prompt
from srt.llm.requests import Turns
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.records import Answer, Pair
from srt.training.examples import tokenize

CONFIG, _ = load()


def run(tmp_path: Path, model: Path, prompt: str = "vicuna_v1.1", name: str = "answers") -> list[Answer]:
    (tmp_path / "q.json").write_text(json.dumps([{"instruction": "Name a fruit."}, {"instruction": "Why {x}?"}]))
    out = tmp_path / f"{name}.jsonl"
    settings = CONFIG.generate["sampled"].model_copy(update={"max_new_tokens": 5})
    wanted = [Wanted(str(tmp_path / "q.json"), out, settings)]
    generate(wanted, ModelRef(str(model)), prompt, CONFIG.execution, tmp_path / "cache")
    return read_records(out, Answer)


@pytest.mark.slow
@pytest.mark.parametrize("prompt", ["vicuna_v1.1", "alpaca", "chat"])
def test_every_question_gets_one_answer(tmp_path: Path, tiny_llamas: dict[str, Path], prompt: str) -> None:
    answers = run(tmp_path, tiny_llamas["plain"], prompt)
    assert [answer.question for answer in answers] == ["Name a fruit.", "Why {x}?"]
    assert all(answer.finish_reason in ("stop", "length") for answer in answers)
    meta = json.loads((tmp_path / "answers.meta.json").read_text())
    assert meta["prompt"] == prompt
    assert meta["counts"]["answers"] == 2


@pytest.mark.slow
def test_an_answer_that_is_in_the_journal_opens_no_model(
    tmp_path: Path, tiny_llamas: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, tiny_llamas["plain"])
    monkeypatch.setattr("srt.llm.opening.open_backend", lambda *_, **__: pytest.fail("the model was opened"))
    assert run(tmp_path, tiny_llamas["plain"], name="again") == first


@pytest.mark.slow
def test_a_second_turn_follows_the_first_answer(
    tmp_path: Path, tiny_llamas: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "q.json").write_text(json.dumps([{"id": "a", "turns": ["One?", "Two?"]}, {"id": "b", "turns": ["X?"]}]))
    asked = []
    submit = TransformersBackend.submit
    monkeypatch.setattr(
        TransformersBackend, "submit", lambda self, ticket, r: asked.append(r.chat) or submit(self, ticket, r)
    )
    settings = CONFIG.generate["sampled"].model_copy(update={"max_new_tokens": 5, "temperature": 0.0})
    out, model = tmp_path / "answers.jsonl", str(tiny_llamas["bos"])
    for prompt in ("vicuna_v1.1", "chat"):
        wanted = [Wanted(str(tmp_path / "q.json"), out, settings)]
        generate(wanted, ModelRef(model), prompt, CONFIG.execution, tmp_path / "cache")
        answers = {answer.id: answer for answer in read_records(out, Answer)}
        assert [*answers] == ["a/1", "a/2", "b"]
        if prompt == "chat":
            assert asked[-1] == (("user", "One?"), ("assistant", answers["a/1"].answer), ("user", "Two?"))
        else:
            first, second = asked[-1].texts
            assert first.endswith(f"USER: One? ASSISTANT: {answers['a/1'].answer}")
            assert second == "USER: Two? ASSISTANT:"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["plain", "bos"])
@pytest.mark.parametrize("question", ["Name a fruit.", "Is <|im_end|> or </s> a word?"])
def test_a_question_is_tokenised_as_in_training(tiny_llamas: dict[str, Path], model: str, question: str) -> None:
    """The prompt's ids begin the ids of the same pair in training, whatever the question spells out."""
    tokenizer = load_tokenizer(str(tiny_llamas[model]), None)
    recipe = CONFIG.recipes["demo"]
    pair = Pair(id="a", instruction=question, input="", output="First.")
    (trained,) = tokenize([pair], tokenizer, recipe, "x").rows
    ids = token_ids(tokenizer, conversation_turns(recipe.prompt, [], question)[0])
    assert ids == trained["input_ids"][: len(ids)]
    turns = conversation_turns(recipe.prompt, [(question, "First.")], "Two?")
    both = token_ids(tokenizer, Turns(turns))
    assert both[: len(trained["input_ids"])] == trained["input_ids"]  # with the EOS that ends the first answer
    bos = [tokenizer.bos_token_id] if model == "bos" else []
    assert both[: len(bos)] == bos
    assert both.count(tokenizer.eos_token_id) == 1


@pytest.mark.slow
def test_an_eos_that_the_tokenizer_adds_by_itself_is_taken_off(tiny_llamas: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(str(tiny_llamas["plain"]), None)
    plain = token_ids(tokenizer, "Name a fruit.")
    eos = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {eos}", special_tokens=[(eos, tokenizer.eos_token_id)]
    )
    assert tokenizer("Name a fruit.").input_ids == [*plain, tokenizer.eos_token_id]
    assert token_ids(tokenizer, "Name a fruit.") == plain


@pytest.mark.slow
def test_a_turn_without_room_is_missing_and_ends_its_conversation(tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    rows = [{"id": "a", "turns": ["word " * 600, "Two?"]}, {"id": "b", "turns": ["One?", "Two?"]}]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    settings = CONFIG.generate["sampled"].model_copy(update={"max_new_tokens": 5})
    out, model = tmp_path / "answers.jsonl", str(tiny_llamas["plain"])
    wanted = [Wanted(str(tmp_path / "q.json"), out, settings)]
    generate(wanted, ModelRef(model), "vicuna_v1.1", CONFIG.execution, tmp_path / "cache")
    assert [answer.id for answer in read_records(out, Answer)] == ["b/1", "b/2"]
    meta = json.loads((tmp_path / "answers.meta.json").read_text())
    assert meta["counts"]["unanswered"] == 2
    (reason,) = meta["unanswered"]
    assert "at most 512 are allowed" in reason


@pytest.mark.parametrize("name", ["vicuna_v1.1", "alpaca"])
def test_the_training_prompt_is_filled_and_nothing_else(name: str) -> None:
    (text,) = conversation_turns(name, [], "Why {instruction}?")
    assert text == training_prompt(name).replace("{instruction}", "Why {instruction}?")


def test_the_frame_is_said_once_and_each_turn_is_whole() -> None:
    first, second, third = conversation_turns("alpaca", [("One?", "First."), ("Two?", "Second.")], "Three?")
    assert first.startswith("Below is an instruction")
    assert first.endswith("First.")
    assert second.startswith("### Instruction:\nTwo?")
    assert second.endswith("Second.")
    assert third.startswith("### Instruction:\nThree?")


@pytest.mark.slow
def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        run(tmp_path, tmp_path / "none")
    assert not (tmp_path / "answers.jsonl").exists()


def ask(tmp_path: Path, model: Path, names: list[str], cache: str, **changes: Any) -> dict[str, list[Answer]]:
    """Sampled answers to sets of questions by one call: each set of its own file, batch after batch of two."""
    wanted = []
    for name in names:
        turns = [{"id": f"{name}{i}", "turns": [f"{name} is it {i}?", "Why?"]} for i in range(3)]
        (tmp_path / f"{name}.json").write_text(json.dumps(turns))
        settings = CONFIG.generate["sampled"].model_copy(update={"max_new_tokens": 5, **changes.get(name, {})})
        wanted.append(Wanted(str(tmp_path / f"{name}.json"), tmp_path / cache / f"{name}.jsonl", settings))
    execution = CONFIG.execution.model_copy(update={"generation_batch": 2})
    generate(wanted, ModelRef(str(model)), "vicuna_v1.1", execution, tmp_path / cache)
    return {each.out.stem: read_records(each.out, Answer) for each in wanted}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The dtypes of the models that were loaded."""
    loaded = []
    load = loading.load_model
    monkeypatch.setattr(loading, "load_model", lambda *args, **more: loaded.append(args[2]) or load(*args, **more))
    return loaded


@pytest.mark.slow
def test_one_engine_gives_every_set_the_answers_that_an_engine_of_its_own_gives(
    tmp_path: Path, tiny_llamas: dict[str, Path], loads: list[str]
) -> None:
    """A batch is drawn at once: what was asked before, and how, must not tell."""
    names, changes = ["plum", "pear", "fig"], {"pear": {"temperature": 1.5, "seed": 3}, "fig": {"temperature": 0.0}}
    together = ask(tmp_path, tiny_llamas["plain"], names, "together", **changes)
    assert loads == ["float32"]
    apart = [ask(tmp_path, tiny_llamas["plain"], [name], f"alone-{name}", **changes) for name in reversed(names)]
    assert together == {name: answers for found in apart for name, answers in found.items()}
    assert len({answer.answer for answers in together.values() for answer in answers}) > 6
    for name in names:
        told = json.loads((tmp_path / f"together/{name}.meta.json").read_text())
        assert told == json.loads((tmp_path / f"alone-{name}/{name}.meta.json").read_text()) | {
            "questions": told["questions"],
            "thoughts": told["thoughts"],
        }


@pytest.mark.slow
def test_a_set_that_changes_alone_is_asked_alone(
    tmp_path: Path, tiny_llamas: dict[str, Path], loads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names, model = ["plum", "pear"], tiny_llamas["plain"]
    first = ask(tmp_path, model, names, "cache")
    monkeypatch.setattr("srt.llm.opening.open_backend", lambda *_, **__: pytest.fail("the model was opened"))
    assert ask(tmp_path, model, names, "cache") == first
    monkeypatch.undo()
    asked = []
    submit = TransformersBackend.submit
    monkeypatch.setattr(
        TransformersBackend, "submit", lambda self, ticket, r: asked.append(str(r)) or submit(self, ticket, r)
    )
    again = ask(tmp_path, model, names, "cache", pear={"seed": 9})
    assert again["plum"] == first["plum"]
    assert len(asked) == 6
    assert all("pear" in request for request in asked)


@pytest.mark.slow
def test_sets_of_two_dtypes_have_two_engines_one_after_another(
    tmp_path: Path, tiny_llamas: dict[str, Path], loads: list[str]
) -> None:
    ask(tmp_path, tiny_llamas["plain"], ["plum", "pear", "fig"], "cache", pear={"dtype": "bfloat16"})
    assert loads == ["float32", "bfloat16"]


@pytest.mark.slow
def test_a_set_that_cannot_be_read_is_refused_before_the_model_is_loaded(
    tmp_path: Path, tiny_llamas: dict[str, Path], loads: list[str]
) -> None:
    settings = CONFIG.generate["sampled"]
    (tmp_path / "q.json").write_text(json.dumps([{"instruction": "Name a fruit."}]))
    (tmp_path / "bad.json").write_text("[]")
    wanted = [Wanted(str(tmp_path / name), tmp_path / f"{name}l", settings) for name in ("q.json", "bad.json")]
    with pytest.raises(InputError, match=r"bad\.json: has no questions"):
        generate(wanted, ModelRef(str(tiny_llamas["plain"])), "chat", CONFIG.execution, tmp_path / "cache")
    assert loads == []
    assert not (tmp_path / "q.jsonl").exists()


SETTINGS = "--backend transformers --dtype float32 --temperature 0.7 --top-p 1 --max-new-tokens 8 --seed 0"


def command(*also: str) -> int:
    how = "--device cpu --generation-batch 2 --generate-gpus 1 --gpu-memory-share 0.9 --server-memory-gb 1"
    return cli.main(["generate", "q.json", "q.jsonl", "--model", "m", *SETTINGS.split(), *how.split(), *also])


@pytest.mark.usefixtures("any_path")
def test_the_command_line_names_other_sets_and_what_is_different_there(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("srt.evaluation.generate.generate", lambda wanted, *_: calls.extend(wanted))
    assert command("--also", "a=b.json", "a.jsonl", "--also", "c.json", "c.jsonl", "max_new_tokens=9", "seed=2") == 0
    assert [(each.questions, each.out.name) for each in calls] == [
        ("q.json", "q.jsonl"),
        ("a=b.json", "a.jsonl"),
        ("c.json", "c.jsonl"),
    ]
    assert calls[1].settings == calls[0].settings
    assert calls[2].settings == calls[0].settings.model_copy(update={"max_new_tokens": 9, "seed": 2})


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["a.json"], "--also: expected QUESTIONS ANSWERS and settings as KEY=VALUE"),
        (["a.json", "a.jsonl", "sed=3"], "--also: expected QUESTIONS ANSWERS and settings as KEY=VALUE"),
        (["a.json", "a.jsonl", "seed=x"], "--seed: .* found 'x'"),
        (["a.json", "a.jsonl", "top_p=2.0"], "--also: top_p: "),
        (["a.json", "./q.jsonl"], "--also: ANSWERS: expected another file for each set"),
    ],
)
@pytest.mark.usefixtures("any_path")
def test_a_set_that_cannot_be_meant_is_one_line(words: list[str], says: str, capsys: Any) -> None:
    assert command("--also", *words) == 2
    assert re.search(says, capsys.readouterr().err)
