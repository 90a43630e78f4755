"""The validator: everything that is wrong is told at once, a line each, before any job, and only where it matters."""

import copy
import json
import re
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from helpers import ROOT
from helpers.cases import changed
from helpers.tree import copy_of_tree, edited, planned, snakemake, supply
from srt import cli
from srt.experiment.config import default_config, load
from srt.planning.check import examine, lines
from srt.planning.jobs import READS, needed
from srt.planning.paths import LOOKS
from srt.settings import Config, JudgeConfig, ReflectConfig
from srt.settings.base import Place, _path
from srt.settings.types import bare, field_type, is_model
from srt.storage.errors import InputError
from srt.storage.findings import lines_of
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

Values = dict[str, Any]
HEADER = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\n"
RUN = "demo\tsmollm2\tsmollm2\tselective\t0.5\tdemo\t0\n"
KEY = "sk-secret"


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Values:
    """The demo's config in a folder of its own, without what names other runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("SRT_TEACHER_API_KEY", raising=False)
    values: Values = copy.deepcopy(read_yaml(default_config()))
    values["run_table"] = "runs.tsv"
    values["evaluate"]["pairwise"]["opponents"] = []
    values["report"]["compare"] = {}
    Path("runs.tsv").write_text(f"{HEADER}one\t{RUN}")
    return values


def told(values: Values) -> list[str]:
    """The lines about a config, without its name."""
    return [line.removeprefix("mine.yaml: ") for line in lines(examine(values, "mine.yaml"))]


def with_judge(values: Values, **more: Any) -> Values:
    """The same with a judge of its own on MT-Bench."""
    judge = changed(read_yaml(locate("config/judges/smollm2.yaml")), JudgeConfig, **more)
    Path("mine").mkdir(exist_ok=True)
    Path("mine/own.yaml").write_text(yaml.safe_dump(judge))
    values["evaluate"]["mt_bench"]["judge"] = "mine/own.yaml"
    return values


def test_the_fixture_is_right(values: Values) -> None:
    assert told(values) == []


@pytest.mark.slow
def test_a_dry_run_with_seven_errors_prints_seven_lines(tmp_path: Path) -> None:
    """Seven kinds at once: key, path, endpoint, key's variable, suite, template, method."""
    tree = copy_of_tree(tmp_path / "tree")
    judge = changed(read_yaml(tree / "config/judges/smollm2.yaml"), JudgeConfig, serve=False, model="gpt-4")
    (tree / "config/judges/asked.yaml").write_text(yaml.safe_dump(judge))
    (tree / "mine.template.yaml").write_text("without_input: '{instruction}'\nwith_input: '{instruction}'\n")

    def change(values: Values) -> None:
        values["recipies"] = values.pop("recipes")
        values["datasets"]["demo"]["source"] = "config/demo/record.json"
        values["teachers"]["smollm2"] = changed(values["teachers"]["smollm2"], ReflectConfig, backend="openai")
        values["evaluate"]["mt_bench"]["judge"] = "config/judges/asked.yaml"
        values["execution"]["endpoints"] = {"asked": {"base_url": "https://host/v1", "api_key_env": "NOT_SET"}}
        values["evaluate"]["open_llm"]["demo"]["suite"] = "config/tasks/demos.yaml"
        values["score"]["template"] = "mine.template.yaml"

    name = edited(tree, change)
    table = tree / "config/demo.tsv"
    table.write_text(table.read_text().replace("\tselective\t", "\tselectve\t"))
    code, out, err = snakemake(tree, "-n", "--configfile", name)
    found = [line.replace(f"{tree}/", "") for line in err.splitlines() if line.startswith("srt: ")]
    assert code == 2, out + err
    assert found == [
        "srt: changed.yaml: recipies: is not a known key, did you mean 'recipes'?",
        found[1],
        "srt: changed.yaml: datasets.demo.source: config/demo/record.json: no such file, did you mean "
        "'config/demo/records.json'?",
        "srt: changed.yaml: score.template: mine.template.yaml: with_input: expected the placeholder {input}",
        "srt: changed.yaml: evaluate.open_llm.demo.suite: config/tasks/demos.yaml: no such file, did you mean "
        "'config/tasks/demo.yaml'?",
        "srt: changed.yaml: execution.endpoints.smollm2: is missing, where teachers.smollm2 is asked: expected "
        "{base_url: ..., api_key_env: ...}",
        "srt: changed.yaml: execution.endpoints.asked: NOT_SET: environment variable is not set: expected the key of "
        "https://host/v1",
    ]
    assert found[1].startswith("srt: config/demo.tsv: run 'recycled': method: Input should be 'none', ")
    assert found[1].endswith(", found 'selectve', did you mean 'selective'?")


