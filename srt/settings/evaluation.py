"""What is evaluated: sets of questions, the sections of the benchmarks, the calibration of their judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, create_model

from srt.settings.base import Location, Name, Place, Settings
from srt.settings.benchmark import Benchmark, Section
from srt.settings.benchmarks import (
    SOURCE,
    AlpacaEvalConfig,
    MtBenchConfig,
    OpenLlmConfig,
    PairwiseConfig,
    benchmarks,
)
from srt.settings.judge import MissingShare


class QuestionsConfig(Settings):
    """A named set of questions (`questions:`), which every evaluated model answers."""

    source: Annotated[Location, Place.QUESTIONS] = Field(description=SOURCE)
    decoding: str = Field(description="a name under `generate:`: how the answers are drawn")


class CalibrationConfig(Settings):
    """How far each judge agrees with published judgments."""

    annotations: list[Annotated[Location, Place.ANNOTATIONS]] = Field(
        description=f"AlpacaEval's published annotations, one for each model: {SOURCE}"
    )
    sample: int = Field(ge=1, description="pairs in all, each asked about in both orders")
    seed: int = Field(ge=0, description="of the drawing")
    missing_share: MissingShare


def _null_is_none(profiles: Any) -> Any:
    return {} if profiles is None else profiles


NULL_IS_NONE = BeforeValidator(_null_is_none)


class EvaluateConfig(Settings):
    """The benchmarks; a benchmark set to null is left out. Those of other packages come beside them."""

    alpaca_eval: AlpacaEvalConfig | None
    alpaca_eval_2: AlpacaEvalConfig | None = Field(description="judges the same answers as `alpaca_eval`")
    open_llm: Annotated[dict[Name, OpenLlmConfig], NULL_IS_NONE]
    pairwise: PairwiseConfig | None
    mt_bench: MtBenchConfig | None
    calibration: CalibrationConfig | None

    def sections(self) -> Iterator[Section]:
        """The sections of all benchmarks that are asked for, in the registry's order."""
        for benchmark in benchmarks().values():
            found: Settings | Mapping[str, Settings] | None = getattr(self, benchmark.key, None)
            if isinstance(found, Settings):
                yield Section(benchmark, None, found)
            elif found:
                yield from (Section(benchmark, name, settings) for name, settings in found.items())

    def of(self, benchmark: Benchmark) -> list[Section]:
        """A benchmark's sections: none where it is left out, one for each of its profiles."""
        return [section for section in self.sections() if section.benchmark == benchmark]

    def question_sets(self) -> dict[str, str]:
        """Question set: the benchmark that needs it; what a benchmark needs that has none of its own comes last."""
        needed: dict[str, str] = {}
        for section in sorted(self.sections(), key=lambda section: section.benchmark.questions is None):
            for name in section.questions:
                needed.setdefault(name, section.benchmark.key)
        return needed

    def judged(self) -> list[Section]:
        """The sections that name a judge."""
        return [section for section in self.sections() if section.judge is not None]

    def judges(self) -> dict[str, set[str]]:
        """Judge's file: the forms in which it judges (fields of `JudgeConfig`)."""
        found: dict[str, set[str]] = {}
        for section in self.judged():
            forms = found.setdefault(str(section.judge), set())
            forms |= {section.benchmark.form} if section.benchmark.form else set()
        return found


@cache
def evaluate_type() -> type[EvaluateConfig]:
    """The section `evaluate` with the benchmarks of other packages, each of which may be left out of a config."""
    fields: dict[str, Any] = {}
    for key, benchmark in benchmarks().items():
        if key not in EvaluateConfig.model_fields:
            kind: Any = benchmark.settings
            several: Any = Annotated[dict[Name, kind], NULL_IS_NONE]
            fields[key] = (several, {}) if benchmark.by_profile else (kind | None, None)
    return create_model("EvaluateConfig", __base__=EvaluateConfig, **fields) if fields else EvaluateConfig
