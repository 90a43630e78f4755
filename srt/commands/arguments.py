"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from srt import cli
from srt.settings import Settings

Steps = Any  # argparse's own class of subparsers is private
MODEL_HELP = "a model folder or a hub name"


def step(
    steps: Steps, name: str, call: Callable[[argparse.Namespace], None], about: str, *kinds: type[Settings]
) -> argparse.ArgumentParser:
    """A subcommand with its call, its `--config`, and the flags of some sections."""
    parser: argparse.ArgumentParser = steps.add_parser(name, help=about, description=about)
    parser.add_argument("--config", type=Path, default=None, help="config file; the shipped default where not given")
    for kind in kinds:
        cli.add_settings(parser, kind)
    parser.set_defaults(call=call)
    return parser


def named(parser: argparse.ArgumentParser, *flags: str) -> None:
    """`--use-...` flags that name an entry of the config file's maps."""
    for flag in flags:
        about = f"a name under `{cli.NAMED[flag]}:` of the config file; the only one where there is no choice"
        parser.add_argument(f"--use-{flag}", metavar="NAME", default=None, help=about)


def cache(parser: argparse.ArgumentParser) -> None:
    """`--cache`."""
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of journals and checkpoints")


def model(parser: argparse.ArgumentParser) -> None:
    """`--model` and `--revision`."""
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument("--revision", default=None, help="hub revision; null for the newest")


def server(parser: argparse.ArgumentParser) -> None:
    """`--endpoint`."""
    about = "the OpenAI-compatible server of a teacher or judge, and the environment variable that holds its key"
    parser.add_argument("--endpoint", action="append", default=[], metavar="NAME=URL[,ENV]", help=about)


def revision(args: argparse.Namespace) -> str | None:
    """The revision that was given; None for the newest."""
    return None if args.revision in (None, "null") else str(args.revision)
