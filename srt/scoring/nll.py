"""Mean NLLs of token sequences under one causal language model, in batches of bounded memory.

Sequences go through the model in length order, as many as fit the token budget, and the head sees only the positions
that predict a target, a few at a time: no tensor of all positions times the vocabulary ever exists.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from srt.llm import probe
from srt.scoring.sequences import Target
from srt.storage.errors import InputError
from srt.storage.progress import say

COMPILED_FROM = 200_000  # tokens of one call: below, compiling takes longer than it saves
HEAD_ROWS = 128  # positions per chunk of the head: bounds the float32 logits to 128 x vocabulary


class Scorer:
    """Mean NLLs in nats per target token.

    Args:
        model: a transformers causal language model in eval mode.
        batch_tokens: most padded tokens of a batch; a longer sequence is a batch of its own. Halved, for good, by
            an out-of-memory error.
        compiling: whether the layers may be compiled, once there is enough to score.
    """

    def __init__(self, model: Any, batch_tokens: int, compiling: bool = False) -> None:
        self.body = model.base_model
        self.layers = [m for m in self.body.modules() if type(m).__name__ in (model._no_split_modules or ())]
        self.compiling, self.compiled = compiling, False
        self.head = model.get_output_embeddings()
        self.device = model.device
        self.batch_tokens = batch_tokens
        self._check(model)

    def _check(self, model: Any) -> None:
        """InputError for architectures that change their logits behind the head, or score a record by others."""
        import torch

        kind, heads = model.config.model_type, []
        if self.head is None:
            raise InputError(f"{kind}: has no head over the vocabulary, expected a causal language model")
        handle = self.head.register_forward_hook(lambda module, inputs, output: heads.append(output))
        with torch.inference_mode():
            logits = model(torch.arange(1, 9, device=self.device)[None], use_cache=False).logits
        handle.remove()
        if not heads or not torch.allclose(heads[0].float(), logits.float(), rtol=0, atol=0, equal_nan=True):
            raise InputError(f"{kind}: changes its logits behind the head, which cannot be scored yet")
        most = probe.FLOAT32 if model.dtype == torch.float32 else probe.LOOSE
        reason = probe.why_not_alone(model, probe.alone(model), self._log_probs, probe.row_by_row, most)
        if reason and reason != probe.NOT_FINITE:  # the NLLs of such a model will be null
            raise InputError(f"{kind}: its score of a record is not that of the record alone: {reason}")

    def _log_probs(self, records: list[list[int]]) -> Any:
        """Log-probabilities [rows, width - 1] of a batch as `_means` lays it out."""
        ids = probe.padded([array("i", record) for record in records])
        return probe.next_token_log_probs(self.head(self.body(ids.to(self.device), use_cache=False)[0]), ids)

    def nlls(self, targets: Iterable[Target]) -> Iterator[list[tuple[Target, float]]]:
        """One list of (sequence, mean NLL) per batch, longest sequences first; the order given does not matter.

        Every sequence must have a target token. InputError where memory does not suffice for a single sequence.
        """
        waiting = deque(sorted(targets, key=lambda t: (-len(t.ids), t.ids.tobytes(), t.start)))
        if self.compiling and not self.compiled and sum(len(t.ids) for t in waiting) >= COMPILED_FROM:
            self._compile()
        while waiting:
            batch = self._next_batch(waiting)
            means = self._try(batch)
            if means is None:
                self._halve(batch)
                waiting.extendleft(reversed(batch))
            else:
                yield list(zip(batch, means, strict=True))

    def _compile(self) -> None:
        """Compile the layers, all to one piece of code for every shape; without a compiler they stay as they are."""
        import torch
        import torch._inductor.config as inductor

        inductor.compile_threads = 1  # no worker processes that could outlive this one
        say("score: compiling the model's layers")
        for layer in self.layers:
            layer.compile(dynamic=True)
        try:
            with torch.inference_mode():
                self.body(torch.arange(16, device=self.device).view(2, 8), use_cache=False)
            self.compiled = True
        except RuntimeError as error:
            for layer in self.layers:
                layer._compiled_call_impl = None
            self.compiling = False
            say(f"score: going on without compiling: {str(error).strip().partition(chr(10))[0]}")

    def _next_batch(self, waiting: deque[Target]) -> list[Target]:
        batch = [waiting.popleft()]
        while waiting and (len(batch) + 1) * len(batch[0].ids) <= self.batch_tokens:
            batch.append(waiting.popleft())
        return batch

    def _try(self, batch: Sequence[Target]) -> list[float] | None:
        """The means of a batch; None where memory ran out."""
        import torch

        try:
            with torch.inference_mode():
                return self._means(batch)
        except RuntimeError as error:
            # torch's CPU allocator has no exception class of its own.
            if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
                raise
            return None

    def _halve(self, batch: Sequence[Target]) -> None:
        import torch

        size = len(batch) * len(batch[0].ids)
        if len(batch) == 1:
            raise InputError(f"score: no memory for one sequence of {size} tokens: expected a smaller max_length")
        self.batch_tokens = max(1, min(self.batch_tokens, size) // 2)
        say(f"score: out of memory with {size} tokens in a batch; going on with at most {self.batch_tokens}")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _means(self, batch: Sequence[Target]) -> list[float]:
        import torch

        width = len(batch[0].ids)
        ids = probe.padded([target.ids for target in batch])
        spans = [(row * width + t.start, row * width + len(t.ids)) for row, t in enumerate(batch)]
        positions = torch.cat([torch.arange(*span) for span in spans])
        hidden = self.body(ids.to(self.device), use_cache=False)[0]
        states = hidden.flatten(0, 1)[(positions - 1).to(hidden.device)]
        wanted = ids.flatten()[positions].to(hidden.device)
        chunks = zip(states.split(HEAD_ROWS), wanted.split(HEAD_ROWS), strict=True)
        losses = torch.cat([self._losses(*chunk) for chunk in chunks]).double().cpu()
        return [float(part.mean()) for part in losses.split([t.tokens for t in batch])]

    def _losses(self, states: Any, wanted: Any) -> Any:
        """-log p of the wanted tokens, float32 of shape [rows], from hidden states of shape [rows, hidden]."""
        logits = self.head(states).float()
        return logits.logsumexp(1) - logits.gather(1, wanted[:, None].to(logits.device))[:, 0]
