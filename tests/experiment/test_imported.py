"""What a config may name as given, and what is refused by its key."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers import release as released
from helpers.importing import VARIANTS
from srt import cli
from srt.experiment.config import default_config, load
from srt.storage.errors import InputError
from srt.storage.yaml_files import read_yaml

FILES = {variant: f"{variant}.parquet" for variant in VARIANTS}
REFLECTIONS = {**released.TEXTS, "allowed_mismatches": 0, "files": FILES}
SCORES = {**released.COLUMNS, "teacher": "authors", "allowed_mismatches": 0, "files": FILES}
TRAIN = {**released.TEXTS, "source": "t.json", "records": None}
HEADER = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\n"
ROWS = ("base\t-\t-\tsmollm2\tnone\t-\t-\t-\n", "r\tdemo\tauthors\tsmollm2\tselective\t1\t-\t0\n")


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    """The shipped config with reflections and scores that are given."""
    values = copy.deepcopy(read_yaml(default_config()))
    values |= {"run_table": str(tmp_path / "runs.tsv"), "report": {"notice": None, "compare": {}, "licences": {}}}
    values["evaluate"]["pairwise"]["opponents"] = ["base"]
    values["given"] = {"reflections": {"authors": {"demo": copy.deepcopy(REFLECTIONS)}}, "train": {}, "judgments": {}}
    values["given"]["scores"] = {"smollm2": {"demo": copy.deepcopy(SCORES)}}
    (tmp_path / "runs.tsv").write_text(HEADER + "".join(ROWS))
    return values


def parsed(values: dict[str, Any], tmp_path: Path, *rows: str) -> Any:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    if rows:
        (tmp_path / "runs.tsv").write_text(HEADER + "".join(ROWS) + "".join(rows))
    return load(tmp_path / "c.yaml")


def test_a_config_of_what_is_given_is_accepted(values: dict[str, Any], tmp_path: Path) -> None:
    values["given"]["train"] = {"t": TRAIN}
    values["given"]["judgments"] = {"base": {"alpaca_eval": {"source": "a.json", "outputs": None}}}
    _, runs = parsed(values, tmp_path, "t\t-\t-\tsmollm2\tgiven\t-\tdemo\t0\n")
    assert [(run.run, run.is_evaluated) for run in runs] == [("base", True), ("r", False), ("t", True)]


def of(*keys: str, **change: Any) -> Any:
    def apply(values: dict[str, Any]) -> None:
        for key in keys:
            values = values[key]
        values.update(change)

    return apply


def without_both(kind: str, name: str) -> Any:
    return lambda values: values["given"][kind][name]["demo"]["files"].pop("both")


JUDGED = {"source": "x", "outputs": None}
REFUSALS: list[Any] = [
    (of(responses="selected"), (), "given: responses 'selected' asks a teacher"),
    (
        lambda v: v["teachers"].update(authors=v["teachers"]["smollm2"]),
        (),
        "given.reflections.authors: is a name under",
    ),
    (
        of("given", "reflections", "authors", other=REFLECTIONS),
        (),
        "given.reflections.authors: expected one of ['demo'], found 'other'",
    ),
    (of("given", "scores", nobody={}), (), "given.scores: expected one of ['smollm2'], found 'nobody'"),
    (
        of("given", "scores", "smollm2", "demo", teacher="x"),
        (),
        "given.scores.smollm2.demo.teacher: expected one of",
    ),
    (of("given", "scores", "smollm2", "demo", teacher=None), (), "smollm2: demo: teacher: expected a name"),
    (
        without_both("reflections", "authors"),
        (),
        "given.reflections.authors.demo.files: both: is missing, which run 'r' reads",
    ),
    (
        without_both("scores", "smollm2"),
        (),
        "given.scores.smollm2.demo.files: both: is missing, which run 'r' reads",
    ),
    (
        of(),
        ("o\tdemo\tsmollm2\tsmollm2\tifd\t1\t-\t0\n",),
        "given.scores.smollm2.demo.teacher: expected 'smollm2', which run 'o' reads",
    ),
    (of(), ("t\t-\t-\tsmollm2\tgiven\t-\t-\t-\n",), "given.train: run 't' needs an entry there"),
    (of("given", train={"r": TRAIN}), (), "given.train: run 'r' has the method selective, expected 'given'"),
    (of("given", train={"nobody": TRAIN}), (), "given.train: expected one of ['base', 'r'], found 'nobody'"),
    (of(), ("t\tdemo\t-\tsmollm2\tgiven\t-\t-\t-\n",), "method given needs a value in the column teacher"),
    (
        of(),
        ("t\t-\t-\tsmollm2\tgiven\t0.5\t-\t-\n",),
        "method given selects nothing: expected '-' in the column ratio",
    ),
    (of(), ("t\t-\t-\tsmollm2\tgiven\t-\tdemo\t-\n",), "method given needs a value in the column seed"),
    (of("given", judgments={"nobody": {}}), (), "given.judgments: expected one of ['base', 'r'], found 'nobody'"),
    (
        of("given", judgments={"r": {"alpaca_eval": JUDGED}}),
        (),
        "given.judgments.r: expected one of [], found 'alpaca_eval'",
    ),
    (
        of("given", judgments={"base": {"mt_bench": JUDGED}}),
        (),
        "given.judgments.base.mt_bench: only alpaca_eval and pairwise",
    ),
    (of("evaluate", "pairwise", opponents=["r"]), (), "evaluate.pairwise.opponents: expected a run of"),
]


@pytest.mark.parametrize(("change", "rows", "message"), REFUSALS)
def test_what_does_not_fit_is_refused_by_its_key(
    values: dict[str, Any], tmp_path: Path, change: Any, rows: Any, message: str
) -> None:
    change(values)
    with pytest.raises(InputError) as error:
        parsed(values, tmp_path, *rows)
    assert message in str(error.value)


def test_flags_that_are_left_out_come_from_the_config_file(tmp_path: Path) -> None:
    values = read_yaml(default_config())
    values["given"]["train"] = {"mine": {**TRAIN, "records": 1}}
    values["run_table"] = str(tmp_path / "runs.tsv")
    values["evaluate"]["pairwise"]["opponents"] = ["base"]
    values["report"]["compare"] = {}
    (tmp_path / "runs.tsv").write_text(HEADER + ROWS[0] + "mine\t-\t-\tsmollm2\tgiven\t-\t-\t-\n")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    source = released.write(tmp_path / "one.parquet", [{"instruction": "Hi.", "input": "", "output": "x"}])
    words = [
        "import",
        "train",
        str(source),
        str(tmp_path / "run"),
        "--use-run",
        "mine",
        "--config",
        str(tmp_path / "c.yaml"),
    ]
    assert cli.main(words) == 0
    assert json.loads((tmp_path / "run/train.jsonl").read_text())["instruction"] == "Hi."
