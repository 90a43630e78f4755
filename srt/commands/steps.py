"""The subcommands from prepare to generate. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from srt.commands import arguments, flags, idle
from srt.commands.arguments import Steps
from srt.commands.inputs import read_file, read_source, read_variant
from srt.commands.outputs import Output
from srt.llm.model import ModelRef
from srt.settings import (
    SOURCE,
    CoherenceConfig,
    ExecutionConfig,
    FinetuneConfig,
    GenerateConfig,
    PrepareConfig,
    ReflectConfig,
    ScoreConfig,
    SelectionConfig,
)
from srt.settings.job import Job
from srt.storage.errors import InputError


def prepare(steps: Steps) -> None:
    """`srt prepare SOURCE PAIRS`."""

    def call(args: argparse.Namespace) -> None:
        from srt.prepare.prepare import idle_on_file, prepare

        settings = flags.resolve(args, PrepareConfig, flags.named(args, "dataset"))
        flags.refuse_idle(args, PrepareConfig, idle_on_file(args.source))
        prepare(args.source, args.pairs, settings)

    parser = arguments.step(steps, "prepare", call, "Read a source of pairs, check it and give every record an id.")
    parser.add_argument(
        "source", metavar="SOURCE", help="Alpaca-style JSON, JSONL or Parquet, or a hub data set's name"
    )
    arguments.out(parser, "pairs", "the JSONL to write")
    arguments.named(parser, "dataset")
    flags.add_settings(parser, PrepareConfig)


def reflect(steps: Steps) -> None:
    """`srt reflect PAIRS REFLECTED --variant V`."""

    def call(args: argparse.Namespace) -> None:
        from srt.reflection.reflect import Service, reflect

        settings, name = flags.resolve(args, ReflectConfig, flags.named(args, "teacher")), flags.only(args, "teacher")
        arguments.refuse_idle_of_teacher(args, settings)
        job = arguments.job(args, args.reflected)
        endpoint = flags.endpoint(args, name) if settings.backend == "openai" else None
        service = Service(endpoint, flags.price(args, name), args.journal)
        winners_by = arguments.assignments(args.scores, "--scores")
        reflect(args.pairs, args.variant, settings, job, service, winners_by)

    parser = arguments.step(steps, "reflect", call, "Let the teacher criticise and rewrite every pair.")
    parser.add_argument(
        "pairs", metavar="PAIRS", type=read_file, help="the originals; for --variant both, the instruction's"
    )
    arguments.out(parser, "reflected", "the JSONL to write")
    parser.add_argument("--variant", required=True, choices=["instruction", "response", "both"], help="what to rewrite")
    parser.add_argument(
        "--scores",
        type=read_variant,
        action="append",
        default=[],
        metavar="VARIANT=FILE",
        help="scores of original and instruction: reflect only the winners of phase 1 (the plan `selected`)",
    )
    arguments.cache(parser)
    arguments.teacher(parser)
    arguments.named(parser, "teacher")
    flags.add_settings(parser, ReflectConfig)
    flags.add_execution(parser, "reflect")


def score(steps: Steps) -> None:
    """`srt score PAIRS SCORES --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.scoring.score import score

        settings, shard = flags.resolve(args, ScoreConfig, lambda config: config.score), arguments.shard(args.shard)
        if settings.precision == "exact":
            flags.refuse_idle(
                args, ScoreConfig, {"precision": "on `srt score`: `srt rescore` scores again what is in doubt"}
            )
        score(args.pairs, arguments.model_ref(args), settings, arguments.job(args, args.scores), shard)

    parser = arguments.step(steps, "score", call, "Compute the student's IFD and r-IFD of every pair.")
    parser.add_argument("pairs", metavar="PAIRS", type=read_file, help="Alpaca-style JSON, JSONL or Parquet")
    arguments.out(parser, "scores", "the JSONL to write")
    arguments.model(parser)
    arguments.cache(parser)
    about = "score only every N-th pair from the I-th on; `srt gather` joins the parts"
    parser.add_argument("--shard", metavar="I/N", default="1/1", help=about)
    flags.add_settings(parser, ScoreConfig)
    flags.add_execution(parser, "score")


def gather(steps: Steps) -> None:
    """`srt gather PAIRS SCORES SHARD...`."""

    def call(args: argparse.Namespace) -> None:
        from srt.scoring.score import gather

        gather(args.pairs, args.scores, args.shards)

    about = "Join the shards of `srt score --shard` into one file of scores, in the order of the pairs."
    parser = arguments.step(steps, "gather", call, about)
    parser.add_argument("pairs", metavar="PAIRS", type=read_file, help="the pairs that were scored")
    arguments.out(parser, "scores", "the JSONL to write")
    parser.add_argument("shards", metavar="SHARD", type=read_file, nargs="+", help="the scores of every shard")


def coherence(steps: Steps) -> None:
    """`srt coherence PAIRS COHERENCE --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.scoring.coherence import coherence

        settings = flags.resolve(args, CoherenceConfig, lambda config: config.coherence)
        coherence(args.pairs, args.out, arguments.model_ref(args), settings, flags.execution(args))

    parser = arguments.step(steps, "coherence", call, "Compute the cosine of instruction and response (an ablation).")
    parser.add_argument("pairs", metavar="PAIRS", type=read_file, help="Alpaca-style JSON, JSONL or Parquet")
    arguments.writes(parser, parser.add_argument("out", metavar="COHERENCE", type=Path, help="the JSONL to write"))
    arguments.model(parser)
    flags.add_settings(parser, CoherenceConfig)
    flags.add_execution(parser, "coherence")


