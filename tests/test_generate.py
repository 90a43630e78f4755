import json
from pathlib import Path

import pytest

from srt.backends import token_ids
from srt.config import load
from srt.generate import generate
from srt.inprocess import TransformersBackend
from srt.models import load_tokenizer
from srt.prompts import conversation_prompt, training_prompt
from srt.records import Answer, InputError, read_records

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
            assert asked[-1].endswith(f"USER: One? ASSISTANT: {answers['a/1'].answer}<|im_end|>USER: Two? ASSISTANT:")
            assert asked[-1].count("A chat between") == 1


def test_a_conversation_is_tokenised_as_in_training(tiny_llamas: dict[str, Path]) -> None:
    """One BOS at the beginning, one EOS after the first answer, and no other special token."""
    tokenizer = load_tokenizer(str(tiny_llamas["bos"]), None)
    text = conversation_prompt("vicuna_v1.1", [("One?", "First.")], "Two?", tokenizer.eos_token)
    ids = token_ids(tokenizer, text)
    assert ids[0] == tokenizer.bos_token_id
    assert ids[1:].count(tokenizer.bos_token_id) == 0
    assert ids.count(tokenizer.eos_token_id) == 1
    prompt = training_prompt("vicuna_v1.1").replace("{instruction}", "One?")
    trained = token_ids(tokenizer, prompt + " First.")
    assert ids[: len(trained) + 1] == [*trained, tokenizer.eos_token_id]


@pytest.mark.parametrize("name", ["vicuna_v1.1", "alpaca"])
def test_the_training_prompt_is_filled_and_nothing_else(name: str) -> None:
    assert conversation_prompt(name, [], "Why {instruction}?", "") == training_prompt(name).replace(
        "{instruction}", "Why {instruction}?"
    )


def test_the_frame_is_said_once_and_each_turn_ends() -> None:
    text = conversation_prompt("alpaca", [("One?", "First."), ("Two?", "Second.")], "Three?", "</s>")
    assert text.count("Below is an instruction") == 1
    assert text.count("### Instruction:") == 3
    assert "### Response:First.</s>### Instruction:\nTwo?" in text.replace("### Response:\n", "### Response:")


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        run(tmp_path, tmp_path / "none")
    assert not (tmp_path / "answers.jsonl").exists()
