"""How, not what: versions of the steps, where servers listen, and what a machine can take."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import Field, field_validator

from srt.settings.base import Address, Name, OptionalVariable, Settings

SENDING = (
    *("concurrency", "request_seconds", "patience_seconds", "reply_mb"),
    *("refusals_at_start", "failure_percent", "failure_window"),
)
VLLM = ("gpu_memory_share", "server_memory_gb")
# Which keys of `execution:` a step reads.
EXECUTION_FLAGS = {
    "reflect": ("device", "generation_batch", "teacher_gpus", *VLLM, *SENDING, "batch", "budget"),
    "score": ("device", "score_batch_tokens", "score_compile", "score_gpus"),
    "rescore": ("device", "score_batch_tokens", "score_compile", "score_gpus"),
    "agreement": ("device", "score_batch_tokens", "score_compile", "score_gpus"),
    "coherence": ("device", "score_batch_tokens"),
    "finetune": (
        "device",
        "device_batch",
        "save_steps",
        "keep_checkpoints",
        "finetune_gpus",
        "finetune_nodes",
        "card_gb",
    ),
    "generate": ("device", "generation_batch", "generate_gpus", *VLLM),
    "evaluate": ("device", "evaluation_batch", "judge_gpus", "generate_gpus", *VLLM, *SENDING),
}
PARAMETER = r"[A-Za-z][A-Za-z0-9_]*"
BUDGET_FORM = r"(?P<most>[0-9]+(?:\.[0-9]+)?) (?P<unit>USD|tokens|requests)"
BUDGET_EXPECTED = "expected as '20 USD', '3000000 tokens' or '5000 requests'"


class Endpoint(Settings):
    """Where an OpenAI-compatible server listens; the key itself only ever comes from the environment."""

    base_url: Address
    api_key_env: OptionalVariable
    parameters: dict[str, str | None] = Field(
        default_factory=dict,
        description="parameters of a request that this server does not take: the name that it takes, null to leave out",
    )

    @field_validator("parameters")
    @classmethod
    def _parameters_have_names(cls, parameters: dict[str, str | None]) -> dict[str, str | None]:
        names = {*parameters, *filter(None, parameters.values())}
        if {"model", "messages"} & names or not all(re.fullmatch(PARAMETER, name) for name in names):
            raise ValueError("expected names of parameters, without model and messages")
        return parameters

    def as_flag(self) -> str:
        """As `--endpoint` takes it behind the name."""
        renamed = [f"{old}={new or ''}" for old, new in self.parameters.items()]
        return ",".join([self.base_url, *filter(None, [self.api_key_env]), *renamed])


class Price(Settings):
    """What a model costs, in USD per million tokens; `batch` is the batch API's share of that."""

    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    batch: float = Field(gt=0, le=1)


@dataclass(frozen=True)
class Limits:
    """When refusals stop a run: `refusals_at_start`, `failure_percent` and `failure_window` of `execution:`.

    `at_start` is None where none at the start do.
    """

    at_start: int | None
    percent: int
    window: int

    def of_own_model(self) -> Limits:
        """The same for a model that runs here: it refuses what is too long for it, which says nothing of the others."""
        return replace(self, at_start=None, percent=100)


class ExecutionConfig(Settings):
    """How, not what: nothing here changes a result's identity, and no change here reruns anything."""

    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: cuda where it is")
    concurrency: int = Field(
        ge=1, description="most requests at a time to a teacher's or judge's endpoint; fewer while it answers 429"
    )
    request_seconds: float = Field(gt=0, description="how long one try of a request may take")
    patience_seconds: float = Field(gt=0, description="how long an endpoint may answer nothing before the run stops")
    reply_mb: int = Field(
        ge=1, le=2000, description="most MB (1e6 bytes, unpacked) of one reply; a longer one is a failed request"
    )
    refusals_at_start: int = Field(
        ge=1,
        description="new refusals in the same words that stop a run while nothing was answered yet, and new answers of "
        "the same unknown finish reason while none had a known one",
    )
    failure_percent: int = Field(
        ge=0, le=100, description="more refused requests than so many percent of the last ones stop the run; 100: never"
    )
    failure_window: int = Field(ge=1, description="the number of last requests that are looked at for that")
    batch: int | None = Field(
        ge=1,
        description="requests in a batch of the endpoint's batch API (cheaper, within a day); null: none, ask live",
    )
    budget: str | None = Field(
        description="most that a teacher may cost in all: '20 USD', '9 tokens', '9 requests'; null: no limit"
    )
    prices: dict[Name, Price] = Field(description="teacher's name: what it costs")
    generation_batch: int = Field(ge=1, description="prompts per batch of a transformers backend")
    score_batch_tokens: int = Field(ge=1, description="most padded tokens in a scoring batch")
    score_compile: Literal["auto", "off"] = Field(description="auto: compile a scoring model where the work repays it")
    score_shards: Literal["auto"] | int = Field(
        description="parts of a file of pairs that are scored side by side; auto: one for each GPU of this machine "
        "(a cluster's are not seen: one)"
    )
    score_gpus: int = Field(ge=1, description="GPUs over which one scoring job spreads a student too big for one")
    device_batch: int = Field(ge=1, description="records per device and forward pass in finetuning")
    save_steps: int = Field(ge=1, description="optimizer steps between the trainer's checkpoints")
    keep_checkpoints: int = Field(ge=1, description="newest checkpoints of a training that are kept until it is done")
    keep_models: bool = Field(
        description="false: a finetuned model is deleted after its card, which waits for the report"
    )
    finetune_gpus: int = Field(ge=1, description="GPUs of a machine that one finetuning takes")
    finetune_nodes: int = Field(ge=1, description="machines of a Slurm cluster that one finetuning takes")
    card_gb: float | None = Field(gt=0, description="memory of a GPU in GB (1e9 bytes); null: the GPU is asked")
    card_tflops: float | None = Field(
        gt=0, description="arithmetic that a GPU keeps up in training, in TFLOP/s, for the hours of `srt plan`; or null"
    )
    evaluation_batch: int = Field(ge=1, description="lm-eval's batch size")
    teacher_gpus: int = Field(ge=1, description="GPUs over which a teacher in process or served here is laid out")
    judge_gpus: int = Field(ge=1, description="GPUs over which a judge that is served here is laid out")
    generate_gpus: int = Field(
        ge=1, description="GPUs over which a run's model is laid out to answer questions and the Open LLM benchmarks"
    )
    gpu_memory_share: float = Field(gt=0, le=1, description="share of a GPU's memory that vLLM takes")
    server_memory_gb: float = Field(gt=0, description="key-value cache of vLLM on a CPU")
    endpoints: dict[Name, Endpoint] = Field(description="teacher or judge name: its server")

    @property
    def limits(self) -> Limits:
        """When refusals stop a run."""
        return Limits(self.refusals_at_start, self.failure_percent, self.failure_window)

    @field_validator("score_shards", mode="before")
    @classmethod
    def _shards_are_a_number_or_auto(cls, shards: Any) -> Any:
        if shards != "auto" and (type(shards) is not int or shards < 1):
            raise ValueError("expected 'auto' or a whole number of at least 1")
        return shards

    @field_validator("budget")
    @classmethod
    def _budget_has_its_form(cls, budget: str | None) -> str | None:
        if budget is not None and re.fullmatch(BUDGET_FORM, budget) is None:
            raise ValueError(BUDGET_EXPECTED)
        return budget
