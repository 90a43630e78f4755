"""The subcommand evaluate: one for each benchmark, and the calibration of a judge. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from srt.commands import arguments, flags, idle
from srt.commands.arguments import Steps
from srt.commands.inputs import read_file, read_source
from srt.evaluation.judging import Judging
from srt.experiment.judges import read_judge
from srt.llm.model import ModelRef
from srt.settings import FORMS, SOURCE, CalibrationConfig, Config, ExecutionConfig, Settings
from srt.settings.benchmark import Benchmark, Section
from srt.settings.benchmarks import benchmarks
from srt.settings.job import Job
from srt.settings.judge import judge_name
from srt.storage.errors import InputError

OUT = "the evaluation's JSON to write"
ANSWERS = "JSONL of answers (srt generate)"
OPPONENT = "JSONL of the opponent's answers"


def evaluate(steps: Steps) -> None:
    """`srt evaluate BENCHMARK ... OUT.json`, with a subcommand for each benchmark, and `calibrate-judge`."""
    parser = steps.add_parser("evaluate", help="Evaluate answers or a model on one benchmark.")
    subcommands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    by_command: dict[str, list[Benchmark]] = {}
    for benchmark in benchmarks().values():
        by_command.setdefault(benchmark.command, []).append(benchmark)
    for alike in by_command.values():
        _benchmark(subcommands, alike)
    _calibrate_judge(subcommands)


def _benchmark(subcommands: Steps, alike: Sequence[Benchmark]) -> None:
    """The subcommand of a benchmark, or of several that differ by their section of the config alone."""
    first = alike[0]

    def call(args: argparse.Namespace) -> None:
        if first.replay is not None and getattr(args, first.replay.flag) is not None:
            _replay(args, first)
        else:
            _evaluate(args, {benchmark.key: benchmark for benchmark in alike}[_section(args, alike)])

    parser = arguments.step(subcommands, first.command, call, first.about)
    if len(alike) > 1:
        about = f"the section of --config from which comes what is not given as a flag; {first.key} where not given"
        parser.add_argument("--section", choices=[each.key for each in alike], default=None, help=about)
    if not first.runs_model:
        _answers(parser, first)
    arguments.out(parser, "out", OUT)
    if first.by_profile:
        arguments.named_at(parser, "profile", f"evaluate.{first.key}")
    if first.runs_model:
        arguments.model(parser)
    _means(parser, first.settings, first.is_judged)


def _answers(parser: argparse.ArgumentParser, benchmark: Benchmark) -> None:
    """The files that a benchmark judges, or the judgments in their place."""
    replay = benchmark.replay
    instead = f"; left out with --{replay.flag}" if replay else ""
    number = "?" if replay else None
    parser.add_argument("answers", metavar="ANSWERS", type=read_file, nargs=number, help=f"{ANSWERS}{instead}")
    if "opponent" in benchmark.wildcards:
        parser.add_argument("opponent", metavar="OPPONENT", type=read_file, nargs=number, help=f"{OPPONENT}{instead}")
    if replay:
        parser.add_argument(f"--{replay.flag}", metavar="SOURCE", type=read_source, default=None, help=replay.about)
    if replay and replay.outputs:
        about = f"with --{replay.flag}: the model's outputs, to count what was not judged and to measure its length"
        parser.add_argument("--outputs", metavar="SOURCE", type=read_source, default=None, help=about)
    if benchmark.asks:
        about = f"what was answered: {SOURCE}"
        parser.add_argument("--questions", metavar="SOURCE", type=read_source, default=None, help=about)


def _means(parser: argparse.ArgumentParser, kind: type[Settings], is_judged: bool) -> None:
    """What a benchmark may use, and its settings."""
    arguments.cache(parser)
    if is_judged:
        arguments.server(parser)
    flags.add_settings(parser, kind)
    flags.add_execution(parser, "evaluate")


def _section(args: argparse.Namespace, alike: Sequence[Benchmark]) -> str:
    """The section that is meant; InputError where one is named without a config that has it."""
    if len(alike) == 1:
        return alike[0].key
    flags.refuse_given([] if args.section is None or args.config else ["section"], {"section": "without --config"})
    return str(args.section or alike[0].key)


def _evaluate(args: argparse.Namespace, benchmark: Benchmark) -> None:
    from srt.evaluation.request import Request, evaluate

    replay = benchmark.replay
    _all_given(args, *(_files(benchmark) if replay else ()), *(["questions"] if benchmark.asks else []))
    if replay and replay.outputs:
        flags.refuse_given(["outputs"] if args.outputs else [], {"outputs": f"without --{replay.flag}"})
    settings = flags.resolve(args, benchmark.settings, _settings_of(args, benchmark))
    judge = Section(benchmark, None, settings).judge
    judging = _judging(args, judge) if judge else None
    if judging is None:
        flags.refuse_idle(args, ExecutionConfig, idle.of_unjudged(settings))
    request = Request(
        settings,
        Job(args.out, args.cache, judging.execution if judging else flags.execution(args)),
        judging,
        answers=getattr(args, "answers", None),
        opponent=getattr(args, "opponent", None),
        questions=getattr(args, "questions", None),
        model=ModelRef(args.model, arguments.revision(args)) if benchmark.runs_model else None,
        profile=flags.only(args, "profile", f"evaluate.{benchmark.key}") if benchmark.by_profile else None,
    )
    evaluate(benchmark, request)


def _files(benchmark: Benchmark) -> list[str]:
    """The arguments that name answers."""
    return ["answers", "opponent"] if "opponent" in benchmark.wildcards else ["answers"]


def _settings_of(args: argparse.Namespace, benchmark: Benchmark) -> Callable[[Config], Settings | None]:
    """Where a config has the benchmark's settings."""
    if benchmark.by_profile:
        return flags.named(args, "profile", f"evaluate.{benchmark.key}")

    def section(config: Config) -> Settings | None:
        found = config.evaluate.of(benchmark)
        return found[0].settings if found else None

    return section


