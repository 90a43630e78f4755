"""The whole DAG, by Snakemake itself as a subprocess, always in a copy of the tree: dry runs, reruns, kills, locks."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from helpers import ROOT
from helpers.commands import flags_of
from helpers.tree import (
    copy_of_tree,
    edited,
    jobs_in,
    kill_all,
    planned,
    snakemake,
    start,
    supply,
    unlock,
    wait_for,
    working_in,
)
from srt import cli
from srt.experiment import config, layout
from srt.experiment.judges import read_judge
from srt.settings import EXECUTION_FLAGS, ExecutionConfig, Settings
from srt.storage.yaml_files import read_yaml

pytestmark = pytest.mark.slow

PROFILE_LINE = "Using workflow specific profile profiles/default for setting default command line arguments."
CONFIGS = ("config/config.yaml", "config/alpaca64.yaml", "config/paper.yaml", "config/released.yaml")


# What follows a finetuned run: its answers to both sets of questions, four evaluations, and the report with everything.
def report(trained):
    return {
        "tables": 1,
        "figure": len(layout.FIGURES),
        "html": 1,
        "all": 1,
        "data_card": trained,
        "model_card": trained,
    }


REPORT, REPORT_OF_THREE = report(2), report(3)
ONE_RUN = {"finetuned": 1, "answers": 1, "alpaca_eval": 1, "open_llm": 1, "pairwise": 1, "mt_bench": 1}
# One data set, three variants of it and the scores of all four (only `selective` reads any); 3 runs, 2 trained.
DEMO = {
    "demo_model": 1,
    "original": 1,
    "reflected": 3,
    "score_shard": 4,
    "scores": 4,
    "selected": 2,
    "finetuned": 2,
    "answers": 3,
    "alpaca_eval": 3,
    "open_llm": 3,
    "pairwise": 1,
    "mt_bench": 3,
    "judge_calibration": 1,
    **REPORT,
}
JOBS = {
    "config/config.yaml": DEMO,
    "config/alpaca64.yaml": DEMO,
    # Two data sets, two students, 25 runs of which 23 are trained; two opponents of the trained runs but themselves.
    "config/paper.yaml": {
        "original": 2,
        "reflected": 6,
        "score_shard": 16,
        "scores": 16,
        "coherence": 4,
        "selected": 23,
        "finetuned": 23,
        "answers": 23,
        "answers_2": 2,  # untuned models, which no pairwise comparison asks
        "alpaca_eval": 25,
        "alpaca_eval_2": 25,
        "mt_bench": 25,
        "open_llm": 50,  # two profiles
        "pairwise": 44,
        **report(23),
    },
    # Two data sets in three reflected versions, the scores of two students, two selections of either, two train files
    # and two models. Nobody is asked for reflections, nothing is scored or trained.
    "config/released.yaml": {
        "original": 2,
        "imported_reflections": 6,
        "imported_scores": 16,
        "imported_train": 2,
        "selected": 4,
        "answers": 2,
        "alpaca_eval": 2,
        "open_llm": 2,
        **{rule: count for rule, count in REPORT.items() if rule != "model_card"},
        "data_card": 6,  # of every train file, whether or not somebody trains on it
    },
}
# Refuses the network and torch, and notes who asked: what a dry run needs must be here without a GPU.
GUARD = """
import os, sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo") or (event == "import" and arguments[0] == "torch"):
        with open(os.environ["NOTED"], "a") as file:
            file.write(f"{event} {arguments}\\n")
        raise RuntimeError(f"refused: {event}")
