"""A whole config file."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import Field, SerializeAsAny, create_model

from srt.settings.base import Location, Name, Place, Settings
from srt.settings.evaluation import EvaluateConfig, QuestionsConfig, evaluate_type
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


class ComparedResults(Settings):
    """Which pairwise comparisons there are of results."""

    questions: list[str] = Field(description="sets of questions; each is a comparison of its own")
    opponents: list[str] = Field(description="runs that every other trained run is compared with")


class EvaluatedResults(Settings):
    """What the report must know of the evaluations."""

    pairwise: ComparedResults | None


class ResultsConfig(Settings):
    """The keys of a config that the report reads: a file of its own for results that were made elsewhere."""

    run_table: Annotated[Location, Place.RUN_TABLE]
    results: Annotated[Location, Place.OUTPUT]
    responses: Literal["all", "selected"]
    evaluate: EvaluatedResults
    report: ReportConfig


class Config(Settings):
    """A whole config file with its run table."""

    run_table: Annotated[Location, Place.RUN_TABLE] = Field(description="TSV with one run per row")
    results: Annotated[Location, Place.OUTPUT] = Field(description="folder of all artefacts")
    cache: Annotated[Location, Place.OUTPUT] = Field(description="folder of journals, caches and checkpoints")
    responses: Literal["all", "selected"] = Field(description="which records get their response reflected")
    datasets: dict[Name, PrepareConfig]
    teachers: dict[Name, SerializeAsAny[ReflectConfig]]
    students: dict[Name, StudentConfig]
    given: GivenConfig = Field(description="what is imported in the place of the step that would make it")
    recipes: dict[Name, SerializeAsAny[FinetuneConfig]]
    questions: dict[Name, QuestionsConfig] = Field(description="sets of questions by name")
    score: ScoreConfig
    coherence: CoherenceConfig
    selection: SelectionConfig
    generate: dict[Name, GenerateConfig] = Field(description="ways of decoding by name")
    evaluate: EvaluateConfig
    report: ReportConfig
    execution: ExecutionConfig


@cache
def config_type() -> type[Config]:
    """The type of a config with the benchmarks of other packages; InputError where one of these is of no use."""
    kind = evaluate_type()
    return Config if kind is EvaluateConfig else create_model("Config", __base__=Config, evaluate=(kind, ...))
