"""Questions, judges and benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from srt.settings.base import Dtype, Location, Name, OptionalLocation, Place, Settings

MISSING_SHARE = "largest share of the questions without a usable verdict, answered or not; above it the job fails"
MissingShare = Annotated[float, Field(ge=0, le=1, description=MISSING_SHARE)]
JudgeFile = Annotated[Location, Place.JUDGE, Field(description="the judge's file (config/judges/*.yaml)")]
SOURCE = "a JSON, JSONL or Parquet file, or hub:OWNER/NAME/FILE[@REVISION] for a file of a hub data set"
# The benchmarks that have questions of their own, under the same name in `questions:`.
ALPACA_EVAL, MT_BENCH = "alpaca_eval", "mt_bench"
FORMS = ("alpaca_eval", "pairwise", "mt_bench")  # in which a judge can be asked: fields of `JudgeConfig`


def form_of_benchmark(name: str) -> str:
    """The form in which a benchmark (a key of `evaluate:`) asks its judge."""
    return ALPACA_EVAL if name == "alpaca_eval_2" else name


class QuestionsConfig(Settings):
    """A named set of questions (`questions:`), which every evaluated model answers."""

    source: Annotated[Location, Place.QUESTIONS] = Field(description=SOURCE)
    decoding: str = Field(description="a name under `generate:`: how the answers are drawn")


class JudgeConfig(Settings):
    """A judge (config/judges/*.yaml): who judges, where it answers, and what it is asked in each form.

    A form that is null is one that this judge has not. `version` is raised by whoever changes the file or a prompt.
    """

    version: int = Field(ge=1, description="raised with every change of the judge or its prompts")
    about: str = Field(description="whose judge this is, and what for")
    model: Annotated[Location, Place.MODEL] = Field(
        description="the endpoint's model name, or a model that is served here"
    )
    revision: str | None = Field(description="the hub revision of a served judge")
    serve: bool = Field(description="true: vLLM's server runs this model here; false: an endpoint")
    dtype: Dtype = Field(description="a served judge's weights and arithmetic")
    max_model_len: int | None = Field(ge=1, description="a served judge's context length; null for the model's")
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


class AlpacaEvalConfig(Settings):
    """AlpacaEval: version 1.0, or 2 with the win rate controlled for length."""

    reference: Annotated[Location, Place.QUESTIONS] = Field(
        description=f"the questions with the reference's `output`: {SOURCE}"
    )
    judge: JudgeFile
    length_controlled: Annotated[OptionalLocation, Place.SOURCE] = Field(
        description="AlpacaEval's df_gamed.csv (difficulty of its 805 questions), a file or hub:...: adds the "
        "length-controlled win rate of version 2; null for version 1.0"
    )
    missing_share: MissingShare


class OpenLlmConfig(Settings):
    """A profile of the Open LLM Leaderboard's four benchmarks, by way of lm-eval."""

    suite: Annotated[Location, Place.SUITE] = Field(
        description="YAML with the tasks, their shots, metrics and rules (config/tasks/*.yaml)"
    )
    data: Annotated[OptionalLocation, Place.ITEMS] = Field(
        description="folder with the items' files, named in the suite; null for the hub"
    )
    backend: Literal["auto", "transformers", "vllm"] = Field(description="lm-eval's backend; auto: vllm on CUDA")
    dtype: Dtype = Field(description="weights and arithmetic in evaluation")
    limit: int | None = Field(ge=1, description="evaluate only N items per task; null for all")


class PairwiseConfig(Settings):
    """A judge scores two models' answers from 1 to 10, in both orders."""

    questions: list[str] = Field(description="names under `questions:`; each is a comparison of its own")
    judge: JudgeFile
    missing_share: MissingShare
    opponents: list[str] = Field(description="runs that every other trained run is compared with")


class MtBenchConfig(Settings):
    """MT-Bench: a judge grades both turns of every conversation from 1 to 10, each answer by itself."""

    judge: JudgeFile
    missing_share: MissingShare


class CalibrationConfig(Settings):
    """How far each judge agrees with published judgments."""

    annotations: list[Annotated[Location, Place.ANNOTATIONS]] = Field(
        description=f"AlpacaEval's published annotations, one for each model: {SOURCE}"
    )
    sample: int = Field(ge=1, description="pairs in all, each asked about in both orders")
    seed: int = Field(ge=0, description="of the drawing")
    missing_share: MissingShare


class EvaluateConfig(Settings):
    """The benchmarks; a benchmark set to null is left out."""

    alpaca_eval: AlpacaEvalConfig | None
    alpaca_eval_2: AlpacaEvalConfig | None = Field(description="judges the same answers as `alpaca_eval`")
    open_llm: dict[Name, OpenLlmConfig]
    pairwise: PairwiseConfig | None
    mt_bench: MtBenchConfig | None
    calibration: CalibrationConfig | None

    @field_validator("open_llm", mode="before")
    @classmethod
    def _null_is_none(cls, profiles: Any) -> Any:
        return {} if profiles is None else profiles

    def question_sets(self) -> dict[str, str]:
        """Question set: the benchmark that needs it; what only the pairwise comparison needs comes last."""
        own = {"alpaca_eval_2": ALPACA_EVAL, "alpaca_eval": ALPACA_EVAL, "mt_bench": MT_BENCH}
        needed = {questions: name for name, questions in own.items() if getattr(self, name) is not None}
        compared = dict.fromkeys(self.pairwise.questions if self.pairwise else [], "pairwise")
        return needed | {name: benchmark for name, benchmark in compared.items() if name not in needed}

    def judges(self) -> dict[str, set[str]]:
        """Judge's file: the forms in which it judges (fields of `JudgeConfig`)."""
        found: dict[str, set[str]] = {}
        for name, file in self.judge_files().items():
            found.setdefault(file, set()).add(form_of_benchmark(name))
        return found

    def judge_files(self) -> dict[str, str]:
        """Benchmark that is judged (a key of this section): its judge's file."""
        judged = {name: getattr(self, name) for name in ("alpaca_eval_2", *FORMS)}
        return {name: benchmark.judge for name, benchmark in judged.items() if benchmark is not None}


def judge_name(file: str) -> str:
    """The name of a judge: its file's, under which `execution.endpoints` says where it answers."""
    return Path(file).stem