sys.addaudithook(refuse)
"""
TEMPORARY = ("score_shard", "demo_model")  # deleted, or no result
STEPS = (
    "srt.prepare.prepare.prepare",
    "srt.reflection.reflect.reflect",
    "srt.scoring.score.score",
    "srt.scoring.score.gather",
    "srt.scoring.coherence.coherence",
    "srt.scoring.rescore.rescore",
    "srt.scoring.agreement.agreement",
    "srt.imports.train.import_train",
    "srt.imports.reflections.import_reflections",
    "srt.imports.scores.import_scores",
    "srt.selection.select.select",
    "srt.training.finetune.finetune",
    "srt.evaluation.generate.generate",
    "srt.prepare.demo_model.demo_model",
    "srt.evaluation.alpaca_eval.evaluate",
    "srt.evaluation.open_llm.evaluate",
    "srt.evaluation.pairwise.evaluate",
    "srt.evaluation.mt_bench.evaluate",
    "srt.evaluation.calibration.calibrate",
    "srt.report.tables.write.write_tables",
    "srt.report.page.html.write_html",
    "srt.report.page.cards.write_cards",
)
SLEEPER = 'rule all:\n    output:\n        "done",\n    shell:\n        "sleep 600"\n'


# --- The DAG of every shipped config ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=CONFIGS)
def plan(request, tmp_path_factory):
    """One guarded `snakemake -np` of a shipped config in a fresh clone, whose Snakefile also dumps what it sees."""
    tree = supply(copy_of_tree(tmp_path_factory.mktemp("plan") / "tree"))
    (tree.parent / "sitecustomize.py").write_text(GUARD)
    with (tree / "Snakefile").open("a") as file:
        file.write("\n\nwith open('seen.json', 'w') as file:\n    file.write(CONFIG.model_dump_json())\n")
        file.write("with open('runs.txt', 'w') as file:\n    print(RUN_TABLE, file=file)\n")
    environment = {"PYTHONPATH": f"{tree.parent}:{ROOT}", "NOTED": str(tree.parent / "noted"), "HF_HUB_OFFLINE": "0"}
    chosen = [] if request.param == CONFIGS[0] else ["--configfile", request.param]
    code, out, err = snakemake(tree, "-np", *chosen, env=environment)
    assert code == 0, out + err
    return request.param, tree, out + err


def test_the_dry_run_needs_neither_network_nor_gpu(plan):
    _, tree, _ = plan
    noted = tree.parent / "noted"
    assert not noted.exists(), noted.read_text()


def test_the_guard_of_the_dry_run_would_notice(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(GUARD)
    code = "import socket\ntry:\n  socket.create_connection(('127.0.0.1', 9))\nexcept RuntimeError:\n  import torch\n"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "NOTED": str(tmp_path / "noted")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert [line.split()[0] for line in (tmp_path / "noted").read_text().splitlines()] == [
        "socket.getaddrinfo",
        "import",
    ]


def test_the_dag_has_the_expected_jobs(plan):
    name, _, output = plan
    assert jobs_in(output) == JOBS[name]


def listed(output, what):
    """The files of all `input:` or `output:` lines below a rule's name: {rule: files}."""
    found = {}
    for rule, below in re.findall(r"^(?:local)?rule (\w+):\n((?:    .+\n)+)", output, re.MULTILINE):
        for files in re.findall(rf"^    {what}: (.+)$", below, re.MULTILINE):
            found.setdefault(rule, set()).update(files.split(", "))
    return found


def test_all_asks_by_name_for_whatever_a_job_leaves(plan):
    """What is only an intermediate file is not made again where it is gone, so nothing that stays may be one."""
    _, _, output = plan
    left = set().union(*(files for rule, files in listed(output, "output").items() if rule not in TEMPORARY))
    asked = listed(output, "input")["all"]
    # A notebook stands beside a figure that is asked for; a model that was deleted is not trained again for that.
    unasked = {path for path in left if "/notebooks/" in path or path.endswith("/model")}
    assert left - unasked - asked == set()
    assert asked <= left


def test_snakemake_sees_what_the_loader_sees(plan):
    name, tree, _ = plan
    expected, runs = config.load(ROOT / name)
    assert json.loads((tree / "seen.json").read_text()) == json.loads(expected.model_dump_json())
    assert (tree / "runs.txt").read_text().strip() == str(runs)


