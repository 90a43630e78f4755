"""Where completions become text: thoughts and ends, through teacher, judge and students' answers alike."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from helpers.cases import teacher
from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge, judging
from srt.llm.requests import Completion, Request
from srt.reflection.cleaning import Failure, Reading, read_cleaning
from srt.reflection.styles import Turn, read_style

CLEANING = read_cleaning("config/prompts/answers.yaml")
TAGGED = "It is short.\n[Better Answer]\nThe whole answer.\n[End]"
DRAFT = "[Better Answer]\nA draft.\n[End]"
AS_JSON = '{"critique": "It is short.", "response": "The whole answer."}'
DRAFT_JSON = '{"critique": "no", "response": "A draft."}'
TURNS: dict[str, tuple[Turn, str, str]] = {
    "text": (Turn(name="t", answer="text", fields=["response"], ask=""), "The whole answer.", "A draft."),
    "tags": (read_style("config/prompts/tags.yaml").response[0], TAGGED, DRAFT),
    "json": (read_style("config/prompts/json.yaml").response[0], AS_JSON, DRAFT_JSON),
}

# Before the answer, with DRAFT for a draft of it: what is thoughts in it.
BLOCKS = {
    "closed": "<think>\nPerhaps DRAFT? No.\n</think>\n\n",
    "empty": "<think>\n\n</think>\n\n",
    "glued": "<think>DRAFT</think>",
    "after white space": " \n\t<think>\nDRAFT\n</think>\n",
    "opened by the prompt": "Okay, DRAFT it is. No.\n</think>\n\n",
    "a pair inside": "<think>\nA <think>DRAFT</think> is DRAFT\n</think>\n",
    "upper case": "<THINK>\nDRAFT\n</THINK>\n",
    "thinking": "<thinking>\nDRAFT </think> DRAFT\n</thinking>\n",
    "with a prefix": "<seed:think>DRAFT</seed:think>",
    "square": "[THINK]DRAFT[/THINK]",
    "Kimi's": "◁think▷DRAFT◁/think▷",
    "thought": "<thought>DRAFT</thought>\n",
    "thoughts": "<Thoughts>\nDRAFT\n</Thoughts>\n",
    "a blank in the tags": "<think >DRAFT</think >",
    "reasoning": "<reasoning>\nDRAFT </think> DRAFT\n</reasoning>\n",
    "reasoning opened by the prompt": "DRAFT\n</reasoning>\n",
    "Sky-T1's": "<|begin_of_thought|>\nDRAFT\n<|end_of_thought|>\n\n",
}
# What may stand before them, and is no word.
LEADS = (
    "\ufeff",
    "\u200b\u2060\n",
    "<s>",
    "<s> <|im_start|>assistant\n",
    "<\uff5cbegin▁of▁sentence\uff5c><\uff5cAssistant\uff5c>",
)
LEADS += ("<|start_header_id|>assistant<|end_header_id|>\n\n", "assistant\n\n", "<bos><start_of_turn>model\n")
BLOCKS |= {f"after {lead!a}": f"{lead}<think>\nDRAFT\n</think>\n" for lead in LEADS}
# The same, where there is no answer: the thoughts were never closed.
OPEN = {
    "never closed": "<think>\nI would say DRAFT\n",
    "closed once of twice": "<think>\nA <think>DRAFT</think> is DRAFT\n",
    "closed as another": "<think>\nDRAFT\n</thinking>\n",
    "thought": "<thought>\nDRAFT\n",
    "Sky-T1's": "<|begin_of_thought|>\nDRAFT\n",
    "after control words": "<|im_start|>assistant\n<think>\nDRAFT\n",
}


def read(form: str, text: str, finish_reason: str = "stop") -> Reading | Failure:
    return TURNS[form][0].read(Completion(text, 9, finish_reason), CLEANING)


@pytest.mark.parametrize("form", TURNS)
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_thoughts_never_enter_a_record_and_are_counted(form: str, block: str) -> None:
    _, answer, draft = TURNS[form]
    found = read(form, block.replace("DRAFT", draft) + answer)
    assert isinstance(found, Reading)
    assert {k: v for k, v in found.fields.items() if k != "critique"} == {"response": "The whole answer."}
    assert found.fields.get("critique", "It is short.") == "It is short."
    assert "thoughts" in found.repairs[0]
    plain = read(form, answer)
    assert isinstance(plain, Reading)
    assert found.repairs[1:] == plain.repairs == []


@pytest.mark.parametrize("form", TURNS)
@pytest.mark.parametrize("block", OPEN.values(), ids=OPEN)
@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_thoughts_that_are_never_closed_are_cut_off(form: str, block: str, finish_reason: str) -> None:
    _, answer, draft = TURNS[form]
    found = read(form, block.replace("DRAFT", draft) + answer, finish_reason)
    assert found == Failure("cut_off", "thoughts that were never closed")


def test_a_critique_of_open_thoughts_is_none() -> None:
    critique = Turn(name="c", answer="text", fields=["critique"], ask="")
    found = critique.read(Completion("<think>It is vague. It does not", 9, "length"), CLEANING)
    assert found == Failure("cut_off", "thoughts that were never closed")


@pytest.mark.parametrize(
    "text",
    [
        "Write <think> before your thoughts and </think> after them.",
        "A tag is `<think>`, never closed.",
        "Rethink> is no tag, nor is <thinker> or </ think>.",
        "[Think] of a number between 1 and 10, then double it.",
        "Write <reasoning> before your thoughts and </reasoning> after them.",
        "<s>Hi <think> is a tag.",
    ],
)
def test_a_tag_after_other_words_is_text(text: str) -> None:
    found = read("text", text)
    assert isinstance(found, Reading)
    assert found == Reading({"response": text}, [])
    after = read("text", f"<think>hm</think>{text}")
    assert isinstance(after, Reading)
    assert after.fields == {"response": text}


ENDS = {
    "finished": ["stop", "STOP", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "", "null", "None"],
    "cut_off": ["length", "model_length", "max_tokens", "MAX_TOKENS", "model_context_window_exceeded"],
    "refusal": ["content_filter", "SAFETY", "refusal", "contentFilter", "FinishReason.SAFETY"],
    "broken": ["error", "abort", "repetition", "tool_calls", "insufficient_system_resource", "other", "stopped early"],
}
ENDS["finished"] += ["FINISH_REASON_STOP", "FinishReason.STOP", "end-turn", "stop-sequence", "endTurn", "EndTurn"]
ENDS["cut_off"] += [
    "FinishReason.MAX_TOKENS",
    "FINISH_REASON_MAX_TOKENS",
    "max-tokens",
    "max_output_tokens",
    "maxTokens",
]
ENDS["broken"] += ["FinishReason.OTHER", "FINISH_REASON_UNSPECIFIED", "nonstop", "toolCalls"]


@pytest.mark.parametrize("form", TURNS)
@pytest.mark.parametrize(("kind", "end"), [(kind, end) for kind, ends in ENDS.items() for end in ends])
def test_only_a_known_end_is_the_end_of_an_answer(form: str, kind: str, end: str) -> None:
    _, answer, _ = TURNS[form]
    truncated = answer.removesuffix("\n[End]").removesuffix('"}')
    found = read(form, answer if kind == "finished" else truncated, end)
    if kind == "finished":
        assert isinstance(found, Reading)
        return
    assert isinstance(found, Failure)
    assert found.outcome == ("refusal" if kind == "refusal" else "cut_off")
    if kind == "broken":
        assert end in found.reason
        whole = read(form, answer, end)  # even where nothing seems to be missing
        assert isinstance(whole, Failure)


def test_no_tag_before_the_limit_is_cut_off_and_not_another_form() -> None:
    found = read("tags", "The old answer is", "max_tokens")
    assert isinstance(found, Failure)
    assert found.outcome == "cut_off"


def test_what_the_faults_hold_is_read_as_their_readme_says(shared_data: Path) -> None:
    def reply(name: str) -> Completion:
        choice = json.loads((shared_data / "faults" / name).read_text())["choices"][0]
        return Completion(choice["message"]["content"], 9, choice["finish_reason"])

    lever = read_style("config/prompts/turns.yaml").instruction[1].read(reply("01_think_text.reply.json"), CLEANING)
    assert isinstance(lever, Reading)
    assert lever.fields == {"instruction": "Explain in three steps how a lever works and give one example."}
    final = read_style("config/prompts/json.yaml").instruction[0].read(reply("01b_think_json.reply.json"), CLEANING)
    assert isinstance(final, Reading)
    assert final.fields["instruction"] == "Explain in three steps how a lever works."
    cut = (
        read_style("config/prompts/tags.yaml").instruction[0].read(reply("02_finish_model_length.reply.json"), CLEANING)
    )
    assert isinstance(cut, Failure)
    assert cut.outcome == "cut_off"


class Steered:
    """A backend whose one answer a test decides."""

    capacity = 4

    def __init__(self, text: str, finish_reason: str = "stop") -> None:
        self.completion = Completion(text, 9, finish_reason, 10)
        self.waiting: list[str] = []

    def submit(self, ticket: str, request: Request) -> None:
        self.waiting.append(ticket)

    def collect(self) -> list[tuple[str, Completion]]:
        found, self.waiting = [(ticket, self.completion) for ticket in self.waiting], []
        return found

    def settled(self) -> None:
        pass

    def close(self) -> None:
        pass


def answered(folder: Path, backend: Steered | None) -> tuple[list[Any], dict[str, Any]]:
    """Two students' answers from a backend, or where there is none from the journal; and what was counted."""
    from srt.evaluation.generate import _answers
    from srt.evaluation.questions import Question
    from srt.experiment.config import load
    from srt.llm.asking import Teacher

    settings = next(iter(load()[0].generate.values()))
    asked = [
        Question(id=str(i), question=f"Why {i}?", reference=None, turns=[], references=[], category=None)
        for i in range(2)
    ]
    with Teacher("student", lambda _: backend, folder, "job") as teacher:  # type: ignore[arg-type,return-value]
        answers, _ = _answers(asked, "chat", settings, teacher)
        return answers, teacher.thoughts.as_json()


