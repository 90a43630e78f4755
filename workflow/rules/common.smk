# The validated settings, and the small look-ups that the rules share. What is looked up is defined in srt/.
import os
import re
import shlex
import sys
from pathlib import Path

from srt import config as settings
from srt import layout, lifeline, models
from srt.demo_model import FILES as DEMO_MODEL_FILES
from srt.demo_model import FOLDER as DEMO_MODEL
from srt.records import InputError, read_json
from srt.settings import ALPACA_EVAL, EXECUTION_FLAGS, MT_BENCH, STEP_VERSIONS

lifeline.own_jobs()  # jobs end when this process does, however it ends, and find `srt` beside this Python

try:
    CONFIG, RUN_TABLE = settings.parse(
        config, str(workflow.configfiles[-1]) if workflow.configfiles else "--config"
    )
    layout.check_names(CONFIG, RUN_TABLE, CONFIG.run_table)
    for student in CONFIG.students.values():
        if student.model != DEMO_MODEL:
            models.require(student.model)
except InputError as error:
    print(f"srt: {error}", file=sys.stderr)
    sys.exit(2)

RUNS = {run.run: run for run in RUN_TABLE}
SELECTED = [name for name, run in RUNS.items() if run.method != "none"]
TRAINED = [name for name in SELECTED if RUNS[name].recipe]
RESULTS = f"{CONFIG.results}/"
CONFIG_FILE = str(workflow.configfiles[-1])
VERSION = STEP_VERSIONS
# A job that runs a model holds one GPU. Without GPUs it gets half of the cores, so that two run side by side: half
# of a small job is loading libraries, which takes one core.
GPU = int(models.has_gpu(CONFIG.execution.device))
CORES_GIVEN = workflow.resource_settings.cores or 1
CORES = CORES_GIVEN if GPU else max(1, CORES_GIVEN // 2)
# How a step runs: given to the shell as a resource and not as a parameter, so that a change here reruns nothing.
HOW = {
    step: settings.as_flags(CONFIG.execution, only=keys)
    + ("" if step == "coherence" else f" --cache {CONFIG.cache}")
    for step, keys in EXECUTION_FLAGS.items()
}
# Finetuning starts a process for each of its GPUs by itself; the GPUs of all its machines are asked for.
FINETUNE_GPUS = GPU * CONFIG.execution.finetune_gpus * CONFIG.execution.finetune_nodes
# Where teachers and judges listen; the keys themselves stay in the environment.
SERVERS = "".join(
    f" --endpoint {name}={server.as_flag()}"
    for name, server in CONFIG.execution.endpoints.items()
)
# What teachers cost, in USD per million tokens of prompt and completion, and the batch API's share of that.
PRICES = "".join(
    f" --price {name}={price.prompt},{price.completion},{price.batch}"
    for name, price in CONFIG.execution.prices.items()
)


SCORES = layout.scores_of(layout.PAIRS)
SHARD = layout.shard_of(SCORES)


wildcard_constraints:
    shard=r"\d+",
    shards=r"\d+",
    dataset=r"[^/]+",
    teacher="|".join(map(re.escape, CONFIG.teachers)) or "none",
    student=r"[^/]+",
    run=r"[^/]+",
    questions="|".join(CONFIG.questions) or "none",
    judge=r"[^/]+",
    profile=r"[^/]+",
    variant=r"instruction|response|both",


def timing(path):
    """Where Snakemake notes what a job took (`benchmark:`): by the path of its log."""
    return f"{RESULTS}{layout.TIMINGS}{path}"


def present(path):
    """A file, or a folder's files, as a rule's input where they are here; a hub name or a packaged file is none."""
    if os.path.isdir(path):
        return sorted(str(file) for file in Path(path).rglob("*") if file.is_file())
    return [path] if os.path.exists(path) else []


def model_files(model):
    """What a job on this model waits for: the demo's model is fetched, other folders are there, hub names are not."""
    files = DEMO_MODEL_FILES if model == DEMO_MODEL else ["config.json"]
    return [
        f"{model}/{name}"
        for name in files
        if model == DEMO_MODEL or models.is_local(model)
    ]


def student_flags(student):
    """--model and --revision of a named student."""
    chosen = CONFIG.students[student]
    return settings.as_flags(chosen, only=("model", "revision"))


def run_model(run):
    """The model folder or name that a run is evaluated with: what it trained, or its student untuned."""
    if RUNS[run].method == "none":
        return CONFIG.students[RUNS[run].student].model
    return RESULTS + layout.MODEL.format(run=run)


def run_model_files(run):
    """What a job on a run's model waits for."""
    return (
        model_files(run_model(run)) if RUNS[run].method == "none" else [run_model(run)]
    )


def run_model_flags(run):
    """--model and --revision of a run's model."""
    revision = (
        CONFIG.students[RUNS[run].student].revision
        if RUNS[run].method == "none"
        else None
    )
    return f"--model {shlex.quote(run_model(run))} --revision {settings.flag_text(revision)}"


def shards_of(wildcards):
    """The shards of a scores file. A finished one keeps the number that it was made of: another reruns nothing."""
    finished = Path(RESULTS + layout.meta_of(SCORES).format(**wildcards))
    shards = CONFIG.execution.score_shards
    if finished.exists():
        shards = read_json(finished).get("shards", shards)
    return [
        RESULTS + SHARD.format(**wildcards, shard=shard, shards=shards)
        for shard in range(1, shards + 1)
    ]


# Judge's file: in which forms it is asked, and the judge; and the file by the judge's name.
FORMS = CONFIG.evaluate.judges()
JUDGES = {file: settings.read_judge(file) for file in FORMS}
JUDGE_FILES = {settings.judge_name(file): file for file in JUDGES}


def judge_inputs(file, forms):
    """What a job with this judge waits for: its file, its prompts in these forms and, where it is served, its model."""
    judge = JUDGES[file]
    texts = [getattr(judge, form) for form in sorted(forms)]
    files = [path for name in (file, *texts) for path in present(name)]
    return files + (model_files(judge.model) if judge.serve else [])


def judge_gpus(file):
    """The GPUs of a job that starts its judge's server."""
    return GPU if JUDGES[file].serve else 0


def below_results(paths, flag):
    """{variant: path} as repeated VARIANT=FILE flags."""
    return " ".join(
        f"{flag} {variant}={RESULTS}{path}" for variant, path in paths.items()
    )


def kept_model(output):
    """A finetuned model as an output that stays, or goes when all that reads it is done (execution.keep_models)."""
    return output if CONFIG.execution.keep_models else temp(output)


def teacher_settings(wildcards):
    return settings.as_flags(CONFIG.teachers[wildcards.teacher])


def teacher_files(wildcards):
    teacher = CONFIG.teachers[wildcards.teacher]
    files = [] if teacher.backend == "openai" else model_files(teacher.model)
    return [*files, *present(teacher.prompts), *present(teacher.answers)]


def teacher_gpus(wildcards):
    return 0 if CONFIG.teachers[wildcards.teacher].backend == "openai" else GPU


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
    run = RUNS[wildcards.run]
    compared = run.scorer and layout.reads_scores(run)
    return [RESULTS + layout.AGREEMENT.format(run=run.run)] if compared else []


def selection_flags(wildcards):
    """The same as flags."""
    run = RUNS[wildcards.run]
    flags = [
        below_results(layout.pairs_paths(run, CONFIG.responses), "--pairs"),
        below_results(layout.scores_paths(run, CONFIG.responses), "--scores"),
        below_results(layout.coherence_paths(run, CONFIG.responses), "--coherence"),
        settings.as_flags(run, only=("method", "ratio", "seed")),
    ]
    return " ".join(filter(None, flags))


def evaluation_prompt(wildcards):
    """A trained model is asked as it was trained, an untuned one as its entry under `students:` says."""
    run = RUNS[wildcards.run]
    return (
        CONFIG.students[run.student].prompt
        if run.method == "none"
        else CONFIG.recipes[run.recipe].prompt
    )


def report_files():
    """All that the tables and the report read."""
    files = []
    for name, run in RUNS.items():
        results = [
            layout.EVALUATION.format(run=name, benchmark=b)
            for b in layout.benchmarks(CONFIG, run)
        ]
        files += [*results, *map(layout.items_of, results)]
        files += [
            layout.meta_of(layout.ANSWERS.format(run=name, questions=questions))
            for questions in layout.answered(CONFIG, run)
        ]
        files += [*layout.pairs_paths(run, CONFIG.responses).values()]
        files += [*layout.scores_paths(run, CONFIG.responses).values()]
        if run.method != "none":
            files += [layout.TRAIN.format(run=name), layout.LEDGER.format(run=name)]
    files += [
        layout.CALIBRATION.format(judge=judge) for judge in layout.calibrated(CONFIG)
    ]
    return sorted({RESULTS + path for path in files})


COMPARED = CONFIG.evaluate.pairwise.questions if CONFIG.evaluate.pairwise else []
OPPONENTS = CONFIG.evaluate.pairwise.opponents if CONFIG.evaluate.pairwise else []
REPORT_FLAGS = " ".join(
    [
        f"--run-table {CONFIG.run_table} --responses {CONFIG.responses}",
        *(f"--opponent {name}" for name in OPPONENTS),
        *(f"--questions {name}" for name in COMPARED),
        *(
            f"--compare {run}={shlex.quote(name)}"
            for run, name in CONFIG.report.compare.items()
        ),
    ]
)
CARD_FLAGS = " ".join(
    [
        f"--run-table {CONFIG.run_table} --responses {CONFIG.responses}",
        f"--notice {shlex.quote(CONFIG.report.notice or '')}",
        *(
            f"--licence {name}={shlex.quote(licence)}"
            for name, licence in CONFIG.report.licences.items()
        ),
    ]
)
