"""Numbers that are none (NaN, infinity, 1e999) in files that somebody else made: null and counted, or refused."""

import json
import math
import re
from pathlib import Path

import pytest

from helpers.judgments import evaluated, judgment
from helpers.scores import choice, write_variants
from srt import cli
from srt.report.formats import Column, Part, read_csv
from srt.report.page.provenance import _measured
from srt.report.reported import read_evaluation
from srt.selection.select import select
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.readers import read_json
from srt.storage.records import Coherence, Evaluation, ItemValue, LedgerEntry, Pair, Rescored, Score

ODD = ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"]


def replaced(path: Path, record: str, field: str, text: str) -> None:
    """Give one record of a JSONL file a value as text, as it may stand in a foreign file."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [json.dumps(found | ({field: "@"} if found["id"] == record else {})) for found in rows]
    path.write_text("".join(line.replace('"@"', text) + "\n" for line in lines))


def kept(folder: Path) -> dict[str, str | None]:
    entries = read_records(folder / "ledger.jsonl", LedgerEntry)
    return {entry.id: entry.chosen for entry in entries if entry.kept}


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize(
    "method", ["all_outcomes", "selective", "random", "ifd", "r_ifd", "perplexity", "length", "both"]
)
@pytest.mark.parametrize("field", ["ifd", "r_ifd", "nll_response_given_instruction"])
def test_a_score_that_is_not_finite_is_null_and_wins_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture, text: str, method: str, field: str
) -> None:
    pairs, scores = write_variants(tmp_path)
    for variant in ("instruction", "both"):
        replaced(scores[variant], "b", field, text)
    select(tmp_path / "run", choice(method, pairs=pairs, scores=scores))
    ledger = {entry.id: entry for entry in read_records(tmp_path / "run" / "ledger.jsonl", LedgerEntry)}
    assert ledger["b"].candidates["both"] == {"absent": f"not scored: {field}: not finite in the file"}
    assert kept(tmp_path / "run").get("b") not in ("instruction", "both")
    said = f"{scores['both']}: 1 of 3 records have a number that is none: null with the reason, never selected"
    assert said in capfd.readouterr().err


@pytest.mark.parametrize("text", ["0", "0.0", "-0.5"])
@pytest.mark.parametrize("field", ["ifd", "r_ifd"])
def test_a_ratio_of_perplexities_that_is_not_above_0_is_null_too(tmp_path: Path, field: str, text: str) -> None:
    pairs, scores = write_variants(tmp_path)
    replaced(scores["both"], "b", field, text)
    select(tmp_path / "run", choice("all_outcomes", pairs=pairs, scores=scores))
    assert kept(tmp_path / "run")["b"] != "both"


@pytest.mark.parametrize("text", ODD)
def test_a_coherence_that_is_not_finite_is_null(tmp_path: Path, text: str) -> None:
    pairs, scores = write_variants(tmp_path)
    coherence = {variant: tmp_path / f"{variant}.coherence.jsonl" for variant in pairs}
    for variant, path in coherence.items():
        value = 0.9 if variant == "both" else 0.5
        write_records(path, [Coherence(id=name, coherence=value, reason=None) for name in "abc"])
        replaced(path, "b", "coherence", "0.5" if variant == "original" else text)
    select(tmp_path / "run", choice("coherence", pairs=pairs, scores=scores, coherence=coherence))
    assert kept(tmp_path / "run")["b"] == "original"


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize(
    ("kind", "line", "place"),
    [
        (ItemValue, {"id": "a", "value": "@"}, "value"),
        (
            LedgerEntry,
            {
                "id": "a",
                "candidates": {"both": {"ifd": "@"}},
                "chosen": "both",
                "branch": "",
                "kept": True,
                "reason": "",
            },
            "candidates.both.ifd",
        ),
        (Rescored, {"record": "a", "variant": "both", "ratios": [], "score": {"ifd": "@"}}, "score.ifd"),
        (Pair, {"id": "a", "instruction": "@", "output": "o"}, "instruction"),
    ],
)
def test_where_null_says_nothing_it_is_refused(tmp_path: Path, kind: type, line: dict, place: str, text: str) -> None:
    (tmp_path / "f.jsonl").write_text(json.dumps(line).replace('"@"', text) + "\n")
    with pytest.raises(InputError, match=rf"f.jsonl: line 1: {place}: expected a finite number, found -?(nan|inf)$"):
        read_records(tmp_path / "f.jsonl", kind)


@pytest.mark.parametrize("text", ODD)
def test_an_evaluation_that_is_not_finite_is_refused_by_the_report(tmp_path: Path, text: str) -> None:
    metric = {"name": "win_rate", "value": "@", "se": None, "n": 3}
    found = Evaluation(
        benchmark="x", metrics=[], judge=None, task_versions=None, settings={}, versions={}, missing={}
    ).model_dump() | {"metrics": [metric]}
    (tmp_path / "e.json").write_text(json.dumps(found).replace('"@"', text))
    with pytest.raises(InputError, match=r"e.json: metrics.0.value: expected a finite number, found -?(nan|inf)$"):
        read_evaluation(tmp_path / "e.json")


def test_a_preference_that_is_nan_is_no_verdict(tmp_path: Path) -> None:
    rows = [judgment("x", 2), judgment("y", 1), judgment("z", 2)]
    (tmp_path / "a.json").write_text(json.dumps(rows).replace('"preference": 1', '"preference": NaN'))
    found = evaluated(tmp_path, "evaluate", "alpaca-eval", "--annotations", tmp_path / "a.json")
    assert (found.missing, found.value("wins"), found.metrics[0].n) == ({"no verdict in the annotations": 1}, 2, 2)


@pytest.mark.parametrize("text", [text for text in ODD if text != "NaN"])
def test_a_preference_that_is_infinite_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture, text: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps([judgment("x", 1)]).replace('"preference": 1', f'"preference": {text}'))
    words = ["evaluate", "alpaca-eval", "--annotations", str(tmp_path / "a.json"), str(tmp_path / "out.json")]
    assert cli.main(words) == 2
    assert re.search("record 1: preference: expected 0, 1 to 2, or null, found -?inf", capfd.readouterr().err)


@pytest.mark.parametrize(
    ("place", "one", "other"),
    [("generator_2", "ours", "theirs"), ("generator_2", "ours", None), ("generator_1", "gpt", "llama")],
)
def test_annotations_of_two_models_are_refused_by_name(
    tmp_path: Path, capfd: pytest.CaptureFixture, place: str, one: str, other: str
) -> None:
    rows = [judgment("x", 2) | {place: one}, judgment("y", 1) | {place: one}, judgment("x", 1) | {place: other}]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    words = ["evaluate", "alpaca-eval", "--annotations", str(tmp_path / "a.json"), str(tmp_path / "out.json")]
    assert cli.main(words) == 2
    assert f"record 3: {place}: expected {one!r}, as in record 1, found {other!r}" in capfd.readouterr().err
    assert not (tmp_path / "out.json").exists()


def test_a_row_without_a_model_before_one_with_it_is_another_models(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "a.json").write_text(json.dumps([judgment("x", 2) | {"generator_2": None}, judgment("y", 1)]))
    words = ["evaluate", "alpaca-eval", "--annotations", str(tmp_path / "a.json"), str(tmp_path / "out.json")]
    assert cli.main(words) == 2
    assert "record 1: generator_2: expected 'ours', as in record 2, found None" in capfd.readouterr().err


def test_outputs_of_two_models_are_refused_by_name(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "a.json").write_text(json.dumps([judgment("x", 2)]))
    outputs = [{"instruction": "x", "output": "b", "generator": name} for name in ("ours", "theirs")]
    (tmp_path / "o.json").write_text(json.dumps(outputs))
    words = ["evaluate", "alpaca-eval", "--annotations", tmp_path / "a.json", "--outputs", tmp_path / "o.json"]
    assert cli.main([*map(str, words), str(tmp_path / "out.json")]) == 2
    assert "o.json: record 2: generator: expected 'ours', as in record 1, found 'theirs'" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["12_huge_integer.json", "12c_latin1.annotations.json"])
def test_what_python_cannot_hold_is_one_line(shared_data: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is not JSON|is not UTF-8 text"):
        read_json(shared_data / "faults" / name)
    with pytest.raises(InputError, match=r"is not JSON|is not UTF-8 text"):
        read_records(shared_data / "faults" / name, Score)


def test_deep_nesting_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"deep.json: line 1: is not JSON"):
        read_json(tmp_path / "deep.json")
    (tmp_path / "deep.json").write_text("[" * 99 + "NaN" + "]" * 99)
    with pytest.raises(InputError, match="expected a finite number, found nan"):
        read_json(tmp_path / "deep.json")


@pytest.mark.parametrize("text", [*ODD, "1" + "0" * 400])
def test_imported_scores_that_are_not_finite_are_null_or_refused(tmp_path: Path, text: str) -> None:
    pairs = [Pair(id=name, instruction=f"Ask {name}", output=f"Answer {name}") for name in "ab"]
    write_records(tmp_path / "p.jsonl", pairs)
    losses = [[2.0, 3.0, 1.0, 2.5], [2.0, 3.0, 1.0, "@"]]
    rows = [{"loss": loss, "ppl": ["@" if x == "@" else math.exp(x) for x in loss]} for loss in losses]
    (tmp_path / "s.json").write_text(json.dumps(rows).replace('"@"', text))
    words = ["import", "scores", tmp_path / "s.json", tmp_path / "p.jsonl", tmp_path / "out.jsonl"]
    flags = ["--teacher", "null", "--loss", "loss", "--ppl", "ppl", "--allowed-mismatches", "0"]
    if cli.main([*map(str, words), *flags]) == 0:
        found = {score.id: score for score in read_records(tmp_path / "out.jsonl", Score)}
        assert (found["a"].status, found["b"].status, found["b"].ifd) == ("scored", "failed", None)
    else:
        assert text != "NaN"  # which is what the published scorer writes


def test_a_coherence_of_a_model_that_gives_nan_is_null() -> None:
    import torch

    from srt.scoring.coherence import cosine

    assert cosine(torch.tensor([1.0, 0.0]), torch.tensor([float("nan"), 1.0])) is None
    assert cosine(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])) == 1.0


@pytest.mark.parametrize("text", ["nan", "inf", "1e999"])
def test_a_table_with_a_number_that_is_not_finite_is_refused(tmp_path: Path, text: str) -> None:
    part = Part("x", "X", (Column("run", "Run"), Column("value", "%", 1)), [], "none")
    (tmp_path / "t.csv").write_text(f"run,value\nmine,{text}\n")
    with pytest.raises(InputError, match=r"t.csv: column value: expected a number, found"):
        read_csv(tmp_path / "t.csv", part)


@pytest.mark.parametrize("text", ["nan", "inf"])
def test_a_time_that_is_not_finite_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.tsv").write_text(f"s\tmax_rss\n{text}\t5\n")
    with pytest.raises(InputError, match=r"t.tsv: expected a benchmark file of Snakemake"):
        _measured(tmp_path / "t.tsv")
