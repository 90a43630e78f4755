"""Published scores: what failed in them is null, and what is not of this data is refused."""

import math
from pathlib import Path
from typing import Any

import pytest

from helpers import release as released
from helpers.importing import Import, changed, shuffle
from helpers.preparing import PREPARE as DEFAULTS
from srt import cli
from srt.prepare.prepare import prepare
from srt.settings import PrepareConfig
from srt.storage.files import read_records
from srt.storage.readers import read_json
from srt.storage.records import Score

PREPARE = PrepareConfig(**DEFAULTS)


def test_scores_come_in_and_failures_are_null_with_the_reason(given: Import) -> None:
    given.all()
    rows = released.scores(released.versions(released.some_records())["both"])
    found = read_records(given.scores("both"), Score)
    for number, (row, score) in enumerate(zip(rows, found, strict=True)):
        if score.status == "scored":
            assert score.ifd == pytest.approx(row["ppl"][3] / row["ppl"][1])
            assert score.r_ifd == pytest.approx(row["ppl"][2] / row["ppl"][0])
            assert score.nll_instruction_given_response == row["loss"][2]
        else:
            assert number in (released.UNCHANGED, released.ZERO, released.NAN, released.ABSENT)
    zero, nan, absent = (found[number] for number in (released.ZERO, released.NAN, released.ABSENT))
    assert (zero.r_ifd, zero.reason) == (
        None,
        "nll_instruction_given_response: 0 in the file: the published scorer failed",
    )
    assert zero.ifd is not None
    assert (nan.ifd, nan.reason) == (
        None,
        "nll_response_given_instruction: not finite in the file: truncation left no target token",
    )
    assert (absent.ifd, absent.r_ifd, absent.reason) == (None, None, "the file has no scores of it")
    assert (
        found[released.UNCHANGED].reason
        == "reflection failed: its instruction reflection failed: the pair is the original one"
    )
    meta = read_json(given.folder / "both.scores.meta.json")
    assert meta["counts"] == {"scored": 36, "null": 4}
    assert meta["given"]["texts_compared"] > 30


def test_json_lines_of_the_published_scorer_are_read(given: Import, tmp_path: Path) -> None:
    rows = [
        row if row["ppl"] else {} for row in released.scores(released.versions(released.some_records())["original"])
    ]
    source = released.write(tmp_path / "analysis.jsonl", rows)
    words = ["--loss", "loss", "--ppl", "ppl", "--teacher", "null", "--allowed-mismatches", "0"]
    assert cli.main(["import", "scores", str(source), str(given.original), str(tmp_path / "out.jsonl"), *words]) == 0
    found = read_records(tmp_path / "out.jsonl", Score)
    assert sum(score.status == "scored" for score in found) == 37


@pytest.mark.parametrize(("variant", "beside"), [("response", "original"), ("both", "instruction")])
def test_shuffled_scores_are_refused_by_the_texts_that_versions_share(
    given: Import, capsys: Any, variant: str, beside: str
) -> None:
    given.all()
    given.scores(variant).unlink()
    capsys.readouterr()
    source = changed(given, f"scores/{variant}", shuffle)
    assert given.import_scores(variant, source, beside=beside) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"srt: {source}: record 0: loss: expected ")
    assert f"as for the same text elsewhere ({beside}, " in err
    assert err.count("\n") == 1
    assert not given.scores(variant).exists()


@pytest.mark.parametrize(("shuffled", "told_by"), [("original", "response"), ("instruction", "both")])
def test_a_shuffled_file_without_repeats_is_found_by_the_version_that_shares_its_texts(
    given: Import, capsys: pytest.CaptureFixture[str], shuffled: str, told_by: str
) -> None:
    given.all()
    assert given.import_scores(shuffled, changed(given, f"scores/{shuffled}", shuffle)) == 0
    given.scores(told_by).unlink()
    assert given.import_scores(told_by, beside=shuffled) == 2
    assert f"as for the same text elsewhere ({shuffled}, " in capsys.readouterr().err
    assert not given.scores(told_by).exists()


