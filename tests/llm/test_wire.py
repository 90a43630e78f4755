"""Odd replies over real HTTP through the teacher and the judge: nothing raises, nothing is stuck, all are counted."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.fake_judge import KEY_VARIABLE, judge_config
from helpers.fake_teacher import MODEL
from helpers.odd_server import EMPTY, KINDS, ODD, READ, TAINTED, OddServer
from srt import cli
from srt.llm.asking import Known
from srt.llm.requests import Completion, Request, Sampling
from srt.llm.spending import completion_of, spent_of
from srt.llm.wire import of_choice
from srt.reflection.cleaning import read_cleaning
from srt.storage.files import read_records, write_json, write_records
from srt.storage.journal import Journal, entries_of
from srt.storage.readers import read_json
from srt.storage.records import Answer, Evaluation, Pair, ReflectedPair

GOOD = [f"good{i}" for i in range(8)]  # asked first: the server has answered before it is odd
PASSING_TRIES = 2
KIND = {name: kind for kind, shapes in KINDS.items() for name in shapes}
NOT_FATAL = [name for name in ODD if KIND[name] != "fatal"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few tries without pauses, and no key of the environment."""
    for name, value in {"TRIES": PASSING_TRIES, "LIMITED_TRIES": PASSING_TRIES, "BACKOFF_SECONDS": 0.01}.items():
        monkeypatch.setattr(f"srt.llm.sending.{name}", value)
    monkeypatch.setenv("SRT_TEACHER_API_KEY", "none")
    monkeypatch.setenv(KEY_VARIABLE, "none")


def sending(percent: int) -> list[str]:
    flags = {"concurrency": 4, "request-seconds": 5, "patience-seconds": 0.3, "failure-percent": percent}
    return [word for name, value in flags.items() for word in (f"--{name}", str(value))]


# --- The teacher ---------------------------------------------------------------------------------------------------


def pairs_of(folder: Path, names: list[str]) -> None:
    pairs = [Pair(id=name, instruction=f"Tell me about case {name}.", output=f"It is {name}.") for name in names]
    write_records(folder / "pairs.jsonl", pairs)


def reflect(folder: Path, server: OddServer, percent: int = 100) -> int:
    words = ["reflect", str(folder / "pairs.jsonl"), str(folder / "out.jsonl"), "--variant", "instruction"]
    words += ["--backend", "openai", "--base-url", server.base_url, "--model", MODEL, "--repetition-penalty", "1"]
    words += ["--prompts", "config/prompts/tags.yaml", "--journal", str(folder / "journal")]
    return cli.main([*words, *sending(percent)])


def statuses(folder: Path) -> dict[str, str]:
    return {pair.id: pair.status for pair in read_records(folder / "out.jsonl", ReflectedPair)}


@pytest.mark.slow
def test_every_odd_reply_of_a_teacher_is_its_own_record_s_affair(tmp_path: Path) -> None:
    pairs_of(tmp_path, [*GOOD, *NOT_FATAL])
    usable = {*GOOD, *READ}
    with OddServer() as server:
        assert reflect(tmp_path, server) == 0
        found, asked = statuses(tmp_path), Counter(server.asked)
        assert {name for name in found if found[name] == "reflected"} == usable
        expected = {"read": 1, "empty": 2, "tainted": 2, "refused": 1}
        for name in NOT_FATAL:
            assert asked[name] == expected.get(KIND[name], asked[name]), name
        meta = read_json(tmp_path / "out.meta.json")
        assert meta["outcomes"]["unanswered"] == len(KINDS["passing"]) + len(KINDS["refused"])
        assert sum(meta["reasons"].values()) == len(NOT_FATAL) - len(READ)

        server.healthy = True
        assert reflect(tmp_path, server) == 0
        assert set(statuses(tmp_path).values()) == {"reflected"}
        again = server.asked - asked
    assert again == dict.fromkeys(set(NOT_FATAL) - set(READ), 1)


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(ODD))
def test_a_teacher_that_sends_nothing_else_ends_the_run_with_one_line_or_failed_records(
    tmp_path: Path, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"r{i}_{shape}" for i in range(3)]
    pairs_of(tmp_path, names)
    with OddServer() as server:
        code = reflect(tmp_path, server)
        assert code == {"passing": 1, "refused": 1, "fatal": 2 if shape in ("401", "unknownmodel") else 1}.get(
            KIND[shape], 0
        )
        assert (tmp_path / "out.jsonl").exists() == (code == 0)
        assert capsys.readouterr().err.count("\nsrt: ") == (code != 0)
        asked, server.healthy = Counter(server.asked), True
        assert reflect(tmp_path, server) == 0
        assert statuses(tmp_path) == dict.fromkeys(names, "reflected")
        assert server.asked - asked == ({} if KIND[shape] == "read" else dict.fromkeys(names, 1))


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["403", "404", "500", "429", "html"])
def test_one_record_that_always_fails_never_keeps_a_run_from_its_end(tmp_path: Path, shape: str) -> None:
    with OddServer() as server:
        pairs_of(tmp_path, [f"r0_{shape}", *GOOD])
        assert reflect(tmp_path, server, percent=20) == 0
        pairs_of(tmp_path, [*GOOD, f"r0_{shape}"])  # another order: only the journal knows that others were answered
        asked = Counter(server.asked)
        assert reflect(tmp_path, server, percent=20) == 0
        assert set(server.asked - asked) == {f"r0_{shape}"}
    assert statuses(tmp_path) == {**dict.fromkeys(GOOD, "reflected"), f"r0_{shape}": "failed"}


