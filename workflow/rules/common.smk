# The small look-ups that the rules share. What is looked up is defined in srt/.
import functools
import os
import re
import shlex
from pathlib import Path

import psutil

from srt.experiment import layout
from srt.experiment.judges import read_judge
from srt.llm import loading
from srt.machine import gpus, processes, schedule
from srt.prepare.demo_model import FILES as DEMO_MODEL_FILES
from srt.prepare.demo_model import FOLDER as DEMO_MODEL
from srt.settings import EXECUTION_FLAGS, flags
from srt.settings.judge import judge_name
from srt.settings.step_versions import STEP_VERSIONS
from srt.storage.sidecars import items_of, meta_of, read_sidecar
from srt.training import launch

processes.own_jobs(
    workflow.basedir
)  # jobs end when this process does, however it ends, and find `srt` beside this Python

RUNS = {run.run: run for run in RUN_TABLE}
SELECTED = [name for name, run in RUNS.items() if not run.is_untuned]
TRAINED = [name for name in SELECTED if RUNS[name].recipe]
RESULTS = f"{CONFIG.results.rstrip('/')}/"
VERSION = STEP_VERSIONS
# How a step runs: given to the shell as a resource and not as a parameter, so that a change here reruns nothing.
HOW = {
    step: flags.as_flags(CONFIG.execution, only=keys)
    + ("" if step == "coherence" else f" {flags.flag('cache', CONFIG.cache)}")
    for step, keys in EXECUTION_FLAGS.items()
}
# Where teachers and judges listen; the keys themselves stay in the environment.
SERVERS = "".join(
    f" {flags.flag('endpoint', f'{name}={server.as_flag()}')}"
    for name, server in CONFIG.execution.endpoints.items()
)
# What teachers cost, in USD per million tokens of prompt and completion, and the batch API's share of that.
PRICES = "".join(
    f" {flags.flag('price', f'{name}={price.prompt},{price.completion},{price.batch}')}"
    for name, price in CONFIG.execution.prices.items()
)


# What a score depends on, and what only says what a selection makes of it.
SCORE = flags.as_flags(CONFIG.score, without=["precision"])
PRECISION = flags.as_flags(CONFIG.score, only=["precision"])
SCORES = layout.scores_of(layout.PAIRS)
SHARD = layout.shard_of(SCORES)


wildcard_constraints:
    shard=r"\d+",
    shards=r"\d+",
    dataset=r"[^/]+",
    teacher="|".join(map(re.escape, CONFIG.teachers)) or "none",
    student=r"[^/]+",
    run=r"[^/]+",
    questions="|".join(map(re.escape, CONFIG.questions)) or "none",
    judge=r"[^/]+",
    profile=r"[^/]+",
    variant=r"instruction|response|both",


def timing(path):
    """Where Snakemake notes what a job took (`benchmark:`): by the path of its log."""
    return f"{RESULTS}{layout.TIMINGS}{path}"


def verbatim(text):
    """A text as a parameter in which Snakemake looks for no wildcards."""
    return lambda wildcards: text


def present(path):
    """A file, or a folder's files, as a rule's input where they are here; a hub name or a packaged file is none.

    A name with braces, in which Snakemake looks for wildcards, can be no input.
    """
    if os.path.isdir(path):
        files = map(str, loading.folder_files(path))
        return [file for file in files if not set("{}") & set(file)]
    return [path] if os.path.exists(path) else []


def model_files(model):
    """What a job on this model waits for: the demo's model is fetched, folders are there or complained of, hub names
    are neither."""
    if model == DEMO_MODEL:
        return [f"{model}/{name}" for name in DEMO_MODEL_FILES]
    return present(model)


@functools.cache
def weights(model):
    """What tells a model's files from others in their place; the demo's are checked when they are fetched."""
    return None if model == DEMO_MODEL else loading.fingerprint(model)


def student_weights(student):
    return weights(CONFIG.students[student].model)


def embedding_model(student):
    """What embeds the texts for the method `coherence`: the student unless another model is named."""
    return CONFIG.coherence.embedding or CONFIG.students[student].model


def student_flags(student):
    """--model and --revision of a named student."""
    return flags.as_flags(CONFIG.students[student], only=("model", "revision"))


def run_model(run):
    """The model folder or name that a run is evaluated with: what it trained, or its student untuned."""
    if RUNS[run].is_untuned:
        return CONFIG.students[RUNS[run].student].model
    return RESULTS + layout.MODEL.format(run=run)


def run_model_files(run):
    """What a job on a run's model waits for."""
    return model_files(run_model(run)) if RUNS[run].is_untuned else [run_model(run)]


def run_weights(run):
    """The weights of a student that is evaluated as it is; a model that a run trains is an artefact."""
    run = RUNS[run]
    return student_weights(run.student) if run.is_untuned else None


def run_model_flags(run):
    """--model and --revision of a run's model."""
    revision = (
        CONFIG.students[RUNS[run].student].revision if RUNS[run].is_untuned else None
    )
    return f"{flags.flag('model', run_model(run))} {flags.flag('revision', revision)}"


# Judge's file: in which forms it is asked, and the judge; and the file by the judge's name.
FORMS = CONFIG.evaluate.judges()
JUDGES = {file: read_judge(file) for file in FORMS}
JUDGE_FILES = {judge_name(file): file for file in JUDGES}


