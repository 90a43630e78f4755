"""What a source has and a pair cannot hold (further turns, a history, a system text): left out, counted, said."""

import json
from pathlib import Path

import pytest

from helpers.preparing import prepared, write_as
from srt.experiment.table import read_runs
from srt.prepare.sources import read_pairs
from srt.storage.errors import InputError

FURTHER, HISTORY, SYSTEM = "further turns of a conversation", "a history of earlier turns", "a system text"
BESIDE = "a further column of turns"
TURNS = [("human", "Hi"), ("gpt", "Hello"), ("human", "Bye"), ("gpt", "Goodbye")]


def conversation(*turns: tuple[str, str], name: str = "conversations") -> dict[str, object]:
    keys = ("from", "value") if name == "conversations" else ("role", "content")
    return {name: [dict(zip(keys, turn, strict=True)) for turn in turns]}


def pair(**more: object) -> dict[str, object]:
    return {"instruction": "Hi", "input": "", "output": "Hello", **more}


SOURCES = [
    (conversation(*TURNS), {FURTHER: 1}),
    (conversation(*TURNS[:3]), {FURTHER: 1}),
    (conversation(("system", "Be brief."), *TURNS[:2]), {SYSTEM: 1}),
    (conversation(("system", "Be brief."), *TURNS), {FURTHER: 1, SYSTEM: 1}),
    (conversation(("user", "Hi"), ("assistant", "Hello"), name="messages"), {}),
    (
        conversation(("system", "x"), ("user", "Hi"), ("assistant", "Hello"), ("user", "?"), name="messages"),
        {FURTHER: 1, SYSTEM: 1},
    ),
    (conversation(*TURNS[:2]) | {"system": "Be brief."}, {SYSTEM: 1}),
    (pair(history=[["Who are you?", "A model."]]), {HISTORY: 1}),
    (pair(history=[["a", "b"], ["c", "d"]], system="Be brief."), {HISTORY: 1, SYSTEM: 1}),
    (pair(system_prompt="Be brief."), {SYSTEM: 1}),
    (pair(history=[], system=""), {}),
    (pair(history=None, system=None), {}),
    (pair(history="earlier", system=" "), {HISTORY: 1}),
    (pair(messages=None), {}),
    (pair(messages=[]), {}),
    (pair(messages="see below", conversations=None), {}),
    (pair() | conversation(*TURNS), {BESIDE: 1}),
    (pair() | conversation(("user", "a"), ("assistant", "b"), name="messages"), {BESIDE: 1}),
    (conversation(*TURNS[:2]) | {"instruction": None, "output": None}, {}),
    (conversation(("user", "Hi"), ("assistant", "Hello"), name="messages") | {"conversations": None}, {}),
    (conversation(("user", "Hi"), ("assistant", "Hello"), name="messages") | {"conversations": []}, {}),
    (conversation(*TURNS[:2]) | conversation(("user", "a"), ("assistant", "b"), name="messages"), {BESIDE: 1}),
]


@pytest.mark.parametrize("name", ["s.json", "s.jsonl", "s.parquet"])
@pytest.mark.parametrize(("row", "expected"), SOURCES)
def test_what_a_pair_cannot_hold_is_counted_in_log_and_sidecar(
    tmp_path: Path, capfd: pytest.CaptureFixture, row: dict, expected: dict, name: str
) -> None:
    pairs = prepared(write_as(tmp_path / name, [row]), tmp_path / "out.jsonl")
    assert [(p.instruction, p.input, p.output) for p in pairs] == [("Hi", "", "Hello")]
    assert json.loads((tmp_path / "out.meta.json").read_text())["not_used"] == expected
    said = capfd.readouterr().err
    for what in (FURTHER, HISTORY, SYSTEM, BESIDE):
        assert (f"1 of 1 records: {what}: not used" in said) == (what in expected)


def test_every_record_is_counted(tmp_path: Path) -> None:
    rows = [conversation(*TURNS), conversation(("human", "a"), ("gpt", "b")), conversation(("human", "c"), *TURNS[1:])]
    prepared(write_as(tmp_path / "s.json", rows), tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.meta.json").read_text())["not_used"] == {FURTHER: 2}


@pytest.mark.parametrize(
    ("name", "pairs", "expected"),
    [
        ("14_multi_turn.json", [("Hi", "Hello")], {FURTHER: 1}),
        ("15_conv_system_turn.json", [("Hi", "Hello")], {SYSTEM: 1}),
        ("15b_messages.jsonl", [("Hi", "Hello")], {}),
        ("15c_null_output.json", [("Name a colour.", "Blue.")], {}),
    ],
)
def test_the_shared_small_inputs(shared_data: Path, tmp_path: Path, name: str, pairs: list, expected: dict) -> None:
    found = prepared(shared_data / "faults" / name, tmp_path / "out.jsonl")
    assert [(p.instruction, p.output) for p in found] == pairs
    meta = json.loads((tmp_path / "out.meta.json").read_text())
    assert meta["not_used"] == expected
    assert meta["counts"]["empty"] == (name == "15c_null_output.json")


def test_a_step_that_reads_the_source_itself_says_it_too(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    path = write_as(
        tmp_path / "s.json", [conversation(("system", "x"), *TURNS) | {"id": "c1"}, pair(history=[["a", "b"]])]
    )
    assert [p.output for p in read_pairs(path)] == ["Hello", "Hello"]
    said = capfd.readouterr().err
    for what in (FURTHER, HISTORY, SYSTEM):
        assert f"{path}: 1 of 2 records: {what}: not used\n" in said


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (conversation(("system", "x"), ("gpt", "Hello"), ("human", "Hi")), "conversations: expected a turn of human"),
        (conversation(("system", "x"), ("human", "Hi")), "conversations: expected .* at least two turns"),
        (conversation(name="messages"), "messages: expected .* at least two turns"),
    ],
)
def test_what_is_no_such_thing_is_refused(tmp_path: Path, row: dict, message: str) -> None:
    with pytest.raises(InputError, match=f"s.json: record 0: {message}"):
        prepared(write_as(tmp_path / "s.json", [row]), tmp_path / "out.jsonl")


@pytest.mark.parametrize("name", ["13_bom.json", "16_one_record.json", "19_id_int.json"])
def test_other_small_inputs_are_read(shared_data: Path, tmp_path: Path, name: str) -> None:
    assert len(prepared(shared_data / "faults" / name, tmp_path / "out.jsonl")) == 1
    assert len(read_pairs(shared_data / "faults" / name)) == 1


@pytest.mark.parametrize("name", ["s.json", "s.jsonl"])
def test_a_byte_order_mark_and_a_single_record_are_read_in_both_forms(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + json.dumps(pair(id=7)).encode() + b"\n")
    assert [p.id for p in read_pairs(tmp_path / name)] == ["7"]
    assert prepared(tmp_path / name, tmp_path / "out.jsonl")[0].output == "Hello"


def test_a_run_table_with_a_byte_order_mark_is_read(tmp_path: Path, shared_data: Path) -> None:
    marked = (shared_data / "faults" / "13b_bom_run_table.tsv").read_bytes()
    (tmp_path / "runs.tsv").write_bytes(marked.replace(b"\treleased\t", b"\tselective\t"))  # the method's older name
    assert [found.run for found in read_runs(tmp_path / "runs.tsv")] == ["base", "original", "recycled"]
