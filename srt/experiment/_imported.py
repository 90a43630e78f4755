"""Whether what a config names as given fits its run table: told before any job, by key and run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.settings import Config
from srt.settings.benchmarks import benchmark_of, benchmarks
from srt.storage.findings import Finding, expected_one_of

SELECTED = "responses 'selected' asks a teacher: expected 'all' beside what is given"


def given_findings(config: Config, runs: Sequence[Run], names: Collection[str], where: str) -> Iterator[Finding]:
    """Unknown names, missing files that a run reads, judgments of no use; `names` are those of all runs."""
    given = config.given
    if config.responses == "selected" and (given.reflections or given.scores):
        yield Finding(where, "given", SELECTED, beside="responses")
    for teacher in given.reflections:
        if teacher in config.teachers:
            yield Finding(where, f"given.reflections.{teacher}", "is a name under `teachers:` as well")
    yield from _names(config, where)
    for run in runs:
        yield from _reflections(config, run, where)
        yield from _scores(config, run, where)
        if run.is_imported != (run.run in given.train):
            told = "needs an entry there" if run.is_imported else f"has the method {run.method}, expected 'given'"
            yield Finding(where, "given.train", f"run {run.run!r} {told}", beside="given.train")
    yield from _judgments(config, runs, names, where)
    yield from _unknown(given.train, names, where, "given.train", "run_table")


def _unknown(found: Iterable[str], known: Collection[str], where: str, key: str, beside: str) -> Iterator[Finding]:
    for name in found:
        if name not in known:
            yield Finding(where, key, expected_one_of(known, name), beside=beside)


def _names(config: Config, where: str) -> Iterator[Finding]:
    for teacher, by_dataset in config.given.reflections.items():
        yield from _unknown(by_dataset, config.datasets, where, f"given.reflections.{teacher}", "datasets")
    yield from _unknown(config.given.scores, config.students, where, "given.scores", "students")
    teachers = [*config.teachers, *config.given.reflections]
    for student, scores_of in config.given.scores.items():
        key = f"given.scores.{student}"
        yield from _unknown(scores_of, config.datasets, where, key, "datasets")
        for dataset, scores in scores_of.items():
            named = [scores.teacher] if scores.teacher else []
            yield from _unknown(named, teachers, where, f"{key}.{dataset}.teacher", "teachers")


def _reflections(config: Config, run: Run, where: str) -> Iterator[Finding]:
    if run.teacher not in config.given.reflections or run.dataset is None:
        return
    key, by_dataset = f"given.reflections.{run.teacher}", config.given.reflections[run.teacher]
    if run.dataset not in by_dataset:
        yield Finding(where, key, f"has no data set {run.dataset!r}, which run {run.run!r} reads")
        return
    for variant in layout.variants_read(run):
        if variant != "original" and variant not in by_dataset[run.dataset].files:
            message = f"{variant}: is missing, which run {run.run!r} reads"
            yield Finding(where, f"{key}.{run.dataset}.files", message)


def _scores(config: Config, run: Run, where: str) -> Iterator[Finding]:
    scores = config.given.scores.get(run.scored_by, {}).get(run.dataset or "")
    if scores is None or not layout.reads_scores(run):
        return
    key = f"given.scores.{run.scored_by}.{run.dataset}"
    for variant in layout.variants_read(run):
        if variant not in scores.files:
            yield Finding(where, f"{key}.files", f"{variant}: is missing, which run {run.run!r} reads")
    if scores.teacher != run.teacher and set(layout.variants_read(run)) - {"original"}:
        yield Finding(where, f"{key}.teacher", f"expected {run.teacher!r}, which run {run.run!r} reads")


def _judgments(config: Config, runs: Sequence[Run], names: Collection[str], where: str) -> Iterator[Finding]:
    by_name = {run.run: run for run in runs}
    yield from _unknown(config.given.judgments, names, where, "given.judgments", "run_table")
    for run, by_benchmark in config.given.judgments.items():
        key = f"given.judgments.{run}"
        if run in by_name:
            yield from _unknown(by_benchmark, layout.benchmarks(config, by_name[run]), where, key, "evaluate")
        for benchmark, judgments in by_benchmark.items():
            known = benchmark_of(benchmark)
            if known is None or known.replay is None:
                can = " and ".join(each.key for each in benchmarks().values() if each.replay)
                yield Finding(where, f"{key}.{benchmark}", f"only {can} can be recomputed")
            elif not known.replay.outputs and judgments.outputs is not None:
                have = " and ".join(each.key for each in benchmarks().values() if each.replay and each.replay.outputs)
                yield Finding(where, f"{key}.{benchmark}.outputs", f"expected null, only {have} has them")