def test_shuffled_scores_are_refused_by_a_text_that_occurs_twice(tmp_path: Path, refusal: Any) -> None:
    records = released.some_records()
    records[30]["output"] = records[20]["output"]
    given = Import(tmp_path, records)
    source = changed(given, "scores/original", shuffle)
    told = refusal(given.import_scores("original", source), given.scores("original"))
    assert told.startswith(f"{source}: record 30: loss: expected ")
    assert "for the response of record " in told


def test_scores_whose_order_nothing_tells_say_so(given: Import, capsys: Any) -> None:
    assert given.import_scores("original") == 0
    assert (
        "few scores, and no text occurs twice: that they have the data set's order could not be checked"
        in capsys.readouterr().err
    )


def test_scores_of_other_data_are_refused(given: Import, tmp_path: Path, capsys: Any) -> None:
    given.all()
    given.scores("response").unlink()
    other = released.release(
        tmp_path / "other", [{"instruction": f"Add {n} and 1.", "output": str(n)} for n in range(40)]
    )
    capsys.readouterr()
    assert given.import_scores("response", other["scores/response"], beside="original") == 2
    assert "are the files in the same order, and of this data set?" in capsys.readouterr().err
    assert not given.scores("response").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ppl": [1.0] * 4, "loss": [1.0] * 4}, "record 0: ppl: expected exp(loss) = 2.71828, found 1.0"),
        ({"ppl": [3.0] * 3, "loss": [1.0] * 3}, "record 0: loss: expected four numbers from 0, found [1.0, 1.0, 1.0]"),
        ({"ppl": [3.0] * 4, "loss": [-1.0] * 4}, "record 0: loss: expected four numbers from 0"),
        ({"ppl": None, "loss": [1.0] * 4}, "record 0: ppl: expected four numbers from 0, found None"),
    ],
)
def test_what_is_no_score_is_refused(given: Import, refusal: Any, row: dict, message: str) -> None:
    source = changed(given, "scores/original", lambda rows: [row, *rows[1:]])
    assert refusal(given.import_scores("original", source), given.scores("original")).startswith(f"{source}: {message}")


def test_perplexities_and_losses_in_each_others_column_are_refused(given: Import, refusal: Any) -> None:
    source = changed(given, "scores/original", lambda rows: [{"ppl": row["loss"], "loss": row["ppl"]} for row in rows])
    assert "record 0: ppl: expected exp(loss)" in refusal(
        given.import_scores("original", source), given.scores("original")
    )


@pytest.mark.parametrize("shuffled", [False, True])
def test_many_scores_in_another_order_are_refused_by_the_lengths_of_the_texts(
    tmp_path: Path, refusal: Any, shuffled: bool
) -> None:
    """No text occurs twice; but the longer one is, the lower its loss, as in every language model."""
    records = [
        {"instruction": f"{number} " + "word " * (number % 50), "input": "", "output": f"Text {number}."}
        for number in range(600)
    ]
    rows = released.scores(records, failing=False)
    for number, row in enumerate(rows):
        row["loss"][0] = 2 + released.share(number) - number % 50 / 100
        row["ppl"][0] = math.exp(row["loss"][0])
    if shuffled:
        shuffle(rows)
    pairs, out = released.write(tmp_path / "pairs.jsonl", records), tmp_path / "out.jsonl"
    source = released.write(tmp_path / "analysis.jsonl", rows)
    words = ["--loss", "loss", "--ppl", "ppl", "--teacher", "null", "--allowed-mismatches", "0"]
    prepare(str(pairs), tmp_path / "original.jsonl", PREPARE)
    code = cli.main(["import", "scores", str(source), str(tmp_path / "original.jsonl"), str(out), *words])
    if shuffled:
        told = refusal(code, out)
        assert told.startswith(f"{source}: line 1: expected the scores of these records, in their order")
    else:
        assert code == 0
        assert read_json(tmp_path / "out.meta.json")["given"]["rank_correlation_with_length"]["nll_instruction"] < -0.3
