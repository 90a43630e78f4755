"""What the report reads: the paper's figures (`reported.yaml`) and the evaluations below the results folder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Generic, TypeVar

from pydantic import Field, ValidationError, model_validator

from srt.evaluation.statistics import inside_error, mean_and_error
from srt.experiment import layout
from srt.experiment.runs import Run
from srt.settings import Settings
from srt.settings.benchmark import Benchmark
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.files import describe
from srt.storage.readers import read_json
from srt.storage.records import Evaluation, Metric
from srt.storage.sidecars import read_sidecar
from srt.storage.trainings import TrainingRecord
from srt.storage.yaml_files import read_yaml

REPORTED_FILE = Path(__file__).resolve().parent / "reported.yaml"

Percent = Annotated[float, Field(ge=0, le=100)]
Count = Annotated[int, Field(ge=0)]


class ReportedModel(Settings):
    """What is known of a model: training records, RLHF or AI feedback, and whether it is the paper's own."""

    training_records: Count | None = None
    rlhf: bool | None = None
    own: bool = False


class ReportedRow(Settings):
    """Base of a reported row; `source` is given where it is not the block's."""

    source: str | None = None
    note: str | None = None


class ReportedWinRate(ReportedRow):
    """AlpacaEval 1.0: win rate and its standard error in percent, length in characters."""

    win_rate: Percent
    se: Percent | None = None
    wins: Count | None = None
    draws: Count | None = None
    length: Count | None = None
    leaderboard: str | None = Field(default=None, description="the model's name in AlpacaEval's own leaderboard")


class ReportedOpenLlm(ReportedRow):
    """Open LLM Leaderboard v1, in percent."""

    average: Percent
    arc: Percent | None = None
    hellaswag: Percent | None = None
    mmlu: Percent | None = None
    truthfulqa: Percent | None = None


class ReportedVerdicts(ReportedRow):
    """Verdicts of a pairwise comparison."""

    wins: Count
    ties: Count
    losses: Count

    @property
    def n(self) -> int:
        """All verdicts."""
        return self.wins + self.ties + self.losses

    @property
    def winning_score(self) -> float:
        """(wins - losses) / all + 1 (section 4.3 of the paper)."""
        return (self.wins - self.losses) / self.n + 1

    @property
    def se(self) -> float | None:
        """The winning score's standard error, from the verdicts."""
        return mean_and_error([1] * self.wins + [0] * self.ties + [-1] * self.losses)[1]


class ReportedRatio(ReportedRow):
    """One model finetuned on a share of its selected records."""

    ratio: Annotated[float, Field(gt=0, le=1)]
    records: Count | None = None
    alpaca_eval: Percent
    open_llm: Percent


AnyRow = TypeVar("AnyRow", bound=ReportedRow)


class Block(Settings, Generic[AnyRow]):
    """The rows of one table or figure by model."""

    source: str
    rows: dict[str, AnyRow]


class PairwiseBlock(Block[ReportedVerdicts]):
    """The verdicts of one model against others, by opponent."""

    model: str
    judge: str
    questions: str = Field(description="the set of questions, as `questions:` of the config names it")


class RatioBlock(Settings):
    """One model's selection ratios, the smallest first."""

    source: str
    model: str
    rows: list[ReportedRatio]


class ReportedData(ReportedRow):
    """Which version of which data set a model was finetuned on."""

    data: str
    method: str = Field(description="as `srt.selection.builtin.METHODS` names it")


