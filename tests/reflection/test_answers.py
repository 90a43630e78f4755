"""Replies in the forms that models really write them in (tests/data/replies.yaml), and real texts."""

import json
from pathlib import Path

import pytest
import yaml

from helpers import TESTS
from srt.llm.requests import Completion
from srt.reflection.cleaning import Failure, Reading, cleaned, read_cleaning, usable
from srt.reflection.styles import read_style
from srt.storage.errors import InputError

CLEANING = read_cleaning("config/prompts/answers.yaml")
STYLES = {"tags": read_style("config/prompts/tags.yaml"), "json": read_style("config/prompts/json.yaml")}
REPLIES = yaml.safe_load((TESTS / "data" / "replies.yaml").read_text(encoding="utf-8"))


def read(reply: dict) -> Reading | Failure:
    (turn,) = getattr(STYLES[reply["answer"]], reply["phase"])
    return turn.read(Completion(reply["reply"], 9, reply["finish_reason"]), CLEANING)


def test_there_are_at_least_sixty_replies() -> None:
    assert len({reply["name"] for reply in REPLIES}) == len(REPLIES) >= 60


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply["name"])
def test_a_reply_is_read_as_a_careful_reader_would(reply: dict) -> None:
    found = read(reply)
    if reply["expected"] is None:
        assert isinstance(found, Failure)
        assert found.outcome == reply["failed"]
    else:
        assert isinstance(found, Reading)
        assert {name: text for name, text in found.fields.items() if name != "critique"} == reply["expected"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Endangered Species Act is N/A here.", "The Endangered Species Act is N/A here."),
        ("Here is a recipe for pancakes: mix.", "Here is a recipe for pancakes: mix."),
        ("Here is a new and complete answer, with more details:\n\nMix it.", "Mix it."),
        ("Sure, here\u2019s a better answer that covers both:\nMix it.", "Mix it."),
        ("1. Mix. 2. Bake.", "1. Mix. 2. Bake."),
        ("1. Mix in 1969. 3 eggs.", "Mix in 1969. 3 eggs."),
        ("```python\nx = 1\n```", "```python\nx = 1\n```"),
        ("```\nmix\n```", "mix"),
        ("**Mix** it **well**", "**Mix** it **well**"),
    ],
)
def test_what_is_cleaned_and_what_stays(text: str, expected: str) -> None:
    assert cleaned(text, "response", CLEANING)[0] == expected


def test_an_opening_that_is_all_there_is_leaves_an_empty_answer() -> None:
    found = usable(Reading({"response": "Here is a new and complete answer:"}), CLEANING)
    assert isinstance(found, Failure)
    assert found.outcome == "empty"


BLOCK = "Write [Begin] before the block and MARK after it, like:\n[Begin]\ntext\nMARK\nThat is all you need."
MENTION = "Put MARK at the end of the page. Then print it."
ELEMENT = "<list>\n  <end>a</end>\n</list>"


def better(text: str, finish_reason: str = "stop") -> Reading | Failure:
    reply = f"It is short.\n[Better Answer]\n{text}"
    return read({"reply": reply, "phase": "response", "answer": "tags", "finish_reason": finish_reason})


@pytest.mark.parametrize(
    "mark", ["[End]", "[end]", "**[End]**", "<End>", "</end>", "[/End]", "[End of Better Answer]", "`[End]`"]
)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
@pytest.mark.parametrize("text", [BLOCK, MENTION, "First.\n\nMARK\n\nLast."])
def test_an_end_within_an_answer_does_not_end_it(text: str, mark: str, finish_reason: str) -> None:
    text = text.replace("MARK", mark)
    found = better(f"{text}\n[End]", finish_reason)
    assert isinstance(found, Reading)
    assert (found.fields["response"], found.repairs) == (text, ["[End] within the text"])


@pytest.mark.parametrize("mark", ["[End]", "[end]", "**[End]**", "<End>", "</end>", "[/End]", "`[End]`"])
@pytest.mark.parametrize("text", [BLOCK, MENTION, BLOCK.replace("\nThat", "\n\nThat"), "Write\nMARK\nbelow."])
def test_an_end_within_an_answer_that_lacks_its_own_cuts_nothing(text: str, mark: str) -> None:
    text = text.replace("MARK", mark)
    found = better(text)
    if isinstance(found, Reading):
        assert (found.fields["response"], found.repairs) == (text, ["missing [End]", "[End] within the text"])
    else:
        assert found == Failure("unreadable", "[Better Answer] goes on after an [End]")
    cut = better(text, "length")
    assert isinstance(cut, Failure)
    assert cut.outcome == "cut_off"


def test_what_looks_like_an_end_in_code_stays() -> None:
    for text, alone in ((ELEMENT, Reading), ("def f\n  1\nend", Reading), ("<start>a</start>\n<end>b</end>", Failure)):
        found = better(f"{text}\n[End]")
        assert isinstance(found, Reading)
        assert found.fields["response"] == text
        found = better(text)  # without the end that was asked for
        assert isinstance(found, alone)
        assert isinstance(found, Failure) or found.fields["response"] == text


