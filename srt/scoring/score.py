"""Score: the student's IFD and r-IFD of every pair (IFD: arXiv 2308.12032; r-IFD: arXiv 2402.10110).

Each pair gives four sequences (`srt.scoring.sequences`). A sequence is scored once, however many pairs and variants
share it, and its NLL is kept in a journal. A file of pairs can be scored in shards, one GPU each, and gathered again.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypedDict

from srt.llm import devices, limits, loading
from srt.llm.model import ModelRef
from srt.llm.prompts import appended, guess_prompt, student_template
from srt.prepare.sources import read_pairs
from srt.scoring.nll import Scorer
from srt.scoring.sequences import Sequencer, Target
from srt.settings import ScoreConfig
from srt.settings.job import Job
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.finite import is_finite
from srt.storage.journal import Journal, content_key
from srt.storage.progress import say, track
from srt.storage.records import NLLS, RATIOS, Pair, ReflectedPair, Score, count_name
from srt.storage.sidecars import ShardSidecar, Sidecar, StepSettings, read_sidecar, sidecar_of, write_sidecar

LIMITED = "score: max_length"  # the setting that a model's positions may limit


class Student:
    """A student that scores: its sequences, its journal, and its weights, which are loaded when first needed.

    Args:
        model: the student.
        dtype: its weights and arithmetic, whatever the settings say.
        job: its file names the journal; journals of the same student and dtype share their entries.
    """

    def __init__(self, model: ModelRef, dtype: str, settings: ScoreConfig, job: Job) -> None:
        self.model, self.dtype, self.execution = model, dtype, job.execution
        self.template, self.guess = student_template(settings.template), guess_prompt(settings.guess_prompt)
        self.identity = loading.identity(model.name, model.revision)
        self.limits = limits.of(model.name, model.revision)
        tokenizer = loading.load_tokenizer(model.name, model.revision)
        longest = self.limits.longest(settings.max_length, LIMITED)
        self.sequencer = Sequencer(tokenizer, self.template, self.guess, longest)
        folder = job.cache / "nll" / content_key(self.identity, dtype)[:16]
        self.journal = Journal(folder / f"{content_key(str(job.out))[:16]}.jsonl", holds=_is_nll)
        self._scorer: Scorer | None = None

    def fill(self, targets: Iterable[Target]) -> int:
        """Score what the journal lacks of these sequences; how many those were. Those without a target are left."""
        wanted = {target.key: target for target in targets if target.tokens}
        missing = {key: target for key, target in wanted.items() if key not in self.journal}
        say(f"{self.model.name}: {len(wanted)} different sequences, {len(missing)} to be scored in {self.dtype}")
        if missing:
            for _ in track(self._fill(missing), len(missing), "score"):
                pass
        return len(missing)

    def count_anew(self, pairs: Sequence[Pair], targets: Mapping[str, dict[str, Target] | str]) -> None:
        """Say how many sequences were scored with the end token that the tokenizer adds, and are scored without it."""
        if not appended(self.sequencer.tokenizer):
            return
        old = Sequencer(self.sequencer.tokenizer, self.template, self.guess, self.sequencer.max_length, keep_end=True)
        usable = [pair for pair in pairs if not isinstance(targets[pair.id], str)]
        anew = set()
        for pair, before in zip(usable, old.all_targets(usable), strict=True):
            now = targets[pair.id]
            keys = {nll: target.key for nll, target in now.items()} if isinstance(now, dict) else {}
            anew |= {key for nll, key in keys.items() if key not in self.journal and before[nll].key in self.journal}
        told = "the tokenizer adds an end token to texts, which is taken off"
        say(f"{self.model.name}: {told}; {len(anew)} sequences that were scored with it are scored anew")

    def _fill(self, missing: Mapping[str, Target]) -> Iterable[Target]:
        keys = {id(target): key for key, target in missing.items()}
        for batch in self._loaded().nlls(missing.values()):
            for position, (target, nll) in enumerate(batch, start=1):
                self.journal.add(keys[id(target)], nll if math.isfinite(nll) else None, sync=position == len(batch))
                yield target

    def _loaded(self) -> Scorer:
        if self._scorer is None:
            device, gpus = devices.device(self.execution.device, self.execution.score_gpus), self.execution.score_gpus
            loaded = loading.load_model(self.model.name, self.model.revision, self.dtype, device, gpus)
            compiling = self.execution.score_compile == "auto"
            self._scorer = Scorer(loaded, self.execution.score_batch_tokens, compiling)
        return self._scorer

    def nll(self, target: Target) -> float | None:
        """The mean NLL of a filled sequence; None without a target token, or where it is not finite."""
        nll: float | None = self.journal[target.key] if target.tokens else None
        return nll

    @property
    def texts(self) -> dict[str, str]:
        """The template and the guess prompt, as they are."""
        return {
            "without_input": self.template.without_input,
            "with_input": self.template.with_input,
            "guess_prompt": self.guess,
        }

    @property
    def batch_tokens(self) -> int:
        """The token budget of the batches, after any halving: it moves low-precision NLLs, and so does compiling."""
        return self._scorer.batch_tokens if self._scorer else self.execution.score_batch_tokens

    @property
    def compiled(self) -> bool:
        """Whether the model was compiled."""
        return bool(self._scorer and self._scorer.compiled)


def _is_nll(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool) and is_finite(value))


def score(pairs: Path, model: ModelRef, settings: ScoreConfig, job: Job, shard: tuple[int, int] = (1, 1)) -> None:
    """Score the pairs of a file into `job.out` (JSONL of `Score`), settings and versions in its sidecar.

    A pair that cannot be scored is null with the reason: its reflection failed, a text is empty or not Unicode,
    truncation left no target token, or the NLL is not finite. `shard` (i, n) takes every n-th pair from the i-th on.
    """
    number, shards = shard
    records = read_pairs(pairs)[number - 1 :: shards]
    student = Student(model, settings.dtype, settings, job)
    prepared = targets_or_reasons(records, student)
    say(f"{job.out}: {len(records)} pairs")
    student.count_anew(records, prepared)
    student.fill(target for found in prepared.values() if not isinstance(found, str) for target in found.values())
    scores = [_score(pair.id, prepared[pair.id], student) for pair in records]
    student.journal.close()
    sidecar = Sidecar(
        model=model.name,
        identity=student.identity,
        settings=StepSettings(**settings.of_scores()),
        texts=student.texts,
        max_length=student.sequencer.max_length,
        positions=student.limits.positions,
        batch_tokens=student.batch_tokens,
        compiled=student.compiled,
        versions=packages.versions("selective-reflection-tuning", "torch", "transformers", "tokenizers"),
        **_counted(scores, shards=1),
    )
    _write(job.out, scores, sidecar)


def gather(pairs: Path, out: Path, shards: Sequence[Path]) -> None:
    """Join the shards of a file of pairs, in its order. InputError where they do not fit it or one another."""
    sidecars = [read_sidecar(sidecar_of(shard), ShardSidecar) for shard in shards]
    for shard, sidecar in zip(shards, sidecars, strict=True):
        if odd := sidecar.scoring.differs_from(sidecars[0].scoring, ("identity", "settings", "texts")):
            raise InputError(f"{shard}: {odd}: differs from that of {shards[0]}: score all shards alike")
    found = {score.id: score for shard in shards for score in read_records(shard, Score)}
    ids = [pair.id for pair in read_pairs(pairs)]
    if set(ids) != set(found):
        odd = sorted(set(ids) ^ set(found))[0]
        raise InputError(f"{out}: record {odd!r}: expected in {pairs} and in exactly one of {len(shards)} shards")
    scores = [found[record] for record in ids]
    batch_tokens = min(sidecar.batch_tokens for sidecar in sidecars)
    of_all = {"batch_tokens": batch_tokens, **_counted(scores, len(shards))}
    _write(out, scores, sidecars[0].model_copy(update=of_all))


class _Counted(TypedDict):
    """What a sidecar says of all scores together."""

    shards: int
    counts: dict[str, int]
    reasons: dict[str, int]


def _counted(scores: Sequence[Score], shards: int) -> _Counted:
    reasons = Counter(score.reason for score in scores if score.reason)
    failed, truncated = reasons.total(), sum(bool(score.truncated) for score in scores)
    counts = {"scored": len(scores) - failed, "null": failed, "truncated": truncated}
    return {"shards": shards, "counts": counts, "reasons": dict(reasons)}


def _write(out: Path, scores: Sequence[Score], sidecar: Sidecar) -> None:
    say("  " + ", ".join(f"{count} {name}" for name, count in sidecar.counts.items()))
    for reason, count in Counter(sidecar.reasons).most_common(8):
        say(f"  {count} null: {reason}")
    write_sidecar(sidecar_of(out), sidecar)
    write_records(out, scores)


def targets_or_reasons(pairs: Sequence[Pair], student: Student) -> dict[str, dict[str, Target] | str]:
    """id: the pair's sequences, or why it has none."""
    reasons = {pair.id: reason for pair in pairs if (reason := _unusable(pair))}
    usable = [pair for pair in pairs if pair.id not in reasons]
    found: dict[str, dict[str, Target] | str] = {**reasons}
    for pair, targets in zip(usable, student.sequencer.all_targets(usable), strict=True):
        outside = student.limits.outside(chain.from_iterable(target.ids for target in targets.values()))
        found[pair.id] = targets if outside is None else student.limits.why_outside(outside)
    return found


