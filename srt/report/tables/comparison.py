"""The comparison table: runs against their baseline on the same questions, and runs that differ by their seed alone."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from srt.evaluation.result import groups_of
from srt.evaluation.statistics import Difference, paired_difference
from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.formats import Column, Part, Row
from srt.report.reported import evaluation, evaluation_names
from srt.report.tables.columns import JUDGE
from srt.report.tables.judges import judge_cells
from srt.report.tables.rows import as_row
from srt.settings.benchmark import Benchmark
from srt.settings.benchmarks import benchmark_of, benchmarks
from srt.storage import sidecars
from srt.storage.files import read_records
from srt.storage.records import ItemValue

PAIRED_COLUMNS = (
    Column("run", "Run"),
    Column("baseline", "Against"),
    Column("benchmark", "Benchmark"),
    Column("metric", "Metric"),
    Column("difference", "Difference", 2, signed=True),
    Column("low", "from", 2, group="95% interval", signed=True),
    Column("high", "to", 2, group="95% interval", signed=True),
    Column("n", "Questions", 0),
    Column("told_apart", "Told apart"),
    *JUDGE,
    Column("source", "Source", path=True),
)
SEED_COLUMNS = (
    Column("dataset", "Data set"),
    Column("teacher", "Teacher"),
    Column("student", "Student"),
    Column("method", "Method"),
    Column("ratio", "Ratio", 2),
    Column("recipe", "Recipe"),
    Column("benchmark", "Benchmark"),
    Column("metric", "Metric"),
    Column("mean", "Mean", 2, main=True),
    Column("deviation", "Deviation", 2),
    Column("seeds", "Seeds", 0),
    Column("runs", "Runs"),
    *JUDGE,
)


def comparison_parts(results: Path, runs: Sequence[Run]) -> list[Part]:
    """The table's two parts, from the evaluations and their items below the results folder."""
    compared = _evaluations(results, runs)
    return parts(list(_paired(results, runs, compared)), list(_over_seeds(results, runs, compared)))


def parts(paired: Sequence[Row], seeds: Sequence[Row]) -> list[Part]:
    """The two parts around their rows."""
    none = "None: no run and its baseline have evaluations with the same questions."
    alone = "None: no two evaluated runs differ by their seed alone."
    return [
        Part("paired", "Against the baseline, on the same questions", PAIRED_COLUMNS, paired, none),
        Part("seeds", "Over seeds", SEED_COLUMNS, seeds, alone),
    ]


def _evaluations(results: Path, runs: Sequence[Run]) -> dict[str, Benchmark]:
    """Evaluation: its benchmark, of those whose runs are compared; of one with profiles, those that are there."""
    found: dict[str, Benchmark] = {}
    several = [benchmark for benchmark in benchmarks().values() if benchmark.metric]
    for benchmark in sorted(several, key=lambda benchmark: benchmark.by_profile):
        names = evaluation_names(results, runs, benchmark) if benchmark.wildcards else [benchmark.key]
        found |= dict.fromkeys(names, benchmark)
    return found


def baseline_of(run: Run, runs: Sequence[Run]) -> Run | None:
    """What a run is to be better than: the same student on the original data or, for that run, the untuned student."""
    if run.is_untuned:
        return None
    if not run.is_baseline:
        same = [r for r in runs if r.is_baseline and (r.dataset, r.student) == (run.dataset, run.student)]
        alike = [r for r in same if (r.recipe, r.seed) == (run.recipe, run.seed)]
        if same:
            return (alike or same)[0]
    return next((r for r in runs if r.is_untuned and r.student == run.student), None)


def _paired(results: Path, runs: Sequence[Run], known: Mapping[str, Benchmark]) -> Iterator[Row]:
    for run in runs:
        baseline = baseline_of(run, runs)
        for name, benchmark in known.items() if baseline else ():
            assert baseline is not None  # noqa: S101 (for the type checker)
            found = compared(results, run.run, baseline.run, name)
            if found is None:
                continue
            source = sidecars.items_of(layout.EVALUATION.format(run=run.run, benchmark=name))
            row: Row = {"run": run.run, "baseline": baseline.run, "benchmark": name, "metric": benchmark.metric}
            row |= {"n": found.n, "difference": found.value, "low": found.low, "high": found.high, "source": source}
            row |= _judge(results, run.run, name)
            yield row | {"told_apart": {True: "yes", False: "no", None: "too few"}[found.told_apart]}


def compared(results: Path, run: str, other: str, benchmark: str) -> Difference | None:
    """A run minus another one on the questions that both answered; None where they share none."""
    ours, theirs = (_items(results, name, benchmark) for name in (run, other))
    return paired_difference(ours, theirs, _groups(results, run, benchmark))


def _groups(results: Path, run: str, benchmark: str) -> Callable[[str], tuple[str, ...]]:
    """The groups of a benchmark's items, outermost first, as the evaluation itself averages them (`mean`)."""
    known = benchmark_of(benchmark)
    if known is None or not known.by_profile:
        return lambda key: ()
    found = evaluation(results, run, benchmark)
    if found is not None and found[0].settings.get("mean") == "items":
        return lambda key: groups_of(key)[:1]  # all items of MMLU count alike, whatever their subject
    return groups_of


def _items(results: Path, run: str, benchmark: str) -> dict[str, float]:
    path = results / sidecars.items_of(layout.EVALUATION.format(run=run, benchmark=benchmark))
    return {item.id: item.value for item in read_records(path, ItemValue)} if path.exists() else {}


def _judge(results: Path, run: str, benchmark: str) -> Row:
    """Who judged a run's benchmark, and what that judge is worth; nothing for a benchmark without a judge."""
    found, known = evaluation(results, run, benchmark), benchmark_of(benchmark)
    return as_row(judge_cells(results, found[0], known.form)) if found and known and known.is_judged else {}


def _over_seeds(results: Path, runs: Sequence[Run], evaluations: Mapping[str, Benchmark]) -> Iterator[Row]:
    """Mean and standard deviation of a metric over runs that are the same but for the seed."""
    groups: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for run in runs:
        if not run.is_untuned:
            fields = run.model_dump(exclude={"run", "seed"})
            groups[tuple(fields.values())].append(run)
    for members in groups.values():
        by_seed = {run.seed: run for run in reversed(members)}  # a run that was named twice is one seed
        for name, benchmark in evaluations.items():
            metric = str(benchmark.over_seeds or benchmark.metric)
            found = {run.run: evaluation(results, run.run, name) for run in reversed(by_seed.values())}
            values = {name: result[0].value(metric) for name, result in found.items() if result is not None}
            known = {name: value for name, value in values.items() if value is not None}
            if len(known) < 2:
                continue
            setup = members[0].model_dump(include={"dataset", "teacher", "student", "method", "ratio", "recipe"})
            numbers = {"mean": statistics.fmean(known.values()), "deviation": statistics.stdev(known.values())}
            about = {"benchmark": name, "metric": metric, "seeds": len(known), "runs": ", ".join(known)}
            yield {**setup, **numbers, **about, **_judge(results, next(iter(known)), name)}
