"""The settings' types: one class per section of the config file, strict and complete.

A class's fields are the YAML keys, the command-line flags (`srt.cli`) and the record saved beside an artefact;
no default stands in code, so a value is defined once, in the YAML. Importing this module imports no torch.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# Raised by whoever changes what a step computes, so that Snakemake reruns it and what follows.
STEP_VERSIONS = {
    "prepare": 1,
    "reflect": 2,
    "score": 1,
    "coherence": 1,
    "selection": 1,
    "finetune": 1,
    "generate": 1,
    "evaluate": 2,
    "report": 2,
}

SENDING = ("concurrency", "request_seconds", "patience_seconds")
# Which keys of `execution:` a step reads.
EXECUTION_FLAGS = {
    "reflect": ("device", "generation_batch", "server_memory_gb", *SENDING, "batch", "budget"),
    "score": ("device", "score_batch_tokens", "score_compile", "score_gpus"),
    "rescore": ("device", "score_batch_tokens", "score_compile", "score_gpus"),
    "agreement": ("device", "score_batch_tokens", "score_compile", "score_gpus"),
    "coherence": ("device", "score_batch_tokens"),
    "finetune": ("device", "device_batch", "gradient_checkpointing", "save_steps"),
    "generate": ("device", "generation_batch", "server_memory_gb"),
    "evaluate": ("device", "evaluation_batch", "server_memory_gb", *SENDING),
}

Dtype = Literal["float32", "bfloat16", "float16"]
Backend = Literal["auto", "transformers", "vllm", "vllm-server", "openai"]
BUDGET_FORM = r"(?P<most>[0-9]+(?:\.[0-9]+)?) (?P<unit>USD|tokens|requests)"
BUDGET_EXPECTED = "expected as '20 USD', '3000000 tokens' or '5000 requests'"


class Settings(BaseModel):
    """Base of all sections: strict types, no unknown key, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PrepareConfig(Settings):
    """A named data set (`datasets:`), as it is read by `srt prepare`."""

    source: str = Field(description="a JSON, JSONL or Parquet file, or a hub data set by name")
    revision: str | None = Field(description="the hub revision; null for the newest (the resolved one is recorded)")
    split: str = Field(description="the split of a hub data set")
    duplicates: Literal["keep", "drop"] = Field(description="what to do with exact repeats")
    limit: int | None = Field(ge=1, description="take only the first N records of the source; null for all")


class ReflectConfig(Settings):
    """A named teacher (`teachers:`), as `srt reflect` asks it."""

    model: str = Field(description="the teacher: a model folder, a hub name, or the endpoint's model name")
    revision: str | None = Field(description="the hub revision of the teacher")
    backend: Backend = Field(
        description="openai: any OpenAI-compatible endpoint; vllm-server: a server for this job; or a model in process "
        "(auto: vLLM where CUDA is, transformers otherwise)"
    )
    dtype: Dtype = Field(description="the teacher's weights and arithmetic, in process")
    prompts: str = Field(description="the prompt style's file (config/prompts/*.yaml)")
    answers: str = Field(description="the file that says how an answer is cleaned (config/prompts/answers.yaml)")
    temperature: float = Field(ge=0, description="sampling temperature; 0 is greedy")
    top_p: float = Field(gt=0, le=1, description="nucleus sampling mass")
    repetition_penalty: float = Field(gt=0, description="1 is none; small teachers need about 1.1")
    max_new_tokens: int = Field(ge=1, description="most new tokens an answer may have")
    max_total_tokens: int = Field(ge=2, description="most tokens of prompt and answer together, in process")
    max_pair_tokens: int = Field(
        ge=1, description="a longer pair is shown to the teacher with its response cut at the end"
    )
    pair_tokenizer: str | None = Field(
        description="whose tokens those are: a folder or hub name; null for the teacher's"
    )


class StudentConfig(Settings):
    """A named student (`students:`)."""

    model: str = Field(description="the student: a model folder or a hub name")
    revision: str | None = Field(description="the hub revision of the student")
    prompt: Literal["vicuna_v1.1", "alpaca", "chat"] = Field(description="its prompt when evaluated untuned")


class ScoreConfig(Settings):
    """How the student scores pairs."""

    dtype: Dtype = Field(description="the student's weights and arithmetic while scoring")
    precision: Literal["plain", "exact"] = Field(
        description="exact: what dtype leaves in doubt of a selection is scored again in float32; plain: nothing is"
    )
    max_length: int = Field(ge=2, description="most tokens of a scored text")
    template: str = Field(description="YAML with the student's templates `without_input` and `with_input`")
    guess_prompt: str = Field(description="text around {response} that asks to guess the instruction")

    def of_scores(self) -> dict[str, Any]:
        """What a file of scores depends on; `precision` only says what a selection makes of it."""
        return self.model_dump(exclude={"precision"})


class CoherenceConfig(Settings):
    """The embedding behind the method `coherence`: the mean last hidden state of a model."""

    embedding: str | None = Field(description="an embedding model's folder or hub name; null for the student")
    dtype: Dtype = Field(description="the embedding model's weights and arithmetic")
    max_length: int = Field(ge=1, description="most tokens of an embedded text")


