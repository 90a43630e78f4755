"""Whether what a config names as given fits its run table: told before any job, by key and run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from srt import layout
from srt.records import InputError
from srt.runs import Run
from srt.settings import ALPACA_EVAL, Config

PAIRWISE = layout.pairwise_name("", "")[: -len("_")]


def check_given(config: Config, runs: Sequence[Run], where: str) -> None:
    """InputError with the key: an unknown name, a file that a run reads and is missing, judgments of no use."""
    given = config.given
    if config.responses == "selected" and (given.reflections or given.scores):
        raise InputError(f"{where}: given: responses 'selected' asks a teacher: expected 'all' beside what is given")
    for teacher in given.reflections:
        if teacher in config.teachers:
            raise InputError(f"{where}: given.reflections.{teacher}: is a name under `teachers:` as well")
    _check_names(config, where)
    for run in runs:
        _check_reflections(config, run, where)
        _check_scores(config, run, where)
        if (run.method == "given") != (run.run in given.train):
            told = "needs an entry there" if run.method == "given" else f"has the method {run.method}, expected 'given'"
            raise InputError(f"{where}: given.train: run {run.run!r} {told}")
    _check_judgments(config, runs, where)
    _refuse_unknown(given.train, [run.run for run in runs], f"{where}: given.train")


def _refuse_unknown(found: Iterable[str], known: Sequence[str], place: str) -> None:
    for name in found:
        if name not in known:
            raise InputError(f"{place}: expected one of {sorted(known)}, found {name!r}")


def _check_names(config: Config, where: str) -> None:
    datasets = list(config.datasets)
    for teacher, by_dataset in config.given.reflections.items():
        _refuse_unknown(by_dataset, datasets, f"{where}: given.reflections.{teacher}")
    _refuse_unknown(config.given.scores, list(config.students), f"{where}: given.scores")
    teachers = [*config.teachers, *config.given.reflections]
    for student, scores_of in config.given.scores.items():
        place = f"{where}: given.scores.{student}"
        _refuse_unknown(scores_of, datasets, place)
        for dataset, scores in scores_of.items():
            _refuse_unknown([scores.teacher] if scores.teacher else [], teachers, f"{place}.{dataset}.teacher")


def _check_reflections(config: Config, run: Run, where: str) -> None:
    if run.teacher not in config.given.reflections or run.dataset is None:
        return
    place, by_dataset = f"{where}: given.reflections.{run.teacher}", config.given.reflections[run.teacher]
    if run.dataset not in by_dataset:
        raise InputError(f"{place}: has no data set {run.dataset!r}, which run {run.run!r} reads")
    for variant in layout.variants_read(run):
        if variant != "original" and variant not in by_dataset[run.dataset].files:
            raise InputError(f"{place}.{run.dataset}.files: {variant}: is missing, which run {run.run!r} reads")


def _check_scores(config: Config, run: Run, where: str) -> None:
    scores = config.given.scores.get(run.scored_by, {}).get(run.dataset or "")
    if scores is None or not layout.reads_scores(run):
        return
    place = f"{where}: given.scores.{run.scored_by}.{run.dataset}"
    for variant in layout.variants_read(run):
        if variant not in scores.files:
            raise InputError(f"{place}.files: {variant}: is missing, which run {run.run!r} reads")
        if variant != "original" and scores.teacher != run.teacher:
            raise InputError(f"{place}.teacher: expected {run.teacher!r}, which run {run.run!r} reads")


def _check_judgments(config: Config, runs: Sequence[Run], where: str) -> None:
    by_name = {run.run: run for run in runs}
    _refuse_unknown(config.given.judgments, list(by_name), f"{where}: given.judgments")
    for run, by_benchmark in config.given.judgments.items():
        place = f"{where}: given.judgments.{run}"
        _refuse_unknown(by_benchmark, layout.benchmarks(config, by_name[run]), place)
        for benchmark, judgments in by_benchmark.items():
            if benchmark != ALPACA_EVAL and not benchmark.startswith(PAIRWISE):
                raise InputError(f"{place}.{benchmark}: only alpaca_eval and pairwise comparisons can be recomputed")
            if benchmark != ALPACA_EVAL and judgments.outputs is not None:
                raise InputError(f"{place}.{benchmark}.outputs: expected null, only alpaca_eval has them")
