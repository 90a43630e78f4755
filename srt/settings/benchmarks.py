"""The benchmarks, each with its section; and those of other packages that are installed beside this one.

Such a package names a `Benchmark` as an entry point of GROUP, under the benchmark's own key.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Literal

from pydantic import Field

from srt.settings.base import Dtype, Location, OptionalLocation, Place, Settings
from srt.settings.benchmark import Benchmark, Replay
from srt.settings.judge import JudgeFile, MissingShare
from srt.storage.errors import InputError

GROUP = "srt.benchmarks"
SOURCE = "a JSON, JSONL or Parquet file, or hub:OWNER/NAME/FILE[@REVISION] for a file of a hub data set"


class AlpacaEvalConfig(Settings):
    """AlpacaEval: version 1.0, or 2 with the win rate controlled for length."""

    reference: Annotated[Location, Place.QUESTIONS] = Field(
        description=f"the questions with the reference's `output`: {SOURCE}"
    )
    judge: JudgeFile
    length_controlled: Annotated[OptionalLocation, Place.SOURCE] = Field(
        description="AlpacaEval's df_gamed.csv (difficulty of its 805 questions), a file or hub:...: adds the "
        "length-controlled win rate of version 2; null for version 1.0"
    )
    missing_share: MissingShare


ALPACA_EVAL = Benchmark(
    key="alpaca_eval",
    title="AlpacaEval 1.0",
    about="AlpacaEval 1.0 or 2: win rate against the reference's outputs.",
    command="alpaca-eval",
    settings=AlpacaEvalConfig,
    evaluate="srt.evaluation.alpaca_eval:requested",
    table="srt.report.tables.alpaca_eval:TABLE",
    form="alpaca_eval",
    questions="alpaca_eval",
    replay=Replay(
        flag="annotations",
        about="recompute one model's row from AlpacaEval's published annotations: no network, no key, no judge",
        evaluate="srt.evaluation.replay:replay_alpaca_eval",
        outputs=True,
    ),
    whole=805,
    metric="win_rate",
)
ALPACA_EVAL_2 = Benchmark(
    key="alpaca_eval_2",
    title="AlpacaEval 2",
    about=ALPACA_EVAL.about,
    command=ALPACA_EVAL.command,
    settings=AlpacaEvalConfig,
    evaluate=ALPACA_EVAL.evaluate,
    table="srt.report.tables.alpaca_eval_2:TABLE",
    form=ALPACA_EVAL.form,
    questions=ALPACA_EVAL.questions,
    whole=ALPACA_EVAL.whole,
    metric=ALPACA_EVAL.metric,
    over_seeds="lc_win_rate",  # no mean over questions, so that it has no paired interval
)


class MtBenchConfig(Settings):
    """MT-Bench: a judge grades both turns of every conversation from 1 to 10, each answer by itself."""

    judge: JudgeFile
    missing_share: MissingShare


MT_BENCH = Benchmark(
    key="mt_bench",
    title="MT-Bench",
    about="MT-Bench: a judge grades both turns of a conversation.",
    command="mt-bench",
    settings=MtBenchConfig,
    evaluate="srt.evaluation.mt_bench:requested",
    table="srt.report.tables.mt_bench:TABLE",
    form="mt_bench",
    questions="mt_bench",
    asks=True,
    turns=2,
    whole=80,
    metric="score",
)


class OpenLlmConfig(Settings):
    """A profile of the Open LLM Leaderboard's four benchmarks, by way of lm-eval."""

    suite: Annotated[Location, Place.SUITE] = Field(
        description="YAML with the tasks, their shots, metrics and rules (config/tasks/*.yaml)"
    )
    data: Annotated[OptionalLocation, Place.ITEMS] = Field(
        description="folder with the items' files, named in the suite; null for the hub"
    )
    backend: Literal["auto", "transformers", "vllm"] = Field(description="lm-eval's backend; auto: vllm on CUDA")
    dtype: Dtype = Field(description="weights and arithmetic in evaluation")
    limit: int | None = Field(ge=1, description="evaluate only N items per task; null for all")


OPEN_LLM = Benchmark(
    key="open_llm",
    title="The Open LLM Leaderboard",
    about="Open LLM Leaderboard v1: ARC, HellaSwag, MMLU, TruthfulQA.",
    command="open-llm",
    settings=OpenLlmConfig,
    evaluate="srt.evaluation.open_llm:requested",
    table="srt.report.tables.open_llm:TABLE",
    file="open_llm_{profile}",
    whole=26_073,  # the items of its four benchmarks together
    metric="average",
)


class PairwiseConfig(Settings):
    """A judge scores two models' answers from 1 to 10, in both orders."""

    questions: list[str] = Field(description="names under `questions:`; each is a comparison of its own")
    judge: JudgeFile
    missing_share: MissingShare
    opponents: list[str] = Field(description="runs that every other trained run is compared with")


PAIRWISE = Benchmark(
    key="pairwise",
    title="Pairwise comparisons",
    about="A judge scores two models' answers in both orders.",
    command="pairwise",
    settings=PairwiseConfig,
    evaluate="srt.evaluation.pairwise:requested",
    table="srt.report.tables.pairwise:TABLE",
    file="pairwise_{questions}_{opponent}",
    form="pairwise",
    asks=True,
    replay=Replay(
        flag="judgments",
        about='recompute from scores that are there: JSONL of {"id", "a_first": [a, b], "b_first": [b, a]}',
        evaluate="srt.evaluation.replay:replay_pairwise",
    ),
    whole=80,  # the smallest published set
)
OWN = {found.key: found for found in (ALPACA_EVAL, ALPACA_EVAL_2, MT_BENCH, OPEN_LLM, PAIRWISE)}
# What else is a table, or stands under `evaluate:`.
TAKEN = ("ablation", "selection_ratio", "data", "examples", "comparison", "judges", "calibration")


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Every benchmark by its key, this package's first; InputError names an entry point that is of no use."""
    found = dict(OWN)
    for point in entry_points(group=GROUP):
        if point.name in found:
            raise InputError(f"{_called(point)}: expected another name: there is a benchmark {point.name!r}")
        new = _loaded(point)
        _refuse_taken(point, new, found)
        found[point.name] = new
    return found


def benchmark_of(evaluation: str) -> Benchmark | None:
    """The benchmark that an evaluation of that name is of; None where it is of none that is known."""
    return next((found for found in benchmarks().values() if found.names(evaluation)), None)


def _refuse_taken(point: EntryPoint, new: Benchmark, known: Mapping[str, Benchmark]) -> None:
    """InputError for a benchmark whose table, section or evaluations would be taken for something else's."""
    if new.key in TAKEN:
        raise InputError(f"{_called(point)}: expected another name: {new.key!r} is a table or section")
    for other in known.values():
        if other.names(new.pattern) or new.names(other.pattern):
            told = f"expected another name of its evaluations: {new.pattern!r} could be one of {other.key}"
            raise InputError(f"{_called(point)}: {told}")


def _loaded(point: EntryPoint) -> Benchmark:
    try:
        found = point.load()
    except Exception as error:
        raise InputError(f"{_called(point)}: cannot be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(found, Benchmark):
        raise InputError(f"{_called(point)}: expected a {Benchmark.__module__}.Benchmark, found {type(found).__name__}")
    if found.key != point.name:
        raise InputError(f"{_called(point)}: expected a benchmark of the entry point's name, found {found.key!r}")
    return found


def _called(point: EntryPoint) -> str:
    """An entry point as its package writes it."""
    return f"entry point {point.name} = {point.value} of {GROUP}"