# --- The config itself ----------------------------------------------------------------------------------------------


def test_all_keys_that_are_wrong_are_told(values: Values) -> None:
    values["recipies"] = values.pop("recipes")
    values["colour"] = "red"
    values["score"]["max_len"] = values["score"].pop("max_length")
    values["generate"]["sampled"]["top_p"] = 7
    values["execution"]["device"] = "cude"
    values["teachers"]["my teacher"] = {}
    del values["coherence"]
    assert sorted(told(values)) == [
        "coherence: is missing",
        "colour: is not a known key",
        "execution.device: Input should be 'auto', 'cpu' or 'cuda', found 'cude', did you mean 'cuda'?",
        "generate.sampled.top_p: Input should be less than or equal to 1, found 7",
        "recipies: is not a known key, did you mean 'recipes'?",
        "score.max_len: is not a known key, did you mean 'max_length'?",
        "teachers: expected at most 80 of the letters A to Z and a to z, digits, '.', '_' and '-', no mark in front, "
        "found 'my teacher'",
    ]


def test_what_stands_under_a_misspelt_key_is_looked_at_all_the_same(values: Values) -> None:
    values["recipies"] = values.pop("recipes")
    values["recipies"]["demo"]["learning_rate"] = -1.0
    assert told(values) == [
        "recipies: is not a known key, did you mean 'recipes'?",
        "recipes.demo.learning_rate: Input should be greater than 0, found -1.0",
    ]


@pytest.mark.parametrize("section", ["generate", "datasets", "students", "recipes", "run_table", "questions"])
@pytest.mark.parametrize("found", [None, 5, "missing"])
def test_a_section_that_is_none_has_one_line_and_no_consequences(values: Values, section: str, found: Any) -> None:
    values[section] = found
    if found == "missing":
        del values[section]
    complaints = told(values)
    if section == "questions":
        complaints = [line for line in complaints if not line.startswith("questions: evaluate.")]
    assert len(complaints) == 1, complaints
    assert complaints[0].startswith(f"{section}: ")


@pytest.mark.parametrize("content", [None, [], "text", 7])
def test_what_is_no_config_at_all_is_one_line(content: Any) -> None:
    assert lines(examine(content, "mine.yaml")) == [
        f"mine.yaml: expected keys with their values, found {content!r}",
    ]


def test_a_run_table_has_all_its_errors_told_with_row_and_column(values: Values) -> None:
    rows = [
        "a\tdemoo\tsmollm2\tsmollm2\tselective\t0.5\tdemo\t0",
        "b\tdemo\tsmollm\tsmol\tselectve\t2\tdmo\tx",
        f"a\t{RUN}",
    ]
    Path("runs.tsv").write_text(HEADER + "\n".join(rows))
    complaints = told(values)
    for begin, end in (
        ("runs.tsv: run 'b': method: ", ", found 'selectve', did you mean 'selective'?"),
        ("runs.tsv: run 'b': ratio: ", ", found 2.0"),
        ("runs.tsv: run 'b': seed: ", ", found 'x'"),
        ("runs.tsv: run 'a' occurs twice, expected unique names", ""),
        ("runs.tsv: run 'a': dataset: expected one of ['demo'], found 'demoo', did you mean 'demo'?", ""),
    ):
        assert [line for line in complaints if line.startswith(begin) and line.endswith(end)], (begin, complaints)
    assert len(complaints) == 5


