"""Which keys of a config the jobs of the workflow read, and so what they need from outside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.planning._access import ENDPOINTS
from srt.planning.check import Examined
from srt.settings.benchmarks import benchmarks
from srt.settings.judge import judge_name
from srt.storage.findings import Finding

ALL = "all"  # the rule that asks for everything, whose files must all be there
ANSWERS = re.compile(r"answers(_\d+)?")  # a rule for each combination of sets of questions
# Rule: the keys that its jobs read, in terms of their wildcards and their run. The others read what these make, and
# the rules of benchmarks what `_of_benchmark` says.
READS: dict[str, tuple[str, ...]] = {
    "original": ("datasets.{dataset}",),
    "reflected": ("teachers.{teacher}",),
    "reflected_winners": ("teachers.{teacher}",),
    "score_shard": ("students.{student}", "score"),
    "coherence": ("students.{student}", "coherence"),
    "rescored": ("students.{scored_by}", "score"),
    "agreement": ("students.{student}", "score"),
    "finetuned": ("students.{student}",),
    "answers": ("{untuned}",),
    "judge_calibration": ("evaluate.calibration",),
    "imported_reflections": ("given.reflections.{teacher}.{dataset}",),
    "imported_scores": ("given.scores",),
    "imported_train": ("given.train.{run}",),
    "replayed": ("given.judgments",),
}


def needed(examined: Examined, jobs: Iterable[tuple[str, Mapping[str, str]]]) -> Iterator[Finding]:
    """What is wrong outside the config and matters to jobs that are still to be run (rule and wildcards of each).

    A server and its key matter to the jobs that ask it. Of all else everything must be there where all is asked for.
    """
    keys: set[str] = set()
    whole = False
    for rule, wildcards in jobs:
        keys |= set(_keys_read(examined, rule, wildcards))
        whole |= rule == ALL
    for finding in examined.outside:
        is_read = _is_below(finding.about or finding.key, keys)
        if is_read or (whole and not finding.key.startswith(ENDPOINTS)):
            yield finding


def _is_below(key: str, keys: Iterable[str]) -> bool:
    return any(key == other or key.startswith(f"{other}.") for other in keys if other)


def _keys_read(examined: Examined, rule: str, wildcards: Mapping[str, str]) -> Iterator[str]:
    known = {**_of_run(examined, wildcards.get("run")), **wildcards}
    if ANSWERS.fullmatch(rule):
        rule = "answers"
        yield from _questions_of(examined, wildcards["run"])
    for pattern in (*READS.get(rule, ()), *_of_benchmark(rule)):
        yield pattern.format(**known)
    for section in examined.config.evaluate.judged() if examined.config and "judge" in wildcards else []:
        if judge_name(str(section.judge)) == wildcards["judge"]:
            yield f"evaluate.{section.key}.judge"


def _of_benchmark(rule: str) -> Iterator[str]:
    """What the rule of a benchmark reads: its section, the questions that it is told, the model that it runs."""
    found = benchmarks().get(rule)
    if found is None:
        return
    yield f"evaluate.{found.key}.{{profile}}" if found.by_profile else f"evaluate.{found.key}"
    if found.asks:
        yield f"questions.{found.questions or '{questions}'}"
    if found.runs_model:
        yield "{untuned}"


def _questions_of(examined: Examined, name: str) -> Iterator[str]:
    """The sets of questions that a run's model answers in one job."""
    for run in examined.runs:
        if run.run == name and examined.config is not None:
            sets = layout.answered(examined.config, run, examined.runs)
            yield from (f"questions.{each}" for each in sets)


def _of_run(examined: Examined, name: str | None) -> Mapping[str, Any]:
    """A run's models: who is trained, who scores, and the student that is evaluated as it is."""
    runs: list[Run] = [run for run in examined.runs if run.run == name]
    if not runs:
        return {}
    student, scored_by = runs[0].student, runs[0].scored_by
    return {
        "student": student,
        "scored_by": scored_by,
        "untuned": f"students.{student}" if runs[0].is_untuned else "",
    }