def test_a_students_thoughts_are_no_answer_and_the_journal_keeps_them(tmp_path: Path) -> None:
    raw = "<think>\nBecause? No.\n</think>\n\nIt is so."
    answers, counts = answered(tmp_path, Steered(raw))
    assert [answer.answer for answer in answers] == ["It is so."] * 2
    assert counts == {"received": {"thoughts before the answer": 2}, "reused": {}}
    assert {json.loads(line)["value"]["text"] for line in next(tmp_path.rglob("*.jsonl")).open()} == {raw}
    answers, counts = answered(tmp_path, None)  # nothing is asked again
    assert [answer.answer for answer in answers] == ["It is so."] * 2
    assert counts == {"received": {}, "reused": {"thoughts before the answer": 2}}


def test_a_student_that_never_stops_thinking_is_cut_off_and_has_no_answer(tmp_path: Path) -> None:
    answers, counts = answered(tmp_path, Steered("<think>\nBecause? No."))
    assert [(answer.answer, answer.finish_reason) for answer in answers] == [("", "length")] * 2
    assert counts["received"] == {"thoughts that were never closed": 2}


@pytest.fixture
def judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """`judged(answers, journal)`: what the judge's replies say of one request, why not, and its notes."""
    from srt.evaluation import _reading as reading
    from srt.evaluation.judge import Judge
    from srt.llm.servers import OpenServer

    monkeypatch.setenv(KEY_VARIABLE, KEY)
    asked = {"q": {"messages": [{"role": "user", "content": "?"}]}}

    def run(*answers: Any, parse: Any = reading.scores) -> tuple[Any, ...]:
        with FakeJudge(lambda request, count: answers[min(count, len(answers)) - 1]) as fake:
            server = OpenServer(fake.endpoint.base_url, KEY, "judge")
            with Judge(server, judging(tmp_path), "job") as judge:
                found, reasons = judge.read(asked, parse, "x")
                return found.get("q"), reasons.get("q"), judge.notes(), len(fake.requests)

    return run  # type: ignore[return-value]


