"""Names in a config and its run table that refer to others, and what does not go together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from srt.experiment import layout
from srt.experiment._imported import given_findings
from srt.experiment.judges import read_judge
from srt.experiment.runs import Run
from srt.selection.registry import methods
from srt.settings import Config, ResultsConfig
from srt.settings.base import Place, check_name
from srt.settings.benchmarks import benchmarks
from srt.settings.judge import judge_name
from srt.settings.places import findings_at, read
from srt.settings.types import Spot
from srt.storage.errors import shown
from srt.storage.findings import Finding, did_you_mean, expected_one_of


def name_findings(config: Config, runs: Sequence[Run], names: Collection[str], where: str) -> Iterator[Finding]:
    """What does not fit together in a config and its run table; `names` are those of all runs, wrong ones too."""
    for run in runs:
        yield from _run_findings(config, run)
    yield from _plan_findings(config, where)
    yield from _spelling_findings(config, names, where)
    yield from _question_findings(config, where)
    yield from _judge_findings(config, where)
    for name in config.report.licences:
        yield from unknown(name, config.datasets, where, "report.licences", beside="datasets")
    yield from given_findings(config, runs, names, where)
    yield from _named_run_findings(config, runs, names, where)
    yield from clash_findings(config, runs)


def results_findings(
    config: ResultsConfig, runs: Sequence[Run], names: Collection[str], where: str
) -> Iterator[Finding]:
    """What does not fit together in a file of the report's own keys and its run table; arguments as above."""
    for name in config.report.licences:
        datasets = sorted({run.dataset for run in runs if run.dataset})
        yield from unknown(name, datasets, where, "report.licences", beside="run_table")
    yield from _named_run_findings(config, runs, names, where)


def unknown(name: str, known: Collection[str], file: str, key: str, beside: str = "") -> Iterator[Finding]:
    """A finding where a name is none of the known ones, which stand under the key `beside`."""
    if name not in known:
        yield Finding(file, key, expected_one_of(known, name), beside=beside)


def _run_findings(config: Config, run: Run) -> Iterator[Finding]:
    maps: dict[str, tuple[str, Mapping[str, object]]] = {
        "dataset": ("datasets", config.datasets),
        "teacher": ("teachers", {**config.teachers, **config.given.reflections}),
        "student": ("students", config.students),
        "scorer": ("students", config.students),
        "recipe": ("recipes", config.recipes),
    }
    for column, (beside, known) in maps.items():
        name = getattr(run, column)
        if name is not None:
            yield from unknown(name, known, config.run_table, f"run {run.run!r}: {column}", beside)
    if config.responses == "selected" and not run.chosen_by.serves_winners:
        served = tuple(method.name for method in methods() if method.serves_winners)
        message = f"responses 'selected' serves {served}, found {run.method!r}"
        yield Finding(config.run_table, f"run {run.run!r}: method", message, beside="responses")


def _plan_findings(config: Config, where: str) -> Iterator[Finding]:
    if config.responses == "selected" and config.score.precision == "exact" and config.score.dtype != "float32":
        # Phase 1 is decided before the response reflection, when no run's selection can be looked at yet.
        message = "responses 'selected' decides early: expected 'plain', or dtype float32, found 'exact'"
        yield Finding(where, "score.precision", message, beside="responses")


def _spelling_findings(config: Config, runs: Collection[str], where: str) -> Iterator[Finding]:
    """Two names that differ in capitals only, which is one name to some file systems."""
    names: dict[str, Iterable[str]] = {
        "datasets": config.datasets,
        "teachers": [*config.teachers, *config.given.reflections],
        "students": config.students,
        "questions": config.questions,
        **_profiles(config),
        str(config.run_table): runs,
    }
    for place, known in names.items():
        seen: dict[str, str] = {}
        for name in known:
            other = seen.setdefault(name.lower(), name)
            if other != name:
                message = f"expected names that differ not only in capitals, found {name!r} and {other!r}"
                yield Finding(where, place, message)


