"""A finished train file: matched with the data, or refused."""

from typing import Any

from helpers import release as released
from helpers.importing import Import, changed, shuffle
from srt.storage.files import read_records
from srt.storage.records import LedgerEntry, Pair


def test_a_train_file_gets_the_ids_and_the_order_of_the_data(given: Import) -> None:
    given.all()
    source = changed(given, "selected", shuffle)
    assert given.train(source) == 0
    train = read_records(given.folder / "run/train.jsonl", Pair)
    ids = [pair.id for pair in read_records(given.original, Pair)]
    assert [pair.id for pair in train] == [record for record in ids if record in {pair.id for pair in train}]
    expected = released.published_selection(released.versions(released.some_records()))
    assert [pair.output for pair in train] == [row["output"] for row in expected]
    ledger = {entry.id: entry for entry in read_records(given.folder / "run/ledger.jsonl", LedgerEntry)}
    assert list(ledger) == ids
    assert {entry.chosen for entry in ledger.values() if entry.kept} == {"response", "both"}
    assert {entry.reason for entry in ledger.values() if not entry.kept} == {"not in the given train file"}


def test_a_train_file_alone_gets_ids_of_its_own(given: Import) -> None:
    assert given.train(given.release["selected"], matched=False) == 0
    train = read_records(given.folder / "run/train.jsonl", Pair)
    assert len(train) == len(read_records(given.folder / "run/ledger.jsonl", LedgerEntry)) > 5


def test_a_foreign_truncated_or_doubled_train_file_is_refused(given: Import, capsys: Any) -> None:
    given.all()
    n = len(released.published_selection(released.versions(released.some_records())))
    cases = [
        (
            lambda rows: [*rows, {"instruction": "Hi.", "input": "", "output": "x"}],
            "null",
            f"record {n}: is in no version of the data: 'Hi.'",
        ),
        (lambda rows: rows[:-1], str(n), f"record {n - 1}: is missing: expected {n} records"),
        (lambda rows: rows + rows[:1], str(n), f"record {n}: is one too many: expected {n} records"),
        (lambda rows: rows + rows[:1], "null", f"record {n}: occurs more often than in the data"),
        (lambda rows: [{**rows[0], "output": ""}], "null", "record 0: output: is empty"),
    ]
    for change, records, message in cases:
        source = changed(given, "selected", change)
        capsys.readouterr()
        assert given.train(source, records=records) == 2
        assert f"{source}: {message}" in capsys.readouterr().err
        assert not (given.folder / "run").exists()
