"""Rows from judgments that are there already: the published ones, and what can be wrong with a file."""

import json
from pathlib import Path

import pytest

from helpers.judgments import evaluated, judgment
from srt import cli
from srt.storage.readers import read_json


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("recycled-wizardlm-7b-v2.0", (83.47826, 1.30974, 672, 0, 805, 1583)),
        ("alpaca-7b", (26.45963, 1.53571, 205, 16, 805, 396)),
    ],
)
def test_the_published_rows_to_the_digit(shared_data: Path, tmp_path: Path, name: str, printed: tuple) -> None:
    files = [shared_data / "alpaca_eval" / f"{name}.{kind}.json" for kind in ("annotations", "outputs")]
    found = evaluated(tmp_path, "evaluate", "alpaca-eval", "--annotations", files[0], "--outputs", files[1])
    metrics = {metric.name: metric for metric in found.metrics}
    rate, wins, draws, length = (metrics[key] for key in ("win_rate", "wins", "draws", "avg_length"))
    assert (round(rate.value, 5), round(rate.se, 5), wins.value, draws.value, rate.n, length.value) == printed
    assert found.missing == {}
    assert found.settings["model"] == name


def test_the_published_pairwise_judgments(shared_data: Path, tmp_path: Path) -> None:
    rows = read_json(shared_data / "judgments" / "wizardlm_gpt4_pairwise.json")["data"]
    lines = [
        {"id": number, "a_first": json.loads(item["scores"]), "b_first": json.loads(item["scores_reverse"])}
        for number, item in enumerate(rows)
    ]
    (tmp_path / "judgments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = evaluated(tmp_path, "evaluate", "pairwise", "--judgments", tmp_path / "judgments.jsonl")
    assert [found.value(name) for name in ("wins", "ties", "losses")] == [102, 54, 62]
    assert found.value("winning_score") == pytest.approx((102 - 62) / 218 + 1)


def test_a_null_or_missing_judgment_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps([judgment("x", 2), judgment("y", None), judgment("z", 1), judgment("x", 0)])
    )
    outputs = [{"instruction": i, "output": "b"} for i in ("x", "y", "z", "x", "w", "w")]
    (tmp_path / "o.json").write_text(json.dumps(outputs))
    words = ["evaluate", "alpaca-eval", "--annotations", tmp_path / "a.json"]
    found = evaluated(tmp_path, *words)
    assert (found.missing, found.metrics[0].n) == ({"no verdict in the annotations": 1}, 3)
    found = evaluated(tmp_path, *words, "--outputs", tmp_path / "o.json")
    assert found.missing == {"no verdict in the annotations": 1, "no judgment of the answer": 2}
    assert found.metrics[-1].n == 6
    lines = [
        {"id": "a", "a_first": [8, 7], "b_first": [6, 8]},
        {"id": "b", "a_first": None, "b_first": [6, 8]},
        {"id": "c", "a_first": [8, 7], "b_first": [None, 8]},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = evaluated(tmp_path, "evaluate", "pairwise", "--judgments", tmp_path / "p.jsonl")
    assert (found.value("wins"), found.missing) == (1, {"unreadable verdict": 2})


def test_a_score_of_zero_counts_and_is_marked(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "faults" / "06b_zero_zero.judgments.jsonl"
    found = evaluated(tmp_path, "evaluate", "pairwise", "--judgments", path)
    assert [found.value(name) for name in ("wins", "ties", "losses")] == [1, 1, 0]
    assert (found.missing, found.notes) == ({}, {"judgments outside the asked scale of 1 to 10": 4})


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("annotations", [], "expected a JSON list of at least one record"),
        ("annotations", [{"instruction": "x"}], "record 1: output_1: expected text"),
        (
            "annotations",
            [judgment("x", 2), judgment("y", 3)],
            "record 2: preference: expected 0, 1 to 2, or null, found 3",
        ),
        ("annotations", [judgment("x", True)], "record 1: preference: expected"),
        ("judgments", [{"a_first": [1, 2]}], "line 1: id: expected"),
        ("judgments", [{"id": 1, "a_frist": [1, 2], "b_first": [2, 1]}], "line 1: a_first: is missing"),
        ("judgments", [{"id": 1, "a_first": [1, 11], "b_first": [1, 2]}], "line 1: a_first: expected two scores"),
        ("judgments", [{"id": 1, "a_first": [1, 2], "b_first": [1]}], "line 1: b_first: expected two scores"),
        ("judgments", [{"id": 1, "a_first": [-1, -1], "b_first": [1, 2]}], "line 1: a_first: expected two scores"),
        ("judgments", [{"id": 1, "a_first": [0.5, 1], "b_first": [1, 2]}], "line 1: a_first: expected two scores"),
        ("judgments", [{"id": 1, "a_first": None, "b_first": None}] * 2, "line 2: id: expected text or a whole number"),
        ("judgments", [], "has no judgments"),
    ],
)
def test_a_malformed_file_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, content: list, message: str
) -> None:
    path = tmp_path / "f"
    path.write_text(json.dumps(content) if kind == "annotations" else "".join(json.dumps(c) + "\n" for c in content))
    benchmark = "alpaca-eval" if kind == "annotations" else "pairwise"
    assert cli.main(["evaluate", benchmark, f"--{kind}", str(path), str(tmp_path / "out.json")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out.json").exists()


@pytest.mark.usefixtures("any_path")
def test_what_does_not_fit_together_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.json").write_text(json.dumps([judgment("x", 2), judgment("x", 1)]))
    (tmp_path / "o.json").write_text(json.dumps([{"instruction": "x", "output": "b"}]))
    words = ["evaluate", "alpaca-eval", "--annotations", str(tmp_path / "a.json")]
    assert cli.main([*words, "--outputs", str(tmp_path / "o.json"), "OUT"]) == 2
    assert "record 2: output_2: is no answer in" in capsys.readouterr().err
    assert cli.main([*words, "ANSWERS", "OUT"]) == 2
    assert "--annotations: expected OUT as the only file beside it, found ANSWERS" in capsys.readouterr().err
    assert cli.main(["evaluate", "pairwise", "ANSWERS", "OUT"]) == 2
    assert "OPPONENT: is missing: expected ANSWERS OPPONENT --questions SOURCE and OUT" in capsys.readouterr().err
