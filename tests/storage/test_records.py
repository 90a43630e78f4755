import json
from pathlib import Path

import pytest

from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records, write_text
from srt.storage.records import Pair, Score, pair_id


def test_id_depends_on_every_field_and_survives_odd_text() -> None:
    ids = {pair_id(*fields) for fields in [("a", "b", "c"), ("ab", "", "c"), ("a", "b", ""), ("\ud800", "\x00", "é")]}
    assert len(ids) == 4
    assert all(len(key) == 16 for key in ids)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    pairs = [Pair(id=str(i), instruction=text, output="o") for i, text in enumerate(["\u2028", "\ud800", "\n", "{x}"])]
    write_records(tmp_path / "p.jsonl", pairs)
    assert read_records(tmp_path / "p.jsonl", Pair) == pairs


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            '{"id": "1", "instruction": 7, "output": "o"}',
            "line 1: instruction: Input should be a valid string, found 7",
        ),
        ('{"id": "1", "instruction": "i"}', "line 1: output: is missing"),
        ('{"id": "1", "instruction": "i", "output": "o", "extra": 1}', "line 1: extra: is not a known name"),
        ("{", "line 1: is not JSON"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, expected: str) -> None:
    (tmp_path / "p.jsonl").write_text(line + "\n")
    with pytest.raises(InputError, match="p.jsonl: " + expected.replace("(", r"\(")):
        read_records(tmp_path / "p.jsonl", Pair)


def test_a_repeated_id_is_refused(tmp_path: Path) -> None:
    write_records(tmp_path / "p.jsonl", [Pair(id="1", instruction="i", output="o")] * 2)
    with pytest.raises(InputError, match="line 2: id '1' occurs twice"):
        read_records(tmp_path / "p.jsonl", Pair)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "f", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "f", "new \ud800")
    assert (tmp_path / "f").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_null_score_stays_null(tmp_path: Path) -> None:
    counts = dict.fromkeys((name for name in Score.model_fields if name.startswith("tokens")), 0)
    nulls = dict.fromkeys((name for name in Score.model_fields if name.startswith("nll")), None)
    score = Score(id="1", **nulls, **counts, ifd=None, r_ifd=None, truncated=[], status="failed", reason="why")
    write_records(tmp_path / "s.jsonl", [score])
    assert json.loads((tmp_path / "s.jsonl").read_text())["ifd"] is None