def commands_in(output):
    """The printed commands as argument lists, without the redirection of all output to the rule's log."""
    found = re.findall(r"^Shell command: (.+)$", output, re.MULTILINE)
    for line in found:
        words = shlex.split(line)
        if words == ["None"]:
            continue
        assert (words[-3], words[-1]) == (">", "2>&1"), line
        assert words[-2].startswith("logs/"), line
        yield words[:-3]


def sections(settings):
    """Every section of a config, its maps' entries included."""
    for value in settings.__dict__.values():
        for section in value.values() if isinstance(value, dict) else [value]:
            for entry in section.values() if isinstance(section, dict) else [section]:
                if isinstance(entry, BaseModel):
                    yield entry
                    yield from sections(entry)


@pytest.fixture
def called(monkeypatch, any_path):
    """All steps replaced by notes of their arguments; reading a whole config file as a step does is refused."""
    calls = []

    def refuse(path=None):
        raise AssertionError(f"a config file was read: {path}")

    monkeypatch.setattr("srt.experiment.config.load", refuse)
    for step in STEPS:
        monkeypatch.setattr(step, lambda *args, step=step, **more: calls.append((step, [*args, *more.values()])))
    return calls


def test_every_printed_command_is_accepted_and_only_the_report_needs_a_config_file(plan, called, monkeypatch):
    name, tree, output = plan
    monkeypatch.chdir(tree)
    shipped = config.parse(read_yaml(ROOT / name), name)[0]
    judges = [read_judge(file) for file in shipped.evaluate.judges()]
    known = [(type(section), flags_of(section)) for section in [*sections(shipped), *judges]]
    commands = list(commands_in(output))
    assert len(commands) == sum(JOBS[name].values()) - JOBS[name]["all"]
    for command in commands:
        if command[0] == "papermill":
            continue
        called.clear()
        assert command[0] == "srt"
        assert cli.main(command[1:]) == 0, shlex.join(command)
        [(step, arguments)] = called
        assert ("--config" in command) == (command[1] == "report")
        if step == "srt.evaluation.generate.generate":  # a list of sets of questions, each with its own settings
            arguments += [each.settings for each in arguments[0]]
            assert len(arguments[0]) == command.count("--also") + 1
        for given in (value for value in arguments if isinstance(value, Settings)):
            if isinstance(given, ExecutionConfig):
                keys = EXECUTION_FLAGS[step.rsplit(".", 1)[1].replace("calibrate", "evaluate")]
                assert flags_of(given, keys) == flags_of(shipped.execution, keys), step
            else:
                assert (type(given), flags_of(given)) in known, (step, given)


def test_papermill_hands_the_notebooks_what_they_declare(plan):
    _, _, output = plan
    commands = [command for command in commands_in(output) if command[0] == "papermill"]
    assert len(commands) == len(layout.FIGURES)
    for command in commands:
        given = {command[place + 1] for place, word in enumerate(command) if word == "-r"}
        notebook = json.loads((ROOT / next(word for word in command if word.startswith("notebooks/"))).read_text())
        cells = [cell for cell in notebook["cells"] if "parameters" in cell.get("metadata", {}).get("tags", [])]
        declared = {
            line.split("=")[0].strip() for cell in cells for line in "".join(cell["source"]).splitlines() if "=" in line
        }
        assert given
        assert given <= declared


# --- From whatever is there ---------------------------------------------------------------------------------------

TABLE_TARGETS = [f"table_{name}" for name in (*layout.tables(), *layout.TABLE_NUMBERS)]
TARGETS = [*TABLE_TARGETS, *(f"figure_{name}" for name in layout.FIGURES), "so_far"]


def test_each_table_and_figure_is_a_target_that_starts_no_run(finished, tmp_path):
    """One dry run with all targets: in a fresh clone, and where the demo has run."""
    for tree in (copy_of_tree(tmp_path / "fresh"), finished):
        assert planned(tree, *TARGETS) == dict.fromkeys(TARGETS, 1)


