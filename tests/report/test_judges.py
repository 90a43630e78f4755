"""What the report says of judges: their calibration beside their numbers, AlpacaEval 2, MT-Bench, the judges' table."""

import csv

import pytest

from helpers.results import JUDGE, evaluation, inputs_at
from srt.evaluation.calibration import QUANTITIES
from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.reported import inside, reported
from srt.report.tables import judges, write
from srt.storage import sidecars
from srt.storage.files import write_json
from srt.storage.readers import read_json

RUN = {"dataset": "toy", "teacher": None, "student": "tiny", "method": "original"}
RUNS = [
    Run(run=name, ratio=1.0, recipe="quick", seed=seed, **RUN) for seed, name in enumerate(("one", "other", "waiting"))
]


@pytest.fixture
def results(tmp_path):
    """Two runs judged by a calibrated judge in three forms, the second one by another version of it."""
    found = {
        f"{form}.{key}": (None if key == "rank_correlation" else 0.5 + place, None, 40)
        for place, form in enumerate(("alpaca_eval", "mt_bench", "pairwise"))
        for key in QUANTITIES
    }
    prompts = {"alpaca_eval": "0", "mt_bench": "0", "pairwise": "1"}
    calibration = evaluation("judge_calibration", found, {**JUDGE, "prompts": prompts})
    calibration = calibration.model_copy(update={"missing": {"mt_bench: unreadable verdict": 3}})
    write_json(tmp_path / layout.CALIBRATION.format(judge="local"), calibration.model_dump())
    write_json(tmp_path / "judges" / "local.items.jsonl", [])
    for run, version in (("one", 2), ("other", 3)):
        judge = {**JUDGE, "version": version}
        rates = {"win_rate": (26.0, 1.0, 805), "wins": (200.0, None, 805), "draws": (3.0, None, 805)}
        rates |= {"losses": (602.0, None, 805), "avg_length": (400.0, None, 805)}
        grades = {"score": (6.5, 0.2, 80), "turn_1": (7.0, 0.2, 80), "turn_2": (6.0, 0.3, 80)}
        files = {
            "alpaca_eval": rates,
            "alpaca_eval_2": {**rates, "lc_win_rate": (21.0, 0.5, 805)},
            "mt_bench": {**grades, "category_math": (4.0, 0.9, 10)},
        }
        for benchmark, metrics in files.items():
            path = tmp_path / layout.EVALUATION.format(run=run, benchmark=benchmark)
            write_json(path, evaluation(benchmark, metrics, judge).model_dump())
    answers = sidecars.meta_of(layout.ANSWERS.format(run="one", questions="alpaca_eval"))
    write_json(tmp_path / answers, {"counts": {"answers": 805, "cut off": 7, "empty": 2}})
    write.write_tables(
        inputs_at(tmp_path, runs=RUNS, opponents=[], questions=[], compare={"one": "Alpaca 7B"}), tmp_path
    )
    return tmp_path


def rows(results, name, kind=None):
    with (results / "tables" / f"{name}.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if kind is None or row["kind"] == kind]


@pytest.mark.parametrize(
    ("table", "agreement"), [("alpaca_eval", "0.5"), ("alpaca_eval_2", "0.5"), ("mt_bench", "1.5")]
)
def test_a_judges_calibration_stands_beside_its_numbers(results, table, agreement):
    one, other = [row for row in rows(results, table) if row["run"] in ("one", "other")][:2]
    assert (one["judge"], one["judge_agreement"], one["judge_kappa"]) == ("local v2", agreement, agreement)
    # A calibration of another version says nothing.
    assert (other["judge"], other["judge_agreement"], other["judge_kappa"]) == ("local v3", "", "")


def test_a_calibration_with_another_prompt_says_nothing(results):
    found = evaluation("pairwise", {"winning_score": (1.0, 0.1, 8)})
    assert judges.judge_cells(results, found, "alpaca_eval").judge_agreement == 0.5
    assert judges.judge_cells(results, found, "pairwise").judge_agreement is None
    for key in ("dtype", "max_model_len", "model"):
        other = found.model_copy(update={"judge": {**JUDGE, key: "another"}})
        assert judges.judge_cells(results, other, "alpaca_eval").judge_agreement is None


@pytest.mark.parametrize(("serve", "agreement"), [(False, 0.5), (True, None)])
def test_a_calibration_of_an_endpoint_that_once_had_a_dtype_counts(results, serve, agreement):
    asked = {**JUDGE, "serve": serve, "dtype": "bfloat16"}
    found = evaluation("alpaca_eval", {"win_rate": (26.0, 1.0, 805)}).model_copy(update={"judge": asked})
    assert judges.judge_cells(results, found, "alpaca_eval").judge_agreement == agreement


def test_the_difference_to_the_paper_is_inside_the_error_or_not(results):
    (row,) = [row for row in rows(results, "alpaca_eval") if row["run"] == "one"]
    assert row["reported_win_rate"] == "26.46"
    assert row["inside"] == "yes"
    theirs = reported().win_rates()["Alpaca 7B"]
    assert inside(26.0, 1.0, theirs.win_rate, theirs.se) == "yes"
    assert inside(20.0, 1.0, theirs.win_rate, theirs.se) == "no"
    assert inside(None, None, 1.0, 1.0) is None


def test_answers_that_were_cut_off_or_are_empty_are_counted(results):
    for table in ("alpaca_eval", "alpaca_eval_2"):
        one, other = rows(results, table)[:2]
        assert (one["cut_off"], one["empty"], other["cut_off"]) == ("7", "2", "")


def test_alpaca_eval_2_and_mt_bench_are_the_evaluations(results):
    row = rows(results, "alpaca_eval_2")[0]
    assert (row["lc_win_rate"], row["lc_se"], row["win_rate"], row["length"]) == ("21.0", "0.5", "26.0", "400.0")
    assert [row["source"] for row in rows(results, "alpaca_eval_2")][2] == "not run"
    row = rows(results, "mt_bench", "score")[0]
    assert (row["score"], row["se"], row["turn_1"], row["turn_2_se"], row["n"]) == ("6.5", "0.2", "7.0", "0.3", "80")
    categories = rows(results, "mt_bench", "category")
    assert [(row["run"], row["category"], row["score"], row["n"]) for row in categories] == [
        ("one", "math", "4.0", "10"),
        ("other", "math", "4.0", "10"),
    ]
    for name in ("alpaca_eval_2", "mt_bench"):
        sources = [row["source"] for row in rows(results, name) if row["source"] != "not run"]
        assert sources
        assert {read_json(results / source)["benchmark"] for source in sources} == {name}


def test_the_judges_table_has_a_row_for_each_form(results):
    first, second, _ = rows(results, "judges")
    assert (first["judge"], first["form"], first["answered_as"], first["missing"]) == (
        *("local v2", "alpaca_eval", "m-0613"),
        "0",
    )
    assert (second["form"], second["agreement"], second["missing"], second["rank_correlation"]) == (
        *("mt_bench", "1.5", "3"),
        "",
    )


def test_without_judges_the_tables_say_so(tmp_path):
    write.write_tables(inputs_at(tmp_path, runs=RUNS, opponents=[], questions=[], compare={}), tmp_path)
    for name, line in (("judges", "no judge was calibrated"), ("mt_bench", "no run has an evaluation")):
        assert line in (tmp_path / "tables" / f"{name}.md").read_text()
    assert judges.told({"model": "gpt-4"}) == "gpt-4"
    assert judges.told({"replayed": True}) is None