def test_a_column_that_is_wrong_is_told_once(values: Values) -> None:
    Path("runs.tsv").write_text(HEADER.replace("recipe", "recipie") + f"one\t{RUN}two\t{RUN}")
    assert told(values) == ["runs.tsv: run 'one': recipie: is not a known column, did you mean 'recipe'?"]


@pytest.mark.parametrize(
    ("keys", "found", "line"),
    [
        (("questions", "mt_bench", "decoding"), "sampld", "expected one of ['sampled'], found 'sampld', did you"),
        (("evaluate", "pairwise", "opponents"), ["oen"], "expected a run of runs.tsv, found 'oen', did you mean 'one"),
        (("report", "compare"), {"oone": "x"}, "expected a run of runs.tsv, found 'oone', did you mean 'one'?"),
        (("report", "licences"), {"dmo": "x"}, "expected one of ['demo'], found 'dmo', did you mean 'demo'?"),
        (("score", "template"), "vicuna", "vicuna: no such file, did you mean 'vicuna_v1.1'?"),
        (("evaluate", "mt_bench", "judge"), "config/judges/smollm.yaml", "no such file, did you mean 'config/judg"),
    ],
)  # fmt: skip
def test_a_name_that_is_close_is_told(values: Values, keys: tuple[str, ...], found: Any, line: str) -> None:
    section = values
    for key in keys[:-1]:
        section = section[key]
    section[keys[-1]] = found
    (complaint,) = told(values)
    assert complaint.startswith(f"{'.'.join(keys)}: ")
    assert line in complaint


# --- Paths ----------------------------------------------------------------------------------------------------------

FILES = [
    ("datasets", "demo", "source"),
    ("teachers", "smollm2", "prompts"),
    ("teachers", "smollm2", "answers"),
    ("score", "template"),
    ("score", "guess_prompt"),
    ("questions", "mt_bench", "source"),
    ("evaluate", "alpaca_eval", "reference"),
    ("evaluate", "alpaca_eval", "length_controlled"),
    ("evaluate", "mt_bench", "judge"),
    ("evaluate", "open_llm", "demo", "suite"),
    ("evaluate", "calibration", "annotations", 0),
]
FOLDERS = [
    ("teachers", "smollm2", "model"),
    ("teachers", "smollm2", "pair_tokenizer"),
    ("students", "smollm2", "model"),
    ("coherence", "embedding"),
    ("evaluate", "open_llm", "demo", "data"),
]


def put(values: Any, keys: tuple[Any, ...], found: Any) -> None:
    for key in keys[:-1]:
        values = values[key]
    values[keys[-1]] = found


@pytest.mark.parametrize("keys", [*FILES, *FOLDERS], ids=lambda keys: ".".join(map(str, keys)))
def test_a_path_that_leads_to_nothing_is_told(values: Values, keys: tuple[Any, ...]) -> None:
    put(values, keys, "./gone.json")
    (complaint,) = told(values)
    assert complaint.startswith(f"{'.'.join(map(str, keys))}: ./gone.json: no such ")


@pytest.mark.parametrize("keys", FILES, ids=lambda keys: ".".join(map(str, keys)))
def test_a_folder_is_no_file(values: Values, keys: tuple[Any, ...]) -> None:
    Path("folder").mkdir()
    put(values, keys, "./folder")
    (complaint,) = told(values)
    assert complaint == f"{'.'.join(map(str, keys))}: ./folder: is a folder, expected a file"


@pytest.mark.parametrize("keys", FOLDERS, ids=lambda keys: ".".join(map(str, keys)))
def test_a_file_is_no_folder(values: Values, keys: tuple[Any, ...]) -> None:
    Path("file").touch()
    put(values, keys, "./file")
    (complaint,) = told(values)
    assert complaint.startswith(f"{'.'.join(map(str, keys))}: ./file: ")