def test_from_a_fresh_clone_every_table_and_figure_is_drawn(tmp_path):
    tree = copy_of_tree(tmp_path / "tree")
    code, out, err = snakemake(tree, "so_far", "figure_pairwise", "table_open_llm", "--cores", "1")
    assert code == 0, out + err
    paths = [layout.TABLE.format(table=name, ext=ext) for name in layout.tables() for ext in ("csv", "md", "tex")]
    paths += [layout.FIGURE.format(figure=name, ext=ext) for name in layout.FIGURES for ext in ("pdf", "png")]
    assert all((tree / "results" / layout.SO_FAR / path).stat().st_size for path in [*paths, layout.REPORT])
    assert [path.name for path in (tree / "results").iterdir()] == [layout.SO_FAR]
    assert not (tree / "cache").exists()


# --- What a change reruns -----------------------------------------------------------------------------------------


def stub(tree, *arguments):
    """Every missing artefact as a file of its own name, and Snakemake's records of a whole run without one."""
    code, out, err = snakemake(tree, "-n", *arguments)
    assert code == 0, out + err
    for line in re.findall(r"^    output: (.+)$", out, re.MULTILINE):
        for name in line.split(", "):
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if re.fullmatch(r"results/runs/\w+/model", name):
                path.mkdir(exist_ok=True)
                path /= "config.json"
            path.write_text('{"shards": 1}' if name.startswith("results/scores/") else name)
    code, out, err = snakemake(tree, "--cores", "2", "--touch", "--forceall", "--quiet", *arguments)
    assert code == 0, out + err


@pytest.fixture(scope="module")
def finished_tree(tmp_path_factory):
    """The demo as if it had run: empty artefacts, and Snakemake's own record of every job's settings and inputs.

    `--touch --forceall` writes the records that a real run writes (settings, code, inputs) and runs no job.
    """
    tree = copy_of_tree(tmp_path_factory.mktemp("finished") / "tree")
    stub(tree)
    assert not list(tree.glob("results/shards/**/*.json*"))  # gathered, and deleted
    return tree


@pytest.fixture
def finished(finished_tree, tmp_path):
    """A copy of the finished demo, times and all, to be changed."""
    return Path(shutil.copytree(finished_tree, tmp_path / "tree", symlinks=True))


def test_a_second_run_does_nothing(finished):
    assert planned(finished) == {}


def test_a_changed_learning_rate_reruns_finetuning_and_what_follows(finished):
    name = edited(finished, lambda values: values["recipes"]["demo"].update(learning_rate=1.0e-5))
    # Both trained runs; only one of them has an opponent, which is the other.
    expected = {rule: 2 * count for rule, count in ONE_RUN.items()} | {"pairwise": 1} | REPORT
    assert planned(finished, "--configfile", name) == expected


@pytest.mark.parametrize("keys", [["concurrency"], [], ["cache"]])
def test_changed_execution_reruns_nothing(finished, keys):
    def change(values):
        if keys == ["cache"]:
            values["cache"] = "elsewhere"
            return
        for key in keys or values["execution"]:
            value = values["execution"][key]
            if isinstance(value, bool):
                values["execution"][key] = not value
            elif isinstance(value, int | float):
                values["execution"][key] = value + 1
        if not keys:
            values["execution"].update(device="cpu", card_gb=24.0, score_compile="off", score_shards=3)
            values["execution"]["gpu_memory_share"] = 0.5
            values["execution"]["endpoints"] = {"local": {"base_url": "http://127.0.0.1:1/v1", "api_key_env": None}}

    assert planned(finished, "--configfile", edited(finished, change)) == {}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda values: values["report"].update(compare={}), REPORT),
        (
            lambda values: values["report"].update(notice="Another."),
            {rule: count for rule, count in REPORT.items() if rule not in ("tables", "figure")},
        ),
        (lambda values: values["report"]["licences"].update(demo="MIT"), {"data_card": 2, "model_card": 2, "all": 1}),
        (lambda values: values["students"].update(unused=values["students"]["smollm2"]), {}),
    ],
    ids=["compare", "notice", "licence", "a student that no run has"],
)
def test_a_change_of_what_the_report_says_reruns_what_depends_on_it(finished, change, expected):
    assert planned(finished, "--configfile", edited(finished, change)) == expected


