"""The subcommand evaluate: a benchmark each, and the calibration of a judge. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from srt.commands import arguments, flags, idle
from srt.commands.arguments import Steps
from srt.commands.inputs import read_file, read_source
from srt.evaluation.judging import Judging
from srt.experiment.judges import read_judge
from srt.llm.model import ModelRef
from srt.settings import (
    ALPACA_EVAL,
    FORMS,
    SOURCE,
    AlpacaEvalConfig,
    CalibrationConfig,
    ExecutionConfig,
    MtBenchConfig,
    OpenLlmConfig,
    PairwiseConfig,
    Settings,
)
from srt.settings.evaluation import judge_name
from srt.settings.job import Job
from srt.storage.errors import InputError


def evaluate(steps: Steps) -> None:
    """`srt evaluate {alpaca-eval,open-llm,pairwise,mt-bench,calibrate-judge} ... OUT.json`."""
    parser = steps.add_parser("evaluate", help="Evaluate answers or a model on one benchmark.")
    benchmarks = parser.add_subparsers(required=True, metavar="BENCHMARK")
    _alpaca_eval(benchmarks)
    _open_llm(benchmarks)
    _pairwise(benchmarks)
    _mt_bench(benchmarks)
    _calibrate_judge(benchmarks)


def _judged(parser: argparse.ArgumentParser, kind: type[Settings]) -> None:
    arguments.out(parser, "out", "the evaluation's JSON to write")
    arguments.cache(parser)
    arguments.server(parser)
    flags.add_settings(parser, kind)
    flags.add_execution(parser, "evaluate")


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


def _questions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--questions", metavar="SOURCE", type=read_source, default=None, help=f"what was answered: {SOURCE}"
    )


def _alpaca_eval(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        if args.annotations is not None:
            _refuse_judging(args, AlpacaEvalConfig, "--annotations")
            from srt.evaluation.replay import replay_alpaca_eval
            from srt.prepare.sources import located

            outputs = located(args.outputs) if args.outputs else None
            replay_alpaca_eval(located(args.annotations), outputs, _alone(args, "--annotations", "answers"))
            return
        from srt.evaluation.alpaca_eval import evaluate

        _all_given(args, "answers")
        given = [name for name in ("outputs", "section") if getattr(args, name) is not None]
        why = {"outputs": "without --annotations"} | ({} if args.config else {"section": "without --config"})
        flags.refuse_given(given, why)
        section = args.section or ALPACA_EVAL
        settings = flags.resolve(args, AlpacaEvalConfig, lambda config: getattr(config.evaluate, section))
        evaluate(args.answers, args.out, settings, _judging(args, settings.judge))

    parser = arguments.step(
        benchmarks, "alpaca-eval", call, "AlpacaEval 1.0 or 2: win rate against the reference's outputs."
    )
    about = "the section of --config from which comes what is not given as a flag; alpaca_eval where not given"
    parser.add_argument("--section", choices=["alpaca_eval", "alpaca_eval_2"], default=None, help=about)
    about = "JSONL of answers (srt generate); left out with --annotations"
    parser.add_argument("answers", metavar="ANSWERS", type=read_file, nargs="?", help=about)
    about = "recompute one model's row from AlpacaEval's published annotations: no network, no key, no judge"
    parser.add_argument("--annotations", metavar="SOURCE", type=read_source, default=None, help=about)
    about = "with --annotations: the model's outputs, to count what was not judged and to measure its length"
    parser.add_argument("--outputs", metavar="SOURCE", type=read_source, default=None, help=about)
    _judged(parser, AlpacaEvalConfig)


def _open_llm(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.open_llm import evaluate

        settings = flags.resolve(args, OpenLlmConfig, flags.named(args, "profile"))
        flags.refuse_idle(args, ExecutionConfig, idle.of_leaderboard(settings))
        job, profile = Job(args.out, args.cache, flags.execution(args)), flags.only(args, "profile")
        evaluate(ModelRef(args.model, arguments.revision(args)), settings, job, profile)

    parser = arguments.step(benchmarks, "open-llm", call, "Open LLM Leaderboard v1: ARC, HellaSwag, MMLU, TruthfulQA.")
    arguments.out(parser, "out", "the evaluation's JSON to write")
    arguments.named(parser, "profile")
    arguments.model(parser)
    arguments.cache(parser)
    flags.add_settings(parser, OpenLlmConfig)
    flags.add_execution(parser, "evaluate")


def _pairwise(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        if args.judgments is not None:
            _refuse_judging(args, PairwiseConfig, "--judgments", "questions")
            from srt.evaluation.replay import replay_pairwise
            from srt.prepare.sources import located

            replay_pairwise(located(args.judgments), _alone(args, "--judgments", "answers", "opponent"))
            return
        from srt.evaluation.pairwise import evaluate

        _all_given(args, "answers", "opponent", "questions")
        settings = flags.resolve(args, PairwiseConfig, lambda config: config.evaluate.pairwise)
        judging = _judging(args, settings.judge)
        evaluate(args.answers, args.opponent, args.out, args.questions, settings, judging)

    parser = arguments.step(benchmarks, "pairwise", call, "A judge scores two models' answers in both orders.")
    about = "JSONL of answers (srt generate); left out with --judgments"
    parser.add_argument("answers", metavar="ANSWERS", type=read_file, nargs="?", help=about)
    about = "JSONL of the opponent's answers; left out with --judgments"
    parser.add_argument("opponent", metavar="OPPONENT", type=read_file, nargs="?", help=about)
    about = 'recompute from scores that are there: JSONL of {"id", "a_first": [a, b], "b_first": [b, a]}'
    parser.add_argument("--judgments", metavar="SOURCE", type=read_source, default=None, help=about)
    _questions(parser)
    _judged(parser, PairwiseConfig)


def _mt_bench(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.mt_bench import evaluate

        _all_given(args, "questions")
        settings = flags.resolve(args, MtBenchConfig, lambda config: config.evaluate.mt_bench)
        evaluate(args.answers, args.out, args.questions, settings, _judging(args, settings.judge))

    parser = arguments.step(benchmarks, "mt-bench", call, "MT-Bench: a judge grades both turns of a conversation.")
    parser.add_argument("answers", metavar="ANSWERS", type=read_file, help="JSONL of answers (srt generate)")
    _questions(parser)
    _judged(parser, MtBenchConfig)


def _calibrate_judge(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.calibration import calibrate
        from srt.prepare.sources import located

        settings = flags.resolve(args, CalibrationConfig, lambda config: config.evaluate.calibration)
        annotations = [located(source) for source in args.annotations]
        judging = _judging(args, args.judge)
        calibrate(annotations, args.out, args.judge, args.form or _forms(args.judge), settings, judging)

    about = "Ask a judge about published pairs: agreement, kappa, bias of position and length, order of models."
    parser = arguments.step(benchmarks, "calibrate-judge", call, about)
    about = f"AlpacaEval's published annotations, one for each model: {SOURCE}"
    parser.add_argument("annotations", metavar="ANNOTATIONS", type=read_source, nargs="+", help=about)
    parser.add_argument(
        "--judge", metavar="FILE", type=read_source, required=True, help="the judge's file (config/judges/*.yaml)"
    )
    about = (
        "how it is asked: to compare, to score both answers, to grade each by itself; in all of its forms if not given"
    )
    parser.add_argument("--form", action="append", default=[], choices=FORMS, help=about)
    _judged(parser, CalibrationConfig)


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
