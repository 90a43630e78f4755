"""A benchmark as one object: what the config, the workflow, the command line and the report have to know of it.

The object is light. What evaluates and what makes its table are named in it, and imported when they are wanted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Formatter

from srt.settings.base import Settings


@dataclass(frozen=True)
class Replay:
    """How an evaluation is computed again from judgments that are there.

    Attributes:
        flag: names the judgments: `annotations` is `--annotations SOURCE`.
        about: what the flag's help says.
        evaluate: MODULE:FUNCTION, called with a `srt.evaluation.request.ReplayRequest`.
        outputs: whether `--outputs` may name the model's outputs beside them.
    """

    flag: str
    about: str
    evaluate: str
    outputs: bool = False


@dataclass(frozen=True)
class Benchmark:
    """A benchmark.

    Its evaluations' file name may have three wildcards, which say how many evaluations it makes of a run:

    - `{profile}`: its section is a map by name, with an evaluation for each entry;
    - `{questions}`: an evaluation for each set of questions that its section lists (`questions`);
    - `{opponent}`: one for each run that its section lists (`opponents`), of every other run that was trained.

    Attributes:
        key: its section under `evaluate:`; its rule and its table have the same name.
        title: what people call it.
        about: what the subcommand's help says.
        command: its subcommand of `srt evaluate`; of two with the same one, `--section` tells which.
        settings: the type of its section.
        evaluate: MODULE:FUNCTION, called with a `srt.evaluation.request.Request`.
        table: MODULE:NAME of its `srt.report.tables.table.BenchmarkTable`.
        file: the name of its evaluations; empty for the key.
        form: the form in which its judge is asked and calibrated (`FORMS`); None where it asks none, or in its own way.
        questions: the set of questions that it judges the answers to, by its name under `questions:`. Without that, and
            without `{questions}`, it is not answers that are judged: the model is run.
        asks: whether its subcommand is told what was asked (`--questions`), as its settings do not say so.
        turns: of a conversation in its own questions.
        replay: how it is computed again from judgments that are there; None where it cannot be.
        whole: the number of questions of the published benchmark; None for a benchmark without that.
        metric: what is compared between runs, the mean of its values by question; None where nothing is.
        over_seeds: the metric that is averaged over seeds instead, if it has another one.
    """

    key: str
    title: str
    about: str
    command: str
    settings: type[Settings]
    evaluate: str
    table: str
    file: str = ""
    form: str | None = None
    questions: str | None = None
    asks: bool = False
    turns: int = 1
    replay: Replay | None = None
    whole: int | None = None
    metric: str | None = None
    over_seeds: str | None = None

    @property
    def pattern(self) -> str:
        """The name of its evaluations, with wildcards."""
        return self.file or self.key

    @property
    def wildcards(self) -> tuple[str, ...]:
        """Those of `profile`, `questions` and `opponent` that its evaluations differ by."""
        return tuple(name for _, name, _, _ in Formatter().parse(self.pattern) if name)

    @property
    def by_profile(self) -> bool:
        """Whether its section is a map of several."""
        return "profile" in self.wildcards

    @property
    def runs_model(self) -> bool:
        """Whether it runs the model itself, instead of judging answers."""
        return self.questions is None and "questions" not in self.wildcards

    @property
    def is_judged(self) -> bool:
        """Whether its section names a judge."""
        return "judge" in self.settings.model_fields

    def names(self, evaluation: str) -> bool:
        """Whether an evaluation of that name is one of this benchmark's."""
        return evaluation == self.key or (
            bool(self.wildcards) and evaluation.startswith(self.pattern.partition("{")[0])
        )


@dataclass(frozen=True)
class Planned:
    """One evaluation that a config asks for: on which questions, if on any, and against which run's answers."""

    section: Section
    questions: str | None
    opponent: str | None

    @property
    def name(self) -> str:
        """The name of its file."""
        names = {"profile": self.section.profile, "questions": self.questions, "opponent": self.opponent}
        return self.section.benchmark.pattern.format(**names)


@dataclass(frozen=True)
class Section:
    """A benchmark's settings in a config; `profile` is their name where it has several."""

    benchmark: Benchmark
    profile: str | None
    settings: Settings

    @property
    def key(self) -> str:
        """Where they stand under `evaluate:`."""
        return self.benchmark.key if self.profile is None else f"{self.benchmark.key}.{self.profile}"

    @property
    def judge(self) -> str | None:
        """The judge's file; None where nobody judges."""
        found: str | None = getattr(self.settings, "judge", None)
        return found

    @property
    def questions(self) -> Sequence[str]:
        """The sets of questions whose answers are judged."""
        if "questions" in self.benchmark.wildcards:
            return self._listed("questions")
        return [self.benchmark.questions] if self.benchmark.questions else []

    @property
    def opponents(self) -> Sequence[str]:
        """The runs that others are compared with."""
        return self._listed("opponents") if "opponent" in self.benchmark.wildcards else []

    def planned(self) -> Iterator[Planned]:
        """The evaluations that are asked for; one that names an opponent is none of that run itself."""
        several = "questions" in self.benchmark.wildcards
        against = self.opponents if "opponent" in self.benchmark.wildcards else [None]
        for questions in self.questions if several else [self.benchmark.questions]:
            yield from (Planned(self, questions, opponent) for opponent in against)

    def _listed(self, name: str) -> list[str]:
        found: list[str] = getattr(self.settings, name)
        return found