@pytest.mark.parametrize(
    "after", ["\n\nI hope this helps!", "\n \nNote: [x] is kept.", "\n[End]\n\nI hope this helps!"]
)
def test_what_follows_the_end_after_an_empty_line_is_no_part_of_the_answer(after: str) -> None:
    found = better(f"Mix it.\n[End]{after}")
    assert isinstance(found, Reading)
    assert (found.fields["response"], found.repairs) == ("Mix it.", ["text after [End]"])


@pytest.mark.parametrize("after", ["\n---", "\n```", "\n3.", "</s>", "\n<|im_end|>\n", "\n**\n", "<end_of_turn>"])
def test_marks_after_the_end_are_nothing(after: str) -> None:
    found = better(f"Mix it.\n[End]{after}")
    assert found == Reading({"critique": "It is short.", "response": "Mix it."}, [])
    reply = f"Here it is:\n```\n[New Instruction]\nMix.\n[End]{after}\n[New Answer]\nIt is mixed.\n[End]\n```"
    both = read({"reply": reply, "phase": "instruction", "answer": "tags", "finish_reason": "stop"})
    assert isinstance(both, Reading)
    assert (both.fields["instruction"], both.fields["response"], both.repairs) == ("Mix.", "It is mixed.", [])


@pytest.mark.parametrize("end", ["`[End]`", "**`[End]`**", "`[End]` "])
def test_an_end_as_code_leaves_no_backtick(end: str) -> None:
    found = better(f"A.\n{end}")
    assert found == Reading({"critique": "It is short.", "response": "A."}, ["[End]'s form"])


@pytest.mark.parametrize("text", ["Use `x`", "```\nmix\n```\nBake. ```x```", "Put `[End]` below. Bake."])
def test_code_before_an_end_keeps_its_backticks(text: str) -> None:
    found = better(f"{text}[End]")
    assert isinstance(found, Reading)
    assert found.fields["response"] == text


def test_an_end_in_a_fence_of_the_answer_is_in_doubt() -> None:
    found = better("Use:\n```\n[Begin]\ntext\n[End]\n```")
    assert found == Failure("unreadable", "[Better Answer] goes on after an [End]")


def test_the_fault_of_an_end_tag_in_the_answer(shared_data: Path) -> None:
    reply = (shared_data / "faults" / "03_end_tag_in_answer.reply.txt").read_text()
    found = read({"reply": reply, "phase": "response", "answer": "tags", "finish_reason": "stop"})
    assert isinstance(found, Reading)
    assert found.fields["response"] == BLOCK.replace("MARK", "[End]")


def test_real_announcements_are_found_and_nothing_else_is_touched(shared_data: Path) -> None:
    def outputs(name: str) -> list[str]:
        return [row["output"] for row in json.loads((shared_data / "alpaca_eval" / f"{name}.json").read_text())]

    def announced(texts: list[str]) -> list[str]:
        return [text for text in texts if "announcement" in cleaned(text, "response", CLEANING)[1]]

    leaked = announced(outputs("recycled-wizardlm-7b-v2.0.outputs"))
    assert len(leaked) == 25
    assert all("answer" in text[:200] for text in leaked)
    people = json.loads((shared_data / "alpaca" / "cherry_alpaca_5_percent.json").read_text())
    texts = [row["output"] for row in people] + outputs("text_davinci_003.reference") + outputs("alpaca-7b.outputs")
    assert announced(texts) == []


@pytest.mark.parametrize(
    "noise", ["***\n" * 40 + "x", "*" * 20_000, "_" * 20_000, "\n" * 20_000, " " * 20_000, "#\n" * 5_000, "{" * 20_000]
)
@pytest.mark.parametrize("place", ["before", "within", "alone"])
def test_what_a_looping_model_writes_is_read_to_its_end(noise: str, place: str) -> None:
    texts = {
        "before": f"{noise}\n[Better Answer]Mix it.[End]",
        "within": f"[Better Answer]Mix it.\n{noise}",
        "alone": noise,
    }
    for answer in ("tags", "json"):
        found = read({"reply": texts[place], "phase": "response", "answer": answer, "finish_reason": "stop"})
        if answer == "tags" and place != "alone":
            assert isinstance(found, Reading)
            assert found.fields["response"].startswith("Mix it.")


def test_a_cleaning_file_of_ones_own_is_checked(tmp_path: Path) -> None:
    values = yaml.safe_load(Path("config/prompts/answers.yaml").read_text())
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({**values, "openings": ["voici * reponse*"]}))
    cleaning = read_cleaning(str(tmp_path / "a.yaml"))
    assert cleaned("Voici une meilleure reponse :\nOui.", "response", cleaning)[0] == "Oui."
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({**values, "phrases": []}))
    with pytest.raises(InputError, match=r"b\.yaml: phrases: is not a known key"):
        read_cleaning(str(tmp_path / "b.yaml"))
