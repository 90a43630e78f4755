"""Agreement: how far a small proxy's scores can stand in for the student's (Superfiltering, arXiv 2402.00530).

A sample of records is scored by the student as well; what the two say is compared as ranks and as decisions.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from srt.llm.model import ModelRef
from srt.scoring.score import score
from srt.selection.candidates import Candidate
from srt.selection.choice import Choice, Files
from srt.selection.ledger import decide_all
from srt.selection.phases import contests
from srt.selection.select import read_candidates, scored_alike, texts_of
from srt.settings import ScoreConfig
from srt.settings.job import Job
from srt.storage import packages
from srt.storage.files import read_records, write_records
from srt.storage.progress import say
from srt.storage.records import RATIOS, LedgerEntry, Pair, Score
from srt.storage.sidecars import Agreement, write_sidecar


def agreement(choice: Choice, model: ModelRef, settings: ScoreConfig, job: Job) -> None:
    """Compare a proxy's scores with the student's on `proxy_sample` records, print it and write `job.out`.

    `choice` names the proxy's scores, `model` is the student. Rank correlation is Spearman's, per variant and ratio;
    decisions are the two phases, what is kept, and what is kept in which version.
    """
    texts = texts_of(choice)
    proxy = read_candidates(texts, choice)
    chosen = _spread(list(proxy), choice.settings.proxy_sample)
    few = {variant: {r: of_variant[r] for r in chosen if r in of_variant} for variant, of_variant in texts.items()}
    job.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=job.cache) as folder:
        student = _scored(few, model, settings, dataclasses.replace(job, out=Path(folder)))
        theirs = read_candidates(few, dataclasses.replace(choice, scores=student))
        known = {variant: {s.id: s for s in read_records(path, Score)} for variant, path in student.items()}
    ours = {record: proxy[record] for record in theirs}
    alike = scored_alike(choice.scores)
    found = Agreement(
        proxy=alike.model if alike else None,
        student=model.name,
        records=len(theirs),
        spearman=_correlations(ours, known),
        decisions=_decisions(ours, theirs, choice),
        versions=packages.versions("selective-reflection-tuning", "torch", "transformers", "scipy"),
    )
    _say(job.out, found)
    write_sidecar(job.out, found)


def _scored(texts: Mapping[str, Mapping[str, Pair]], model: ModelRef, settings: ScoreConfig, job: Job) -> Files:
    """The student's scores of these pairs, by variant; written into the folder `job.out`."""
    scores = {variant: job.out / f"{variant}.jsonl" for variant in texts}
    for variant, of_variant in texts.items():
        pairs = job.out / f"{variant}.pairs.jsonl"
        write_records(pairs, list(of_variant.values()))
        score(pairs, model, settings, dataclasses.replace(job, out=scores[variant]))
    return scores


def _spread(records: Sequence[str], sample: int) -> list[str]:
    """Every n-th record, so that as many as asked for come from all over the data set."""
    return list(records[:: max(1, len(records) // sample)][:sample])


def _correlations(
    proxy: Mapping[str, Mapping[str, Candidate]], student: Mapping[str, Mapping[str, Score]]
) -> dict[str, dict[str, float | None]]:
    """variant: ratio: Spearman's rank correlation; None below three records that both have scored, or without ranks."""
    from scipy.stats import spearmanr

    found: dict[str, dict[str, float | None]] = {}
    for variant, scored in student.items():
        found[variant] = {}
        for ratio in RATIOS:
            both = [
                (value, own)
                for record, candidates in proxy.items()
                if (seen := candidates[variant].score) and (value := getattr(seen, ratio)) is not None
                if record in scored and (own := getattr(scored[record], ratio)) is not None
            ]
            ranked = len(both) > 2 and all(len(set(side)) > 1 for side in zip(*both, strict=True))
            found[variant][ratio] = float(spearmanr(*zip(*both, strict=True)).statistic) if ranked else None
    return found


def _decisions(
    proxy: Mapping[str, Mapping[str, Candidate]],
    student: Mapping[str, Mapping[str, Candidate]],
    choice: Choice,
) -> dict[str, float | None]:
    """Shares of records on which proxy and student agree; phase 2 counts where both had the same winner of phase 1."""
    winners = [
        {record: [_name(c.winner) for c in contests(record, of, choice)] for record, of in side.items()}
        for side in (proxy, student)
    ]
    both = [(winners[0][record], winners[1][record]) for record in student]
    ledgers = [decide_all(side, choice) for side in (proxy, student)]
    entries = list(zip(*ledgers, strict=True))
    second = [(a[1], b[1]) for a, b in both if len(a) == len(b) == 2 and a[0] == b[0]]
    return {
        "phase 1": _share([a[0] == b[0] for a, b in both if a and b]),
        "phase 2": _share([a == b for a, b in second]),
        "kept": _share([a.kept == b.kept for a, b in entries]),
        "kept and version": _share([_outcome(a) == _outcome(b) for a, b in entries]),
    }


def _name(candidate: Candidate | None) -> str | None:
    return candidate.variant if candidate else None


def _outcome(entry: LedgerEntry) -> str | None:
    return entry.chosen if entry.kept else None


def _share(agreed: Sequence[bool]) -> float | None:
    return sum(agreed) / len(agreed) if agreed else None


def _say(out: Path, found: Agreement) -> None:
    say(f"{out}: {found.proxy} in place of {found.student}, on {found.records} records that both scored")
    for variant, ratios in found.spearman.items():
        told = ", ".join(f"{name} {_number(value)}" for name, value in ratios.items())
        say(f"  rank correlation (Spearman), {variant}: {told}")
    told = ", ".join(f"{name} {_number(value)}" for name, value in found.decisions.items())
    say(f"  share of equal decisions: {told}")


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
