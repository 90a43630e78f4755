"""Arguments that several subcommands share."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from srt.commands import flags, idle
from srt.commands.inputs import read_model, read_variant
from srt.commands.outputs import Output
from srt.llm.model import ModelRef
from srt.selection.choice import Choice
from srt.selection.registry import Method, method_named, selecting
from srt.settings import ExecutionConfig, GenerateConfig, ReflectConfig, SelectionConfig, Settings
from srt.settings.defaults import DEFAULTS, tell
from srt.settings.job import Job
from srt.settings.values import validated
from srt.storage.errors import InputError, shown
from srt.storage.records import VARIANTS

Steps = Any  # argparse's own class of subparsers is private
FILES = ("pairs", "scores", "coherence")  # what a selection reads of each variant
SHARD = re.compile("[0-9]{1,9}/[0-9]{1,9}")
SEED = 0  # of a selection, where none is given
MODEL_HELP = "a model folder or a hub name"


def step(
    steps: Steps, name: str, call: Callable[[argparse.Namespace], None], about: str, *kinds: type[Settings]
) -> argparse.ArgumentParser:
    """A subcommand with its call, its `--config`, and the flags of some sections."""
    parser: argparse.ArgumentParser = steps.add_parser(name, help=about, description=about)
    about_config = f"config file, for what is not given as a flag; {DEFAULTS} where not given"
    parser.add_argument("--config", type=Path, default=None, help=about_config)
    for kind in kinds:
        flags.add_settings(parser, kind)
    parser.set_defaults(call=call, parser=parser)
    return parser


def named(parser: argparse.ArgumentParser, *names: str) -> None:
    """`--use-...` flags that name an entry of the config file's maps."""
    for name in names:
        named_at(parser, name, flags.NAMED[name])


def named_at(parser: argparse.ArgumentParser, name: str, place: str) -> None:
    """One of them, with the map's place in the config."""
    about = f"a name under `{place}:` of the config file; the only one where there is no choice"
    parser.add_argument(f"--use-{name}", metavar="NAME", default=None, help=about)


def writes(parser: argparse.ArgumentParser, argument: argparse.Action, output: Output | None = None) -> None:
    """Say that an argument names what the command writes, a file if nothing else is said: checked before the call."""
    known = parser.get_default("writes") or {}
    parser.set_defaults(writes={**known, argument.dest: output or Output()})


def out(parser: argparse.ArgumentParser, name: str, about: str, output: Output | None = None) -> None:
    """A positional argument, by its name in capitals, for what the command writes."""
    writes(parser, parser.add_argument(name, metavar=name.upper(), type=Path, help=about), output)


def run_dir(parser: argparse.ArgumentParser) -> None:
    """`RUN_DIR`."""
    names = ("train.jsonl", "ledger.jsonl")
    out(parser, "run_dir", f"gets {' and '.join(names)}", Output(folder=True, names=names))


def cache(parser: argparse.ArgumentParser) -> None:
    """`--cache`."""
    about = "folder of journals and checkpoints"
    argument = parser.add_argument("--cache", type=Path, default=Path("cache"), help=about)
    writes(parser, argument, Output(folder=True))


def model(parser: argparse.ArgumentParser) -> None:
    """`--model` and `--revision`."""
    parser.add_argument("--model", type=read_model, required=True, help=MODEL_HELP)
    parser.add_argument("--revision", default=None, help="hub revision; null for the newest")


def server(parser: argparse.ArgumentParser) -> None:
    """`--endpoint`."""
    about = (
        "the OpenAI-compatible server of a teacher or judge, the environment variable that holds its key, and the "
        "parameters that it does not take, to leave out or with its own name (seed=,max_tokens=max_completion_tokens)"
    )
    form = "NAME=URL[,ENV][,PARAMETER=[NAME]...]"
    parser.add_argument("--endpoint", action="append", default=[], metavar=form, help=about)


def teacher(parser: argparse.ArgumentParser) -> None:
    """Where a teacher answers, what it costs, and where its answers are kept."""
    about = (
        "an OpenAI-compatible server (backend openai), parameters as in --endpoint; its key comes from "
        "SRT_TEACHER_API_KEY or OPENAI_API_KEY"
    )
    parser.add_argument("--base-url", metavar="URL[,PARAMETER=[NAME]...]", default=None, help=about)
    server(parser)
    about = "USD per million tokens of prompt and of completion, and the batch API's share of that"
    parser.add_argument("--price", action="append", default=[], metavar="[NAME=]PROMPT,COMPLETION[,BATCH]", help=about)
    about = "folder of the received answers; CACHE/teacher where not given"
    journal = parser.add_argument("--journal", type=Path, default=None, metavar="DIR", help=about)
    writes(parser, journal, Output(folder=True))


def refuse_idle_of_teacher(args: argparse.Namespace, settings: ReflectConfig) -> None:
    """InputError for a flag that the teacher's backend, or the variant, has no use for."""
    flags.refuse_idle(args, ExecutionConfig, idle.of_backend(settings.backend))
    if settings.backend != "openai":
        why = dict.fromkeys(("base_url", "endpoint"), f"with --backend {settings.backend}: expected openai")
    else:
        why = {"endpoint": "with --base-url"} if args.base_url else {}
    if args.variant == "instruction":
        why["scores"] = "with --variant instruction, which is reflected before phase 1"
    in_config = {"endpoint"} if flags.is_whole(args, ReflectConfig) else set()  # where every server is named
    flags.refuse_given({name for name in why if getattr(args, name)} - in_config, why)


