"""What on the page is evidence, what is demo, and what is the paper's: said by rule, in its first lines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.report.tables.judges import judge_cells, told
from srt.settings.benchmark import Benchmark
from srt.settings.benchmarks import benchmark_of
from srt.storage.records import Evaluation

PAPERS_JUDGE = "gpt-4"
EVIDENCE, DEMO, PAPER = "Evidence", "Demo", "The paper's"
Found = tuple[str, str, Evaluation]


@dataclass(frozen=True)
class Line:
    """One of the first lines: what kind of thing it speaks of, and what it says."""

    kind: str
    text: str


def standing(results: Path, evaluations: Sequence[Found], notice: str | None) -> list[Line]:
    """The first lines of the report.

    An evaluation is evidence if it has all questions of the published benchmark, each with a verdict, and its judge
    is the paper's or agrees with published judgments better than chance. With a notice everything is demo.

    Args:
        results: folder of all artefacts.
        evaluations: (run, source, evaluation) of all that has been evaluated.
        notice: what the config says of these results; None for nothing.
    """
    lines = [Line(DEMO, notice)] if notice else []
    groups: dict[tuple[Benchmark, tuple[str, ...]], list[str]] = defaultdict(list)
    for run, _, found in evaluations:
        benchmark = benchmark_of(found.benchmark)
        if benchmark is not None:
            groups[benchmark, tuple(_shortcomings(results, benchmark, found))].append(run)
    for (benchmark, reasons), runs in groups.items():
        text = f"{benchmark.title} of {_listed(runs)}"
        if reasons:
            lines.append(Line(DEMO, f"{text}: {'; '.join(reasons)}."))
        elif notice:
            lines.append(Line(DEMO, f"{text}: complete, but see the first line."))
        else:
            lines.append(Line(EVIDENCE, f"{text}: all {benchmark.whole:,} questions or more, each with a verdict."))
    if not groups:
        lines.append(Line(PAPER, "Nothing of ours has been evaluated yet: every number on this page is the paper's."))
    else:
        lines.append(Line(PAPER, "What stands under Paper was reported there and not measured here."))
    return lines


def _shortcomings(results: Path, benchmark: Benchmark, found: Evaluation) -> list[str]:
    """Why an evaluation is no evidence; empty where it is."""
    reasons = []
    asked = max((metric.n for metric in found.metrics), default=0)
    if benchmark.whole is None:
        reasons.append("it is not known how many questions it has")
    elif asked < benchmark.whole:
        reasons.append(f"{asked:,} of {benchmark.whole:,} questions")
    missing = sum(found.missing.values())
    if missing:
        reasons.append(f"{missing:,} without a value")
    if found.judge is not None:
        reasons += _of_the_judge(results, benchmark, found)
    return reasons


def _of_the_judge(results: Path, benchmark: Benchmark, found: Evaluation) -> list[str]:
    judge = found.judge or {}
    name = told(judge) or "replayed judgments"
    kappa = judge_cells(results, found, benchmark.form).judge_kappa
    if kappa is None:
        return [] if judge.get("model") == PAPERS_JUDGE else [f"the judge {name} was not calibrated"]
    if kappa <= 0:
        return [f"the judge {name} agrees with published judgments no better than chance (kappa {kappa:.2f})"]
    return []


def _listed(runs: Iterable[str]) -> str:
    names = list(dict.fromkeys(runs))
    return ", ".join(names) if len(names) <= 4 else f"{len(names)} runs"
