import json
from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing

from srt.backends import Turns, token_ids
from srt.config import load
from srt.examples import tokenize
from srt.generate import generate
from srt.inprocess import TransformersBackend
from srt.models import load_tokenizer
from srt.prompts import conversation_turns, training_prompt
from srt.records import Answer, InputError, Pair, read_records

CONFIG, _ = load()


def run(tmp_path: Path, model: Path, prompt: str = "vicuna_v1.1", name: str = "answers") -> list[Answer]:
    (tmp_path / "q.json").write_text(json.dumps([{"instruction": "Name a fruit."}, {"instruction": "Why {x}?"}]))
    out = tmp_path / f"{name}.jsonl"
    settings = CONFIG.generate["sampled"].model_copy(update={"max_new_tokens": 5})
    generate(str(tmp_path / "q.json"), out, str(model), None, prompt, settings, CONFIG.execution, tmp_path / "cache")
    return read_records(out, Answer)


@pytest.mark.parametrize("prompt", ["vicuna_v1.1", "alpaca", "chat"])
def test_every_question_gets_one_answer(tmp_path: Path, tiny_llamas: dict[str, Path], prompt: str) -> None:
    answers = run(tmp_path, tiny_llamas["plain"], prompt)
    assert [answer.question for answer in answers] == ["Name a fruit.", "Why {x}?"]
    assert all(answer.finish_reason in ("stop", "length") for answer in answers)
    meta = json.loads((tmp_path / "answers.meta.json").read_text())
    assert meta["prompt"] == prompt
    assert meta["counts"]["answers"] == 2


def test_an_answer_that_is_in_the_journal_opens_no_model(
    tmp_path: Path, tiny_llamas: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(tmp_path, tiny_llamas["plain"])
    monkeypatch.setattr("srt.backends.Speaker.open", lambda *_: pytest.fail("the model was opened"))
    assert run(tmp_path, tiny_llamas["plain"], name="again") == first


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
        more = (settings, CONFIG.execution, tmp_path / "cache")
        generate(str(tmp_path / "q.json"), out, model, None, prompt, *more)
        answers = {answer.id: answer for answer in read_records(out, Answer)}
        assert [*answers] == ["a/1", "a/2", "b"]
        if prompt == "chat":
            assert asked[-1] == (("user", "One?"), ("assistant", answers["a/1"].answer), ("user", "Two?"))
        else:
            first, second = asked[-1].texts
            assert first.endswith(f"USER: One? ASSISTANT: {answers['a/1'].answer}")
            assert second == "USER: Two? ASSISTANT:"


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


def test_an_eos_that_the_tokenizer_adds_by_itself_is_taken_off(tiny_llamas: dict[str, Path]) -> None:
    tokenizer = load_tokenizer(str(tiny_llamas["plain"]), None)
    plain = token_ids(tokenizer, "Name a fruit.")
    eos = tokenizer.eos_token
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"$A {eos}", special_tokens=[(eos, tokenizer.eos_token_id)]
    )
    assert tokenizer("Name a fruit.").input_ids == [*plain, tokenizer.eos_token_id]
    assert token_ids(tokenizer, "Name a fruit.") == plain


def test_a_turn_without_room_is_missing_and_ends_its_conversation(tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    rows = [{"id": "a", "turns": ["word " * 600, "Two?"]}, {"id": "b", "turns": ["One?", "Two?"]}]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    settings = CONFIG.generate["sampled"].model_copy(update={"max_new_tokens": 5})
    out, model = tmp_path / "answers.jsonl", str(tiny_llamas["plain"])
    generate(str(tmp_path / "q.json"), out, model, None, "vicuna_v1.1", settings, CONFIG.execution, tmp_path / "cache")
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


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        run(tmp_path, tmp_path / "none")
    assert not (tmp_path / "answers.jsonl").exists()
