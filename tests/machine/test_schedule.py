"""The schedule: a machine's cards and cores are used whole. The machine is made up, and every job is a stub.

Snakemake, its scheduler and the workflow are the real ones; tests/helpers/machine has the stubs.
"""

import csv
import hashlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass

import pytest

from helpers import ROOT, TESTS
from helpers.tree import copy_of_tree, edited, supply
from srt.machine.schedule import Schedule, endpoint, remarks, weight
from srt.settings import ExecutionConfig
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.yaml_files import read_yaml

MACHINE = TESTS / "helpers" / "machine"
SECONDS = {"reflected": 3.0, "score_shard": 1.2, "finetuned": 0.4, "answers": 0.5, "open_llm": 0.5}
JUDGES = ("alpaca_eval", "alpaca_eval_2", "mt_bench", "pairwise")
RUNS_MODEL = ("score_shard", "answers", "open_llm")


@dataclass(frozen=True)
class Job:
    """What a stub noted: from when to when it ran, its rule, the threads it was given, and its first output."""

    began: float
    ended: float
    rule: str
    threads: int
    output: str

    @classmethod
    def of(cls, row):
        began, ended, rule, threads, output = row
        return cls(float(began), float(ended), kind(rule), int(threads), output)


def kind(rule):
    """A rule's name, without the number of one that there are several of."""
    return re.sub(r"^answers_\d+$", "answers", rule)


