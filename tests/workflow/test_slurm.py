"""What Slurm is asked for: the sbatch and srun lines, with stand-ins on PATH, and the demo through a real one."""

import json
import os
import re
import subprocess
import sys
from itertools import takewhile

import pytest

from helpers import TESTS
from helpers.slurm import cluster
from helpers.tree import copy_of_tree, edited, snakemake

pytestmark = pytest.mark.slow

SLURM = TESTS / "helpers" / "slurm"
PROGRAMS = ("sbatch", "srun", "squeue", "sacct", "sacctmgr", "scontrol", "scancel", "sinfo")
# One program in the place of all. `sbatch` notes its line and runs the job at once, as Slurm would on a node; `srun`
# notes its line and fails, so that no step is run; `sacct` knows how each job ended.
STAND_IN = """\
#!{python}
import json, os, subprocess, sys
name, noted = os.path.basename(sys.argv[0]), "{noted}"
if name in ("sbatch", "srun"):
    with open(noted, "a") as file:
        file.write(json.dumps([name, sys.argv[1:]]) + "\\n")
if name == "srun":
    sys.exit(1)
if name == "sbatch":
    job = str(os.getpid())
    words = dict(word.split("=", 1) for word in sys.argv if "=" in word and word.startswith("--"))
    env = dict(os.environ, SLURM_JOB_ID=job, **({{"SLURM_GPUS": words["--gpus"]}} if "--gpus" in words else {{}}))
    code = subprocess.run(words["--wrap"], shell=True, env=env, capture_output=True).returncode
    with open(noted + ".states", "a") as file:
        file.write(job + "|" + ("FAILED" if code else "COMPLETED") + "\\n")
    print(job)
if name == "sacct" and "--parsable2" in sys.argv and os.path.exists(noted + ".states"):
    print(open(noted + ".states").read())
"""
RUN = "runs/wizardlm-7b-selective"
# By rule: a file that it makes, and those that it makes it from, which are there.
TARGETS = {
    "selected": ("runs/wizardlm-7b-original/train.jsonl", ("data/wizardlm/original.jsonl",)),
    "reflected": ("data/wizardlm/gpt/instruction.jsonl", ("data/wizardlm/original.jsonl",)),
    "score_shard": ("shards/llama2-7b/wizardlm/original.1-of-1.jsonl", ("data/wizardlm/original.jsonl",)),
    "alpaca_eval": (f"{RUN}/evaluation/alpaca_eval.json", (f"{RUN}/answers/alpaca_eval.jsonl",)),
    "finetuned": (f"{RUN}/model", (f"{RUN}/train.jsonl",)),
}


@pytest.fixture(scope="module")
def needs_plugin():
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs pip install -r requirements/slurm.txt")


