"""What a config still makes: jobs, money, hours and disk by stage, and by table what it waits for; of `srt plan`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.experiment import layout
from srt.experiment.runs import Run, choosing, in_series
from srt.planning.forecast import Forecast
from srt.planning.plan import Stage
from srt.settings import Config
from srt.settings.benchmark import Planned
from srt.settings.benchmarks import ALPACA_EVAL, OPEN_LLM, benchmarks

STAGES = ("prepare", "reflect", "score", "selection", "finetune", "generate", "evaluate")
SCORED = (ALPACA_EVAL.key, OPEN_LLM.key)
# The benchmarks that a table reads which is none's own; none: only its data. A benchmark's own table reads that one.
READS: dict[str, tuple[str, ...]] = {
    "ablation": SCORED,
    "selection_ratio": SCORED,
    "data": (),
    "examples": (),
    "judges": (),
}
# Which runs are its rows, where it has not all.
ROWS: dict[str, Callable[[Sequence[Run]], Sequence[Run]]] = {
    "ablation": lambda runs: [run for run in runs if not run.is_untuned],
    "selection_ratio": in_series,
    "examples": lambda runs: choosing(runs)[:1],
    "judges": lambda runs: [],
}
ABOUT = (
    "A job of `generate` answers all questions of a model. Hours are the teachers' and the trainings', money is the "
    "teachers':\nscoring, answering and judging are not estimated. Tables share jobs."
)


@dataclass(frozen=True)
class Job:
    """One artefact to come, by its stage and its path below the results folder."""

    stage: str
    path: str


def of_all(config: Config, runs: Sequence[Run]) -> set[Job]:
    """What the run table still asks for: every evaluation, every training, every judge's calibration."""
    jobs = {job for run in runs for job in _of_run(config, runs, run, layout.planned(config, run))}
    jobs |= {Job("finetune", layout.MODEL.format(run=run.run)) for run in runs if run.recipe}
    return _left(config, jobs | _calibrations(config))


def of_table(config: Config, runs: Sequence[Run], table: str) -> set[Job]:
    """What a table still waits for to have all its rows."""
    rows = ROWS.get(table, lambda found: found)(runs)
    jobs: set[Job] = _calibrations(config) if table == "judges" else set()
    read = _read_by(table)
    for run in rows:
        jobs |= set(
            _of_run(
                config, runs, run, [each for each in layout.planned(config, run) if each.section.benchmark.key in read]
            )
        )
    return _left(config, jobs)


def _read_by(table: str) -> Collection[str]:
    """The keys of the benchmarks that a table reads; the comparison has all that are compared between runs."""
    if table == "comparison":
        return {key for key, benchmark in benchmarks().items() if benchmark.metric}
    return READS.get(table, (table,))


def _of_run(config: Config, runs: Sequence[Run], run: Run, evaluations: Sequence[Planned]) -> Iterable[Job]:
    """A run's evaluations and all that they are made of, its opponents' models and answers included."""
    asked = any(not each.section.benchmark.runs_model for each in evaluations)
    met = {each.opponent for each in evaluations}
    for one in (run, *(each for each in runs if each.run in met)):
        yield from _data(config, one)
        if one.recipe and evaluations:
            yield Job("finetune", layout.MODEL.format(run=one.run))
        if asked:
            answers = [
                layout.ANSWERS.format(run=one.run, questions=name) for name in layout.answered(config, one, runs)
            ]
            yield from (Job("generate", path) for path in _absent(config, answers)[:1])
    yield from (Job("evaluate", layout.EVALUATION.format(run=run.run, benchmark=each.name)) for each in evaluations)


def _data(config: Config, run: Run) -> Iterable[Job]:
    """A run's data: prepared, reflected, scored, chosen."""
    if run.is_untuned:
        return
    for path in layout.data_files(config, run):
        made_by = "prepare" if path.endswith(Path(layout.ORIGINAL).name) else "reflect"
        yield Job("score" if path.startswith(("scores/", "coherence/")) else made_by, path)
    if layout.is_rescored(config, run):
        yield Job("score", layout.RESCORED.format(run=run.run))
    if layout.is_compared(run):
        yield Job("score", layout.AGREEMENT.format(run=run.run))
    yield Job("selection", layout.TRAIN.format(run=run.run))


def _calibrations(config: Config) -> set[Job]:
    return {Job("evaluate", layout.CALIBRATION.format(judge=judge)) for judge in layout.calibrated(config)}


def _left(config: Config, jobs: Iterable[Job]) -> set[Job]:
    absent = {*_absent(config, [job.path for job in jobs])}
    return {job for job in jobs if job.path in absent}


def _absent(config: Config, paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not (Path(config.results) / path).exists()]


def told(config: Config, runs: Sequence[Run], stages: Sequence[Stage], trainings: Sequence[Forecast]) -> str:
    """Both as tables, for people."""
    from tabulate import tabulate

    jobs = of_all(config, runs)
    by_stage = [_row(name, {job for job in jobs if job.stage == name}, stages, trainings) for name in STAGES]
    by_stage.append(_row("all", jobs, stages, trainings))
    by_table = []
    for table in layout.tables():
        found = of_table(config, runs, table)
        counts = {name: sum(job.stage == name for job in found) or "" for name in STAGES}
        row = _row(f"table_{table}", found, stages, trainings)
        by_table.append({"table": row.pop("stage"), **counts, **row})
    shown = [
        tabulate(rows, headers="keys", disable_numparse=True, colalign=_align(rows)) for rows in (by_stage, by_table)
    ]
    return "\n\n".join([*shown, ABOUT])


def _align(rows: Sequence[dict[str, object]]) -> list[str]:
    return ["left", *["right"] * (len(rows[0]) - 1)]


def _row(name: str, jobs: set[Job], stages: Sequence[Stage], trainings: Sequence[Forecast]) -> dict[str, object]:
    """How many jobs, and what is known of their money, hours and disk; blank where there is nothing to know."""
    paths = {job.path for job in jobs}
    asked = [stage.estimate for stage in stages if stage.path in paths]
    trained = [each for each in trainings if layout.MODEL.format(run=each.run) in paths]
    hours = [each.hours if each else None for each in asked] + [each.hours for each in trained]
    row = {"stage": name, "jobs": len(jobs) or "", "USD": _sum([each.money if each else None for each in asked])}
    return {**row, "hours": _sum(hours), "models GB": _sum([each.model_gb for each in trained])}


def _sum(values: Sequence[float | None]) -> str:
    """Their sum; unknown if one is, blank if there is none."""
    known = [value for value in values if value is not None]
    return "" if not values else "unknown" if len(known) < len(values) else f"{sum(known):,.2f}"