def test_models_that_were_deleted_are_trained_again_only_for_a_reason(finished):
    for model in finished.glob("results/runs/*/model"):
        shutil.rmtree(model)
    assert planned(finished) == {}  # with keep_models true, whatever it was before
    (finished / "results/runs/recycled/train.jsonl").write_text("other records")  # whose training was killed
    assert "finetuned" in planned(finished)


def test_a_new_run_of_another_ratio_runs_neither_teacher_nor_scorer(finished):
    with (finished / "config/demo.tsv").open("a") as table:
        table.write("half\tdemo\tsmollm2\tsmollm2\tselective\t0.5\tdemo\t0\n")
    assert planned(finished) == {"selected": 1, **ONE_RUN, **REPORT_OF_THREE}


def test_exact_precision_below_float32_computes_doubts_again_for_each_choice(finished):
    """What is scored in bfloat16 is scored once; each run that chooses or ranks has its own doubts."""

    def change(values):
        values["score"].update(dtype="bfloat16", precision="exact")

    scored = {"score_shard": 4, "scores": 4, "rescored": 1, "selected": 1, **ONE_RUN, **REPORT}
    assert planned(finished, "--configfile", edited(finished, change)) == scored


def test_a_proxy_scores_in_the_students_place_and_is_compared_with_it(finished):
    table = finished / "config/demo.tsv"
    header, *rows = table.read_text().splitlines()
    proxied = "cheap\tdemo\tsmollm2\tsmollm2\tselective\t1\tdemo\t0\tsmall"
    table.write_text("\n".join([header + "\tscorer", *(row + "\t-" for row in rows), proxied]) + "\n")
    name = edited(finished, lambda values: values["students"].update(small=values["students"]["smollm2"]))
    expected = {"score_shard": 4, "scores": 4, "agreement": 1, "selected": 1, **ONE_RUN, **REPORT_OF_THREE}
    assert planned(finished, "--configfile", name) == expected


def test_an_edited_prompt_reruns_reflection_and_what_follows(finished):
    with (finished / "config/prompts/turns.yaml").open("a") as prompts:
        prompts.write("# edited\n")
    expected = {"reflected": 3, "score_shard": 3, "scores": 3, "selected": 1, **ONE_RUN, **REPORT}
    assert planned(finished) == expected


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("config/prompts/alpaca_eval_logprob/prompt.txt", {"alpaca_eval": 3, "judge_calibration": 1}),
        ("config/prompts/alpaca_eval_logprob/configs.yaml", {"alpaca_eval": 3, "judge_calibration": 1}),
        ("config/prompts/pairwise.yaml", {"pairwise": 1, "judge_calibration": 1}),
        ("config/judges/smollm2.yaml", {"alpaca_eval": 3, "pairwise": 1, "mt_bench": 3, "judge_calibration": 1}),
        ("config/demo/items/hellaswag.jsonl", {"open_llm": 3}),
    ],
)
def test_what_a_judge_or_a_leaderboard_reads_reruns_its_benchmarks_alone(finished, file, expected):
    with (finished / file).open("a") as edited_file:
        edited_file.write("\n" if file.endswith(".txt") else "# edited\n")  # a prompt must end as it does
    assert planned(finished) == {**expected, **REPORT}


# --- Weights and settings that decide, and those that do not --------------------------------------------------------