@pytest.mark.parametrize(
    ("keys", "content", "line"),
    [
        (("teachers", "smollm2", "prompts"), "leaks: 1", "prompts: ./bad: task: is missing"),
        (("teachers", "smollm2", "answers"), "opening: []", "answers: ./bad: opening: is not a known key, did "),
        (("score", "template"), "without_input: x\nwith_input: y", "template: ./bad: without_input: expected the"),
        (("score", "guess_prompt"), "Guess.", "guess_prompt: ./bad: expected the placeholder {response}"),
        (("questions", "mt_bench", "source"), '[{"turns": []}]', "mt_bench.source: ./bad: record 0: turns: is empty"),
        (("evaluate", "alpaca_eval", "reference"), "[{}]", "reference: ./bad: record 0: instruction: is missing"),
        (("evaluate", "mt_bench", "judge"), "version: one", "judge: ./bad: version: Input should be a valid integer"),
        (("evaluate", "open_llm", "demo", "suite"), "mean: items", "suite: ./bad: reported: is missing"),
        (("evaluate", "calibration", "annotations", 0), "[{}]", "annotations.0: ./bad: record 1: instruction: ex"),
    ],
)  # fmt: skip
def test_a_file_that_its_step_cannot_read_is_told(
    values: Values, keys: tuple[Any, ...], content: str, line: str
) -> None:
    Path("bad").write_text(content)
    put(values, keys, "./bad")
    assert line.replace("./bad", "bad") in " ".join(told(values)).replace("./bad", "bad")


def test_a_text_that_is_not_utf_8_is_told(values: Values) -> None:
    Path("bad").write_bytes("Für {response}".encode("latin-1"))
    values["score"]["guess_prompt"] = "./bad"
    (complaint,) = told(values)
    assert complaint.startswith("score.guess_prompt: ")
    assert "is not UTF-8 text (byte 1)" in complaint


def test_the_files_that_a_judge_names_are_looked_at(values: Values) -> None:
    with_judge(values, pairwise="pairs.yaml", mt_bench="config/prompts/mt_bench.yml", alpaca_eval="no_annotator")
    assert told(values) == [
        "mine/own.yaml: alpaca_eval: annotator: expected a folder with configs.yaml or a name in alpaca-eval, found "
        "'no_annotator'",
        "mine/own.yaml: pairwise: pairs.yaml: no such file: put it there, or name another",
        "mine/own.yaml: mt_bench: config/prompts/mt_bench.yml: no such file, did you mean "
        "'config/prompts/mt_bench.yaml'?",
    ]


def test_a_served_judges_model_is_looked_at_and_an_endpoints_is_a_name(values: Values) -> None:
    assert "mine/own.yaml: model: ./gone: no such model folder" in told(with_judge(values, model="./gone"))[0]
    values["execution"]["endpoints"] = {"own": {"base_url": "http://host/v1", "api_key_env": None}}
    assert told(with_judge(values, model="./gone", serve=False)) == []


def test_a_folder_that_lm_eval_has_not_is_told(values: Values) -> None:
    Path("mine.yaml").write_text(
        locate("config/tasks/demo.yaml").read_text().replace("folder: hellaswag", "folder: helaswag")
    )
    values["evaluate"]["open_llm"]["demo"]["suite"] = "mine.yaml"
    (complaint,) = told(values)
    assert (
        ": benchmarks.hellaswag.folder: expected a folder of lm-eval's tasks, found 'helaswag', did you " in complaint
    )


def test_the_files_of_items_that_a_suite_names_are_looked_at(values: Values) -> None:
    shutil.copytree(locate("config/demo/items"), "items")
    next(Path("items").glob("truthfulqa*")).unlink(missing_ok=True)
    for path in Path("items").rglob("*mc*"):
        path.unlink()
    values["evaluate"]["open_llm"]["demo"]["data"] = "items"
    (complaint,) = told(values)
    assert complaint.startswith("evaluate.open_llm.demo.data: items: truthfulqa")
    assert "no such file, expected " in complaint


