"""Plan: what the teachers of a config have still to be asked, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.llm.asking import Known, teacher_journals
from srt.prepare.prepare import prepared_file
from srt.reflection.cost import Estimate, estimate
from srt.reflection.reflect import conversations, shorten, speaker_of, unreflected
from srt.settings import Config
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.records import Pair, ReflectedPair

COLUMNS = ("stage", "records", "requests", "prompt tokens", "completion tokens", "USD", "hours", "remark")


@dataclass(frozen=True)
class Stage:
    """One file of reflections to come: the estimate of what it still needs, or why there is none."""

    dataset: str
    teacher: str
    variant: str
    path: str
    estimate: Estimate | None
    remark: str

    def row(self) -> dict[str, str]:
        """As a row of COLUMNS."""
        name = f"{self.dataset}/{self.teacher}/{self.variant}"
        if self.estimate is None:
            return dict.fromkeys(COLUMNS, "") | {"stage": name, "remark": self.remark}
        found = self.estimate
        numbers = (found.records, found.requests, found.prompt_tokens, found.completion_tokens)
        shown = [f"{number:,}" for number in numbers] + [_shown(found.money), _shown(found.hours)]
        return dict(zip(COLUMNS, [name, *shown, self.remark], strict=True))


def plan(config: Config, runs: Sequence[Run]) -> list[Stage]:
    """The stages of reflection that the run table needs, in the order in which they can run.

    Records are the prepared pairs or, before that, the data set's file; `both` is counted on the original pairs until
    the instructions are there; under the plan `selected` the response stages are counted as if every record won.
    """
    stages: dict[str, Stage] = {}
    for variant in ("instruction", "response", "both"):
        for run in runs:
            path = layout.pairs_paths(run, config.responses).get(variant)
            if path is not None and path not in stages and run.dataset and run.teacher in config.teachers:
                stages[path] = _stage(config, run.dataset, run.teacher, variant, path)
    return list(stages.values())


def _stage(config: Config, dataset: str, teacher: str, variant: str, path: str) -> Stage:
    results, settings = Path(config.results), config.teachers[teacher]
    remarks = []
    try:
        if (results / path).exists():
            failed = sum(pair.status == "failed" for pair in read_records(results / path, ReflectedPair))
            return Stage(dataset, teacher, variant, path, None, f"done ({failed} failed)")
        pairs, remark = _pairs(config, dataset, teacher, variant)
        talks = conversations(unreflected(pairs), variant, settings)
        remarks.append(remark)
        try:
            shorten(talks, settings)
        except InputError as error:
            remarks.append(f"long pairs counted whole: {error}")
        speaker = speaker_of(settings)
        identity = speaker.identity()
    except InputError as error:
        return Stage(dataset, teacher, variant, path, None, str(error))
    price, batch = config.execution.prices.get(teacher), speaker.batched(config.execution)
    found = estimate(talks, Known.read(teacher_journals(Path(config.cache)), identity, price, batch))
    if config.responses == "selected" and variant != "instruction":
        remarks.append("at most: only the winners of phase 1")
    return Stage(dataset, teacher, variant, path, found, "; ".join([*filter(None, remarks), found.basis()]))


def _pairs(config: Config, dataset: str, teacher: str, variant: str) -> tuple[Sequence[Pair], str]:
    """What a stage reflects, as far as it is there, and what stands in for it."""
    results = Path(config.results)
    if variant == "both":
        instructions = results / layout.REFLECTED.format(dataset=dataset, teacher=teacher, variant="instruction")
        if instructions.exists():
            return read_records(instructions, ReflectedPair), ""
    original = results / layout.ORIGINAL.format(dataset=dataset)
    pairs: Sequence[Pair] | None = read_records(original, Pair) if original.exists() else None
    pairs = prepared_file(config.datasets[dataset]) if pairs is None else pairs
    if pairs is None:
        raise InputError(f"not prepared yet: run `snakemake {original}` first")
    return pairs, "counted on the originals" if variant == "both" else ""


def told(stages: Sequence[Stage]) -> str:
    """The stages as a table with their sum, for people."""
    from tabulate import tabulate

    rows = [stage.row() for stage in stages]
    known = [stage.estimate for stage in stages if stage.estimate is not None]
    if known:
        money = [found.money for found in known]
        hours = [found.hours for found in known]
        total = Estimate(
            sum(found.records for found in known),
            sum(found.requests for found in known),
            sum(found.prompt_tokens for found in known),
            sum(found.completion_tokens for found in known),
            None if None in money else sum(filter(None, money)),
            None if None in hours else sum(filter(None, hours)),
            0,
        )
        rows.append(Stage("", "", "", "", total, "second tries not counted").row() | {"stage": "all"})
    align = ("left", *["right"] * 6, "left")
    return tabulate(rows, headers="keys", colalign=align, disable_numparse=True) if rows else "No run asks a teacher."


def _shown(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.2f}"