@pytest.fixture(scope="module")
def local_tree(finished_tree, tmp_path_factory):
    """The finished demo with a student, a scorer of coherence and a served judge in local folders."""
    tree = Path(shutil.copytree(finished_tree, tmp_path_factory.mktemp("local") / "tree", symlinks=True))
    for name in ("student", "embedding", "judge"):
        folder = tree / "local" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(bytes(2_000_000))
    judge = read_yaml(tree / "config/judges/smollm2.yaml") | {"model": "local/judge"}
    (tree / "config/judges/smollm2.yaml").write_text(yaml.safe_dump(judge))
    with (tree / "config/demo.tsv").open("a") as table:
        table.write("near\tdemo\tsmollm2\tsmollm2\tcoherence\t0.5\t-\t0\n")

    def change(values):
        values["students"]["smollm2"]["model"] = "local/student"
        values["coherence"]["embedding"] = "local/embedding"

    stub(tree, "--configfile", edited(tree, change))
    assert planned(tree, "--configfile", "changed.yaml") == {}
    return tree


SCORED = {"score_shard": 4, "scores": 4, "selected": 2, "data_card": 3, "all": 1}
OF_STUDENT = {"finetuned": 2, "answers": 3, "open_llm": 3, "alpaca_eval": 3, "mt_bench": 3, "pairwise": 1}
JUDGED = {"alpaca_eval": 3, "pairwise": 1, "mt_bench": 3, "judge_calibration": 1}
REPORTED = {"tables": 1, "figure": len(layout.FIGURES), "html": 1, "data_card": 3, "model_card": 2, "all": 1}


@pytest.mark.parametrize(
    ("model", "how", "expected"),
    [
        ("student", "written", SCORED | OF_STUDENT | REPORTED),
        ("student", "linked", SCORED | OF_STUDENT | REPORTED),
        ("embedding", "moved", {"coherence": 4, "selected": 1} | REPORTED),
        ("judge", "moved", JUDGED | REPORTED),
    ],
)
def test_replaced_weights_of_a_local_model_rerun_what_reads_them(local_tree, tmp_path, model, how, expected):
    """Whether the new ones are newer than the results, as old as files of before, or another folder behind a link."""
    tree = Path(shutil.copytree(local_tree, tmp_path / "tree", symlinks=True))
    folder = tree / "local" / model
    other = tree / "local/other"
    shutil.copytree(folder, other)
    weights = bytearray(2_000_000)
    weights[1_000_000:1_100_000] = b"x" * 100_000
    (other / "model.safetensors").write_bytes(weights)
    if how == "written":
        shutil.copyfile(other / "model.safetensors", folder / "model.safetensors")
    else:
        for path in other.iterdir():
            os.utime(path, (0, 10**9))
        shutil.rmtree(folder)
        other.rename(folder) if how == "moved" else folder.symlink_to(other)
    assert planned(tree, "--configfile", "changed.yaml") == expected


@pytest.mark.parametrize(
    ("key", "value", "runs"),
    [("proxy_sample", 9, 0), ("perplexity_prefers", "higher", 0), ("ifd_below", 0.9, 1), ("r_ifd_below", 0.9, 1)],
)
def test_a_setting_of_the_selection_reruns_the_methods_that_read_it(finished, key, value, runs):
    """Of the demo's runs one is filtered by IFD and r-IFD; none has a proxy, none compares perplexities."""
    name = edited(finished, lambda values: values["selection"].update({key: value}))
    assert planned(finished, "--configfile", name).get("selected", 0) == runs


def test_a_seed_that_no_selection_reads_trains_again_and_selects_nothing_again(finished):
    table = finished / "config/demo.tsv"
    table.write_text(table.read_text().replace("selective\t1\tdemo\t0", "selective\t1\tdemo\t5"))
    found = planned(finished)
    assert (found["finetuned"], found.get("selected", 0)) == (1, 0)


def test_how_exactly_a_selection_looks_at_scores_scores_nothing_again(finished):
    name = edited(finished, lambda values: values["score"].update(precision="exact"))
    assert planned(finished, "--configfile", name) == {}


