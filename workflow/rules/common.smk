# The validated settings, and the small look-ups that the rules share. What is looked up is defined in srt/.
import os
import shlex
import socket
import sys
from pathlib import Path

from srt import config as settings
from srt import layout, models
from srt.demo_model import FILES as DEMO_MODEL_FILES
from srt.demo_model import FOLDER as DEMO_MODEL
from srt.records import InputError
from srt.settings import EXECUTION_FLAGS, STEP_VERSIONS

# Jobs end when this process does, however it ends (srt.lifeline), and find `srt` beside this Python.
os.environ["SRT_OWNER_PID"] = f"{os.getpid()}@{socket.gethostname()}"
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

try:
    CONFIG, RUN_TABLE = settings.parse(
        config, str(workflow.configfiles[-1]) if workflow.configfiles else "--config"
    )
    for student in CONFIG.students.values():
        if student.model != DEMO_MODEL:
            models.require(student.model)
except InputError as error:
    print(f"srt: {error}", file=sys.stderr)
    sys.exit(2)

RUNS = {run.run: run for run in RUN_TABLE}
RESULTS = f"{CONFIG.results}/"
VERSION = STEP_VERSIONS
CACHE = f"--cache {CONFIG.cache}"
# Named in `shell:` and not in `params:`, so that a change here reruns nothing.
EXECUTION = {
    step: settings.as_flags(CONFIG.execution, only=keys)
    for step, keys in EXECUTION_FLAGS.items()
}
# Where teachers and judges listen; the keys themselves stay in the environment.
ENDPOINTS = " ".join(
    f"--endpoint {name}={server.base_url}" + (f",{server.api_key_env}" if server.api_key_env else "")
    for name, server in CONFIG.execution.endpoints.items()
)


wildcard_constraints:
    dataset=r"[^/]+",
    teacher=r"[^/]+",
    student=r"[^/]+",
    run=r"[^/]+",
    variant=r"instruction|response|both",


def present(path):
    """A file as a rule's input where it is one here; a hub name or a packaged file is none."""
    return [path] if os.path.exists(path) else []


def model_files(model):
    """What a job on this model waits for: the demo's model is fetched, other folders are there, hub names are not."""
    files = DEMO_MODEL_FILES if model == DEMO_MODEL else ["config.json"]
    return [f"{model}/{name}" for name in files if model == DEMO_MODEL or models.is_local(model)]


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
    return model_files(run_model(run)) if RUNS[run].method == "none" else [run_model(run)]


def run_model_flags(run):
    """--model and --revision of a run's model."""
    revision = CONFIG.students[RUNS[run].student].revision if RUNS[run].method == "none" else None
    return f"--model {run_model(run)} --revision {settings.flag_text(revision)}"


def judge_of(benchmark):
    """The judge of a benchmark."""
    return CONFIG.judges[getattr(CONFIG.evaluate, benchmark).judge]


def below_results(paths, flag):
    """{variant: path} as repeated VARIANT=FILE flags."""
    return " ".join(f"{flag} {variant}={RESULTS}{path}" for variant, path in paths.items())