def snakemake(tree, *arguments, **env):
    command = [sys.executable, "-m", "snakemake", *arguments]
    env = os.environ | {"OPENAI_API_KEY": "any"} | env
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def jobs_of(plan):
    """Of a printed plan: each job's rule, command and outputs."""
    for block in re.split(r"\n(?=\[\w{3} \w{3} )", plan):
        rule = re.search(r"^(?:local)?rule (\w+):$", block, re.MULTILINE)
        outputs = re.search(r"^    output: (.+)$", block, re.MULTILINE)
        command = re.search(r"^Shell command: (.+)$", block, re.MULTILINE)
        if rule and outputs and command:
            yield rule[1], shlex.split(command[1])[:-3], outputs[1].split(", ")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a command of README.md on a made-up machine; returns its jobs as they began, and what was said."""
    stubs = tmp_path / "stubs"
    (stubs / "jobs").mkdir(parents=True)
    (stubs / "env").write_text(f"PATH={MACHINE}:$PATH\n")  # after Snakemake put the real `srt` in front
    monkeypatch.setenv("PYTHONPATH", f"{MACHINE}:{ROOT}")
    for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def run(tree, *arguments, cores, cards=None):
        env = {"TEST_CORES": str(cores), "STUBS": str(stubs)} | ({"TEST_CARDS": str(cards)} if cards else {})
        for rule, command, outputs in jobs_of(snakemake(tree, *arguments, "-np", **env)):
            checksum = hashlib.sha1("".join(f"{word}\0" for word in command).encode()).hexdigest()  # noqa: S324
            seconds = SECONDS.get(kind(rule), 0.05)
            (stubs / "jobs" / checksum).write_text("\n".join([rule, str(seconds), *outputs]) + "\n")
        said = snakemake(tree, *arguments, BASH_ENV=str(stubs / "env"), **env)
        with (stubs / "jobs.tsv").open(newline="") as file:
            return sorted(map(Job.of, csv.reader(file, delimiter="\t")), key=lambda job: job.began), said

    return run


@pytest.fixture
def paper(tmp_path):
    """config/paper.yaml with four of its runs: an untuned model, and three trained on all cards."""
    tree = supply(copy_of_tree(tmp_path / "tree"))
    header, *rows = (tree / "config/paper.tsv").read_text().splitlines()
    kept = ("llama2-7b", "wizardlm-7b-original", "wizardlm-7b-both", "wizardlm-7b-selective")
    (tree / "config/paper.tsv").write_text("\n".join([header, *(r for r in rows if r.split("\t")[0] in kept)]) + "\n")
    edited(tree, lambda values: values["report"].update(compare={}), "config/paper.yaml", "config/paper.yaml")
    return tree


PAPER = ("--cores", "all", "--configfile", "config/paper.yaml")


def overlapping(jobs, rules, others):
    """Pairs of jobs of these rules and of the others that ran at the same time."""
    return [
        (one, other)
        for one in jobs
        for other in jobs
        if one.rule in rules and other.rule in others and one is not other
        if one.began < other.ended and other.began < one.ended
    ]


def most_at_once(jobs, rules):
    """The highest number of jobs of these rules that ran at a time."""
    chosen = [job for job in jobs if job.rule in rules]
    return max(sum(job.began <= moment.began < job.ended for job in chosen) for moment in chosen)


@pytest.mark.slow
def test_eight_cards_work_side_by_side(run, paper):
    jobs, said = run(paper, *PAPER, cores=64, cards=8)
    assert 'gpu=Resource("gpu", 8)' in said
    spread = []
    for pairs in ("original", "instruction", "response", "both"):
        shards = [job for job in jobs if job.rule == "score_shard" and f"/{pairs}." in job.output]
        assert len(shards) == 8
        assert {job.threads for job in shards} == {7}  # 64 cores, of which an endpoint or a light job each take one
        spread.append(max(job.began for job in shards) - min(job.began for job in shards))
    # Where a file finds all cards free; within a second, on a machine that is not busy with other things.
    assert min(spread) < max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), spread
    assert most_at_once(jobs, RUNS_MODEL) == 8
    assert overlapping(jobs, ["reflected"], ["score_shard"])
    assert overlapping(jobs, ["reflected"], JUDGES)
    assert overlapping(jobs, ["score_shard"], JUDGES)
    # A training takes all cards: it waits for them, and nothing else runs on them meanwhile.
    assert [job.threads for job in jobs if job.rule == "finetuned"] == [56] * 3
    assert not overlapping(jobs, ["finetuned"], ["finetuned", *RUNS_MODEL])
    # At each endpoint one job at a time.
    assert most_at_once(jobs, ["reflected"]) == 1
    assert most_at_once(jobs, ["alpaca_eval", "mt_bench", "pairwise"]) == 1
    assert {job.threads for job in jobs if job.rule in ("reflected", *JUDGES)} == {1}


@pytest.mark.slow
def test_one_card_has_one_job_at_a_time(run, paper):
    edited(paper, lambda values: values["execution"].update(finetune_gpus=1), "config/paper.yaml", "config/paper.yaml")
    jobs, _ = run(paper, *PAPER, cores=8, cards=1)
    assert most_at_once(jobs, [*RUNS_MODEL, "finetuned"]) == 1
    assert sum(job.rule == "score_shard" for job in jobs) == 4  # a file each, in one piece
    assert {job.threads for job in jobs if job.rule in (*RUNS_MODEL, "finetuned")} == {4}
    assert overlapping(jobs, ["reflected"], ["answers", "open_llm"])


@pytest.mark.slow
def test_two_cores_without_a_card_run_two_jobs_side_by_side(run, tmp_path):
    jobs, said = run(copy_of_tree(tmp_path / "tree"), "--cores", "all", cores=2)
    assert not re.search(r"^Provided resources: .*gpu", said, re.MULTILINE)
    assert most_at_once(jobs, {job.rule for job in jobs}) == 2
    assert {job.threads for job in jobs} == {1}
    assert overlapping(jobs, RUNS_MODEL, RUNS_MODEL)


@pytest.mark.parametrize(
    ("schedule", "threads"),
    [
        (Schedule(cores=64, gpus=8), {1: 7, 2: 14, 8: 56, 16: 56}),
        (Schedule(cores=64, gpus=8, endpoints=3), {1: 7, 8: 56}),
        (Schedule(cores=16, gpus=1, endpoints=3), {1: 12}),
        (Schedule(cores=8, gpus=8, endpoints=3), {1: 1, 8: 8}),
        (Schedule(cores=1, gpus=1), {1: 1}),
        (Schedule(cores=2, gpus=0), {0: 1}),
        (Schedule(cores=64, gpus=0), {0: 32}),
        (Schedule(cores=1, gpus=0, endpoints=2), {0: 1}),
        (Schedule(cores=1, gpus=0, on_cluster=True), {0: 8, 1: 8, 8: 64}),
    ],
)
def test_a_job_gets_its_share_of_the_cores(schedule, threads):
    assert {gpus: schedule.threads(gpus) for gpus in threads} == threads


def how(**changed):
    return ExecutionConfig.model_construct(**{"score_shards": "auto", "score_gpus": 1} | changed)


def test_a_file_is_scored_in_as_many_parts_as_there_are_gpus_for_it():
    assert Schedule(cores=64, gpus=8).shards(how()) == 8
    assert Schedule(cores=64, gpus=8).shards(how(score_gpus=4)) == 2
    assert Schedule(cores=64, gpus=2).shards(how(score_gpus=4)) == 1
    assert Schedule(cores=64, gpus=0).shards(how()) == 1
    assert Schedule(cores=64, gpus=8).shards(how(score_shards=3)) == 3
    # The Snakemake of a cluster's job has to find the same number as the one that submitted it.
    assert Schedule(cores=64, gpus=8, on_cluster=True).shards(how()) == 1


@pytest.mark.parametrize("shards", [0, "2", "all", 1.5, None, True])
def test_another_number_of_parts_is_refused_in_one_line(shards):
    values = read_yaml(ROOT / "config/config.yaml")["execution"] | {"score_shards": shards}
    with pytest.raises(InputError, match=r"^a\.yaml: score_shards: .*expected 'auto' or a whole number of at least 1"):
        validated(ExecutionConfig, values, "a.yaml")


def test_one_job_on_all_cards_outweighs_as_many_small_ones():
    assert weight(70, 8) > 8 * weight(60, 1)
    assert weight(70, 0) == 70


def test_an_endpoints_resource_has_a_name_that_snakemake_takes():
    assert endpoint("gpt-4o.mini") == "endpoint_gpt_4o_mini"


@pytest.mark.parametrize(
    ("total", "visible", "wanted", "said"),
    [
        (8, 8, {"finetune_gpus": 8}, []),
        (4, 8, {"finetune_gpus": 4}, []),
        (16, 8, {}, ["gpu=16: 8 GPUs are visible here: jobs beyond that wait until one is free"]),
        (4, 8, {"finetune_gpus": 8}, ["execution.finetune_gpus: 8: expected at most 4, the GPUs that there are"]),
        (16, 8, {"score_gpus": 9}, ["gpu=16: 8 GPUs", "execution.score_gpus: 9: expected at most 8"]),
        (1, 0, {"finetune_gpus": 8}, ["no GPU is visible here"]),
        (0, 8, {"finetune_gpus": 8}, ["gpu=0: 8 GPUs are visible here, and jobs use them"]),
    ],
)
def test_what_does_not_fit_is_said(total, visible, wanted, said):
    found = list(remarks(total, visible, wanted))
    assert len(found) == len(said)
    assert all(line.startswith(beginning) for line, beginning in zip(found, said, strict=True))


@pytest.mark.slow
def test_the_user_and_the_environment_have_the_last_word(tmp_path, cards, monkeypatch):
    tree = supply(copy_of_tree(tmp_path / "tree"))
    cards(8)

    def plan(*arguments):
        said = snakemake(tree, *PAPER, "-n", *arguments)
        return re.search(r"^score_shard +(\d+)$", said, re.MULTILINE)[1], re.findall(r"^srt: (.+)$", said, re.MULTILINE)

    assert plan() == ("128", [])
    assert plan("--resources", "gpu=4", "endpoint_gpt=2")[0] == "64"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-0003,GPU-0005")
    assert plan()[0] == "32"
    (tree / "mine").mkdir()
    (tree / "mine/config.yaml").write_text("resources:\n  gpu: 3\n")
    shards, said = plan("--workflow-profile", "mine")
    assert shards == "48"
    assert said[0] == "gpu=3: 2 GPUs are visible here: jobs beyond that wait until one is free"
    edited(tree, lambda values: values["execution"].update(generate_gpus=4), *PAPER[-1:] * 2)
    beyond = "execution.{}: {}: expected at most 2, the GPUs that there are for a job"
    assert plan()[1] == [beyond.format("generate_gpus", 4), beyond.format("finetune_gpus", 8)]
    assert plan("--resources", "gpu=0")[1][0].startswith("gpu=0: 2 GPUs are visible here, and jobs use them")