def choice(content: str, finish_reason: str | None, **more: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", "content": content, **more}, "finish_reason": finish_reason}


def test_a_judges_thoughts_are_no_verdict(judged: Any) -> None:
    opened = "Both are fine. Assistant 1 is at 8, so\n3 4\n</think>\n\n8 7\nok"
    assert judged(opened) == ((8, 7), None, {"thoughts before the answer, without an opening tag": 1}, 1)
    assert judged("1 2") == ((8, 7), None, {"thoughts before the answer, without an opening tag": 1}, 0)


def test_a_judge_that_never_stops_thinking_is_asked_again(judged: Any) -> None:
    found = judged("<think>\n8 7", "<think>9 9</think>8 7")
    assert found == ((8, 7), None, {"thoughts that were never closed": 1, "thoughts before the answer": 1}, 2)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (choice("8 7", "stop"), ((8, 7), None)),
        (choice("8 7\nThe first is", "length"), ((8, 7), None)),  # the verdict was there before the limit
        (choice("8 7\nThe first is", "FinishReason.MAX_TOKENS"), ((8, 7), None)),
        (choice("8 1", "length"), (None, "unreadable verdict")),  # 10?
        (choice("8 7", "abort"), (None, "ended by 'abort', which is no known end of an answer")),
        (choice("8 7", "error"), (None, "ended by 'error', which is no known end of an answer")),
        (choice("", "content_filter"), (None, "withheld by a content filter (content_filter)")),
        (choice("8 7", "stop", reasoning_content="3 4"), ((8, 7), None)),
    ],
)
def test_a_verdict_counts_only_where_the_reply_has_a_known_end(judged: Any, answer: Any, expected: tuple) -> None:
    assert judged(answer)[:2] == expected


