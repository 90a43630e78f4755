from pathlib import Path

import pytest

from srt.llm.requests import Completion
from srt.reflection.cleaning import Reading, read_cleaning
from srt.reflection.styles import Turn, read_style
from srt.storage.errors import InputError

STYLES = ["config/prompts/turns.yaml", "config/prompts/tags.yaml", "config/prompts/json.yaml"]
TAGS = Turn(
    name="t",
    answer="tags",
    fields=["critique", "instruction", "response"],
    tags={"instruction": "New Instruction", "response": "New Answer"},
    ask="",
)


CLEANING = read_cleaning("config/prompts/answers.yaml")


def read(turn: Turn, text: str, finish_reason: str = "stop") -> dict[str, str] | str:
    """The fields, or the outcome of a failure."""
    found = turn.read(Completion(text, 9, finish_reason), CLEANING)
    return found.fields if isinstance(found, Reading) else found.outcome


@pytest.mark.parametrize("name", STYLES)
def test_shipped_styles_are_valid_and_leave_no_placeholder_unfilled(name: str) -> None:
    style = read_style(name)
    known = {"task", "instruction", "input", "response", "new_critique", "new_instruction", "new_response"}
    for turn in [*style.instruction, *style.response]:
        chat = turn.chat(dict.fromkeys(known, "X"))
        assert chat[-1][0] == "user"
        assert "{" not in chat[-1][1]


def test_tags_are_read_and_a_word_with_end_cuts_nothing() -> None:
    text = "Too vague.\n[New Instruction] Name endangered species. [End]\n"
    text += "[New Answer]\nThe Endangered [sic] N/A list.\n[End]"
    assert read(TAGS, text) == {
        "critique": "Too vague.",
        "instruction": "Name endangered species.",
        "response": "The Endangered [sic] N/A list.",
    }


def test_a_section_may_lack_its_end_unless_the_answer_was_cut_off_in_it() -> None:
    text = "[New Instruction]a[End][New Answer]b"
    assert read(TAGS, text) == {"instruction": "a", "response": "b"}
    assert read(TAGS, text, "length") == "cut_off"
    assert read(TAGS, text + "[End] and", "length") == {"instruction": "a", "response": "b"}
    assert read(TAGS, "[New Instruction]a[New Answer]b[End]") == {"instruction": "a", "response": "b"}


def test_json_is_checked_whatever_the_backend_promised() -> None:
    turn = Turn(name="j", answer="json", fields=["critique", "response"], ask="")
    assert read(turn, '{"critique": "c", "response": "r"}') == {"critique": "c", "response": "r"}
    assert read(turn, '{"critique": "c"}') == "unreadable"
    assert read(turn, '{"critique": "c", "resp', "length") == "cut_off"
    schema = turn.answer_schema()
    assert schema is not None
    assert schema["required"] == ["critique", "response"]


def test_a_cut_critique_keeps_its_sentences_and_a_cut_response_is_refused() -> None:
    critique = Turn(name="c", answer="text", fields=["critique"], ask="")
    assert read(critique, "It is vague. It does not say", "length") == {"critique": "It is vague."}
    response = Turn(name="r", answer="text", fields=["response"], ask="")
    assert read(response, "It is", "length") == "cut_off"
    assert read(response, "", "refused: the prompt is too long") == "unanswered"
    assert read(response, "", "content_filter") == "refusal"


def test_leaks_are_whole_words_and_allowed_where_the_record_has_them() -> None:
    style = read_style("config/prompts/turns.yaml")
    assert style.leak_in("A Better Answer would be", "") == "better answer"
    assert style.leak_in("the taskbar is blue", "") is None
    assert style.leak_in("finish the task", "the task at hand") is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("unknown: 1", "unknown: is not a known key"),
        ("instruction: []", "instruction"),
        ("retry_temperature: warm", "retry_temperature"),
        ("response: [{name: n, answer: text, fields: [critique], ask: a}]", "response: expected turns that give"),
    ],
)
def test_a_bad_style_is_refused_by_name(tmp_path: Path, change: str, expected: str) -> None:
    import yaml

    style = {**yaml.safe_load(Path(STYLES[0]).read_text()), **yaml.safe_load(change)}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(style))
    with pytest.raises(InputError, match="s.yaml: " + expected):
        read_style(str(tmp_path / "s.yaml"))