def _profiles(config: Config) -> dict[str, list[str]]:
    """The names of the profiles under each benchmark that has some."""
    several = [benchmark for benchmark in benchmarks().values() if benchmark.by_profile]
    return {f"evaluate.{each.key}": [str(found.profile) for found in config.evaluate.of(each)] for each in several}


def _opponents(config: Config | ResultsConfig) -> dict[str, Sequence[str]]:
    """The runs that others are compared with, by the key that names them."""
    if isinstance(config, ResultsConfig):
        compared = config.evaluate.pairwise
        return {"evaluate.pairwise.opponents": compared.opponents} if compared else {}
    return {f"evaluate.{section.key}.opponents": section.opponents for section in config.evaluate.sections()}


def _named_run_findings(
    config: Config | ResultsConfig, runs: Sequence[Run], names: Collection[str], where: str
) -> Iterator[Finding]:
    """An opponent that is no run with a model, or a compared run that is none."""
    without_model = {run.run for run in runs if not run.is_evaluated}
    evaluated = [name for name in names if name not in without_model]
    places: list[tuple[str, Iterable[str], Collection[str]]] = [
        (key, opponents, evaluated) for key, opponents in _opponents(config).items()
    ]
    places.append(("report.compare", config.report.compare, names))
    for place, named, known in places:
        for name in named:
            if name not in known:
                message = f"expected a run of {config.run_table}, found {shown(name)}{did_you_mean(name, known)}"
                yield Finding(where, place, message, beside="run_table")


def _question_findings(config: Config, where: str) -> Iterator[Finding]:
    """A benchmark without its questions, or questions without a way to answer them."""
    for name, needed_by in config.evaluate.question_sets().items():
        if name not in config.questions:
            message = f"evaluate.{needed_by} needs {name!r}: {expected_one_of(config.questions, name)}"
            yield Finding(where, "questions", message)
    for name, questions in config.questions.items():
        key = f"questions.{name}.decoding"
        yield from unknown(questions.decoding, config.generate, where, key, beside="generate")
    conversations = {each.questions for each in benchmarks().values() if each.questions and each.turns > 1}
    for section in config.evaluate.sections():
        names = set(section.questions) if section.benchmark.questions is None else set()
        for name in sorted(conversations & names):
            message = f"expected questions of one turn, found {name!r}"
            yield Finding(where, f"evaluate.{section.key}.questions", message)
    if config.evaluate.calibration and not config.evaluate.calibration.annotations:
        yield Finding(where, "evaluate.calibration.annotations", "expected at least one file, found none")


def _judge_findings(config: Config, where: str) -> Iterator[Finding]:
    """Judges of one name, of a name that is none, or without the form in which they are asked."""
    files = sorted(config.evaluate.judges())
    if len({judge_name(file) for file in files}) < len(files):
        yield Finding(where, "evaluate", f"expected judges' files of different names, found {files}")
    for file in files:
        try:
            check_name(judge_name(file))
        except ValueError as error:
            yield Finding(where, "evaluate", f"the judge's name is that of its file: {error}, found {file!r}")
    for section in config.evaluate.judged():
        key, file, form = f"evaluate.{section.key}.judge", str(section.judge), section.benchmark.form
        found = findings_at(Spot(key, file, Place.JUDGE, config.evaluate), partial(read, read_judge), where)
        yield from found
        if not found and form and getattr(read_judge(file), form) is None:
            yield Finding(where, key, f"{file} is asked in the form {form}, which is null there")


def clash_findings(config: Config, runs: Sequence[Run]) -> Iterator[Finding]:
    """Two evaluations of a run that would be one file."""
    for run in runs:
        names = layout.benchmarks(config, run)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            message = f"two evaluations are called {twice[0]!r}: rename questions or runs"
            yield Finding(config.run_table, f"run {run.run!r}", message)