def test_the_servers_own_words_end_a_run_in_which_everything_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs_of(tmp_path, [f"r{i}_422" for i in range(40)])
    with OddServer() as server:
        assert reflect(tmp_path, server, percent=20) == 1
        assert sum(server.asked.values()) <= 8 + 4
    said = capsys.readouterr().err.splitlines()[-1]
    assert "answered nothing and refused 8 requests with the same words: HTTP 422:" in said
    assert '"seed"' in said


def test_thoughts_beside_the_text_stay_in_the_journal(tmp_path: Path) -> None:
    pairs_of(tmp_path, ["reasoning", "thoughtpart"])
    with OddServer() as server:
        assert reflect(tmp_path, server) == 0
    (folder,) = (tmp_path / "journal").iterdir()
    kept = [value for value in entries_of(folder).values() if "text" in value]
    assert sorted(value["reasoning"] for value in kept) == ["Hm.", "long thinking"]
    assert not any("thinking" in value["text"] or "Hm." in value["text"] for value in kept)


# --- The judge -----------------------------------------------------------------------------------------------------


def questions_of(folder: Path, names: list[str]) -> None:
    rows = [{"id": name, "instruction": f"What of case {name}?", "output": f"Old {name}."} for name in names]
    write_json(folder / "questions.json", rows)
    for who in ("ours", "theirs"):
        answers = [
            Answer(
                id=row["id"], question=row["instruction"], answer=f"{who} {row['id']}", tokens=1, finish_reason="stop"
            )
            for row in rows
        ]
        write_records(folder / f"{who}.jsonl", answers)
    (folder / "judge.yaml").write_text(yaml.safe_dump(judge_config(model=MODEL).model_dump()))


def judge(folder: Path, server: OddServer, form: str, percent: int = 100) -> int:
    ours, out, questions = (str(folder / name) for name in ("ours.jsonl", "out.json", "questions.json"))
    if form == "pairwise":
        words = ["evaluate", form, ours, str(folder / "theirs.jsonl"), out, "--questions", questions]
    else:
        words = ["evaluate", form, ours, out, "--reference", questions, "--length-controlled", "null"]
    words += ["--judge", str(folder / "judge.yaml"), "--cache", str(folder / "cache"), "--missing-share", "0"]
    words += ["--endpoint", f"judge={server.base_url},{KEY_VARIABLE}"]
    return cli.main([*words, *sending(percent)])


ORDERS = {"pairwise": 2, "alpaca-eval": 1}


