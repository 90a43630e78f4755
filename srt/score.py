"""Score: the student's IFD and r-IFD of every pair (IFD: arXiv 2308.12032; r-IFD: arXiv 2402.10110).

Each pair gives four sequences. A sequence is scored once however many pairs and variants share it, and its NLL
is kept in a journal. Sequences go through the model in length order, as many as fit the token budget, and the
head sees only the positions that predict a target.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srt import models
from srt.layout import meta_of
from srt.progress import say, track
from srt.prompts import StudentTemplate, fill, guess_prompt, student_template
from srt.records import InputError, Journal, Pair, ReflectedPair, Score, content_key, write_json, write_records
from srt.settings import ExecutionConfig, ScoreConfig
from srt.sources import read_pairs

HEAD_ROWS = 128  # positions per chunk of the head: bounds the float32 logits to 128 x vocabulary
NLLS = ("nll_instruction", "nll_response", "nll_instruction_given_response", "nll_response_given_instruction")


@dataclass(frozen=True)
class Target:
    """A token sequence whose tokens from `start` on are scored; `truncated` if the length limit cut it."""

    ids: tuple[int, ...]
    start: int
    truncated: bool

    @property
    def tokens(self) -> int:
        """The number of scored tokens."""
        return max(0, len(self.ids) - self.start)

    @property
    def key(self) -> str:
        """What the NLL is journalled under."""
        return content_key(self.ids, self.start)


class Sequencer:
    """Builds the four sequences of a pair."""

    def __init__(self, tokenizer: Any, template: StudentTemplate, guess: str, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.guess = guess
        self.max_length = max_length

    def targets(self, pair: Pair) -> dict[str, Target]:
        """NLL name: sequence. Contexts are not cut; a target may be left with no token."""
        prompt = self.template.render(pair.instruction, pair.input)
        asked = self.template.render(fill(self.guess, {"response": pair.output}))
        wanted = pair.instruction + pair.input
        # The published scorer finds the instruction side by the last occurrence of the instruction alone.
        before = (asked + wanted)[: (asked + wanted).rfind(pair.instruction)]
        return {
            "nll_instruction": self._alone(wanted, asked),
            "nll_response": self._alone(pair.output, prompt),
            "nll_instruction_given_response": self._after(asked + wanted, before),
            "nll_response_given_instruction": self._after(prompt + pair.output, prompt),
        }

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text).input_ids)

    def _alone(self, text: str, context: str) -> Target:
        """The unconditional text, cut so that as many target tokens are left as after the context."""
        ids = self._ids(text)
        budget = max(0, self.max_length - len(self._ids(context)) + 1)
        return Target(tuple(ids[:budget]), 1, len(ids) > budget)

    def _after(self, text: str, context: str) -> Target:
        """The whole text, tokenised at once; the target starts at the context's token count."""
        ids = self._ids(text)
        return Target(tuple(ids[: self.max_length]), max(1, len(self._ids(context))), len(ids) > self.max_length)


class Scorer:
    """Mean NLLs of sequences under one causal language model."""

    def __init__(self, model: Any, device: str, batch_tokens: int) -> None:
        self.body = model.base_model
        self.head = model.get_output_embeddings()
        self.device = device
        self.batch_tokens = batch_tokens
        self._check_head(model)

    def _check_head(self, model: Any) -> None:
        """InputError for architectures that change their logits behind the head, which scoring would miss."""
        import torch

        probe = torch.arange(1, 9, device=self.device)[None]
        with torch.inference_mode():
            ours = self.head(self.body(probe)[0]).float()
            theirs = model(probe).logits.float()
        if not torch.allclose(ours, theirs, atol=1e-2, rtol=1e-2):
            raise InputError(
                f"{model.config.model_type}: changes its logits behind the head, which cannot be scored yet"
            )

    def nlls(self, targets: Sequence[Target]) -> Iterator[list[tuple[Target, float]]]:
        """One list of (sequence, mean NLL in nats per target token) per batch, longest sequences first."""
        import torch

        with torch.inference_mode():
            for batch in self._batches(targets):
                width = len(batch[0].ids)
                # Padding stands on the right, where causal attention never looks: no mask is needed.
                ids = torch.tensor([[*t.ids, *[0] * (width - len(t.ids))] for t in batch], device=self.device)
                hidden = self.body(ids, use_cache=False)[0]
                yield list(zip(batch, self._means(hidden, batch), strict=True))

    def _batches(self, targets: Iterable[Target]) -> Iterator[list[Target]]:
        batch: list[Target] = []
        for target in sorted(targets, key=lambda t: (-len(t.ids), t.ids)):
            if batch and (len(batch) + 1) * len(batch[0].ids) > self.batch_tokens:
                yield batch
                batch = []
            batch.append(target)
        if batch:
            yield batch

    def _means(self, hidden: Any, batch: Sequence[Target]) -> list[float]:
        import torch

        rows = [(row, position) for row, t in enumerate(batch) for position in range(t.start, len(t.ids))]
        index = torch.tensor(rows, device=self.device)
        wanted = torch.tensor([batch[row].ids[position] for row, position in rows], device=self.device)
        states = hidden[index[:, 0], index[:, 1] - 1]
        losses = []
        for chunk in range(0, len(rows), HEAD_ROWS):
            logits = self.head(states[chunk : chunk + HEAD_ROWS]).float()
            picked = logits.gather(1, wanted[chunk : chunk + HEAD_ROWS, None])[:, 0]
            losses.append(logits.logsumexp(1) - picked)
        flat = torch.cat(losses).double().cpu()
        return [float(part.mean()) for part in flat.split([t.tokens for t in batch])]


