"""What the workflow's rules wait for, as far as it is here: a file, a folder's files, a model's weights.

A name on the hub and a file of an installed package are nothing to wait for.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection

from srt.experiment.lookups import Experiment
from srt.llm import loading
from srt.prepare.demo_model import FILES as DEMO_MODEL_FILES
from srt.prepare.demo_model import FOLDER as DEMO_MODEL


def present(path: str) -> list[str]:
    """A file, or a folder's files, where they are here.

    A name with braces, in which Snakemake looks for wildcards, can be no input.
    """
    if os.path.isdir(path):
        files = map(str, loading.folder_files(path))
        return [file for file in files if not set("{}") & set(file)]
    return [path] if os.path.exists(path) else []


def model_files(model: str) -> list[str]:
    """The files of a model's folder; the demo's model is fetched, so that its files are known before they are here."""
    return [f"{model}/{name}" for name in DEMO_MODEL_FILES] if model == DEMO_MODEL else present(model)


@functools.cache
def weights(model: str) -> str | None:
    """What tells a model's files from others in their place; the demo's are checked when they are fetched."""
    return None if model == DEMO_MODEL else loading.fingerprint(model)


def run_model_files(experiment: Experiment, run: str) -> list[str]:
    """A run's model: the files of an untuned student, or the folder that the run trains."""
    untuned = experiment.untuned(run)
    return model_files(untuned.model) if untuned else [experiment.model(run)]


def run_weights(experiment: Experiment, run: str) -> str | None:
    """The weights of a student that a run evaluates as it is; a model that a run trains is an artefact."""
    untuned = experiment.untuned(run)
    return weights(untuned.model) if untuned else None


def teacher_files(experiment: Experiment, teacher: str) -> list[str]:
    """A teacher's prompts, how its answers are cleaned, and the models that its job loads."""
    found = experiment.config.teachers[teacher]
    models = [file for model in experiment.teacher_models(teacher) for file in model_files(model)]
    return [*present(found.prompts), *present(found.answers), *models]


def teacher_weights(experiment: Experiment, teacher: str) -> list[str | None]:
    """The weights of the models that a teacher's job loads."""
    return [weights(model) for model in experiment.teacher_models(teacher)]


def judge_files(experiment: Experiment, file: str, forms: Collection[str]) -> list[str]:
    """A judge's file, its prompts in these forms and, where it is served, its model."""
    texts = [path for name in experiment.judge_texts(file, forms) for path in present(name)]
    model = experiment.judge_model(file)
    return texts + (model_files(model) if model else [])


def judge_weights(experiment: Experiment, file: str) -> str | None:
    """The weights of a judge that its job serves."""
    model = experiment.judge_model(file)
    return weights(model) if model else None