@pytest.mark.slow
@pytest.mark.parametrize("form", list(ORDERS))
def test_every_odd_reply_of_a_judge_is_its_own_question_s_affair(
    tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    questions_of(tmp_path, [*GOOD, *NOT_FATAL])
    orders = ORDERS[form]
    with OddServer() as server:
        assert judge(tmp_path, server, form) == 1
        said, asked = capfd.readouterr().err, Counter(server.asked)
        assert "Traceback" not in said
        lost = len(KINDS["passing"]) + len(KINDS["refused"])
        unread = sum(asked[name] > orders for name in [*READ, *EMPTY, *TAINTED])
        assert unread == (len(EMPTY) if form == "pairwise" else unread)
        assert f"{lost + unread} of {len(GOOD) + len(NOT_FATAL)} questions have no usable verdict" in said
        assert max(asked[name] for name in KINDS["refused"]) == orders

        server.healthy = True
        assert judge(tmp_path, server, form) == 0
        evaluation = Evaluation.model_validate(read_json(tmp_path / "out.json"))
        assert (evaluation.missing, evaluation.metrics[0].n) == ({}, len(GOOD) + len(NOT_FATAL))
        again = server.asked - asked
    failed = [name for name in NOT_FATAL if asked[name] > orders or KIND[name] in ("refused", "passing")]
    assert again == dict.fromkeys(failed, orders)


@pytest.mark.slow
@pytest.mark.parametrize("shape", list(ODD))
def test_a_judge_that_sends_nothing_else_ends_the_job_with_one_line(
    tmp_path: Path, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"q{i}_{shape}" for i in range(2)]
    questions_of(tmp_path, names)
    with OddServer() as server:
        code = judge(tmp_path, server, "pairwise")
        assert code == (2 if shape in ("401", "unknownmodel") else 0 if shape in {*READ, *TAINTED} else 1)
        assert ("srt: " in capsys.readouterr().err) == (code != 0)
        asked, server.healthy = Counter(server.asked), True
        assert judge(tmp_path, server, "pairwise") == 0
        assert server.asked - asked == ({} if code == 0 else dict.fromkeys(names, 2))
    assert read_json(tmp_path / "out.json")["missing"] == {}


def test_a_judge_whose_server_names_no_model_has_judged(tmp_path: Path) -> None:
    questions_of(tmp_path, ["nomodel"])
    with OddServer() as server:
        assert judge(tmp_path, server, "pairwise") == 0
    assert read_json(tmp_path / "out.json")["versions"]["answered_as"] == "(the server names no model)"


# --- What older versions kept --------------------------------------------------------------------------------------

REQUEST = Request((("system", "s"), ("user", "u")), 40, Sampling(0.0, 1.0, 1.0, 0), {"type": "object"})
OLD = {"text": "kept", "tokens": 20, "finish_reason": "stop", "prompt_tokens": 10, "model": "m", "seconds": 0.5}
PARTS = [{"type": "text", "text": "kept"}]


def test_an_answer_is_known_by_the_same_key_as_ever() -> None:
    known = Known("openai m", {}, None, False)
    assert known.key(REQUEST) == "283bfb59876de14ba4208c760026a4867a7294248a2e203ea94ed322b24b3b6d"


@pytest.mark.parametrize(
    ("changes", "text", "fault"),
    [
        ({}, "kept", None),
        ({"text": PARTS}, "kept", None),
        ({"tokens": "20", "prompt_tokens": "10", "seconds": "x", "model": 4}, "kept", None),
        ({"tokens": None, "finish_reason": None}, "kept", None),
        ({"tokens": 10**30, "prompt_tokens": [1], "cost": "1", "wall": {}, "characters": "9"}, "kept", None),
        ({"text": None}, "", None),
        ({"text": 8}, "", "the content is no text: 8"),
        ({"text": {"a": 1}}, "", 'the content is no text: {"a": 1}'),
        ({"text": "a\0"}, "a\0", "the text has a NUL character in it"),
    ],
)
def test_what_an_older_version_kept_is_read(changes: dict[str, Any], text: str, fault: str | None) -> None:
    entry = {**OLD, **changes}
    found = completion_of(entry)
    assert (found.text, found.fault) == (text, fault)
    assert (found.raw is None) == (fault is None)
    assert isinstance(found.tokens, int)
    assert spent_of([entry, [], None, "x"], None).requests == 1
    assert completion_of(json.loads(json.dumps(found.as_json()))) == found  # and kept again


@pytest.mark.parametrize("entry", [None, [], "x", 5, {"rounds": 1}])
def test_an_entry_that_is_no_answer_is_a_counted_failure(entry: Any) -> None:
    assert completion_of(entry).fault == "the journal's entry is no answer"


@pytest.mark.parametrize(
    "choice", [None, [], "x", {"message": "x"}, {"message": {"content": {"a": 1}}}, {"logprobs": 5}]
)
def test_a_choice_that_cannot_be_read_raises_nothing(choice: Any) -> None:
    found = of_choice(choice, 5, "x")
    assert found.text == ""
    assert of_choice(found.as_choice()) == found


def test_a_journal_of_odd_entries_is_opened(tmp_path: Path) -> None:
    deep = '{"key": "a", "value": ' + "[" * 100_000 + "]" * 100_000 + "}"
    lines = [
        deep,
        '{"key": ["b"], "value": 1}',
        '{"key": "c", "value": ' + "9" * 5000 + "}",
        '{"key": "d", "value": 1}',
    ]
    (tmp_path / "old.jsonl").write_text("".join(f"{line}\n" for line in lines))
    journal = Journal(tmp_path / "mine.jsonl")
    assert journal["d"] == 1
    assert "a" not in journal


def test_a_text_that_no_parser_survives_is_one_unreadable_answer() -> None:
    from srt.evaluation import _reading as reading
    from srt.reflection.styles import Turn

    cleaning = read_cleaning("config/prompts/answers.yaml")
    turn = Turn(name="t", answer="json", fields=["response"], ask="?")
    for text in ('{"response": ' + "9" * 5000 + "}", '{"a":' * 100_000, "{" * 2000 + "9" * 5000):
        assert turn.read(Completion(text, 1, "stop"), cleaning).outcome == "unreadable"
        assert reading.scores(text) is None
        assert reading.grade(text) is None
