"""A whole config file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from srt.settings.base import Settings
from srt.settings.evaluation import EvaluateConfig, JudgeConfig
from srt.settings.execution import ExecutionConfig
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
    recipes: dict[str, FinetuneConfig]
    judges: dict[str, JudgeConfig]
    score: ScoreConfig
    coherence: CoherenceConfig
    selection: SelectionConfig
    generate: GenerateConfig
    evaluate: EvaluateConfig
    report: ReportConfig
    execution: ExecutionConfig

    @model_validator(mode="after")
    def _judges_exist(self) -> Config:
        for name in ("alpaca_eval", "pairwise"):
            benchmark = getattr(self.evaluate, name)
            if benchmark is not None and benchmark.judge not in self.judges:
                raise ValueError(
                    f"evaluate.{name}.judge: expected one of {sorted(self.judges)}, found {benchmark.judge!r}"
                )
        return self
