from pathlib import Path

import pytest

from helpers.scores import VARIANTS, choice, write_variants
from srt.selection.select import select
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.records import LedgerEntry, Pair


def test_the_train_file_has_the_chosen_texts_and_the_ledger_all_records(tmp_path: Path) -> None:
    pairs, scores = write_variants(tmp_path, failed={"instruction": ["b"], "both": ["b"]})
    select(tmp_path / "run", choice("all_outcomes", pairs=pairs, scores=scores))
    train = {pair.id: pair for pair in read_records(tmp_path / "run" / "train.jsonl", Pair)}
    assert train["a"].output == "answer both a"
    assert train["b"].output == "answer response b"
    ledger = {entry.id: entry for entry in read_records(tmp_path / "run" / "ledger.jsonl", LedgerEntry)}
    assert ledger["b"].candidates["instruction"] == {"absent": "reflection failed: cut off"}


def test_a_fixed_variant_at_ratio_one_needs_no_scores(tmp_path: Path) -> None:
    pairs, _ = write_variants(tmp_path, failed={"both": ["c"]})
    select(tmp_path / "run", choice("both", pairs={"both": pairs["both"]}))
    assert [pair.id for pair in read_records(tmp_path / "run" / "train.jsonl", Pair)] == ["a", "b"]


def test_records_are_joined_by_id_not_by_position(tmp_path: Path) -> None:
    pairs, scores = write_variants(tmp_path)
    for path in (pairs["both"], scores["response"]):
        path.write_text("".join(reversed(path.read_text().splitlines(keepends=True))))
    select(tmp_path / "run", choice("all_outcomes", pairs=pairs, scores=scores))
    for pair in read_records(tmp_path / "run" / "train.jsonl", Pair):
        assert pair.output.endswith(pair.id)


def test_a_missing_variant_is_asked_for(tmp_path: Path) -> None:
    pairs, scores = write_variants(tmp_path)
    del scores["both"]
    with pytest.raises(InputError, match="method all_outcomes: expected --scores both=FILE"):
        select(tmp_path / "run", choice("all_outcomes", pairs=pairs, scores=scores))


def test_nothing_selected_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    pairs, scores = write_variants(tmp_path, failed={variant: list("abc") for variant in VARIANTS})
    with pytest.raises(InputError, match="selected none of 3 records"):
        select(tmp_path / "run", choice("selective", pairs=pairs, scores=scores))
    assert not (tmp_path / "run").exists()
