"""The subcommands: what each must be given, which function it calls, which settings it reads."""

import argparse
import dataclasses
import functools

import pytest

from srt import cli
from srt.experiment.config import load
from srt.settings import CalibrationConfig, Settings
from srt.settings.flags import flag_fields
from srt.storage.progress import begin
from srt.storage.shipped import locate

CALIBRATION = CalibrationConfig(annotations=[], sample=3, seed=1, missing_share=0.0)
RELEASED = "config/released.yaml"  # which asks no teacher and trains nothing
# The subcommands, their positional arguments and what else they must be given.
COMMANDS = {
    "prepare": "SOURCE PAIRS",
    "reflect": "PAIRS REFLECTED --variant response",
    "score": "PAIRS SCORES --model MODEL",
    "gather": "PAIRS SCORES SHARD",
    "coherence": "PAIRS COHERENCE --model MODEL",
    "rescore": "OUT --pairs original=PAIRS --scores original=SCORES --method original --ratio 0.5 --model MODEL",
    "agreement": "OUT --pairs original=PAIRS --scores original=SCORES --method original --ratio 0.5 --model MODEL",
    "selection": "RUN_DIR --pairs original=PAIRS --method original --ratio 1",
    "import reflections": "SOURCE ORIGINAL REFLECTED --variant both",
    "import scores": "SOURCE PAIRS SCORES",
    "import train": "SOURCE RUN_DIR",
    "finetune": "TRAIN MODEL_DIR --model MODEL",
    "generate": "QUESTIONS ANSWERS --model MODEL",
    "evaluate alpaca-eval": "ANSWERS OUT",
    "evaluate open-llm": "OUT --model MODEL",
    "evaluate pairwise": "ANSWERS OPPONENT OUT --questions QUESTIONS",
    "evaluate mt-bench": "ANSWERS OUT --questions QUESTIONS",
    "evaluate calibrate-judge": "ANNOTATIONS OUT --judge config/judges/smollm2.yaml",
    "report tables": "",
    "report figures": "",
    "report cards": "",
    "report html": "",
    "plan": "",
    "explain": "ID",
    "demo-model": "DIR",
    "doctor": "",
}
FUNCTIONS = {
    "prepare": "srt.prepare.prepare.prepare",
    "reflect": "srt.reflection.reflect.reflect",
    "score": "srt.scoring.score.score",
    "coherence": "srt.scoring.coherence.coherence",
    "rescore": "srt.scoring.rescore.rescore",
    "agreement": "srt.scoring.agreement.agreement",
    "selection": "srt.selection.select.select",
    "import reflections": "srt.imports.reflections.import_reflections",
    "import scores": "srt.imports.scores.import_scores",
    "import train": "srt.imports.train.import_train",
    "finetune": "srt.training.finetune.finetune",
    "generate": "srt.evaluation.generate.generate",
    "evaluate alpaca-eval": "srt.evaluation.alpaca_eval.evaluate",
    "evaluate open-llm": "srt.evaluation.open_llm.evaluate",
    "evaluate pairwise": "srt.evaluation.pairwise.evaluate",
    "evaluate mt-bench": "srt.evaluation.mt_bench.evaluate",
    "evaluate calibrate-judge": "srt.evaluation.calibration.calibrate",
}


@functools.cache
def imported():
    """The config's part that names what was made elsewhere; only this config has entries there."""
    return load(locate(RELEASED))[0].given


def sections_of(command, config):
    """(section, flag prefix) of what a subcommand reads from a config."""
    found = {
        "prepare": [(next(iter(config.datasets.values())), "")],
        "reflect": [(next(iter(config.teachers.values())), "")],
        "score": [(config.score, "")],
        "coherence": [(config.coherence, "")],
        "rescore": [(config.score, ""), (config.selection, "")],
        "agreement": [(config.score, ""), (config.selection, "")],
        "selection": [(config.selection, "")],
        "import reflections": [(imported().reflections["authors"]["alpaca"], "")],
        "import scores": [(imported().scores["llama2-7b"]["alpaca"], "")],
        "import train": [(imported().train["alpaca-7b-given"], "")],
        "finetune": [(next(iter(config.recipes.values())), "")],
        "generate": [(next(iter(config.generate.values())), "")],
        "evaluate calibrate-judge": [(config.evaluate.calibration or CALIBRATION, "")],
    }
    if command in found:
        return found[command]
    if command == "evaluate open-llm":
        return [(next(iter(config.evaluate.open_llm.values())), "")]
    section = getattr(config.evaluate, command.removeprefix("evaluate ").replace("-", "_"))
    return [(section, "")]


def flags_of(settings, only=()):
    """What of a section can be a flag."""
    return {name: getattr(settings, name) for name in flag_fields(type(settings)) if not only or name in only}


def help_of(command):
    parser = cli.build_parser()
    for word in command.split():
        [choices] = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = choices[word]
    return parser.format_help()


# What has no default, and so must be given.
ASKED = {
    "reflect": ["--model"],
    "import reflections": ["--instruction", "--input", "--output", "--allowed-mismatches"],
    "import scores": ["--teacher", "--loss", "--ppl", "--allowed-mismatches"],
    "import train": ["--instruction", "--input", "--output", "--records"],
    "evaluate alpaca-eval": ["--reference", "--judge"],
    "evaluate pairwise": ["--judge"],
    "evaluate mt-bench": ["--judge"],
}
ANY_VALUE = {"--model": "M", "--judge": "config/judges/smollm2.yaml", "--allowed-mismatches": "0", "--records": "3"}


def settings_in(values):
    """The settings among a step's arguments by type, also those in a list (`generate`) or in an object (`Choice`)."""
    found = {}
    for value in values:
        if isinstance(value, Settings):
            found[type(value)] = value
        elif dataclasses.is_dataclass(value):
            found |= settings_in(vars(value).values())
        elif isinstance(value, list):
            found |= settings_in(value)
    return found


@pytest.fixture
def called(monkeypatch):
    """The settings with which a step's function was called, by type."""
    found: dict[type, Settings] = {}

    def note(*args, **more):
        found.update(settings_in([*args, *more.values()]))
        begin()

    for function in FUNCTIONS.values():
        monkeypatch.setattr(function, note)
    return found


def words_of(command: str, with_asked: bool = True) -> list[str]:
    asked = [word for flag in ASKED.get(command, []) for word in (flag, ANY_VALUE.get(flag, "x"))] if with_asked else []
    return [*command.split(), *COMMANDS[command].split(), *asked]


def unfolded(*values):
    """What a step's function was given: the arguments, and what the objects among them hold (`Job`, ...)."""
    for value in values:
        yield value
        if dataclasses.is_dataclass(value):
            yield from unfolded(*(getattr(value, field.name) for field in dataclasses.fields(value)))