def judge_inputs(file, forms):
    """What a job with this judge waits for: its file, its prompts in these forms and, where it is served, its model."""
    judge = JUDGES[file]
    texts = [getattr(judge, form) for form in sorted(forms)]
    files = [path for name in (file, *texts) for path in present(name)]
    return files + (model_files(judge.model) if judge.serve else [])


def judge_weights(file):
    return weights(JUDGES[file].model) if JUDGES[file].serve else None


def assigned(name, values):
    """{key: value} as repeated --name KEY=VALUE flags."""
    return " ".join(flags.flag(name, f"{key}={value}") for key, value in values.items())


def below_results(paths, name):
    """{variant: path below the results folder} as repeated VARIANT=FILE flags."""
    return assigned(name, {variant: RESULTS + path for variant, path in paths.items()})


def kept_model(output):
    """A finetuned model as an output that stays, or goes when all that reads it is done (execution.keep_models)."""
    return output if CONFIG.execution.keep_models else temp(output)


def teacher_settings(wildcards):
    return flags.as_flags(CONFIG.teachers[wildcards.teacher])


def teacher_files(wildcards):
    teacher = CONFIG.teachers[wildcards.teacher]
    texts = present(teacher.prompts) + present(teacher.answers)
    return sum(map(model_files, local_models(teacher)), texts)


def teacher_weights(wildcards):
    return [weights(name) for name in local_models(CONFIG.teachers[wildcards.teacher])]


def local_models(teacher):
    """The models that a teacher's job loads here: itself unless it is an endpoint, and whose tokens are counted."""
    asked = [] if teacher.backend == "openai" else [teacher.model]
    return [*asked, *([teacher.pair_tokenizer] if teacher.pair_tokenizer else [])]


def unreflected(wildcards):
    """What a variant is made from: `both` reflects the response of the instruction-reflected pairs."""
    if wildcards.variant == "both":
        return RESULTS + layout.REFLECTED.format(
            **{**wildcards, "variant": "instruction"}
        )
    return RESULTS + layout.ORIGINAL.format(**wildcards)


def selection_files(wildcards):
    """What the run's method reads."""
    run = RUNS[wildcards.run]
    maps = (layout.pairs_paths, layout.scores_paths, layout.coherence_paths)
    return [
        RESULTS + path
        for paths in maps
        for path in paths(run, CONFIG.responses).values()
    ]


def rescored_file(wildcards):
    """What is computed again in float32 for the run, where that is asked for."""
    rescored = layout.is_rescored(CONFIG, RUNS[wildcards.run])
    return [RESULTS + layout.RESCORED.format(run=wildcards.run)] if rescored else []


def agreement_file(wildcards):
    """How far the run's proxy agrees with its student, where a proxy scores."""
    compared = layout.is_compared(RUNS[wildcards.run])
    return [RESULTS + layout.AGREEMENT.format(run=wildcards.run)] if compared else []


def selection_flags(wildcards):
    """The same as flags."""
    run = RUNS[wildcards.run]
    words = [
        below_results(layout.pairs_paths(run, CONFIG.responses), "pairs"),
        below_results(layout.scores_paths(run, CONFIG.responses), "scores"),
        below_results(layout.coherence_paths(run, CONFIG.responses), "coherence"),
        flags.as_flags(run, only=("method", *run.chosen_by.uses)),
    ]
    return " ".join(filter(None, words))


def selection_settings(wildcards, *reads):
    """What of `selection:` the run's method reads, and the step itself (`reads`), as flags."""
    names = RUNS[wildcards.run].chosen_by.uses
    return flags.as_flags(CONFIG.selection, only=[*names, *reads])


def selection_rest(wildcards, *reads):
    """The rest: it is given to the shell as a resource, so that a change of what decides nothing reruns nothing."""
    names = RUNS[wildcards.run].chosen_by.uses
    return flags.as_flags(CONFIG.selection, without=[*names, *reads])


def any_of(names):
    """A wildcard constraint to these names."""
    return "|".join(map(re.escape, names))


def answers_of(questions):
    """The pattern of a run's answers to a set of questions."""
    return RESULTS + layout.ANSWERS.replace("{questions}", questions)


def question_flags(sets, wildcards):
    """The sets of questions, the files of their answers and how these are drawn; of the later ones what differs."""
    first, *others = [
        (
            CONFIG.questions[name].source,
            answers_of(name).format(run=wildcards.run),
            CONFIG.generate[CONFIG.questions[name].decoding],
        )
        for name in sets
    ]
    words = [shlex.join(first[:2]), flags.as_flags(first[2])]
    for source, answers, decoding in others:
        drawn = [
            f"{key}={flags.flag_text(value)}"
            for key, value in decoding
            if value != getattr(first[2], key)
        ]
        words += ["--also", shlex.join([source, answers, *drawn])]
    return " ".join(words)


def evaluation_prompt(wildcards):
    """A trained model is asked as it was trained, an untuned one as its entry under `students:` says."""
    run = RUNS[wildcards.run]
    if run.is_untuned:
        return CONFIG.students[run.student].prompt
    return CONFIG.recipes[run.recipe].prompt