def choice(parser: argparse.ArgumentParser) -> None:
    """What is chosen from, and how: the files by variant, and the run's method, ratio and seed."""
    for flag in FILES:
        about, needed = "once per variant that the method reads, and for no other", flag == "pairs"
        parser.add_argument(
            f"--{flag}",
            type=read_variant,
            action="append",
            default=[],
            metavar="VARIANT=FILE",
            required=needed,
            help=about,
        )
    about = "what chooses between a record's versions (README.md has the table)"
    parser.add_argument("--method", required=True, choices=selecting(), help=about)
    parser.add_argument("--ratio", required=True, type=float, help="share of the selected records to keep, by IFD")
    about = f"seed of the methods that draw by chance (`random`, `length`), {SEED} where not given"
    parser.add_argument("--seed", type=int, default=None, help=about)


def chosen(args: argparse.Namespace, reads: Sequence[str] = ()) -> Choice:
    """What `choice` asked for.

    InputError for a file or a setting that neither the method nor the step, which itself reads some settings of the
    selection (`reads`), makes use of.
    """
    method = method_named(args.method)
    settings = _selection(args, method, reads)
    files = _files(args, method)
    return Choice(method, settings, ratio(args.ratio), args.seed or SEED, **files)


def _files(args: argparse.Namespace, method: Method) -> dict[str, dict[str, Path]]:
    """The files of FILES by variant; InputError for one of a variant that the method does not read."""
    found = {flag: assignments(getattr(args, flag), f"--{flag}") for flag in FILES}
    for flag, paths in found.items():
        for variant in (variant for variant in paths if variant not in method.variants):
            expected = ", ".join(method.variants)
            raise InputError(f"--{flag} {variant}=...: has no effect with --method {method.name}: expected {expected}")
    return found


def _selection(args: argparse.Namespace, method: Method, reads: Sequence[str]) -> SelectionConfig:
    """The selection's settings; InputError for what neither the method nor the step (`reads`) makes use of."""
    used = {*method.uses, *reads}
    settings = flags.resolve(args, SelectionConfig, lambda config: config.selection, shown=used)
    if "seed" in used and args.seed is None:
        tell("arguments", "by default", {"seed": SEED})
    why = idle.of_selection(method, reads)
    flags.refuse_idle(args, SelectionConfig, why)
    if not flags.is_whole(args, SelectionConfig):
        flags.refuse_given([name for name in ("seed", "coherence") if getattr(args, name) not in (None, [])], why)
    return settings


def ratio(value: float) -> float:
    """The ratio; InputError unless it is above 0 and at most 1."""
    if not 0 < value <= 1:
        raise InputError(f"--ratio: expected a number above 0 and at most 1, found {value:g}")
    return value


def shard(text: str) -> tuple[int, int]:
    """I/N as (i, n); InputError unless 1 <= i <= n."""
    number, _, shards = text.partition("/")
    if not (SHARD.fullmatch(text) and 1 <= int(number) <= int(shards)):
        raise InputError(f"--shard: expected I/N with I from 1 to N, found {shown(text)}")
    return int(number), int(shards)


def model_ref(args: argparse.Namespace) -> ModelRef:
    """The model that was given."""
    return ModelRef(args.model, revision(args))


def job(args: argparse.Namespace, out: Path) -> Job:
    """Where the step writes, its cache, and its section of `execution`."""
    return Job(out, args.cache, flags.execution(args))


def revision(args: argparse.Namespace) -> str | None:
    """The revision that was given; None for the newest."""
    return None if args.revision in (None, "null") else str(args.revision)


def question_set(words: Sequence[str], first: GenerateConfig) -> tuple[str, Path, GenerateConfig]:
    """QUESTIONS ANSWERS [KEY=VALUE ...]: the source, the file to write, and the first set's settings with changes."""
    source, *rest = words
    changes = dict(word.partition("=")[::2] for word in rest[1:])
    expected = f"expected QUESTIONS ANSWERS and settings as KEY=VALUE (of {', '.join(GenerateConfig.model_fields)})"
    if not rest or not changes.keys() <= GenerateConfig.model_fields.keys():
        raise InputError(f"--also: {expected}, found {' '.join(words)!r}")
    given = flags.given_settings(argparse.Namespace(**changes), GenerateConfig)
    settings = validated(GenerateConfig, {**first.model_dump(), **given}, "--also")
    return source, Path(rest[0]), settings


def assignments(items: list[str], flag: str) -> dict[str, Path]:
    """VARIANT=FILE arguments as a map; InputError for an unknown or repeated variant."""
    found: dict[str, Path] = {}
    for item in items:
        variant, _, path = item.partition("=")
        if variant not in VARIANTS or not path or variant in found:
            raise InputError(f"{flag}: expected VARIANT=FILE once per variant of {VARIANTS}, found {item!r}")
        found[variant] = Path(path)
    return found