def test_what_an_endpoint_sends_beside_the_text_stays_in_the_journal() -> None:
    from srt.llm.endpoint import completion
    from srt.llm.wire import received_value

    for name in ("reasoning_content", "reasoning"):
        message = {"role": "assistant", "content": "It is so.", name: "Is it?"}
        body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "model": "m", "usage": None}
        found = completion(received_value(body), None)
        assert found.said().text == found.text == "It is so."
        assert found.as_json()["reasoning"] == "Is it?"


def test_a_reflection_counts_thoughts_of_its_journal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An old journal with thoughts in it: nothing is asked again, and the log says how many it re-read."""
    from srt.experiment.config import load
    from srt.reflection.reflect import Service, conversations, read_input, reflect, speaker_of
    from srt.settings.job import Job
    from srt.storage.files import read_records, write_records
    from srt.storage.journal import content_key, journals_of
    from srt.storage.readers import read_json
    from srt.storage.records import Pair, ReflectedPair

    config = load()[0]
    style = "config/prompts/tags.yaml"
    settings = teacher(next(iter(config.teachers.values())), backend="openai", model="m", prompts=style)
    write_records(tmp_path / "in.jsonl", [Pair(id=str(i), instruction=f"Why {i}?", output="So.") for i in range(3)])
    records, identity = read_input(tmp_path / "in.jsonl", "response"), speaker_of(settings).identity()
    folder = journals_of(tmp_path / "journal", identity)
    folder.mkdir(parents=True)
    texts = ["<think>\n[Better Answer] bad [End]\n</think>\n" + TAGGED, f"hm</think>{TAGGED}", TAGGED]
    old = {"tokens": 9, "finish_reason": "stop", "prompt_tokens": 9, "model": "m", "seconds": 1.0, "cost": None}
    with (folder / "old.jsonl").open("w") as file:
        for talk, text in zip(conversations(records, "response", settings), texts, strict=True):
            key = content_key(identity, talk.request().as_json())  # type: ignore[union-attr]
            print(json.dumps({"key": key, "value": {"text": text, **old}}), file=file)
    job = Job(tmp_path / "out.jsonl", tmp_path, config.execution)
    reflect(tmp_path / "in.jsonl", "response", settings, job, Service(journals=tmp_path / "journal"))
    found = read_records(tmp_path / "out.jsonl", ReflectedPair)
    assert [record.output for record in found] == ["The whole answer."] * 3
    assert Counter(record.outcome for record in found) == {"repaired": 2, "clean": 1}
    meta = read_json(tmp_path / "out.meta.json")
    assert meta["answers"] == {"received": 0, "reused": 3}
    assert sum(meta["thoughts"]["reused"].values()) == 2
    assert "1 answers had thoughts before the answer, 1 of them read from the journal" in capsys.readouterr().err
