"""The judges and the benchmarks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator

from srt.settings.base import Dtype, Settings


class JudgeConfig(Settings):
    """A named judge (`judges:`) behind an OpenAI-compatible endpoint."""

    model: str = Field(description="the judge: the endpoint's model name, or a model that is served for the job")
    revision: str | None = Field(description="the hub revision of a served judge")
    serve: bool = Field(description="true: the job starts vLLM's server on this model; false: a paid endpoint")
    dtype: Dtype = Field(description="a served judge's weights and arithmetic")
    max_model_len: int | None = Field(ge=1, description="a served judge's context length; null for the model's")


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]  # it is part of a file's name
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
    """A profile of the Open LLM Leaderboard's four benchmarks, by way of lm-eval."""

    suite: str = Field(description="YAML with the tasks, their shots, metrics and rules (config/tasks/*.yaml)")
    data: str | None = Field(description="folder with the items' files, named in the suite; null for the hub")
    backend: Literal["auto", "transformers", "vllm"] = Field(description="lm-eval's backend; auto: vllm on CUDA")
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
    open_llm: dict[Name, OpenLlmConfig]
    pairwise: PairwiseConfig | None

    @field_validator("open_llm", mode="before")
    @classmethod
    def _null_is_none(cls, profiles: Any) -> Any:
        return {} if profiles is None else profiles