class Reported(Settings):
    """All of `srt/report/reported.yaml`."""

    aliases: dict[str, str]
    models: dict[str, ReportedModel]
    alpaca_eval: Block[ReportedWinRate]
    open_llm: Block[ReportedOpenLlm]
    ablation: Block[ReportedData]
    selection_ratio: RatioBlock
    pairwise: PairwiseBlock
    human_study: PairwiseBlock

    @model_validator(mode="after")
    def _names_are_known(self) -> Reported:
        known = self.alpaca_eval.rows.keys() | self.open_llm.rows.keys() | self.pairwise.rows.keys()
        named = [
            *self.aliases.values(),
            *self.models,
            *self.ablation.rows,
            self.selection_ratio.model,
            self.pairwise.model,
            self.human_study.model,
        ]
        for name in named:
            if name not in known:
                raise ValueError(f"model {name!r} has no reported row")
        ratios = [row.ratio for row in self.selection_ratio.rows]
        if ratios != sorted(set(ratios)) or ratios[-1:] != [1.0]:
            raise ValueError(f"selection_ratio.rows: expected rising ratios up to 1, found {ratios}")
        return self

    def canonical(self, name: str) -> str:
        """A model's name as the rows have it."""
        return self.aliases.get(name, name)

    def ratio_names(self) -> dict[str, ReportedRatio]:
        """The rows of the selection ratio below 1, under the names by which a run can be compared with them."""
        rows = self.selection_ratio.rows
        return {f"{self.selection_ratio.model} ({row.ratio:.0%})": row for row in rows if row.ratio < 1}

    def win_rates(self) -> dict[str, ReportedWinRate]:
        """Every reported row of AlpacaEval with its source, the highest win rate first."""
        rows = {name: _sourced(row, self.alpaca_eval.source) for name, row in self.alpaca_eval.rows.items()}
        for name, row in self.ratio_names().items():
            rows[name] = ReportedWinRate(win_rate=row.alpaca_eval, source=row.source or self.selection_ratio.source)
        return dict(sorted(rows.items(), key=lambda item: -item[1].win_rate))

    def leaderboard(self) -> dict[str, ReportedOpenLlm]:
        """Every reported row of the Open LLM Leaderboard with its source, the highest average first."""
        rows = {name: _sourced(row, self.open_llm.source) for name, row in self.open_llm.rows.items()}
        for name, row in self.ratio_names().items():
            rows[name] = ReportedOpenLlm(average=row.open_llm, source=row.source or self.selection_ratio.source)
        return dict(sorted(rows.items(), key=lambda item: -item[1].average))

    def training_records(self, name: str) -> int | None:
        """How many records a model was finetuned on, as reported; None where it is not known."""
        row = self.ratio_names().get(name)
        if row is None:
            return self.models[name].training_records if name in self.models else None
        whole = self.models[self.selection_ratio.model].training_records
        return row.records or (math.floor(row.ratio * whole + 1e-9) if whole else None)

    def check_names(self, compare: Mapping[str, str]) -> dict[str, str]:
        """`compare` (run: reported model) with the rows' own names; InputError for a name that nothing has."""
        known = self.win_rates().keys() | self.leaderboard().keys() | self.pairwise.rows.keys()
        for run, name in compare.items():
            if self.canonical(name) not in known:
                raise InputError(f"report.compare: {run}: expected one of {sorted(known)}, found {name!r}")
        return {run: self.canonical(name) for run, name in compare.items()}


def _sourced(row: AnyRow, source: str) -> AnyRow:
    return row if row.source else row.model_copy(update={"source": source})


@cache
def reported() -> Reported:
    """The paper's figures, validated; InputError names the key of what is wrong in the file."""
    return validated(Reported, read_yaml(REPORTED_FILE), str(REPORTED_FILE))


def read_evaluation(path: Path) -> Evaluation:
    """One evaluation file; InputError names file and field of what is wrong."""
    try:
        return Evaluation.model_validate(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: {describe(error)}") from None


def evaluation(results: Path, run: str, benchmark: str) -> tuple[Evaluation, str] | None:
    """A run's evaluation and its path below the results folder; None where it has not been run."""
    source = layout.EVALUATION.format(run=run, benchmark=benchmark)
    return (read_evaluation(results / source), source) if (results / source).exists() else None


def evaluation_names(results: Path, runs: Iterable[Run], benchmark: Benchmark) -> list[str]:
    """The evaluations of a benchmark with profiles that any of the runs has, by name."""
    pattern = benchmark.pattern.format(profile="*")
    paths = [p for run in runs for p in results.glob(layout.EVALUATION.format(run=run.run, benchmark=pattern))]
    return sorted({path.stem for path in paths})


def metric(found: Evaluation, name: str, source: str) -> Metric:
    """The metric of that name; InputError where the file has none."""
    for known in found.metrics:
        if known.name == name:
            return known
    raise InputError(f"{source}: metrics: expected one named {name!r}, found {[known.name for known in found.metrics]}")


def training(results: Path, run: str) -> TrainingRecord:
    """What finetuning wrote beside a run's weights; empty where it has not been finetuned."""
    return read_sidecar(results / layout.TRAINING.format(run=run), TrainingRecord)


def trained_on(results: Path, run: str) -> int | None:
    """The number of records in a run's train file; None where it has none (an untuned model)."""
    path = results / layout.TRAIN.format(run=run)
    if not path.exists():
        return None
    with path.open("rb") as lines:
        return sum(1 for line in lines if line.strip())


def missing_of(found: Evaluation) -> int:
    """How many items of an evaluation have no value."""
    return sum(found.missing.values())


def whole(value: float | None) -> float | int | None:
    """A whole number as one."""
    return int(value) if value is not None and value == int(value) else value


def difference(ours: float | None, theirs: float | None) -> float | None:
    """Ours minus the paper's, without the noise of binary fractions; None where one of them is not known."""
    return None if ours is None or theirs is None else round(ours - theirs, 9)


def inside(ours: float | None, error: float | None, theirs: float | None, their_error: float | None) -> str | None:
    """Whether the difference lies inside the error, in a word."""
    return {True: "yes", False: "no", None: None}[inside_error(ours, error, theirs, their_error)]
