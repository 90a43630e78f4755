"""A method of selection from another package, through the workflow: its module, its entry point, and this test."""

import csv
from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT
from helpers import release as released
from helpers.plugin import install
from helpers.tree import copy_of_tree, edited, planned, snakemake
from srt.storage.files import read_records
from srt.storage.records import LedgerEntry, Pair

pytestmark = pytest.mark.slow
HEADER = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\n"
ROW = "toy\talpaca\tauthors\tllama2-7b\tcontrary\t0.5\t-\t0\n"
TRAIN, TABLE = "results-released/runs/toy/train.jsonl", "results-released/tables/data.csv"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree whose one run chooses between reflections and scores that are given: no model is needed."""
    tree = copy_of_tree(tmp_path / "tree")
    made = {name: str(path) for name, path in released.release(tree / "data", released.some_records()).items()}

    def change(values: dict[str, Any]) -> None:
        values["datasets"] = {"alpaca": {**values["datasets"]["alpaca"], "source": made["texts/original"]}}
        given = values["given"]
        reflections, scores = given["reflections"]["authors"]["alpaca"], given["scores"]["llama2-7b"]["alpaca"]
        for variant in released.SPLITS:
            reflections["files"][variant], scores["files"][variant] = (
                made[f"texts/{variant}"],
                made[f"scores/{variant}"],
            )
        given.update(reflections={"authors": {"alpaca": reflections}}, scores={"llama2-7b": {"alpaca": scores}})
        given.update(train={}, judgments={})
        values["report"].update(compare={}, licences={})

    edited(tree, change, "config/released.yaml", "toy.yaml")
    (tree / "config/released.tsv").write_text(HEADER + ROW)
    return tree


def test_a_method_of_another_package_comes_to_its_ledger_and_its_row_in_a_table(tree: Path, tmp_path: Path) -> None:
    files = install(tmp_path / "site")
    assert len([*files, __file__]) == 3  # what adding a method touches, with its test: nothing of this repository
    with_it = {"PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}"}
    dry = planned(tree, TRAIN, "--configfile", "toy.yaml", env=with_it)
    assert (dry["selected"], dry["imported_scores"]) == (1, 4)
    code, out, err = snakemake(tree, TABLE, "--cores", "2", "--configfile", "toy.yaml", env=with_it)
    assert code == 0, out + err
    ledger = read_records(tree / TRAIN.replace("train", "ledger"), LedgerEntry)
    for entry in ledger:
        ifd = {v: entry.candidates[v].get("ifd") for v in ("original", "instruction")}
        if entry.chosen and None not in ifd.values():
            assert (entry.chosen in ("original", "response")) == (ifd["original"] <= ifd["instruction"])
    kept = sum(entry.kept for entry in ledger)
    assert 0 < kept == len(read_records(tree / TRAIN, Pair))
    assert "r-IFD is not below 1" in {entry.reason for entry in ledger}
    with (tree / TABLE).open() as file:
        rows = [row for row in csv.DictReader(file) if row.get("method") == "contrary"]
    assert {row["run"] for row in rows} == {"toy"}


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (None, "run 'toy': method: entry point contrary = toy_methods:CONTRARY of srt.methods: cannot be loaded: "),
        ("CONTRARY = 1", "of srt.methods: expected a srt.selection.method.Method, found int"),
    ],
)
def test_a_broken_entry_point_ends_in_one_line_that_names_it(
    tree: Path, tmp_path: Path, module: str, said: str
) -> None:
    install(tmp_path / "site", module)
    path = f"{ROOT}:{tmp_path / 'site'}"
    code, out, err = snakemake(tree, "-n", TRAIN, "--configfile", "toy.yaml", env={"PYTHONPATH": path})
    assert code == 2, out + err
    lines = [line for line in err.splitlines() if line.startswith("srt: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert "Traceback" not in out + err


def test_without_the_package_the_name_is_told(tree: Path) -> None:
    code, out, err = snakemake(tree, "-n", TRAIN, "--configfile", "toy.yaml")
    assert code == 2, out + err
    assert "run 'toy': method: Input should be 'none', " in err
