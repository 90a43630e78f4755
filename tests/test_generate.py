import json
from pathlib import Path

import pytest

from srt.config import load
from srt.generate import generate
from srt.prompts import training_prompt
from srt.records import Answer, InputError, read_records

CONFIG, _ = load()


def run(tmp_path: Path, model: Path, prompt: str = "vicuna_v1.1", name: str = "answers") -> list[Answer]:
    (tmp_path / "q.json").write_text(json.dumps([{"instruction": "Name a fruit."}, {"instruction": "Why {x}?"}]))
    out = tmp_path / f"{name}.jsonl"
    settings = CONFIG.generate.model_copy(update={"max_new_tokens": 5})
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


def test_the_training_prompt_is_filled_and_nothing_else() -> None:
    from srt.generate import _prompted

    assert _prompted("Why {instruction}?", "vicuna_v1.1") == training_prompt("vicuna_v1.1").replace(
        "{instruction}", "Why {instruction}?"
    )


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such model folder"):
        run(tmp_path, tmp_path / "none")
    assert not (tmp_path / "answers.jsonl").exists()