def selection(steps: Steps) -> None:
    """`srt selection RUN_DIR --pairs VARIANT=FILE ... --scores VARIANT=FILE ... --method M --ratio R`."""

    def call(args: argparse.Namespace) -> None:
        from srt.selection.select import select

        choice = arguments.chosen(args)
        if args.rescored and not args.scores:
            flags.refuse_given(["rescored"], {"rescored": "without --scores"})
        select(args.run_dir, choice, args.rescored)

    parser = arguments.step(steps, "selection", call, "Choose one version of each record, filter, and keep the ratio.")
    arguments.run_dir(parser)
    arguments.choice(parser)
    about = "what `srt rescore` computed again in float32: stands in place of the scores"
    parser.add_argument("--rescored", metavar="FILE", type=read_file, default=None, help=about)
    flags.add_settings(parser, SelectionConfig)


def rescore(steps: Steps) -> None:
    """`srt rescore RESCORED --pairs VARIANT=FILE ... --scores VARIANT=FILE ... --method M --ratio R --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.scoring.rescore import rescore

        choice = arguments.chosen(args)
        model, settings, job = _scoring(args)
        rescore(choice, model, settings, job)

    about = "Compute in float32 what low-precision scores leave in doubt of one selection."
    _add_scored_choice(arguments.step(steps, "rescore", call, about), "rescore", "the JSONL, for `srt selection`")


def agreement(steps: Steps) -> None:
    """`srt agreement OUT --pairs VARIANT=FILE ... --scores VARIANT=FILE ... --method M --ratio R --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.scoring.agreement import agreement

        choice = arguments.chosen(args, reads=["proxy_sample"])
        model, settings, job = _scoring(args)
        agreement(choice, model, settings, job)

    about = "Compare a proxy's scores with those of the student that it scores for, on a sample of records."
    _add_scored_choice(arguments.step(steps, "agreement", call, about), "agreement", "the JSON")


def _add_scored_choice(parser: argparse.ArgumentParser, step: str, out: str) -> None:
    """The arguments of a step that scores for one selection."""
    arguments.out(parser, "out", f"{out} to write")
    arguments.choice(parser)
    arguments.model(parser)
    arguments.cache(parser)
    flags.add_settings(parser, SelectionConfig)
    flags.add_settings(parser, ScoreConfig)
    flags.add_execution(parser, step)


def _scoring(args: argparse.Namespace) -> tuple[ModelRef, ScoreConfig, Job]:
    """Who scores for a selection, how, and where it writes."""
    settings = flags.resolve(args, ScoreConfig, lambda config: config.score)
    model = ModelRef(args.model, arguments.revision(args))
    return model, settings, Job(args.out, args.cache, flags.execution(args))


def finetune(steps: Steps) -> None:
    """`srt finetune TRAIN MODEL_DIR --model M`."""

    def call(args: argparse.Namespace) -> None:
        from srt.training.finetune import finetune

        settings = flags.resolve(args, FinetuneConfig, flags.named(args, "recipe"))
        finetune(args.train, arguments.model_ref(args), args.seed, settings, arguments.job(args, args.model_dir))

    parser = arguments.step(steps, "finetune", call, "Finetune the student on the selected pairs.")
    parser.add_argument("train", metavar="TRAIN", type=read_file, help="JSONL of pairs")
    arguments.out(parser, "model_dir", "the checkpoint folder to write", Output(folder=True, replaced=True))
    arguments.model(parser)
    parser.add_argument("--seed", type=int, default=0, help="seed of the data order")
    arguments.cache(parser)
    arguments.named(parser, "recipe")
    flags.add_settings(parser, FinetuneConfig)
    flags.add_execution(parser, "finetune")


def generate(steps: Steps) -> None:
    """`srt generate QUESTIONS ANSWERS --model M [--also QUESTIONS ANSWERS [KEY=VALUE ...]]...`."""

    def call(args: argparse.Namespace) -> None:
        from srt.evaluation.generate import Wanted, generate

        settings = flags.resolve(args, GenerateConfig, flags.named(args, "decoding"))
        flags.refuse_idle(args, GenerateConfig, idle.of_answers(settings))
        flags.refuse_idle(args, ExecutionConfig, idle.of_backend(settings.backend))
        wanted = [Wanted(args.questions, args.answers, settings)]
        wanted += [Wanted(*arguments.question_set(words, settings)) for words in args.also]
        outs = [each.out.absolute() for each in wanted]
        if len(set(outs)) < len(outs):
            raise InputError("--also: ANSWERS: expected another file for each set of questions")
        generate(wanted, arguments.model_ref(args), args.prompt, flags.execution(args), args.cache)

    parser = arguments.step(steps, "generate", call, "Answer the questions of benchmarks.")
    parser.add_argument("questions", metavar="QUESTIONS", type=read_source, help=SOURCE)
    arguments.out(parser, "answers", "the JSONL to write")
    about = (
        "another set of questions for the same engine, and how its answers are drawn: settings as max_new_tokens=64; "
        "what is not named there is as in the first set"
    )
    form = ("QUESTIONS ANSWERS", "KEY=VALUE")
    parser.add_argument("--also", action="append", nargs="+", default=[], metavar=form, help=about)
    arguments.model(parser)
    parser.add_argument(
        "--prompt",
        choices=["vicuna_v1.1", "alpaca", "chat"],
        default="vicuna_v1.1",
        help="the prompt around a question",
    )
    arguments.cache(parser)
    arguments.named(parser, "decoding")
    flags.add_settings(parser, GenerateConfig)
    flags.add_execution(parser, "generate")
