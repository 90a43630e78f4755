"""Where text comes from: transformers in process, vLLM in process, or an OpenAI-compatible endpoint.

All three answer the same requests and yield each completion as soon as they have it, so that the caller can
write it into its journal. A chat is rendered to token ids with the model's own template, once; a plain prompt
gets the special tokens that the tokenizer adds, once.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from srt import models
from srt.records import InputError
from srt.settings import Endpoint, ExecutionConfig

VLLM_CHUNK = 256  # requests between two writes into the journal
Message = tuple[Literal["system", "user", "assistant"], str]


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy."""

    temperature: float
    top_p: float
    repetition_penalty: float
    seed: int


@dataclass(frozen=True)
class Request:
    """A chat, or one plain prompt; `schema` asks for JSON, constrained where the backend can."""

    chat: tuple[Message, ...] | str
    max_new_tokens: int
    sampling: Sampling
    schema: dict[str, Any] | None = None


@dataclass(frozen=True)
class Completion:
    """`finish_reason` is `stop`, `length` (cut off), or `refused: ...` where the prompt was not answered at all."""

    text: str
    tokens: int
    finish_reason: str

    def as_json(self) -> dict[str, Any]:
        """For the journal."""
        return asdict(self)


class Backend(Protocol):
    """What all backends offer."""

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """(position in `requests`, completion), in the order in which they are ready."""
        ...

    def close(self) -> None:
        """Free the model, or stop the connections."""
        ...


def messages(chat: tuple[Message, ...] | str) -> list[dict[str, str]]:
    """A chat as OpenAI's and transformers' list of role and content."""
    if isinstance(chat, str):
        raise InputError("an endpoint is asked in chats; a plain prompt needs a model in process")
    return [{"role": role, "content": content} for role, content in chat]


def token_ids(tokenizer: Any, chat: tuple[Message, ...] | str) -> list[int]:
    """A request's prompt as the model sees it."""
    if isinstance(chat, str):
        return list(tokenizer(chat).input_ids)
    if tokenizer.chat_template is None:
        raise InputError(f"{tokenizer.name_or_path}: has no chat template; expected an instruction-tuned model")
    return list(tokenizer.apply_chat_template(messages(chat), add_generation_prompt=True, return_dict=True).input_ids)


def _room(prompt_tokens: int, request: Request, max_total_tokens: int) -> int:
    return min(request.max_new_tokens, max_total_tokens - prompt_tokens)


def _too_long(prompt_tokens: int, max_total_tokens: int) -> Completion:
    return Completion("", 0, f"refused: the prompt has {prompt_tokens} tokens, at most {max_total_tokens} are allowed")


