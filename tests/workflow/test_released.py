"""config/released.yaml on files of the same shape: from reflections, scores, a train file, a model and judgments."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from helpers import release as released
from helpers.tree import copy_of_tree, edited, planned, snakemake
from srt.storage.files import read_records
from srt.storage.readers import read_json
from srt.storage.records import Evaluation, Pair, Score

pytestmark = pytest.mark.slow

# The shipped rows of Alpaca, and one where the student itself scores the released reflections.
RUNS = """run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed
recycled-alpaca-7b-v2.0\t-\t-\trecycled-alpaca-7b-v2.0\tnone\t-\t-\t-
alpaca-7b-selective\talpaca\tauthors\tllama2-7b\tselective\t1\t-\t0
alpaca-7b-given\talpaca\tauthors\tllama2-7b\tgiven\t-\t-\t-
own-scores\talpaca\tauthors\town\tboth\t0.5\t-\t0
"""
TABLE = "results-released/tables/alpaca_eval.csv"  # which is written with all others, and needs every run
RELEASED = "recycled-alpaca-7b-v2.0"


@pytest.fixture
def records(shared_data: Path) -> released.Rows:
    """Real Alpaca records, the first ones with and without an input."""
    return json.loads((shared_data / "alpaca/cherry_alpaca_5_percent.json").read_text())[:60]


@pytest.fixture
def tree(tmp_path: Path, records: released.Rows, tiny_llamas: dict[str, Path], shared_data: Path) -> Path:
    """A tree with config/released.yaml, its hub files in local ones and every model a tiny one."""
    tree = copy_of_tree(tmp_path / "tree")
    made = {name: str(path) for name, path in released.release(tree / "data", records).items()}

    def change(values: dict[str, Any]) -> None:
        given, model = values["given"], str(tiny_llamas["plain"])
        del (
            values["datasets"]["wizardlm"],
            given["reflections"]["authors"]["wizardlm"],
            given["train"]["wizardlm-7b-given"],
        )
        given["scores"] = {"llama2-7b": {"alpaca": given["scores"]["llama2-7b"]["alpaca"]}}
        values["datasets"]["alpaca"]["source"] = made["texts/original"]
        for variant in released.SPLITS:
            given["reflections"]["authors"]["alpaca"]["files"][variant] = made[f"texts/{variant}"]
            given["scores"]["llama2-7b"]["alpaca"]["files"][variant] = made[f"scores/{variant}"]
        given["train"]["alpaca-7b-given"].update(source=made["selected"], records=None)
        judged = {
            kind: str(shared_data / f"alpaca_eval/recycled-wizardlm-7b-v2.0.{kind}.json")
            for kind in ("annotations", "outputs")
        }
        given["judgments"] = {
            RELEASED: {"alpaca_eval": {"source": judged["annotations"], "outputs": judged["outputs"]}}
        }
        student = {"model": model, "revision": None, "prompt": "vicuna_v1.1"}
        values["students"] = {"llama2-7b": student, "own": student, RELEASED: student}
        profile = {"suite": "config/tasks/demo.yaml", "data": "config/demo/items", "limit": 1, "dtype": "float32"}
        values["evaluate"]["open_llm"] = {"v1": {**values["evaluate"]["open_llm"]["v1"], **profile}}
        del values["report"]["licences"]["wizardlm"]
        values["report"]["compare"] = {"alpaca-7b-selective": "sRecycled Alpaca 7B", RELEASED: "sRecycled Alpaca 7B"}
        values["execution"].update(device="cpu", score_batch_tokens=2048, score_compile="off", evaluation_batch=8)
        values["score"]["max_length"] = 512

    edited(tree, change, "config/released.yaml", "released.yaml")
    (tree / "config/released.tsv").write_text(RUNS)
    return tree


def run(tree: Path, *targets: str) -> None:
    code, out, err = snakemake(tree, *targets, "--cores", "2", "--configfile", "released.yaml")
    assert code == 0, out + err


def selected(tree: Path, name: str) -> list[Pair]:
    return read_records(tree / f"results-released/runs/{name}/train.jsonl", Pair)


def test_a_release_is_an_entry_point_at_every_step(tree: Path, records: released.Rows) -> None:
    plan = planned(tree, "--configfile", "released.yaml")
    for rule in ("reflected", "finetuned", "answers", "alpaca_eval"):
        assert rule not in plan
    assert (plan["score_shard"], plan["imported_scores"], plan["imported_reflections"]) == (1, 4, 3)
    run(tree, TABLE)
    assert planned(tree, TABLE, "--configfile", "released.yaml") == {}

    # Released reflections and scores: what the published selector selects, and what was published of it.
    expected = [
        {name: row[name] for name in released.TEXTS} for row in released.published_selection(released.versions(records))
    ]
    found = {
        name: [pair.model_dump(exclude={"id"}) for pair in selected(tree, name)]
        for name in ("alpaca-7b-selective", "alpaca-7b-given")
    }
    assert found["alpaca-7b-selective"] == found["alpaca-7b-given"] == expected
    assert 5 < len(expected) < 55
    assert [pair.id for pair in selected(tree, "alpaca-7b-given")] == [
        pair.id for pair in selected(tree, "alpaca-7b-selective")
    ]

    # Released reflections, scored here.
    scores = read_records(tree / "results-released/scores/own/alpaca/authors/both.jsonl", Score)
    assert sum(score.status == "scored" for score in scores) > 50
    assert len(selected(tree, "own-scores")) == sum(score.status == "scored" for score in scores) // 2

    # A released model: the leaderboard is run, the judgments are replayed.
    folder = tree / f"results-released/runs/{RELEASED}/evaluation"
    replayed = Evaluation.model_validate(read_json(folder / "alpaca_eval.json"))
    assert replayed.value("win_rate") == pytest.approx(83.47826, abs=1e-5)
    assert Evaluation.model_validate(read_json(folder / "open_llm_v1.json")).value("average") is not None
    with (tree / TABLE).open() as file:
        rows = {row["run"]: row for row in csv.DictReader(file)}
    assert rows["alpaca-7b-selective"]["training_records"] == str(len(expected))
    assert rows["alpaca-7b-selective"]["reported_training_records"] == "37114"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("texts/response", lambda rows: rows[::-1]),
        ("scores/both", lambda rows: rows[:-1]),
    ],
)
def test_a_job_on_a_file_that_does_not_fit_ends_in_one_line(tree: Path, kind: str, change: Any) -> None:
    from pyarrow import parquet

    folder, variant = kind.split("/")
    path = tree / "data" / folder / f"{released.SPLITS[variant]}.parquet"
    released.write(path, change([row["data"] for row in parquet.read_table(path).to_pylist()]))
    place = {"texts": "data/alpaca", "scores": "scores/llama2-7b/alpaca"}[folder]
    target = f"results-released/{place}/authors/{variant}.jsonl"
    code, out, err = snakemake(tree, target, "--cores", "2", "--configfile", "released.yaml")
    assert code != 0, out + err
    log = {"texts": "alpaca", "scores": "scores/llama2-7b/alpaca"}[folder]
    *_, last = (tree / f"logs/import/{log}/authors/{variant}.log").read_text().splitlines()
    assert last.startswith(f"srt: {path}: record ")
    assert not (tree / target).exists()


def test_nobody_is_asked_for_answers_whose_judgments_are_given(tmp_path: Path) -> None:
    tree = copy_of_tree(tmp_path / "tree")
    (tree / "judgments.json").write_text("[]")
    before = planned(tree)

    def change(values: dict[str, Any]) -> None:
        judgments = {"source": "judgments.json", "outputs": None}
        names = ("alpaca_eval", "pairwise_alpaca_eval_original")
        values["given"]["judgments"] = {"recycled": dict.fromkeys(names, judgments)}

    after = planned(tree, "--configfile", edited(tree, change))
    assert after.pop("replayed") == 2
    assert "pairwise" not in after
    # The run's own answers to both benchmarks are the same file; the opponent's are judged for themselves.
    rest = {rule: count for rule, count in before.items() if rule != "pairwise"}
    assert after == {**rest, "answers": 2, "answers_2": 1, "alpaca_eval": 2}
