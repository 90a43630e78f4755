"""The subcommand import: what somebody has already made. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse

from srt.commands import arguments, flags
from srt.commands.arguments import Steps
from srt.commands.inputs import read_file, read_source, read_variant
from srt.settings import SOURCE, GivenReflections, GivenScores, GivenTrain
from srt.storage.errors import InputError

NAMES = "the name under `given:` of the config file, for what is not given as flags"


def import_(steps: Steps) -> None:
    """`srt import {reflections,scores,train} SOURCE ...`."""
    about = "Take what somebody has already made in the place of the step that would make it."
    kinds = steps.add_parser("import", help=about, description=about).add_subparsers(required=True, metavar="WHAT")
    _reflections(kinds)
    _scores(kinds)
    _train(kinds)


def _reflections(kinds: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.imports.reflections import import_reflections

        settings = flags.resolve(
            args,
            GivenReflections,
            lambda config: config.given.reflections.get(args.use_teacher, {}).get(args.use_dataset),
        )
        beside = {variant: str(path) for variant, path in arguments.assignments(args.beside, "--beside").items()}
        import_reflections(args.source, args.original, args.reflected, args.variant, settings, beside)

    parser = arguments.step(kinds, "reflections", call, "A teacher's finished reflections, checked against the data.")
    parser.add_argument("source", metavar="SOURCE", type=read_source, help=SOURCE)
    parser.add_argument("original", metavar="ORIGINAL", type=read_file, help="the prepared pairs that were reflected")
    arguments.out(parser, "reflected", "the JSONL to write")
    parser.add_argument("--variant", required=True, choices=["instruction", "response", "both"], help="which version")
    about = "the same release's `original` and `instruction`: what it was made of, by which its order is checked"
    parser.add_argument(
        "--beside", type=read_variant, action="append", default=[], metavar="VARIANT=SOURCE", help=about
    )
    parser.add_argument("--use-teacher", metavar="NAME", default=None, help=NAMES)
    parser.add_argument("--use-dataset", metavar="NAME", default=None, help=NAMES)
    flags.add_settings(parser, GivenReflections)


def _scores(kinds: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.imports.scores import Against, import_scores

        settings = flags.resolve(
            args,
            GivenScores,
            lambda config: config.given.scores.get(args.use_student, {}).get(args.use_dataset),
        )
        pairs, scores = (
            arguments.assignments(args.pairs_beside, "--pairs"),
            arguments.assignments(args.scores_beside, "--scores"),
        )
        if pairs.keys() != scores.keys():
            raise InputError(f"--scores: expected the versions of --pairs, {sorted(pairs)}, found {sorted(scores)}")
        beside = {variant: (path, scores[variant]) for variant, path in pairs.items()}
        against = Against(args.pairs, args.original or args.pairs, beside)
        import_scores(args.source, args.scores, args.use_student, settings, against)

    parser = arguments.step(kinds, "scores", call, "A student's scores as the published scorer writes them, checked.")
    parser.add_argument("source", metavar="SOURCE", type=read_source, help=SOURCE)
    parser.add_argument("pairs", metavar="PAIRS", type=read_file, help="the pairs that were scored")
    arguments.out(parser, "scores", "the JSONL to write")
    about = "the prepared pairs, whose order SOURCE has; PAIRS where not given"
    parser.add_argument("--original", metavar="FILE", type=read_file, default=None, help=about)
    for flag in ("pairs", "scores"):
        about = f"{flag} of a version imported before, whose equal texts must have equal scores"
        parser.add_argument(
            f"--{flag}",
            dest=f"{flag}_beside",
            type=read_variant,
            action="append",
            default=[],
            metavar="VARIANT=FILE",
            help=about,
        )
    parser.add_argument("--use-student", metavar="NAME", default=None, help=NAMES)
    parser.add_argument("--use-dataset", metavar="NAME", default=None, help=NAMES)
    flags.add_settings(parser, GivenScores)


def _train(kinds: Steps) -> None:
    def call(args: argparse.Namespace) -> None:
        from srt.imports.train import import_train

        settings = flags.resolve(args, GivenTrain, lambda config: config.given.train.get(args.use_run))
        import_train(args.source, args.run_dir, settings, arguments.assignments(args.pairs, "--pairs"))

    parser = arguments.step(kinds, "train", call, "A finished train file, matched with the versions of its data set.")
    parser.add_argument("source", metavar="SOURCE", type=read_source, help=SOURCE)
    arguments.run_dir(parser)
    about = "a version of the data set; with these every record must be in one of them"
    parser.add_argument("--pairs", type=read_variant, action="append", default=[], metavar="VARIANT=FILE", help=about)
    parser.add_argument("--use-run", metavar="NAME", default=None, help=NAMES)
    flags.add_settings(parser, GivenTrain)
