"""Rescore: what low precision leaves in doubt of one run's selection, computed again in float32.

The selection over the scores and these is the selection over float32 scores alone, at a fraction of their cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from srt.llm.model import ModelRef
from srt.scoring.precision import Doubt, Doubts, ErrorModel
from srt.scoring.score import Student, targets_or_reasons, with_nlls
from srt.scoring.sequences import Target
from srt.selection.candidates import Candidate
from srt.selection.choice import Choice
from srt.selection.select import candidate, read_candidates, scored_alike, texts_of
from srt.settings import ScoreConfig
from srt.settings.job import Job
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import write_records
from srt.storage.progress import say
from srt.storage.records import NLLS, RATIOS, Pair, Rescored, count_name
from srt.storage.sidecars import MeasuredError, Scoring, Sidecar, StepSettings, sidecar_of, write_sidecar

SAMPLE = 64  # pairs whose error is measured: 256 sequences


def rescore(choice: Choice, model: ModelRef, settings: ScoreConfig, job: Job) -> None:
    """Write `job.out` (JSONL of `Rescored`) for one selection; the measured error and the counts go into its sidecar.

    Decisions that the measured error leaves in doubt are computed again, then those that depend on them, then the
    places at the ratio's edge, until none is in doubt. InputError where the scores are another student's or were made
    with other settings.
    """
    out, scores = job.out, choice.scores
    alike = scored_alike(scores)
    student = Student(model, "float32", settings, job)
    ours = Scoring(model.name, student.identity, settings.of_scores(), student.texts)
    if alike and (odd := alike.differs_from(ours, ("identity", "settings", "texts"))):
        raise InputError(f"{next(iter(scores.values()))}: {odd}: expected that of {model.name} and of these settings")
    texts = texts_of(choice)
    records = read_candidates(texts, choice)
    work = _Rescoring(student, texts, records)
    work.measure()
    rounds = 0
    while doubts := Doubts(choice, work.exact, work.error).find(records):
        rounds += 1
        say(f"{out}: round {rounds}: {len(doubts)} ratios in doubt")
        work.resolve(doubts)
    student.journal.close()
    say(f"{out}: {len(work.exact)} ratios computed again, {work.scored} of {work.sequences()} sequences scored")
    sidecar = Sidecar(
        model=model.name,
        identity=student.identity,
        settings=StepSettings(**settings.of_scores()),
        selection=choice.facts(),
        error=MeasuredError(scale=work.error.scale, measured_on=work.error.sample),
        counts={"ratios": len(work.exact), "rounds": rounds},
        max_length=student.sequencer.max_length,
        positions=student.limits.positions,
        batch_tokens=student.batch_tokens,
        compiled=student.compiled,
        versions=packages.versions("selective-reflection-tuning", "torch", "transformers", "tokenizers"),
    )
    write_sidecar(sidecar_of(out), sidecar)
    write_records(out, work.rows())


class _Rescoring:
    """The state of a rescoring: candidates, of which more and more ratios are exact, and the error measured so far."""

    def __init__(
        self, student: Student, texts: Mapping[str, Mapping[str, Pair]], records: dict[str, dict[str, Candidate]]
    ) -> None:
        self.student, self.texts, self.records = student, texts, records
        self.exact: set[Doubt] = set()
        self.errors: dict[str, tuple[int, float]] = {}
        self.scored = 0

    @property
    def error(self) -> ErrorModel:
        return ErrorModel.measured(list(self.errors.values()))

    def measure(self) -> None:
        """Compute a sample again, spread over all lengths: short texts have the largest errors."""
        usable = [
            (getattr(c.score, count_name(RATIOS["ifd"][0])), record, variant)
            for record, of_record in self.records.items()
            for variant, c in of_record.items()
            if c.score and c.score.status == "scored"
        ]
        if not usable:
            raise InputError("rescore: expected a scored pair, found none")
        step = max(1, len(usable) // SAMPLE)
        chosen = sorted(usable)[step // 2 :: step]
        self.resolve({Doubt(record, variant, ratio) for _, record, variant in chosen for ratio in RATIOS})

    def resolve(self, doubts: Iterable[Doubt]) -> None:
        """Compute ratios again in float32, put them in place, and add what was measured to the error."""
        wanted: dict[tuple[str, str], set[str]] = {}
        for doubt in doubts:
            wanted.setdefault((doubt.record, doubt.variant), set()).add(doubt.ratio)
        targets = self._targets(wanted)
        self.scored += self.student.fill(target for found in targets.values() for target in found.values())
        for (record, variant), found in targets.items():
            self._replace(record, variant, found)
            self.exact |= {Doubt(record, variant, ratio) for ratio in wanted[record, variant]}

    def _targets(self, wanted: Mapping[tuple[str, str], set[str]]) -> dict[tuple[str, str], dict[str, Target]]:
        """The sequences of the wanted ratios."""
        targets: dict[tuple[str, str], dict[str, Target]] = {}
        for variant, texts in self.texts.items():
            pairs = [texts[record] for record, of_variant in wanted if of_variant == variant]
            for record, found in targets_or_reasons(pairs, self.student).items():
                parts = {part for ratio in wanted[record, variant] for part in RATIOS[ratio]}
                if isinstance(found, str):
                    raise InputError(
                        f"{variant}: record {record!r}: {found}, but it has a score: were its pairs changed?"
                    )
                targets[record, variant] = {part: found[part] for part in sorted(parts)}
        return targets

    def _replace(self, record: str, variant: str, targets: Mapping[str, Target]) -> None:
        old = self.records[record][variant]
        if old.score is None:
            raise InputError(f"{variant}: record {record!r}: is not in the scores file")
        exact = {part: self.student.nll(target) for part, target in targets.items()}
        for part, nll in exact.items():
            before = getattr(old.score, part)
            if nll is not None and before is not None:
                self.errors[targets[part].key] = targets[part].tokens, nll - before
        score = with_nlls(old.score, exact)
        self.records[record][variant] = candidate(
            variant, self.texts[variant][record], score, old.coherence, ranked=True
        )

    def rows(self) -> list[Rescored]:
        """What was computed again, in the order of the records."""
        ratios: dict[tuple[str, str], list[str]] = {}
        for doubt in sorted(self.exact, key=lambda d: d.ratio):
            ratios.setdefault((doubt.record, doubt.variant), []).append(doubt.ratio)
        return [
            Rescored(record=record, variant=variant, ratios=ratios[record, variant], score=found.score)
            for record, of_record in self.records.items()
            for variant, found in of_record.items()
            if found.score and (record, variant) in ratios
        ]

    def sequences(self) -> int:
        """How many NLLs the scores hold in all."""
        scores = [c.score for of_record in self.records.values() for c in of_record.values() if c.score]
        return sum(getattr(score, nll) is not None for score in scores for nll in NLLS)
