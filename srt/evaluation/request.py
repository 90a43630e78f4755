"""What a benchmark is called with: one evaluation, as the command line or a workflow asks for it."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from srt.evaluation.judging import Judging
from srt.llm.model import ModelRef
from srt.settings import Settings
from srt.settings.benchmark import Benchmark
from srt.settings.job import Job
from srt.storage.errors import InputError

AnySettings = TypeVar("AnySettings", bound=Settings)
Given = TypeVar("Given")


@dataclass(frozen=True)
class Request(Generic[AnySettings]):
    """One evaluation. What its benchmark has no use for is None.

    Attributes:
        settings: the benchmark's section.
        job: where the evaluation's JSON goes, and how it runs.
        judging: by whom is judged.
        answers: our model's answers, JSONL of `Answer`.
        opponent: those of the model that it is compared with.
        questions: what was answered (`srt.evaluation.questions.read_questions`).
        model: the model that the benchmark runs.
        profile: the name of its settings, where the benchmark has several.
    """

    settings: AnySettings
    job: Job
    judging: Judging | None = None
    answers: Path | None = None
    opponent: Path | None = None
    questions: str | None = None
    model: ModelRef | None = None
    profile: str | None = None


@dataclass(frozen=True)
class ReplayRequest:
    """One evaluation that is computed again from judgments that are there.

    Attributes:
        judgments: the file that holds them.
        out: the evaluation's JSON.
        outputs: the model's outputs, where they are given beside the judgments.
    """

    judgments: Path
    out: Path
    outputs: Path | None = None


def given(value: Given | None, what: str) -> Given:
    """What a request must have; InputError where it has not."""
    if value is None:
        raise InputError(f"{what}: is missing")
    return value


def evaluate(benchmark: Benchmark, request: Request[Settings]) -> None:
    """Have a benchmark evaluate what is asked for."""
    function: Callable[[Request[Settings]], None] = pkgutil.resolve_name(benchmark.evaluate)
    function(request)


def replay(benchmark: Benchmark, request: ReplayRequest) -> None:
    """Have a benchmark's evaluation computed again."""
    function: Callable[[ReplayRequest], None] = pkgutil.resolve_name(given(benchmark.replay, benchmark.key).evaluate)
    function(request)
