"""What is drawn of unfinished results is no product: after it, and after a kill, a lost evaluation is made again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT
from helpers.tree import copy_of_tree, edited, kill_all, planned, snakemake, start, unlock, wait_for
from srt.experiment import layout

pytestmark = pytest.mark.slow

RUNS = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\nready\t-\t-\tready\tnone\t-\t-\t-\n"
RESULT = "results/runs/ready/evaluation/alpaca_eval.json"
MADE_AGAIN = {"replayed": 1, "tables": 1, "figure": len(layout.FIGURES), "html": 1, "all": 1}
# Holds every `srt evaluate` at its start as long as a file says so, as an evaluation of hours would be.
HOLD = """
import os, sys, time
if "evaluate" in sys.orig_argv and os.path.exists("hold"):
    open("held", "w").close()
    time.sleep(600)
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A model that is finished and one evaluation of it, whose judgments are there: a whole run in seconds."""
    tree = copy_of_tree(tmp_path / "tree")

    def change(values: dict[str, Any]) -> None:
        values["students"] = {"ready": {"model": "nobody/ready", "revision": None, "prompt": "vicuna_v1.1"}}
        unused = ("open_llm", "pairwise", "mt_bench", "calibration")
        values["evaluate"] |= dict.fromkeys(unused)
        values["given"]["judgments"] = {"ready": {"alpaca_eval": {"source": "judgments.json", "outputs": None}}}
        values["report"] |= {"compare": {}, "licences": {}}

    edited(tree, change, name="config/config.yaml")
    (tree / "config/demo.tsv").write_text(RUNS)
    judged = {"output_1": "a", "output_2": "b", "preference": 2, "generator_1": "reference", "generator_2": "ready"}
    rows = [{"instruction": f"Question {n}", "annotator": "judge", **judged} for n in range(4)]
    (tree / "judgments.json").write_text(json.dumps(rows))
    (tree.parent / "sitecustomize.py").write_text(HOLD)
    return tree


def run(tree: Path, *targets: str) -> None:
    code, out, err = snakemake(tree, *targets, "--cores", "2")
    assert code == 0, out + err


def texts(folder: Path) -> dict[str, str]:
    """Relative path: content, of all tables and the report below a folder."""
    paths = [*folder.glob("tables/*"), *folder.glob("report.html")]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def test_what_is_drawn_so_far_leaves_an_evaluation_to_be_made(tree: Path) -> None:
    assert planned(tree) == MADE_AGAIN
    run(tree, "so_far", "table_1", "figure_pairwise")
    assert planned(tree) == MADE_AGAIN
    drafts = texts(tree / "results" / layout.SO_FAR)
    assert drafts["tables/alpaca_eval.csv"]
    assert "report.html" in drafts
    assert texts(tree / "results") == {}

    run(tree)
    assert planned(tree) == {}
    finished = texts(tree / "results")
    (tree / RESULT).unlink()
    assert planned(tree) == MADE_AGAIN
    run(tree, "so_far")
    assert planned(tree) == MADE_AGAIN
    by_hand = ["-m", "srt.cli", "report", "figures", "--config", "config/config.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *by_hand], cwd=tree, env=environment, check=True)
    assert planned(tree) == MADE_AGAIN
    assert texts(tree / "results") == finished


def test_an_evaluation_that_is_killed_while_it_is_made_again_is_listed(tree: Path) -> None:
    run(tree)
    (tree / "hold").touch()
    environment = {"PYTHONPATH": f"{tree.parent}:{ROOT}"}
    process = start(
        tree,
        "--forcerun",
        "replayed",
        "--cores",
        "1",
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
    )
    try:
        wait_for((tree / "held").exists, 120)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finally:  # held before it could watch its owner, the job is killed as well
        kill_all(tree)
    assert not (tree / RESULT).exists()
    assert unlock(tree).returncode == 0
    assert planned(tree) == MADE_AGAIN
    run(tree, "so_far")
    assert planned(tree) == MADE_AGAIN
    (tree / "hold").unlink()
    run(tree)
    assert json.loads((tree / RESULT).read_text())["metrics"]
    assert planned(tree) == {}
