"""How, not what: versions of the steps, where servers listen, and what a machine can take."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from srt.settings.base import Settings

# Raised by whoever changes what a step computes, so that Snakemake reruns it and what follows.
STEP_VERSIONS = {
    "prepare": 1,
    "import": 1,
    "reflect": 2,
    "score": 2,
    "coherence": 2,
    "selection": 1,
    "finetune": 3,
    "generate": 2,
    "evaluate": 4,
    "report": 3,
}

SENDING = ("concurrency", "request_seconds", "patience_seconds")
# Which keys of `execution:` a step reads.
EXECUTION_FLAGS = {
    "reflect": ("device", "generation_batch", "server_memory_gb", *SENDING, "batch", "budget"),
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
    "generate": ("device", "generation_batch", "server_memory_gb"),
    "evaluate": ("device", "evaluation_batch", "server_memory_gb", *SENDING),
}
BUDGET_FORM = r"(?P<most>[0-9]+(?:\.[0-9]+)?) (?P<unit>USD|tokens|requests)"
BUDGET_EXPECTED = "expected as '20 USD', '3000000 tokens' or '5000 requests'"


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
    save_steps: int = Field(ge=1, description="optimizer steps between the trainer's checkpoints")
    keep_checkpoints: int = Field(ge=1, description="newest checkpoints of a training that are kept until it is done")
    keep_models: bool = Field(description="false: a finetuned model is deleted once all that reads it is done")
    finetune_gpus: int = Field(ge=1, description="GPUs of a machine that one finetuning takes")
    finetune_nodes: int = Field(ge=1, description="machines of a Slurm cluster that one finetuning takes")
    card_gb: float | None = Field(gt=0, description="memory of a GPU in GB (1e9 bytes); null: the GPU is asked")
    card_tflops: float | None = Field(
        gt=0, description="arithmetic that a GPU keeps up in training, in TFLOP/s, for the hours of `srt plan`; or null"
    )
    evaluation_batch: int = Field(ge=1, description="lm-eval's batch size")
    server_memory_gb: float = Field(gt=0, description="key-value cache of vLLM on a CPU")
    endpoints: dict[str, Endpoint] = Field(description="teacher or judge name: its server")

    @field_validator("budget")
    @classmethod
    def _budget_has_its_form(cls, budget: str | None) -> str | None:
        if budget is not None and re.fullmatch(BUDGET_FORM, budget) is None:
            raise ValueError(BUDGET_EXPECTED)
        return budget