class TransformersBackend:
    """In process with transformers: prompts of similar length in batches, padded on the left."""

    def __init__(
        self, model: str, revision: str | None, dtype: str, max_total_tokens: int, execution: ExecutionConfig
    ) -> None:
        self.tokenizer = models.load_tokenizer(model, revision)
        self.device = models.device(execution.device)
        self.model = models.load_model(model, revision, dtype, self.device)
        self.max_total_tokens = max_total_tokens
        self.batch = execution.generation_batch
        eos = self.model.generation_config.eos_token_id
        self.stops = {self.tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None}
        self.pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else min(self.stops)

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Backend`."""
        prompts = [token_ids(self.tokenizer, request.chat) for request in requests]
        ready: dict[tuple[Sampling, int], list[int]] = {}
        for i in sorted(range(len(requests)), key=lambda i: len(prompts[i])):
            room = _room(len(prompts[i]), requests[i], self.max_total_tokens)
            if room < 1:
                yield i, _too_long(len(prompts[i]), self.max_total_tokens)
            else:
                ready.setdefault((requests[i].sampling, requests[i].max_new_tokens), []).append(i)
        for (sampling, most), indices in ready.items():
            for start in range(0, len(indices), self.batch):
                batch = indices[start : start + self.batch]
                longest = max(len(prompts[i]) for i in batch)
                completions = self._batch(
                    [prompts[i] for i in batch], min(most, self.max_total_tokens - longest), sampling
                )
                yield from zip(batch, completions, strict=True)

    def _batch(self, prompts: list[list[int]], room: int, sampling: Sampling) -> list[Completion]:
        import torch

        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad] * (width - len(p)) + p for p in prompts], device=self.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=self.device)
        drawn: dict[str, Any] = {"do_sample": sampling.temperature > 0}
        if sampling.temperature > 0:
            drawn |= {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        torch.manual_seed(sampling.seed)
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=room,
                repetition_penalty=sampling.repetition_penalty,
                pad_token_id=self.pad,
                eos_token_id=sorted(self.stops),
                **drawn,
            )
        return [self._completion(row) for row in output[:, width:].tolist()]

    def _completion(self, row: list[int]) -> Completion:
        end = next((i for i, token in enumerate(row) if token in self.stops), None)
        text = self.tokenizer.decode(row[:end], skip_special_tokens=True)
        return Completion(text, len(row[:end]), "length" if end is None else "stop")

    def close(self) -> None:
        """See `Backend`."""
        del self.model


def cpu_environment(memory_gb: float) -> dict[str, str]:
    """What vLLM's CPU build is told: whole GiB for the key-value cache, and to leave the choice of cores to the system.

    By itself it binds its threads to the first core and keeps another one free: two jobs side by side would share one.
    """
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(max(1, math.ceil(memory_gb))),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process less to start, which is most of a small job
    }


class VllmBackend:
    """In process with vLLM: it batches by itself; requests go in by chunks so that answers come out on the way."""

    def __init__(
        self, model: str, revision: str | None, dtype: str, max_total_tokens: int, execution: ExecutionConfig
    ) -> None:
        on_cpu = models.device(execution.device) == "cpu"
        if on_cpu:
            for name, value in cpu_environment(execution.server_memory_gb).items():
                os.environ.setdefault(name, value)
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        from vllm import LLM

        self.tokenizer = models.load_tokenizer(model, revision)
        self.max_total_tokens = max_total_tokens
        self.engine = LLM(
            model=model, revision=revision, dtype=dtype, max_model_len=max_total_tokens, seed=0, enforce_eager=on_cpu
        )

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion]]:
        """See `Backend`."""
        prompts = [token_ids(self.tokenizer, request.chat) for request in requests]
        ready = []
        for i, request in enumerate(requests):
            if _room(len(prompts[i]), request, self.max_total_tokens) < 1:
                yield i, _too_long(len(prompts[i]), self.max_total_tokens)
            else:
                ready.append(i)
        for start in range(0, len(ready), VLLM_CHUNK):
            chunk = ready[start : start + VLLM_CHUNK]
            outputs = self.engine.generate(
                [{"prompt_token_ids": prompts[i]} for i in chunk],
                [self._parameters(requests[i], len(prompts[i])) for i in chunk],
                use_tqdm=False,
            )
            for i, output in zip(chunk, outputs, strict=True):
                best = output.outputs[0]
                yield i, Completion(best.text, len(best.token_ids), best.finish_reason or "stop")

    def _parameters(self, request: Request, prompt_tokens: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        sampling = request.sampling
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=sampling.seed,
            max_tokens=_room(prompt_tokens, request, self.max_total_tokens),
            structured_outputs=StructuredOutputsParams(json=request.schema) if request.schema else None,
        )

    def close(self) -> None:
        """See `Backend`."""
        self.engine.llm_engine.engine_core.shutdown()


def backend_identity(name: str, model: str, revision: str | None, dtype: str) -> str:
    """What answers are journalled under: whose they are, whatever computed them. InputError for a missing model."""
    if name == "endpoint":
        return f"endpoint {model}"
    return f"{models.identity(model, revision)} {dtype}"


def open_backend(
    name: str,
    model: str,
    revision: str | None,
    dtype: str,
    max_total_tokens: int,
    execution: ExecutionConfig,
    endpoint: Endpoint | None = None,
) -> Backend:
    """The backend of that name; `auto` is vLLM where CUDA is and transformers otherwise."""
    if name == "endpoint":
        from srt.endpoint import EndpointBackend

        return EndpointBackend(model, endpoint, execution)
    models.require(model)
    if name == "auto":
        name = "vllm" if models.device(execution.device) == "cuda" else "transformers"
    kind = VllmBackend if name == "vllm" else TransformersBackend
    return kind(model, revision, dtype, max_total_tokens, execution)