def _unusable(pair: Pair) -> str | None:
    if isinstance(pair, ReflectedPair) and pair.status == "failed":
        return f"reflection failed: {pair.reason}"
    for name in ("instruction", "input", "output"):
        text = getattr(pair, name)
        if not text and name != "input":
            return f"{name} is empty"
        if any("\ud800" <= character <= "\udfff" for character in text):
            return f"{name} is not valid Unicode"
    return None


def _score(record: str, found: dict[str, Target] | str, student: Student) -> Score:
    if isinstance(found, str):
        nothing: dict[str, Any] = {**dict.fromkeys(NLLS), **dict.fromkeys(map(count_name, NLLS), 0)}
        return Score(id=record, **nothing, ifd=None, r_ifd=None, truncated=[], status="failed", reason=found)
    values: dict[str, Any] = {name: student.nll(target) for name, target in found.items()}
    counts: dict[str, Any] = {count_name(name): target.tokens for name, target in found.items()}
    unscorable = [f"{name}: {_no_target(target)}" for name, target in found.items() if not target.tokens]
    return Score(
        id=record,
        **values,
        **counts,
        truncated=[name for name, target in found.items() if target.truncated],
        **_judged(values, counts, unscorable),
    )


def _judged(nlls: Mapping[str, float | None], counts: Mapping[str, int], reasons: Sequence[str]) -> dict[str, Any]:
    """The ratios, the status and its reason: those given, and NLLs that are missing though they have tokens."""
    ratios = {name: _ratio(nlls[conditional], nlls[alone]) for name, (conditional, alone) in RATIOS.items()}
    reasons = [*reasons, *(f"{name}: not finite" for name in NLLS if nlls[name] is None and counts[count_name(name)])]
    if not reasons and None in ratios.values():
        reasons = ["the ratio of perplexities is not finite"]
    return {**ratios, "status": "failed" if reasons else "scored", "reason": "; ".join(reasons) or None}


def with_nlls(score: Score, nlls: Mapping[str, float | None]) -> Score:
    """The score with some NLLs in place of its own; what no NLL can mend stays as it is."""
    fields = score.model_dump()
    fields.update(nlls)
    if any(not fields[count_name(name)] for name in NLLS):
        return score
    fields.update(_judged(fields, fields, []))
    return Score(**fields)


def _no_target(target: Target) -> str:
    if target.truncated:
        return "truncation left no target token"
    return "a single token has nothing before it" if target.start == 1 else "its tokens merge with the context's last"


def _ratio(conditional: float | None, alone: float | None) -> float | None:
    """exp(L(t | c)) / exp(L(t)): the ratio of perplexities."""
    if conditional is None or alone is None:
        return None
    try:
        return math.exp(conditional - alone)
    except OverflowError:
        return None