def test_the_sample_of_a_proxy_is_drawn_again_and_nothing_is_selected_again(finished):
    table = finished / "config/demo.tsv"
    header, *rows = table.read_text().splitlines()
    rows[-1] += "\tsmall"
    table.write_text(
        "\n".join([f"{header}\tscorer", *(row if "small" in row.split() else f"{row}\t-" for row in rows)]) + "\n"
    )
    add = lambda values: values["students"].update(small=values["students"]["smollm2"])  # noqa: E731
    name = edited(finished, add)
    stub(finished, "--configfile", name)
    again = edited(finished, lambda values: values["selection"].update(proxy_sample=9), source=name, name="again.yaml")
    assert planned(finished, "--configfile", again) == {"agreement": 1, "all": 1}


# --- What is wrong is refused before any job ----------------------------------------------------------------------


def row(text):
    def change(values, tree):
        with (tree / "config/demo.tsv").open("a") as table:
            table.write(text)

    return change


def without(*keys):
    def change(values, tree):
        for key in keys[:-1]:
            values = values[key]
        del values[keys[-1]]

    return change


@pytest.mark.parametrize(
    ("source", "change", "message"),
    [
        ("paper", without("generate"), "changed.yaml: generate: is missing"),
        ("paper", without("generate", "paper", "seed"), "changed.yaml: generate.paper.seed: is missing"),
        ("config", lambda v, _: v["score"].update(max_len=5), "changed.yaml: score.max_len: is not a known key"),
        ("config", row("x\tdemo\tsmollm2\tsmollm2\tbest\t1\tdemo\t0\n"), "config/demo.tsv: run 'x': method: "),
        ("config", row("x\tdemo\tsmollm2\tsmollm2\tifd\t0\tdemo\t0\n"), "config/demo.tsv: run 'x': ratio: "),
        ("config", row("x\tdemo\tsmollm2\tsmollm2\tifd\t2\tdemo\t0\n"), "config/demo.tsv: run 'x': ratio: "),
        ("config", lambda v, _: v["students"]["smollm2"].update(model="./gone"), "./gone: no such model folder"),
        (
            "config",
            lambda v, _: v["datasets"].update({"..": {}}),
            "changed.yaml: datasets: expected at most 80 of the",
        ),
        (
            "config",
            lambda v, _: v["teachers"].update({"a\n$(b)": {}}),
            "teachers: expected at most 80 of the letters",
        ),
        (
            "config",
            lambda v, _: v.update(results="a{b}"),
            "changed.yaml: results: expected a path or name without braces",
        ),
    ],
)
def test_a_wrong_config_ends_in_one_line_and_exit_code_2(tmp_path, source, change, message):
    tree = supply(copy_of_tree(tmp_path / "tree"))
    name = edited(tree, lambda values: change(values, tree), f"config/{source}.yaml")
    before = sorted(path for path in tree.rglob("*") if ".snakemake" not in path.parts)
    code, out, err = snakemake(tree, "-n", "--configfile", name)
    lines = [line for line in (out + err).splitlines() if line.startswith("srt: ")]
    assert code == 2, out + err
    assert len(lines) == 1, lines
    assert message in lines[0]
    assert sorted(path for path in tree.rglob("*") if ".snakemake" not in path.parts) == before


# --- Locks and kills ----------------------------------------------------------------------------------------------


