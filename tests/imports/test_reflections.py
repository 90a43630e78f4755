"""Finished reflections: ids, outcomes, and every refusal."""

from pathlib import Path
from typing import Any

import pytest

from helpers import release as released
from helpers.importing import VARIANTS, Import, changed, shuffle
from srt.imports._rows import short
from srt.storage.files import read_records
from srt.storage.readers import read_json
from srt.storage.records import Pair, ReflectedPair, Score


def test_reflections_come_in_with_their_records_ids_and_outcomes(given: Import) -> None:
    given.all()
    ids = [pair.id for pair in read_records(given.original, Pair)]
    found = {variant: read_records(given.pairs(variant), ReflectedPair) for variant in VARIANTS[1:]}
    assert all([pair.id for pair in pairs] == ids for pairs in found.values())
    assert found["instruction"][0].instruction.startswith("In depth: Describe ")
    assert found["instruction"][0].outcome == "clean"
    unchanged = found["instruction"][released.UNCHANGED]
    assert (unchanged.status, unchanged.outcome, unchanged.reason) == (
        "failed",
        "unchanged",
        "the pair is the original one",
    )
    kept = found["instruction"][released.OLD_RESPONSE]
    assert (kept.status, kept.outcome, kept.repairs) == ("reflected", "repaired", ["the output is the old one"])
    assert found["response"][released.REPEATED].outcome == "repeated"
    assert found["both"][released.UNCHANGED].outcome == "upstream"
    assert sum(pair.status == "failed" for pairs in found.values() for pair in pairs) == 3
    meta = read_json(given.folder / "both.meta.json")
    assert meta["counts"] == {"reflected": 39, "failed": 1}
    assert len(meta["given"]["sha256"]) == 64


def test_what_prepare_left_out_does_not_move_the_rest(tmp_path: Path) -> None:
    records = released.some_records()
    records[4]["output"] = ""
    records[6] = dict(records[2])
    given = Import(tmp_path, records, duplicates="drop", limit=30)
    assert read_json(tmp_path / "original.meta.json")["left_out"] == [4, 6]
    given.all()
    assert len(read_records(given.pairs("response"), ReflectedPair)) == 28
    for pair, reflected in zip(
        read_records(given.original, Pair), read_records(given.pairs("response"), ReflectedPair), strict=True
    ):
        assert pair.instruction == reflected.instruction
        assert reflected.output in (pair.output, f"Better: {pair.output}")
    assert [score.id for score in read_records(given.scores("both"), Score)] == [
        pair.id for pair in read_records(given.original, Pair)
    ]


def test_an_empty_reflection_has_failed(given: Import) -> None:
    def empty(rows: released.Rows) -> None:
        rows[0]["output"] = " "

    assert given.reflections("instruction", changed(given, "texts/instruction", empty)) == 0
    first = read_records(given.pairs("instruction"), ReflectedPair)[0]
    old = read_records(given.original, Pair)[0]
    assert (first.status, first.outcome, first.output) == ("failed", "empty", old.output)


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_shuffled_reflections_are_refused(given: Import, refusal: Any, variant: str) -> None:
    source = changed(given, f"texts/{variant}", shuffle)
    told = refusal(given.reflections(variant, source), given.pairs(variant))
    assert told.startswith(f"{source}: record ")
    assert "order" in told


@pytest.mark.parametrize("variant", VARIANTS[1:])
def test_new_texts_alone_in_another_order_are_refused_by_their_words(given: Import, refusal: Any, variant: str) -> None:
    """The texts that are checked are in order; no new text stands anywhere else."""

    def move(rows: released.Rows) -> None:
        fields = ("instruction", "output") if variant == "instruction" else ("output",)
        new = [{name: row[name] for name in fields} for row in rows]
        shuffle(new)
        for number, (row, texts) in enumerate(zip(rows, new, strict=True)):
            row.update({name: f"{text} {number}" for name, text in texts.items()})

    source = changed(given, f"texts/{variant}", move)
    told = refusal(given.reflections(variant, source, beside=variant != "instruction"), given.pairs(variant))
    assert told.startswith(f"{source}: record ")
    assert "expected reflections of these records, in their order" in told


@pytest.mark.parametrize("kind", ["texts", "scores"])
@pytest.mark.parametrize("left", [39, 5])
def test_a_truncated_file_is_refused(given: Import, refusal: Any, kind: str, left: int) -> None:
    source = changed(given, f"{kind}/original", lambda rows: rows[:left])
    if kind == "texts":
        given.release["texts/original"] = source
        told = refusal(given.reflections("response"), given.pairs("response"))
    else:
        told = refusal(given.import_scores("original", source), given.scores("original"))
    assert told == f"{source}: record {left}: is missing: expected 40 records, as {given.original} was made of"


def test_a_longer_file_is_refused(given: Import, refusal: Any) -> None:
    source = changed(given, "texts/response", lambda rows: rows + rows[:1])
    assert f"{source}: record 40: is one too many" in refusal(
        given.reflections("response", source), given.pairs("response")
    )


def test_reflections_of_other_data_are_refused(given: Import, refusal: Any, tmp_path: Path) -> None:
    other = released.release(
        tmp_path / "other", [{"instruction": f"Add {n} and 1.", "output": str(n)} for n in range(40)]
    )
    first = read_records(given.original, Pair)[0]
    told = refusal(given.reflections("response", other["texts/response"]), given.pairs("response"))
    expected = (
        f"record 0: instruction: expected that of record {first.id}, {short(first.instruction)}, found 'Add 0 and 1.'"
    )
    assert told == f"{other['texts/response']}: {expected}"
    given.release["texts/original"] = other["texts/original"]
    told = refusal(given.reflections("instruction", other["texts/instruction"]), given.pairs("instruction"))
    assert told == f"{other['texts/original']}: {expected}"


def test_some_misfits_can_be_allowed_and_are_never_used(given: Import, refusal: Any) -> None:
    def swap(rows: released.Rows) -> None:
        rows[0], rows[1] = rows[1], rows[0]

    source = changed(given, "texts/response", swap)
    assert "(and 1 more are allowed to differ)" in refusal(
        given.reflections("response", source, allowed=1), given.pairs("response")
    )
    assert given.reflections("response", source, allowed=2) == 0
    found = read_records(given.pairs("response"), ReflectedPair)
    assert [pair.outcome for pair in found[:3]] == ["mismatch", "mismatch", "clean"]
    assert found[0].output == read_records(given.original, Pair)[0].output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: [{"instruction": "x", "text": "y"}] * 40,
            "record 0: data.input: is missing, found ['instruction', 'text']",
        ),
        (
            lambda rows: [*rows[:3], {**rows[3], "output": None}, *rows[4:]],
            "record 3: output: expected text, found None",
        ),
    ],
)
def test_a_file_of_another_shape_is_refused(given: Import, refusal: Any, change: Any, message: str) -> None:
    source = changed(given, "texts/response", change)
    assert refusal(given.reflections("response", source), given.pairs("response")) == f"{source}: {message}"