def score(
    pairs: Path,
    out: Path,
    model: str,
    revision: str | None,
    settings: ScoreConfig,
    execution: ExecutionConfig,
    cache: Path,
) -> None:
    """Score every pair of a file into `out` (JSONL of `Score`), settings and versions in its sidecar.

    A pair that cannot be scored is null with the reason: its reflection failed, a text is empty or not Unicode,
    truncation left no target token, or the NLL is not finite.
    """
    template, guess = student_template(settings.template), guess_prompt(settings.guess_prompt)
    records = read_pairs(pairs)
    identity = models.identity(model, revision)
    sequencer = Sequencer(models.load_tokenizer(model, revision), template, guess, settings.max_length)
    prepared = {pair.id: _targets_or_reason(pair, sequencer) for pair in records}
    wanted = {t.key: t for found in prepared.values() if not isinstance(found, str) for t in found.values() if t.tokens}
    folder = cache / "nll" / content_key(identity, settings.dtype)[:16]
    journal = Journal(folder / f"{content_key(str(out))[:16]}.jsonl")
    missing = [t for key, t in wanted.items() if key not in journal]
    say(f"{out}: {len(records)} pairs, {len(wanted)} different sequences, {len(missing)} to be scored")
    if missing:
        _fill(journal, missing, model, revision, settings, execution)
    scores = [_score(pair.id, prepared[pair.id], journal) for pair in records]
    journal.close()
    write_json(Path(meta_of(str(out))), _meta(scores, model, identity, template, guess, settings))
    write_records(out, scores)


def _targets_or_reason(pair: Pair, sequencer: Sequencer) -> dict[str, Target] | str:
    if isinstance(pair, ReflectedPair) and pair.status == "failed":
        return f"reflection failed: {pair.reason}"
    for name in ("instruction", "input", "output"):
        text = getattr(pair, name)
        if not text and name != "input":
            return f"{name} is empty"
        if any("\ud800" <= character <= "\udfff" for character in text):
            return f"{name} is not valid Unicode"
    return sequencer.targets(pair)


def _fill(
    journal: Journal,
    missing: list[Target],
    model: str,
    revision: str | None,
    settings: ScoreConfig,
    execution: ExecutionConfig,
) -> None:
    device = models.device(execution.device)
    scorer = Scorer(models.load_model(model, revision, settings.dtype, device), device, execution.score_batch_tokens)
    done = (item for batch in scorer.nlls(missing) for item in _journalled(batch, journal))
    for _ in track(done, len(missing), "score"):
        pass


def _journalled(batch: list[tuple[Target, float]], journal: Journal) -> list[tuple[Target, float]]:
    for position, (target, nll) in enumerate(batch, start=1):
        journal.add(target.key, nll if math.isfinite(nll) else None, sync=position == len(batch))
    return batch


def _score(record: str, found: dict[str, Target] | str, journal: Journal) -> Score:
    if isinstance(found, str):
        nothing: dict[str, Any] = {**dict.fromkeys(NLLS), **dict.fromkeys(map(_count_name, NLLS), 0)}
        return Score(id=record, **nothing, ifd=None, r_ifd=None, truncated=[], status="failed", reason=found)
    values: dict[str, Any] = {name: journal[target.key] if target.tokens else None for name, target in found.items()}
    counts: dict[str, Any] = {_count_name(name): target.tokens for name, target in found.items()}
    ifd = _ratio(values["nll_response_given_instruction"], values["nll_response"])
    r_ifd = _ratio(values["nll_instruction_given_response"], values["nll_instruction"])
    reasons = [
        f"{name}: " + ("not finite" if target.tokens else _no_target(target))
        for name, target in found.items()
        if values[name] is None
    ]
    if not reasons and (ifd is None or r_ifd is None):
        reasons = ["the ratio of perplexities is not finite"]
    return Score(
        id=record,
        **values,
        **counts,
        ifd=ifd,
        r_ifd=r_ifd,
        truncated=[name for name, target in found.items() if target.truncated],
        status="failed" if reasons else "scored",
        reason="; ".join(reasons) or None,
    )


def _no_target(target: Target) -> str:
    if target.truncated:
        return "truncation left no target token"
    return "a single token has nothing before it" if target.start == 1 else "its tokens merge with the context's last"


def _count_name(nll: str) -> str:
    return nll.replace("nll_", "tokens_")


def _ratio(conditional: float | None, unconditional: float | None) -> float | None:
    """exp(L(t | c)) / exp(L(t)): the ratio of perplexities."""
    if conditional is None or unconditional is None:
        return None
    try:
        return math.exp(conditional - unconditional)
    except OverflowError:
        return None


def _meta(
    scores: list[Score], model: str, identity: str, template: StudentTemplate, guess: str, settings: ScoreConfig
) -> dict[str, Any]:
    reasons = Counter(score.reason for score in scores if score.reason)
    truncated = sum(bool(score.truncated) for score in scores)
    failed = sum(reasons.values())
    say(f"  {len(scores) - failed} scored, {failed} null, {truncated} truncated")
    for reason, count in reasons.most_common(8):
        say(f"  {count} null: {reason}")
    return {
        "model": model,
        "identity": identity,
        "settings": settings.model_dump(),
        "texts": {"without_input": template.without_input, "with_input": template.with_input, "guess_prompt": guess},
        "counts": {"scored": len(scores) - failed, "null": failed, "truncated": truncated},
        "reasons": dict(reasons),
        "versions": models.versions("selective-reflection-tuning", "torch", "transformers", "tokenizers"),
    }