@pytest.fixture
def living(tmp_path):
    """A Snakemake at work in a folder of its own, on a job that sleeps."""
    folder = tmp_path / "living"
    folder.mkdir()
    (folder / "Snakefile").write_text(SLEEPER)
    process = start(folder, "--cores", "1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: locks(folder), 60)
        yield folder, process
    finally:
        process.kill()
        process.wait()
        kill_all(folder)


def locks(folder):
    return sorted((folder / ".snakemake/locks").glob("*"))


def test_a_lock_is_kept_while_its_snakemake_lives_and_removed_after(living):
    folder, process = living
    held = locks(folder)
    refused = unlock(folder)
    assert refused.returncode == 2
    assert refused.stderr.splitlines() == [
        f"srt: Snakemake (process {process.pid}) works in this folder: wait for it, or stop it, and try again"
    ]
    assert locks(folder) == held
    process.kill()
    process.wait()
    assert locks(folder) == held
    assert unlock(folder).returncode == 0
    assert locks(folder) == []


def test_a_lock_is_removed_though_a_snakemake_lives_elsewhere(living, tmp_path):
    elsewhere, _ = living
    tree = copy_of_tree(tmp_path / "tree")  # the real workflow, which Snakemake reads in order to unlock
    shutil.copytree(elsewhere / ".snakemake", tree / ".snakemake")
    assert locks(tree)
    done = unlock(tree)
    assert done.returncode == 0, done.stderr
    assert not locks(tree)
    assert locks(elsewhere)


def test_unlock_of_a_free_folder_is_silent(tmp_path):
    done = unlock(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def scoring_tree(tmp_path, tiny_llamas):
    """The workflow with a tiny student that scores many records one sequence at a time."""
    tree = copy_of_tree(tmp_path / "tree")
    records = [{"instruction": f"Count to {n}.", "output": f"One, two, and so on up to {n}. " * 5} for n in range(100)]
    (tree / "records.json").write_text(json.dumps(records))

    def change(values):
        values["students"]["smollm2"]["model"] = str(tiny_llamas["plain"])
        values["datasets"]["demo"]["source"] = "records.json"
        values["execution"]["score_batch_tokens"] = 1

    return tree, edited(tree, change)


def test_shards_make_the_same_file_and_another_number_of_them_reruns_nothing(scoring_tree):
    tree, name = scoring_tree
    target = "results/scores/smollm2/demo/original.jsonl"

    def sharded(shards, cache):
        def change(values):
            values["execution"].update(score_shards=shards, score_batch_tokens=4096)
            values["cache"] = cache

        return edited(tree, change, source=name, name=f"{shards}.yaml")

    found = []
    for shards in (1, 3):
        (tree / target).unlink(missing_ok=True)
        (tree / target.replace(".jsonl", ".meta.json")).unlink(missing_ok=True)
        code, out, err = snakemake(tree, target, "--cores", "2", "--configfile", sharded(shards, f"cache{shards}"))
        assert code == 0, out + err
        found.append([json.loads(line) for line in (tree / target).open()])
    for one, three in zip(*found, strict=True):
        assert one["id"] == three["id"]
        assert one["ifd"] == pytest.approx(three["ifd"], rel=1e-5)
        assert one["r_ifd"] == pytest.approx(three["r_ifd"], rel=1e-5)
    assert json.loads((tree / target.replace(".jsonl", ".meta.json")).read_text())["shards"] == 3
    assert not list(tree.glob("results/shards/**/*.jsonl"))
    assert planned(tree, target, "--configfile", sharded(2, "cache3")) == {}


@pytest.mark.parametrize("whole_group", [False, True])
def test_killed_snakemake_leaves_no_orphan(scoring_tree, whole_group):
    tree, name = scoring_tree
    target = tree / "results/scores/smollm2/demo/original.jsonl"
    arguments = (str(target.relative_to(tree)), "--cores", "2", "--configfile", name)
    log = tree / "logs/score/smollm2/demo/original.1-of-1.log"

    def journalled():
        return sum(path.read_bytes().count(b"\n") for path in tree.glob("cache/nll/*/*.jsonl"))

    process = start(tree, *arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: journalled() > 50 or process.poll() is not None, 120)
        assert process.poll() is None, "Snakemake ended before it was killed"
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not working_in(tree), 5)
    finally:
        kill_all(tree)
    kept = journalled()
    time.sleep(1)
    assert journalled() == kept
    assert [path for path in target.parent.glob("*") if path.name.startswith((".", "original"))] == []
    total = int(re.search(r"(\d+) different sequences, \1 to be scored", log.read_text()).group(1))
    assert kept < total

    done = unlock(tree)
    assert done.returncode == 0, done.stderr
    code, out, err = snakemake(tree, *arguments)
    assert code == 0, out + err
    assert f"{total} different sequences, {total - kept} to be scored" in log.read_text()
    assert sum(1 for _ in target.open()) == 100
