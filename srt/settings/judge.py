"""A judge's file, and how a section names one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from srt.settings.base import Dtype, Location, OptionalLocation, Place
from srt.settings.cases import Cased

MISSING_SHARE = "largest share of the questions without a usable verdict, answered or not; above it the job fails"
MissingShare = Annotated[float, Field(ge=0, le=1, description=MISSING_SHARE)]
JudgeFile = Annotated[Location, Place.JUDGE, Field(description="the judge's file (config/judges/*.yaml)")]
SERVED = ("revision", "dtype", "max_model_len")  # what a served judge has alone
FORMS = ("alpaca_eval", "pairwise", "mt_bench")  # in which a judge can be asked: fields of `JudgeConfig`


class JudgeConfig(Cased):
    """A judge (config/judges/*.yaml): who judges, where it answers, and what it is asked in each form.

    A form that is null is one that this judge has not. `version` is raised by whoever changes the file or a prompt.
    """

    TOLD_BY = "serve"

    version: int = Field(ge=1, description="raised with every change of the judge or its prompts")
    about: str = Field(description="whose judge this is, and what for")
    model: Annotated[Location, Place.MODEL] = Field(
        description="the endpoint's model name, or a model that is served here"
    )
    serve: bool = Field(description="true: vLLM's server runs this model here; false: an endpoint")
    alpaca_eval: Annotated[OptionalLocation, Place.COMPARISON] = Field(
        description="prompt and parser of AlpacaEval's comparison, ranking or log-probabilities: a folder, or a "
        "name in alpaca-eval"
    )
    pairwise: Annotated[OptionalLocation, Place.SCORES] = Field(
        description="prompt of the comparison by scores in both orders (YAML)"
    )
    mt_bench: Annotated[OptionalLocation, Place.GRADES] = Field(
        description="prompts of MT-Bench's single-answer grading (YAML)"
    )

    def recorded(self) -> dict[str, Any]:
        """The judge as evaluations name it: all settings, those of a served one as null where it is not."""
        return {**dict.fromkeys(SERVED), **self.model_dump()}


class ServedJudge(JudgeConfig):
    """A judge that vLLM's server runs here."""

    serve: Literal[True] = Field(description="vLLM's server runs this model here")
    revision: str | None = Field(description="the hub revision of a served judge")
    dtype: Dtype = Field(description="a served judge's weights and arithmetic")
    max_model_len: int | None = Field(ge=1, description="a served judge's context length; null for the model's")


class AskedJudge(JudgeConfig):
    """A judge behind somebody's endpoint."""

    serve: Literal[False] = Field(description="an endpoint answers")


def judge_name(file: str) -> str:
    """The name of a judge: its file's, under which `execution.endpoints` says where it answers."""
    return Path(file).stem