@pytest.mark.parametrize(
    "name", ["tatsu-lab/alpaca", "squad", "hub:a/b/c.json", "hub:a/b/c.json@main", "hub:a/b/d/c.parquet@x/y"]
)
def test_what_is_on_the_hub_is_no_path(values: Values, name: str) -> None:
    values["datasets"]["demo"]["source"] = name
    values["students"]["smollm2"]["model"] = "meta-llama/Llama-2-7b-hf"
    assert told(values) == []


@pytest.mark.parametrize("name", ["hub:a", "hub:a/b", "data/alpaca", "a/b/c", "./x", "alpaca.json", "/x/y"])
def test_what_is_no_name_on_the_hub_is_told(values: Values, name: str) -> None:
    Path("data").mkdir()
    values["datasets"]["demo"]["source"] = name
    (complaint,) = told(values)
    assert complaint.startswith(f"datasets.demo.source: {name}: ")


def test_a_results_folder_that_is_a_file_is_told(values: Values) -> None:
    Path("results").touch()
    assert told(values) == ["results: results: is a file, expected a folder"]


def places_of(kind: type[BaseModel], key: str = "") -> Iterator[tuple[str, set[Place]]]:
    """The key and the marks of every path in the types of settings."""
    for name in kind.model_fields:
        yield from _places(field_type(kind, name), f"{key}.{name}")


def _places(kind: Any, key: str) -> Iterator[tuple[str, set[Place]]]:
    marks = getattr(kind, "__metadata__", ())
    if any(getattr(mark, "func", None) is _path for mark in marks):
        yield key, {mark for mark in marks if isinstance(mark, Place)}
    inside = bare(kind)
    if is_model(inside):
        yield from places_of(inside, key)
    elif typing.get_args(inside):
        yield from _places(typing.get_args(inside)[-1], f"{key}.*")


def test_every_path_of_the_settings_says_what_it_leads_to_and_is_looked_at() -> None:
    found = [*places_of(Config), *places_of(JudgeConfig)]
    assert len(found) > 25
    assert [key for key, marks in found if len(marks) != 1] == []
    assert set(LOOKS) == set(Place)


# --- Servers and keys -----------------------------------------------------------------------------------------------


def test_a_teacher_that_a_run_asks_needs_an_endpoint(values: Values) -> None:
    values["teachers"]["smollm2"] = changed(values["teachers"]["smollm2"], ReflectConfig, backend="openai")
    values["teachers"]["unused"] = values["teachers"]["smollm2"]
    values["execution"]["endpoints"] = {"smolm2": {"base_url": "http://host/v1", "api_key_env": None}}
    (complaint,) = told(values)
    assert complaint.startswith("execution.endpoints.smollm2: is missing, where teachers.smollm2 is asked: ")
    assert complaint.endswith(", did you mean 'smolm2'?")


def test_a_judge_that_is_asked_needs_an_endpoint(values: Values) -> None:
    (complaint,) = told(with_judge(values, serve=False))
    assert complaint.startswith("execution.endpoints.own: is missing, where evaluate.mt_bench.judge is asked: ")


def test_a_judge_whose_judgments_are_given_needs_none(values: Values) -> None:
    judge = with_judge(values, serve=False)["evaluate"]["mt_bench"]["judge"]
    values["evaluate"] |= {"calibration": None, "mt_bench": None, "pairwise": None}
    values["evaluate"]["alpaca_eval"]["judge"] = judge
    assert len(told(values)) == 1
    Path("given.json").write_text("[]")
    values["given"]["judgments"] = {"one": {"alpaca_eval": {"source": "given.json", "outputs": None}}}
    assert told(values) == []


