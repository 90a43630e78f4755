"""A whole config file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from srt.settings.base import Settings
from srt.settings.evaluation import EvaluateConfig, Name, QuestionsConfig
from srt.settings.execution import ExecutionConfig
from srt.settings.given import GivenConfig
from srt.settings.steps import (
    CoherenceConfig,
    GenerateConfig,
    PrepareConfig,
    ReflectConfig,
    ReportConfig,
    ScoreConfig,
    SelectionConfig,
    StudentConfig,
)
from srt.settings.training import FinetuneConfig


class Config(Settings):
    """A whole config file with its run table."""

    run_table: str = Field(description="TSV with one run per row")
    results: str = Field(description="folder of all artefacts")
    cache: str = Field(description="folder of journals, caches and checkpoints")
    responses: Literal["all", "selected"] = Field(description="which records get their response reflected")
    datasets: dict[str, PrepareConfig]
    teachers: dict[str, ReflectConfig]
    students: dict[str, StudentConfig]
    given: GivenConfig = Field(description="what is imported in the place of the step that would make it")
    recipes: dict[str, FinetuneConfig]
    questions: dict[Name, QuestionsConfig] = Field(description="sets of questions by name")
    score: ScoreConfig
    coherence: CoherenceConfig
    selection: SelectionConfig
    generate: dict[str, GenerateConfig] = Field(description="ways of decoding by name")
    evaluate: EvaluateConfig
    report: ReportConfig
    execution: ExecutionConfig
