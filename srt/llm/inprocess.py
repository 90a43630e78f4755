"""The backends that run a model in this process: transformers in batches, vLLM with its continuous batching."""

from __future__ import annotations

import os
from typing import Any

from srt.llm import devices, limits, loading
from srt.llm._rendering import room, token_ids, why_refused
from srt.llm.devices import cpu_environment
from srt.llm.requests import Completion, Request, Sampling, Speaker
from srt.settings import ExecutionConfig

BATCHES_IN_HAND = 32  # batches of prompts from which transformers takes those of similar length
VLLM_IN_HAND = 1024  # vLLM runs as many as its memory holds, and keeps the others in its queue


class TransformersBackend:
    """In process with transformers: prompts of similar length in batches, padded on the left."""

    def __init__(self, speaker: Speaker, execution: ExecutionConfig, gpus: int = 1) -> None:
        self.tokenizer = loading.load_tokenizer(speaker.model, speaker.revision)
        self.device = devices.device(execution.device, gpus)
        self.model = loading.load_model(speaker.model, speaker.revision, speaker.dtype, self.device, spread=gpus)
        self.max_total_tokens = speaker.max_total_tokens
        self.batch = execution.generation_batch
        eos = self.model.generation_config.eos_token_id
        self.stops = {self.tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])} - {None}
        self.limits = limits.of_config(self.model.config)
        pad = self.tokenizer.pad_token_id
        self.pad = min(self.stops) if pad is None or self.limits.outside([pad]) is not None else pad
        # What can share a batch, by how it is sampled: ticket: prompt.
        self._waiting: dict[tuple[Sampling, int], dict[str, list[int]]] = {}
        self._ready: list[tuple[str, Completion]] = []

    @property
    def capacity(self) -> int:
        """See `Backend`."""
        return BATCHES_IN_HAND * self.batch

    def submit(self, ticket: str, request: Request) -> None:
        """See `Backend`."""
        prompt = token_ids(self.tokenizer, request.chat)
        if refused := why_refused(prompt, request, self.max_total_tokens, self.limits):
            self._ready.append((ticket, refused))
        else:
            self._waiting.setdefault((request.sampling, request.max_new_tokens), {})[ticket] = prompt

    def collect(self) -> list[tuple[str, Completion]]:
        """See `Backend`. One batch: the shortest prompts of the largest group that is sampled alike."""
        if not self._ready and self._waiting:
            (sampling, most), group = max(self._waiting.items(), key=lambda item: len(item[1]))
            rooms = {ticket: min(most, self.max_total_tokens - len(prompt)) for ticket, prompt in group.items()}
            shortest = sorted(group, key=lambda ticket: len(group[ticket]))
            # A batch shares one limit: a prompt that leaves less room than the first goes into a later one.
            tickets = [ticket for ticket in shortest if rooms[ticket] == rooms[shortest[0]]][: self.batch]
            prompts = [group.pop(ticket) for ticket in tickets]
            if not group:
                del self._waiting[sampling, most]
            completions = self._batch(prompts, rooms[tickets[0]], sampling)
            self._ready += zip(tickets, completions, strict=True)
        ready, self._ready = self._ready, []
        return ready

    def _batch(self, prompts: list[list[int]], new_tokens: int, sampling: Sampling) -> list[Completion]:
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
                max_new_tokens=new_tokens,
                repetition_penalty=sampling.repetition_penalty,
                pad_token_id=self.pad,
                eos_token_id=sorted(self.stops),
                **drawn,
            )
        rows = output[:, width:].tolist()
        return [self._completion(row, len(prompt)) for row, prompt in zip(rows, prompts, strict=True)]

    def _completion(self, row: list[int], prompt_tokens: int) -> Completion:
        end = next((i for i, token in enumerate(row) if token in self.stops), None)
        text = self.tokenizer.decode(row[:end], skip_special_tokens=True)
        return Completion(text, len(row[:end]), "length" if end is None else "stop", prompt_tokens)

    def settled(self) -> None:
        """See `Backend`."""

    def close(self) -> None:
        """See `Backend`."""
        del self.model


def ready_vllm(execution: ExecutionConfig, gpus: int) -> dict[str, Any]:
    """Hold the GPUs and set what vLLM is to find in the environment, before it is imported; its device's arguments.

    Its processes are spawned: forked from one in which a library has asked CUDA something, they would die.
    InputError where no build of vLLM for this device is installed.
    """
    kind = devices.device(execution.device, gpus)
    on_cpu = kind == "cpu"
    devices.require_vllm(kind)
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    for name, value in cpu_environment(execution.server_memory_gb).items() if on_cpu else ():
        os.environ.setdefault(name, value)
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if on_cpu:
        return {"enforce_eager": True}
    return {"tensor_parallel_size": gpus, "gpu_memory_utilization": execution.gpu_memory_share}


class VllmBackend:
    """In process with vLLM, stepped by hand: what is done is collected while the rest goes on, new requests join in."""

    def __init__(self, speaker: Speaker, execution: ExecutionConfig, gpus: int = 1) -> None:
        loading.require_divisible(speaker.model, speaker.revision, gpus)
        on_device = ready_vllm(execution, gpus)
        from vllm import LLM

        self.tokenizer = loading.load_tokenizer(speaker.model, speaker.revision)
        self.max_total_tokens, self.limits = speaker.max_total_tokens, limits.of(speaker.model, speaker.revision)
        self.engine = LLM(
            model=speaker.model,
            revision=speaker.revision,
            dtype=speaker.dtype,
            max_model_len=speaker.max_total_tokens,
            seed=0,
            **on_device,
        ).llm_engine
        self._ready: list[tuple[str, Completion]] = []

    @property
    def capacity(self) -> int:
        """See `Backend`."""
        return VLLM_IN_HAND

    def submit(self, ticket: str, request: Request) -> None:
        """See `Backend`. The prompt goes in as token ids."""
        prompt = token_ids(self.tokenizer, request.chat)
        if refused := why_refused(prompt, request, self.max_total_tokens, self.limits):
            self._ready.append((ticket, refused))
        else:
            new_tokens = room(len(prompt), request, self.max_total_tokens)
            self.engine.add_request(ticket, {"prompt_token_ids": prompt}, self._parameters(request, new_tokens))

    def collect(self) -> list[tuple[str, Completion]]:
        """See `Backend`."""
        while not self._ready and self.engine.has_unfinished_requests():
            self._ready += [
                (output.request_id, _completion(output)) for output in self.engine.step() if output.finished
            ]
        ready, self._ready = self._ready, []
        return ready

    def _parameters(self, request: Request, new_tokens: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        sampling = request.sampling
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=sampling.seed,
            max_tokens=new_tokens,
            structured_outputs=StructuredOutputsParams(json=request.schema) if request.schema else None,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    def settled(self) -> None:
        """See `Backend`."""

    def close(self) -> None:
        """See `Backend`."""
        self.engine.engine_core.shutdown()


def _completion(output: Any) -> Completion:
    best = output.outputs[0]
    return Completion(best.text, len(best.token_ids), best.finish_reason or "stop", len(output.prompt_token_ids))
