# What the rules share. Look-ups in the config and its run table stand in srt/experiment/lookups.py, what a job waits
# for in srt/planning/inputs.py.
import functools
import re
import shlex
from pathlib import Path

import psutil

from srt.experiment import layout
from srt.experiment.lookups import Experiment, assigned
from srt.machine import gpus, processes, schedule
from srt.planning import inputs
from srt.planning.inputs import model_files, present, weights
from srt.prepare.demo_model import FILES as DEMO_MODEL_FILES
from srt.prepare.demo_model import FOLDER as DEMO_MODEL
from srt.report.inputs import inputs_of, settings_of
from srt.settings import EXECUTION_FLAGS, flags
from srt.settings.judge import judge_name
from srt.settings.step_versions import STEP_VERSIONS
from srt.storage.sidecars import Sidecar, items_of, meta_of, read_sidecar
from srt.training import launch

processes.own_jobs(
    workflow.basedir
)  # jobs end when this process does, however it ends, and find `srt` beside this Python

EXPERIMENT = Experiment(CONFIG, RUN_TABLE)
RUNS = EXPERIMENT.by_name
SELECTED = [name for name, run in RUNS.items() if not run.is_untuned]
TRAINED = [name for name in SELECTED if RUNS[name].recipe]
RESULTS = EXPERIMENT.path("")
VERSION = STEP_VERSIONS
# How a step runs: given to the shell as a resource and not as a parameter, so that a change here reruns nothing.
HOW = {step: EXPERIMENT.how(step) for step in EXECUTION_FLAGS}
SERVERS = f" {EXPERIMENT.servers()}".rstrip()
PRICES = f" {EXPERIMENT.prices()}".rstrip()
# What a score depends on, and what only says what a selection makes of it.
SCORE = flags.as_flags(CONFIG.score, without=["precision"])
PRECISION = flags.as_flags(CONFIG.score, only=["precision"])
SCORES = layout.scores_of(layout.PAIRS)
SHARD = layout.shard_of(SCORES)
# Judge's file: in which forms it is asked, and the judge; and the file by the judge's name.
FORMS = CONFIG.evaluate.judges()
JUDGES = EXPERIMENT.judges
JUDGE_FILES = {judge_name(file): file for file in JUDGES}

student_flags = EXPERIMENT.student_flags
run_model_flags = EXPERIMENT.model_flags
run_model_files = functools.partial(inputs.run_model_files, EXPERIMENT)
run_weights = functools.partial(inputs.run_weights, EXPERIMENT)
judge_inputs = functools.partial(inputs.judge_files, EXPERIMENT)
judge_weights = functools.partial(inputs.judge_weights, EXPERIMENT)


def any_of(names):
    """A wildcard constraint to these names."""
    return "|".join(map(re.escape, names)) or "none"


wildcard_constraints:
    shard=r"\d+",
    shards=r"\d+",
    dataset=r"[^/]+",
    teacher=any_of(CONFIG.teachers),
    student=r"[^/]+",
    run=r"[^/]+",
    questions=any_of(CONFIG.questions),
    judge=r"[^/]+",
    profile=r"[^/]+",
    variant=r"instruction|response|both",


def timing(path):
    """Where Snakemake notes what a job took (`benchmark:`): by the path of its log."""
    return f"{RESULTS}{layout.TIMINGS}{path}"


def verbatim(text):
    """A text as a parameter in which Snakemake looks for no wildcards."""
    return lambda wildcards: text


def of_run(look_up, *rest):
    """A look-up by the name of a job's run."""
    return lambda wildcards: look_up(wildcards.run, *rest)


def kept_model(output):
    """A finetuned model as an output that stays, or goes when all that reads it is done (execution.keep_models)."""
    return output if CONFIG.execution.keep_models else temp(output)


def student_weights(student):
    return weights(CONFIG.students[student].model)


def unreflected(wildcards):
    return EXPERIMENT.unreflected(
        wildcards.dataset, wildcards.teacher, wildcards.variant
    )


def answers_of(questions):
    """The pattern of a run's answers to a set of questions."""
    return RESULTS + layout.ANSWERS.replace("{questions}", questions)
