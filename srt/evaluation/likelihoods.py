"""Log-likelihoods for lm-eval: from the journal of a killed evaluation first, then from lm-eval's own backend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srt import models
from srt.journal import Journal, content_key
from srt.progress import track
from srt.settings import ExecutionConfig

# No BOS, as the leaderboard's commit for Llama; in bfloat16 a sum of log-probabilities would keep three digits.
FIXED: dict[str, Any] = {"add_bos_token": False, "softmax_dtype": "float32"}
BATCHES_PER_CHUNK = 4  # what a kill can lose
VERSIONED = ("lm_eval", "transformers", "torch")


class JournaledModel:
    """What lm-eval's `evaluate` asks for log-likelihoods: the journal first, then lm-eval's `hf` backend."""

    rank = 0
    world_size = 1

    def __init__(
        self, model: str, revision: str | None, dtype: str, execution: ExecutionConfig, cache: Path, job: str
    ) -> None:
        from lm_eval.models.huggingface import HFLM

        identity = content_key(models.identity(model, revision), dtype, models.versions(*VERSIONED))
        self._journal = Journal(cache / "open_llm" / identity[:32] / f"{content_key(job)[:16]}.jsonl")
        self._unusable: dict[str, tuple[Any, ...]] = {}  # not journaled: asked again the next time
        self._backend = HFLM(
            pretrained=models.load_model(model, revision, dtype, models.device(execution.device)),
            tokenizer=models.load_tokenizer(model, revision),
            batch_size=execution.evaluation_batch,
            **FIXED,
        )
        self.max_length = int(self._backend.max_length)

    def close(self) -> None:
        """Close the journal."""
        self._journal.close()

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, is it the greedy continuation) of every request, in order."""
        keys = [content_key(*request.args) for request in requests]
        waiting = {key: request for key, request in zip(keys, requests, strict=True) if key not in self._journal}
        size = BATCHES_PER_CHUNK * self._backend.batch_size
        chunks = [list(waiting)[start : start + size] for start in range(0, len(waiting), size)]
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

    def _is_cut(self, request: Any) -> bool:
        text = "".join(request.args)
        if len(text.encode("utf-8")) <= self.max_length:  # a token has at least one byte
            return False
        return len(self._backend.tok_encode(text)) > self.max_length + 1
