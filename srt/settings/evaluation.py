"""The judges and the benchmarks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from srt.settings.base import Dtype, Settings


class JudgeConfig(Settings):
    """A named judge (`judges:`) behind an OpenAI-compatible endpoint."""

    model: str = Field(description="the judge: the endpoint's model name, or a model that is served for the job")
    revision: str | None = Field(description="the hub revision of a served judge")
    serve: bool = Field(description="true: the job starts vLLM's server on this model; false: a paid endpoint")
    dtype: Dtype = Field(description="a served judge's weights and arithmetic")
    max_model_len: int | None = Field(ge=1, description="a served judge's context length; null for the model's")


MISSING_SHARE = "largest share of judged questions without a usable verdict; above it the job fails"
MissingShare = Annotated[float, Field(ge=0, le=1, description=MISSING_SHARE)]


class AlpacaEvalConfig(Settings):
    """AlpacaEval 1.0."""

    questions: str = Field(
        description="a file with `instruction` and the reference's `output`, or alpaca_eval for the hub's"
    )
    reference: str = Field(description="name of the reference outputs")
    judge: str = Field(description="a name under `judges:`")
    annotator: str = Field(
        description="the judge's prompt and parser: a folder config/judges/*, or a name in alpaca-eval"
    )
    missing_share: MissingShare


class OpenLlmConfig(Settings):
    """Open LLM Leaderboard v1 by way of lm-eval."""

    suite: str = Field(description="YAML with the tasks, their shots and metrics (config/tasks/*.yaml)")
    dtype: Dtype = Field(description="weights and arithmetic in evaluation")
    limit: int | None = Field(ge=1, description="evaluate only N items per task; null for all")


class PairwiseConfig(Settings):
    """A judge scores two models' answers from 1 to 10, in both orders."""

    questions: str = Field(description="a file of questions (JSON or JSONL: `instruction`, `Instruction` or `text`)")
    judge: str = Field(description="a name under `judges:`")
    prompt: str = Field(description="the judge's prompt (config/judges/*.yaml)")
    missing_share: MissingShare
    opponents: list[str] = Field(description="runs that every other trained run is compared with")


class EvaluateConfig(Settings):
    """The benchmarks; a benchmark set to null is left out."""

    alpaca_eval: AlpacaEvalConfig | None
    open_llm: OpenLlmConfig | None
    pairwise: PairwiseConfig | None