def _replay(args: argparse.Namespace, benchmark: Benchmark) -> None:
    from srt.evaluation.request import ReplayRequest, given, replay
    from srt.prepare.sources import located

    how = given(benchmark.replay, benchmark.key)
    idle_beside = [name for name in ("section", "questions") if hasattr(args, name)]
    _refuse_judging(args, benchmark.settings, f"--{how.flag}", *idle_beside)
    outputs = located(args.outputs) if how.outputs and args.outputs else None
    judgments = located(getattr(args, how.flag))
    replay(benchmark, ReplayRequest(judgments, _alone(args, f"--{how.flag}", *_files(benchmark)), outputs))


def _judging(args: argparse.Namespace, file: str) -> Judging:
    """The judge of a file, where it answers, and what the step may use."""
    from srt.planning.paths import require_paths

    judge = read_judge(file)
    require_paths(judge, lambda key: f"{file}: {key}")
    flags.refuse_idle(args, ExecutionConfig, idle.of_judge(judge.serve))
    if judge.serve and args.endpoint and not flags.is_whole(args, ExecutionConfig):
        flags.refuse_given(["endpoint"], {"endpoint": f"with a judge that is served here, as {file} says"})
    endpoint = None if judge.serve else flags.endpoint(args, judge_name(file))
    return Judging(judge, endpoint, flags.execution(args), args.cache)


def _calibrate_judge(subcommands: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.calibration import calibrate
        from srt.prepare.sources import located

        settings = flags.resolve(args, CalibrationConfig, lambda config: config.evaluate.calibration)
        annotations = [located(source) for source in args.annotations]
        judging = _judging(args, args.judge)
        calibrate(annotations, args.out, args.judge, args.form or _forms(args.judge), settings, judging)

    about = "Ask a judge about published pairs: agreement, kappa, bias of position and length, order of models."
    parser = arguments.step(subcommands, "calibrate-judge", call, about)
    about = f"AlpacaEval's published annotations, one for each model: {SOURCE}"
    parser.add_argument("annotations", metavar="ANNOTATIONS", type=read_source, nargs="+", help=about)
    parser.add_argument(
        "--judge", metavar="FILE", type=read_source, required=True, help="the judge's file (config/judges/*.yaml)"
    )
    about = (
        "how it is asked: to compare, to score both answers, to grade each by itself; in all of its forms if not given"
    )
    parser.add_argument("--form", action="append", default=[], choices=FORMS, help=about)
    arguments.out(parser, "out", OUT)
    _means(parser, CalibrationConfig, is_judged=True)


def _refuse_judging(args: argparse.Namespace, kind: type[Settings], replayed: str, *names: str) -> None:
    """InputError for a flag that only a judge has use for, beside the judgments that are there."""
    given = {**flags.given_settings(args, kind), **flags.given_settings(args, ExecutionConfig)}
    given |= {name: getattr(args, name) for name in ("endpoint", "cache", *names)}
    default = args.parser.get_default("cache")
    known = [name for name, value in given.items() if value not in (None, [], default)]
    flags.refuse_given(known, dict.fromkeys(known, f"with {replayed}"))


def _forms(file: str) -> list[str]:
    """The forms in which a judge can be asked."""
    judge = read_judge(file)
    return [form for form in FORMS if getattr(judge, form) is not None]


def _alone(args: argparse.Namespace, flag: str, *instead: str) -> Path:
    """OUT, the only positional argument beside a flag that takes the others' place.

    InputError for another one: argparse hands positional arguments out from the last, so OUT is always given.
    """
    given = [name for name in instead if getattr(args, name) is not None]
    if given:
        raise InputError(f"{flag}: expected OUT as the only file beside it, found {getattr(args, given[0])}")
    out: Path = args.out
    return out


def _all_given(args: argparse.Namespace, *names: str) -> None:
    """InputError where an argument is missing that only a replay leaves out."""
    for name in names:
        if getattr(args, name) is None:
            expected = " ".join("--questions SOURCE" if each == "questions" else each.upper() for each in names)
            raise InputError(f"{name.upper()}: is missing: expected {expected} and OUT")