@pytest.mark.parametrize("variable", ["SRT_TEACHER_API_KEY", "OPENAI_API_KEY"])
def test_a_key_must_be_in_the_environment_and_is_never_shown(
    values: Values, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"backend": "openai", "pair_tokenizer": "owner/name"}
    values["teachers"]["smollm2"] = changed(values["teachers"]["smollm2"], ReflectConfig, **asked)
    values["execution"]["endpoints"] = {"smollm2": {"base_url": "https://host/v1", "api_key_env": "OPENAI_API_KEY"}}
    (complaint,) = told(values)
    assert complaint.startswith("execution.endpoints.smollm2: https://host/v1: the API key is missing: ")
    assert variable in complaint
    monkeypatch.setenv(variable, f"{KEY}\nno key")
    (complaint,) = told(values)
    assert KEY not in complaint
    monkeypatch.setenv(variable, KEY)
    assert told(values) == []


def test_a_password_in_an_address_is_never_shown(values: Values) -> None:
    values["execution"]["endpoints"] = {"smollm2": {"base_url": f"https://me:{KEY}@host/{{x}}", "api_key_env": None}}
    (complaint,) = told(values)
    assert complaint.startswith("execution.endpoints.smollm2.base_url: expected an address")
    assert KEY not in complaint


# --- Only where it matters ------------------------------------------------------------------------------------------


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The paper's config in a bare checkout, without a key."""
    monkeypatch.chdir(ROOT)
    for name in ("OPENAI_API_KEY", "SRT_TEACHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return examine(read_yaml(Path("config/paper.yaml")), "paper.yaml")


QUESTIONS = {
    f"questions.{name}.source" for name in ("wizardlm", "vicuna", "koala", "self_instruct", "lima", "mt_bench")
}
SERVERS = {f"execution.endpoints.{name}" for name in ("gpt", "gpt4", "gpt4_turbo")}
WILDCARDS = {"run": "wizardlm-7b-selective", "dataset": "wizardlm", "student": "llama2-7b", "teacher": "gpt"}


@pytest.mark.parametrize(
    ("jobs", "keys"),
    [
        ([("tables", {}), ("so_far", {}), ("data_card", {}), ("selected", {})], set()),
        ([("original", {}), ("score_shard", {}), ("finetuned", {})], set()),
        ([("all", {})], QUESTIONS),
        ([("reflected", {})], {"execution.endpoints.gpt"}),
        ([("answers", {}), ("answers_2", {})], {"questions.wizardlm.source", "questions.mt_bench.source"}),
        ([("mt_bench", {})], {"questions.mt_bench.source", "execution.endpoints.gpt4"}),
        ([("alpaca_eval_2", {})], {"execution.endpoints.gpt4_turbo"}),
        ([("judge_calibration", {"judge": "gpt4"})], {"execution.endpoints.gpt4"}),
        ([("all", {}), ("reflected", {}), ("alpaca_eval", {}), ("alpaca_eval_2", {})], QUESTIONS | SERVERS),
    ],
)
def test_what_is_wrong_outside_matters_to_the_jobs_that_need_it(paper: Any, jobs: Any, keys: set[str]) -> None:
    asked = [(rule, {**WILDCARDS, **more}) for rule, more in jobs]
    assert {finding.key for finding in needed(paper, asked)} == keys


def test_every_rule_of_the_workflow_is_known() -> None:
    """A new rule says what its jobs read, or is named here as one that reads what others make."""
    texts = [path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk")]
    rules = {name for text in texts for name in re.findall(r"^ *rule (\w+):", text, re.MULTILINE)} | {"answers"}
    of_others = {"demo_model", "scores", "selected", "tables", "figure", "html"}  # and the cards, made in a loop
    assert rules == READS.keys() | of_others


@pytest.mark.slow
def test_targets_that_need_neither_files_nor_keys_need_none(tmp_path: Path) -> None:
    tree = copy_of_tree(tmp_path / "tree")
    environment = {"OPENAI_API_KEY": "", "SRT_TEACHER_API_KEY": ""}
    assert planned(tree, "so_far", "table_1", "--configfile", "config/paper.yaml", env=environment)
    train = "results-released/runs/wizardlm-7b-selective/train.jsonl"
    assert planned(tree, train, "--configfile", "config/released.yaml", env=environment)
    code, _, err = snakemake(tree, "-n", "--configfile", "config/paper.yaml", env=environment)
    found = {line.split(": ")[2] for line in err.splitlines() if ".yaml: " in line}
    assert (code, found) == (2, QUESTIONS | SERVERS)
    assert planned(supply(tree), "--configfile", "config/paper.yaml")


def test_the_plan_is_made_and_what_is_missing_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert cli.main(["plan", "--config", "config/released.yaml"]) == 0
    assert "released.yaml: execution.endpoints.gpt4: OPENAI_API_KEY: environment variable" in capsys.readouterr().err


# --- By hand --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("score gone.jsonl out --model owner/name", ["PAIRS: gone.jsonl: no such file"]),
        ("score pair.jsonl out --model ./gone", ["--model: ./gone: no such model folder; expected a Hugging Face che"]),
        ("score pair.json out --model M/x/y", ["PAIRS: pair.json: no such file, did you mean 'pair", "--model: M/x"]),
        ("score pair.jsonl out --model a/b --template vicuna", ["--template: vicuna: no such file, did you mean 'vic"]),
        ("score pair.jsonl out --model a/b --guess-prompt pair.jsonl", ["--guess-prompt: pair.jsonl: expected the pl"]),
        ("reflect pair.jsonl out --variant both --model a/b --prompts no.yaml", ["--prompts: no.yaml: no such file"]),
        ("generate q.json out --model a/b", ["QUESTIONS: q.json: no such file"]),
        ("finetune gone.jsonl out --model a/b", ["TRAIN: gone.jsonl: no such file"]),
        ("selection out --pairs original=gone --method original --ratio 1", ["--pairs: gone: no such file"]),
        ("evaluate mt-bench pair.jsonl out --questions gone --judge no.yaml", ["--questions: gone: no such file"]),
        ("evaluate mt-bench pair.jsonl out --questions pair.jsonl --judge no.yaml", ["--judge: no.yaml: no such file"]),
        ("evaluate open-llm out --model a/b --suite no.yaml", ["--suite: no.yaml: no such file"]),
        ("evaluate open-llm out --model a/b --data items", ["--data: items: no such folder"]),
        ("evaluate pairwise --judgments gone out", ["--judgments: gone: no such file"]),
        ("import train gone out", ["SOURCE: gone: no such file"]),
        ("prepare gone.json out", ["SOURCE: gone.json: no such file"]),
    ],
)  # fmt: skip
def test_the_paths_of_a_step_are_looked_at_before_it_begins(
    words: str, expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pair.jsonl").write_text(json.dumps({"instruction": "i", "output": "o"}))
    assert cli.main(words.split()) == 2
    found = capsys.readouterr().err.splitlines()
    assert len(found) == len(expected)
    assert all(line.startswith(f"srt: {begin}") for line, begin in zip(found, expected, strict=True)), found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pair.jsonl"]


def test_a_config_with_many_errors_ends_a_step_in_as_many_lines(
    values: Values, capsys: pytest.CaptureFixture[str]
) -> None:
    values["recipies"] = values.pop("recipes")
    values["score"]["max_length"] = 0
    Path("mine.yaml").write_text(yaml.safe_dump(values))
    Path("pair.jsonl").write_text("{}")
    assert cli.main(["score", "pair.jsonl", "out", "--model", "a/b", "--config", "mine.yaml"]) == 2
    assert [line.split(": ")[2] for line in capsys.readouterr().err.splitlines()] == ["recipies", "score.max_length"]
    with pytest.raises(InputError, match=r"recipies: .*\n.*max_length: "):
        load(Path("mine.yaml"))


def test_lines_are_told_once_and_stay_lines(values: Values) -> None:
    values["score"]["template"] = values["score"]["guess_prompt"] = "a\nb"
    found = told(values)
    assert len(found) == 2
    assert not any("\n" in line for line in found)
    assert lines_of([]) == []