class SelectionConfig(Settings):
    """What the methods compare; the method, ratio and seed themselves stand in the run table."""

    ifd_below: float = Field(gt=0, description="the filter of `paper` and `released` keeps IFD below this")
    r_ifd_below: float = Field(gt=0, description="the filter of `paper` and `released` keeps r-IFD below this")
    perplexity_prefers: Literal["higher", "lower"] = Field(description="the direction of the method `perplexity`")
    proxy_sample: int = Field(ge=1, description="records that the student scores too, where a proxy scores for it")


class FinetuneConfig(Settings):
    """A named recipe (`recipes:`) of supervised finetuning."""

    prompt: Literal["vicuna_v1.1", "alpaca"] = Field(description="training prompt, read from alpaca-eval's wheel")
    learning_rate: float = Field(gt=0, description="peak learning rate")
    epochs: float = Field(gt=0, description="passes over the training data")
    max_steps: int | None = Field(ge=1, description="stop after this many optimizer steps; null for all epochs")
    global_batch: int = Field(ge=1, description="records per optimizer step, over all devices")
    max_length: int = Field(ge=2, description="most tokens of a training text")
    weight_decay: float = Field(ge=0, description="AdamW's weight decay")
    warmup: float = Field(ge=0, lt=1, description="share of the steps in which the learning rate rises")
    schedule: Literal["cosine", "linear", "constant"] = Field(description="learning-rate schedule")
    dtype: Dtype = Field(
        description="arithmetic in training and dtype of the saved weights; training weights are float32"
    )


class GenerateConfig(Settings):
    """How the finetuned models answer benchmark questions."""

    backend: Literal["auto", "transformers", "vllm"] = Field(description="auto: vLLM where CUDA is")
    dtype: Dtype = Field(description="weights and arithmetic while answering")
    temperature: float = Field(ge=0, description="sampling temperature; 0 is greedy")
    top_p: float = Field(gt=0, le=1, description="nucleus sampling mass")
    max_new_tokens: int = Field(ge=1, description="most tokens of an answer")
    seed: int = Field(ge=0, description="seed of the sampling")


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


class ReportConfig(Settings):
    """What the report says."""

    notice: str | None = Field(description="a warning at the head of the report; null for none")
    compare: dict[str, str] = Field(description="run: the name of the reported row that it is compared with")


class Endpoint(Settings):
    """Where an OpenAI-compatible server listens; the key itself only ever comes from the environment."""

    base_url: str
    api_key_env: str | None


class Price(Settings):
    """What a model costs, in USD per million tokens; `batch` is the batch API's share of that."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    batch: float = Field(gt=0, le=1)


class ExecutionConfig(Settings):
    """How, not what: nothing here changes a result's identity, and no change here reruns anything."""

    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: cuda where it is")
    concurrency: int = Field(
        ge=1, description="most requests at a time to a teacher's or judge's endpoint; fewer while it answers 429"
    )
    request_seconds: float = Field(gt=0, description="how long one try of a request may take")
    patience_seconds: float = Field(gt=0, description="how long an endpoint may answer nothing before the run stops")
    batch: int | None = Field(
        ge=1,
        description="requests in a batch of the endpoint's batch API (cheaper, within a day); null: none, ask live",
    )
    budget: str | None = Field(
        description="most that a teacher may cost in all: '20 USD', '9 tokens', '9 requests'; null: no limit"
    )
    prices: dict[str, Price] = Field(description="teacher's name: what it costs")
    generation_batch: int = Field(ge=1, description="prompts per batch of a transformers backend")
    score_batch_tokens: int = Field(ge=1, description="most padded tokens in a scoring batch")
    score_compile: Literal["auto", "off"] = Field(description="auto: compile a scoring model where the work repays it")
    score_shards: int = Field(ge=1, description="parts of a file of pairs that are scored side by side")
    score_gpus: int = Field(ge=1, description="GPUs over which one scoring job spreads a student too big for one")
    device_batch: int = Field(ge=1, description="records per device and forward pass in finetuning")
    gradient_checkpointing: bool = Field(description="trade time for memory in finetuning")
    save_steps: int = Field(ge=1, description="optimizer steps between the trainer's checkpoints")
    evaluation_batch: int = Field(ge=1, description="lm-eval's batch size")
    launcher: str | None = Field(
        description="what starts finetuning over several GPUs, as `torchrun ...`; null for one"
    )
    server_memory_gb: float = Field(gt=0, description="key-value cache of vLLM on a CPU")
    endpoints: dict[str, Endpoint] = Field(description="teacher or judge name: its server")

    @field_validator("budget")
    @classmethod
    def _budget_has_its_form(cls, budget: str | None) -> str | None:
        if budget is not None and re.fullmatch(BUDGET_FORM, budget) is None:
            raise ValueError(BUDGET_EXPECTED)
        return budget


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
