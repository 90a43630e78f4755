"""The command line: one subcommand per step, its flags made from the settings' fields.

What is not given as a flag comes from `--config` or, without one, from srt/settings/defaults.yaml; what has no default
there is asked for. Where every flag is given, as in the workflow's rules, no file is read at all. Wrong input ends in
one line on standard error and exit code 2.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from srt import __version__
from srt.commands import outputs
from srt.commands.inputs import require_inputs
from srt.llm.servers import ServerError
from srt.llm.spending import BudgetError
from srt.machine.processes import watch_owner
from srt.settings import defaults
from srt.storage.errors import InputError, told
from srt.storage.findings import lines_in
from srt.storage.journal import JournalError
from srt.storage.progress import begin, forget_first, one_line, take_any_text
from srt.training.launch import LaunchError


class _Parser(argparse.ArgumentParser):
    """Subcommands with flags that cannot be abbreviated, so that a misspelt one is refused."""

    def __init__(self, **more: Any) -> None:
        super().__init__(formatter_class=argparse.ArgumentDefaultsHelpFormatter, allow_abbrev=False, **more)


def _tell_arguments(args: argparse.Namespace) -> None:
    """Lines for a step's other arguments that are flags, given or by default."""
    flags = [action for action in args.parser._actions if action.option_strings and action.default != argparse.SUPPRESS]
    values = {action.dest: (getattr(args, action.dest), action.default) for action in flags if action.dest != "config"}
    said = {name: value for name, value in values.items() if value[0] not in (None, []) and value[0] is not False}
    given = {name: value for name, (value, default) in said.items() if value != default}
    defaults.tell("arguments", "from flags", given)
    defaults.tell("arguments", "by default", {name: value for name, (value, _) in said.items() if name not in given})


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from srt import commands

    parser = _Parser(prog="srt", description="Selective Reflection-Tuning, step by step (arXiv 2402.10110).")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    steps = parser.add_subparsers(required=True, metavar="STEP")
    for command in commands.ALL:
        command(steps)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit code is 0, 2 for wrong input, 3 for a spent budget, 1 for a server that failed."""
    take_any_text()
    try:
        args = build_parser().parse_args(arguments)
        watch_owner()
        forget_first()
        outputs.check(args)
        if hasattr(args, "parser"):
            require_inputs(args)
            _tell_arguments(args)
        code = int(args.call(args) or 0)
        begin()
        sys.stdout.flush()
        return code
    except InputError as error:
        print(*(f"srt: {one_line(line)}" for line in lines_in(error)), sep="\n", file=sys.stderr)
        return 2
    except BudgetError as error:
        print(f"srt: {one_line(error)}", file=sys.stderr)
        return 3
    except (ServerError, JournalError, LaunchError, FloatingPointError, OSError) as error:
        print(f"srt: {one_line(told(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