def submitted(folder, rules, **execution):
    """The main command to the end with stand-ins; by rule what sbatch and then srun were asked for."""
    tree, noted = copy_of_tree(folder / "tree"), folder / "noted"
    for program in PROGRAMS:
        path = folder / "bin" / program
        path.parent.mkdir(exist_ok=True)
        path.write_text(STAND_IN.format(python=sys.executable, noted=noted))
        path.chmod(0o755)
    name = edited(tree, lambda values: values["execution"].update(execution), "config/paper.yaml")
    wanted = [TARGETS[rule] for rule in rules]
    for path in {path for _, paths in wanted for path in paths}:
        (tree / "results-paper" / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / "results-paper" / path).write_text("")
    profile = [
        "--workflow-profile",
        "profiles/slurm",
        "--slurm-init-seconds-before-status-checks",
        "1",
        "--retries",
        "0",
    ]
    arguments = [*profile, "--configfile", name, "--keep-going", "--rerun-triggers", "mtime", "--latency-wait", "1"]
    arguments += ["--allowed-rules", *rules, "--", *(f"results-paper/{path}" for path, _ in wanted)]
    env = {"PATH": f"{folder / 'bin'}:/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path)}
    _, out, err = snakemake(tree, *arguments, env=env)
    lines = [json.loads(line) for line in noted.read_text().splitlines()]
    assert sum(name == "sbatch" for name, _ in lines) == len(rules), out + err
    return {
        rule: [asked(words) for program in ("sbatch", "srun") for words in calls(lines, program, rule)]
        for rule in rules
    }


def calls(lines, program, rule):
    """The calls of a program for a rule's job, which is named in the command that it is given."""
    found = (words for name, words in lines if name == program)
    return [words for words in found if f"--target-jobs {rule}:" in " ".join(words).replace("'", "")]


def asked(words):
    """What of a line asks for anything: partition, time, memory, tasks, CPUs, GPUs."""
    words = list(takewhile(lambda word: not word.startswith(("--wrap", sys.executable)), words))
    for option in {"--job-name", "--output", "--comment", "-D"} & set(words):
        place = words.index(option)
        del words[place : place + 2]
    return " ".join(word for word in words if word not in SAME)


SAME = ("--parsable", "--export=ALL", "--requeue", "--cpu-bind=q")
LIGHT = ["-p cpu -t 1440 --mem-per-cpu 8000 --nodes=1 --ntasks=1 --cpus-per-task=1", "-n1 --cpus-per-task=1 --nodes=1"]


def test_every_job_asks_for_what_it_needs_and_its_step_for_no_more(needs_plugin, tmp_path):
    assert submitted(tmp_path, TARGETS) == {
        "selected": LIGHT,
        "reflected": LIGHT,
        "alpaca_eval": LIGHT,
        "score_shard": [
            "-p gpu -t 1440 --mem-per-cpu 8000 --nodes=1 --cpus-per-gpu=8 --gpus=1",
            "-n1 --cpus-per-gpu=8 --gpus=1 --nodes=1",
        ],
        "finetuned": [
            "-p gpu -t 2880 --mem-per-cpu 8000 --nodes=1 --cpus-per-gpu=8 --gpus=8",
            "-n1 --cpus-per-gpu=8 --gpus=8 --nodes=1",
        ],
    }


def test_a_training_on_two_machines_is_started_once_outside_of_srun(needs_plugin, tmp_path):
    """Each machine has a task and eight GPUs; `srt finetune` starts itself there (tests/training/test_launch.py)."""
    (line,) = submitted(tmp_path, ["finetuned"], finetune_nodes=2)["finetuned"]
    tasks = "--nodes=2 --ntasks=2 --cpus-per-gpu=8 --gpus-per-node=8"
    assert line == f"-p gpu -t 2880 --mem-per-cpu 8000 {tasks} --gpus=16"
    assert "holds no pair" in (tmp_path / "tree/logs/finetune/wizardlm-7b-selective.log").read_text()


# --- A real Slurm: make test-more --------------------------------------------------------------------------------


@pytest.fixture
def slurm(tmp_path):
    """A cluster of this machine's own; its environment."""
    if missing := cluster.missing():
        pytest.skip(missing)
    folder = tmp_path / "cluster"
    try:
        cluster.start(folder)
        yield {**os.environ, **cluster.environment(folder)}
    finally:
        cluster.stop(folder)


# What `srt finetune` does on the first of two machines, where Snakemake's executor has removed Slurm's variables.
ON_THE_FIRST = """
import os, subprocess, sys
for name in [name for name in os.environ if name.startswith("SLURM_") and name != "SLURM_JOB_ID"]:
    del os.environ[name]
from helpers.training import execution, recipe
from srt.training import launch
sys.executable = "echo"
words = launch.command(recipe(sharding="fsdp2"), execution(finetune_gpus=2, finetune_nodes=2), "cuda", False)
script = words.index("-c") + 1
words[script] = "echo $SLURMD_NODENAME has $SLURM_GPUS_ON_NODE GPUs $SLURM_CPUS_ON_NODE CPUs; " + words[script]
subprocess.run([*words, "finetune"], check=True)
"""


@pytest.mark.more
def test_a_training_on_two_machines_starts_on_both(slurm, tmp_path):
    (tmp_path / "first.py").write_text(ON_THE_FIRST)
    asked = ["--nodes=2", "--ntasks=2", "--cpus-per-gpu=8", "--gpus-per-node=2", "--gpus=4", "--mem-per-cpu", "8000"]
    wrapped = f"--wrap={sys.executable} {tmp_path}/first.py"
    output = tmp_path / "output"
    env = {**slurm, "PYTHONPATH": ":".join(sys.path)}
    sbatch = ["sbatch", "--wait", "--partition=gpu", f"--output={output}", *asked, wrapped]
    assert subprocess.run(sbatch, env=env, check=False).returncode == 0, output.read_text()
    shown = output.read_text()
    for rank, node in enumerate(("gpu1", "gpu2")):
        assert f"{node} has 2 GPUs 16 CPUs" in shown
        assert f"--machine_rank {rank} --main_process_ip gpu1" in shown
    assert shown.count("--num_machines 2 --num_processes 4") == 2


@pytest.mark.more
def test_the_demo_goes_through_a_real_slurm_and_its_interruptions(needs_plugin, demo_model, tmp_path):
    """To the report, after an scancel, a requeue and a time limit: docs/slurm-transcript.md is what it prints."""
    if missing := cluster.missing():
        pytest.skip(missing)
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, SLURM / "demo.py", tmp_path / "run"], env=env, check=False)
    assert done.returncode == 0
    assert (tmp_path / "run/srt/results/report.html").exists()
    shown = (tmp_path / "run/transcript.txt").read_text()
    assert all(command in shown for command in ("$ scancel", "$ scontrol requeue", "TimeLimit=1"))
    assert shown.count("going on from checkpoint-") == 2
    assert set(re.findall(r"(\d+) asked for twice", shown)) == {"0"}
