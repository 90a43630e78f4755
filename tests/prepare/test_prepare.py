import json
from pathlib import Path

import pytest

from helpers.preparing import prepared, write_as
from srt.prepare.sources import read_pairs
from srt.storage.errors import InputError

ROWS = [
    {"instruction": "Name a fruit.", "input": "", "output": "An apple."},
    {"instruction": "Name a fruit.", "input": "", "output": "An apple."},
    {"instruction": "Add.", "input": "1 and 2", "output": "3"},
    {"instruction": "  ", "input": "", "output": "nothing was asked"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]


@pytest.mark.parametrize("name", ["s.json", "s.jsonl", "s.parquet"])
def test_every_format_gives_the_same_pairs(tmp_path: Path, name: str) -> None:
    pairs = prepared(write_as(tmp_path / name, ROWS), tmp_path / "out.jsonl")
    assert [pair.instruction for pair in pairs] == ["Name a fruit.", "Name a fruit.", "Add."]
    assert pairs[1].id == pairs[0].id + "-2"
    counts = json.loads((tmp_path / "out.meta.json").read_text())["counts"]
    assert counts == {"read": 5, "empty": 2, "duplicates": 1, "written": 3}


def test_duplicates_are_dropped_where_the_settings_say_so(tmp_path: Path) -> None:
    assert len(prepared(write_as(tmp_path / "s.json", ROWS), tmp_path / "out.jsonl", duplicates="drop")) == 2


def test_the_limit_counts_records_of_the_source(tmp_path: Path) -> None:
    assert len(prepared(write_as(tmp_path / "s.json", ROWS), tmp_path / "out.jsonl", limit=1)) == 1


def test_conversations_as_in_wizardlm(tmp_path: Path) -> None:
    rows = [{"idx": "a", "conversations": [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Hello."}]}]
    pair = prepared(write_as(tmp_path / "s.json", rows), tmp_path / "out.jsonl")[0]
    assert (pair.instruction, pair.input, pair.output) == ("Hi?", "", "Hello.")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("[{", r"s.json: line 1: is not JSON"),
        ('{"a": 1}', r"s.json: expected a JSON list of records, found dict"),
        ('[{"instruction": "i"}]', r"s.json: record 0: output: is missing"),
        ('[{"instruction": "i", "output": 3}]', r"s.json: record 0: output: expected text, found 3"),
        ('[{"instruction": "i", "output": "o"}, 5]', r"s.json: record 1: expected an object"),
        ('[{"conversations": [{"from": "gpt", "value": "x"}, {"from": "human", "value": "y"}]}]', "a turn of human"),
        ("[]", r"s.json: no usable record among 0"),
        ("", r"s.json: is empty, expected a JSON list"),
    ],
)
def test_bad_input_stops_with_its_position_and_writes_nothing(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(InputError, match=expected):
        prepared(tmp_path / "s.json", tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: no such file"):
        prepared(tmp_path / "none.json", tmp_path / "out.jsonl")


def test_real_alpaca_records_are_read_and_their_ids_are_unique(shared_data: Path, tmp_path: Path) -> None:
    pairs = prepared(shared_data / "alpaca" / "cherry_alpaca_5_percent.json", tmp_path / "out.jsonl")
    assert len(pairs) == len({pair.id for pair in pairs}) == 3111
    assert sum(bool(pair.input) for pair in pairs) == 579


def test_read_pairs_gives_raw_data_the_ids_that_prepare_gives(tmp_path: Path) -> None:
    source = write_as(tmp_path / "s.json", ROWS[:3])
    assert read_pairs(source) == prepared(source, tmp_path / "out.jsonl") == read_pairs(tmp_path / "out.jsonl")
