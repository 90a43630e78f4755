"""The settings' types: one class per section of the config file, strict and complete.

A class's fields are the YAML keys, the command-line flags (`srt.cli`) and the record saved beside an artefact;
no default stands in code, so a value is defined once, in the YAML. Importing this module imports no torch.
"""

from __future__ import annotations

from srt.settings.base import Backend, Dtype, Settings
from srt.settings.benchmarks import SOURCE, AlpacaEvalConfig, MtBenchConfig, OpenLlmConfig, PairwiseConfig
from srt.settings.evaluation import CalibrationConfig, EvaluateConfig, QuestionsConfig
from srt.settings.execution import (
    BUDGET_EXPECTED,
    BUDGET_FORM,
    EXECUTION_FLAGS,
    SENDING,
    VLLM,
    Endpoint,
    ExecutionConfig,
    Limits,
    Price,
)
from srt.settings.given import GivenConfig, GivenJudgments, GivenReflections, GivenScores, GivenTrain
from srt.settings.judge import FORMS, MISSING_SHARE, JudgeConfig, MissingShare
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
from srt.settings.whole import Config, ResultsConfig

__all__ = [
    "BUDGET_EXPECTED",
    "BUDGET_FORM",
    "EXECUTION_FLAGS",
    "FORMS",
    "MISSING_SHARE",
    "SENDING",
    "SOURCE",
    "VLLM",
    "AlpacaEvalConfig",
    "Backend",
    "CalibrationConfig",
    "CoherenceConfig",
    "Config",
    "Dtype",
    "Endpoint",
    "EvaluateConfig",
    "ExecutionConfig",
    "FinetuneConfig",
    "GenerateConfig",
    "GivenConfig",
    "GivenJudgments",
    "GivenReflections",
    "GivenScores",
    "GivenTrain",
    "JudgeConfig",
    "Limits",
    "MissingShare",
    "MtBenchConfig",
    "OpenLlmConfig",
    "PairwiseConfig",
    "PrepareConfig",
    "Price",
    "QuestionsConfig",
    "ReflectConfig",
    "ReportConfig",
    "ResultsConfig",
    "ScoreConfig",
    "SelectionConfig",
    "Settings",
    "StudentConfig",
]
