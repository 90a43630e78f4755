"""Settings, endpoints and prices as flags of the command line."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from srt.commands import idle
from srt.commands.inputs import require_settings
from srt.experiment import config
from srt.settings import EXECUTION_FLAGS, Config, Endpoint, ExecutionConfig, Price, Settings, defaults
from srt.settings.base import check_address
from srt.settings.cases import case_of, fields_of
from srt.settings.flags import flag_fields
from srt.settings.values import validated
from srt.storage.errors import InputError, shown, without_user

AnySettings = TypeVar("AnySettings", bound=Settings)


# Named sections of the config: the flag that names one, and the map in the config.
NAMED = {name: f"{name}s" for name in ("dataset", "teacher", "student", "recipe")}
NAMED |= {"decoding": "generate"}


def add_settings(
    parser: argparse.ArgumentParser, kind: type[Settings], prefix: str = "", only: Sequence[str] = ()
) -> None:
    """One optional flag per field of a section (of those in `only`); `resolve` finds what is not given."""
    about = f"what is not given comes from --config or, without one, from {defaults.DEFAULTS}"
    group = parser.add_argument_group(f"settings ({kind.__name__})", about)
    for name, field in flag_fields(kind).items():
        if any(action.dest == f"{prefix}{name}".replace("-", "_") for action in parser._actions) or (
            only and name not in only
        ):
            continue
        shown = _shown_type(field)
        told = f"{field.description or ''} {defaults.told_default(kind, name)}".replace("%", "%%")
        group.add_argument(defaults.flag(name, prefix), metavar=shown, default=argparse.SUPPRESS, help=told)


def _shown_type(field: FieldInfo) -> str:
    if typing.get_origin(field.annotation) is typing.Literal:
        return "{" + ",".join(typing.get_args(field.annotation)) + "}"
    kinds = typing.get_args(field.annotation) if isinstance(field.annotation, types.UnionType) else (field.annotation,)
    return "|".join("null" if kind is type(None) else getattr(kind, "__name__", "value").upper() for kind in kinds)


def given_settings(args: argparse.Namespace, kind: type[Settings], prefix: str = "") -> dict[str, Any]:
    """The fields of a section that were given as flags, typed; InputError names the flag of a bad value."""
    given: dict[str, Any] = {}
    for name, field in flag_fields(kind).items():
        text = getattr(args, f"{prefix}{name}".replace("-", "_"), None)
        if text is None:
            continue
        try:
            given[name] = (
                None if text == "null" else TypeAdapter(typing.cast(Any, field.annotation)).validate_strings(text)
            )
        except ValidationError as error:
            told = f"{error.errors()[0]['msg']}, found {shown(text)}"
            raise InputError(f"{defaults.flag(name, prefix)}: {told}") from None
    return given


def resolve(
    args: argparse.Namespace,
    kind: type[AnySettings],
    section: Callable[[Config], Settings | None],
    prefix: str = "",
    shown: Collection[str] | None = None,
) -> AnySettings:
    """A section's settings: the flags, and the config file or the defaults for what they leave out.

    Which of them (of those in `shown`, or of all) comes from where is said before the work begins. InputError names all
    that is neither given nor has a default.
    """
    given = given_settings(args, kind, prefix)
    rest, source = ({}, "") if set(flag_fields(case_of(kind, given))) <= set(given) else _rest(args, kind, section)
    case = case_of(kind, {**rest, **given})
    refuse_given(given, idle.of_case(kind, case, {**rest, **given}))
    rest, fields = {name: value for name, value in rest.items() if name in fields_of(case)}, flag_fields(case)
    # Lists and maps are no flags: only the workflow reads them.
    origins = {name: typing.get_origin(field.annotation) for name, field in kind.model_fields.items()}
    base = {name: empty() for name, empty in origins.items() if empty in (list, dict)} | rest
    defaults.require_all(fields, {**base, **given}, prefix)
    found = validated(kind, {**base, **given}, "flags and config")
    require_settings(args, found, prefix)
    _tell(kind, {name: getattr(found, name) for name in fields if shown is None or name in shown}, given, source)
    return found


def _rest(
    args: argparse.Namespace, kind: type[Settings], section: Callable[[Config], Settings | None]
) -> tuple[dict[str, Any], str]:
    """What the flags leave out, of the config file or, without one, of the defaults; and that file's name."""
    if args.config:
        found = section(_config(args))
        return (found.model_dump() if found else {}), str(args.config)
    named = [name for name, value in vars(args).items() if name.startswith("use_") and value is not None]
    if named and not hasattr(args, "price"):  # a teacher's name also finds its --price, --endpoint
        raise InputError(f"{defaults.flag(named[0])}: names a part of --config FILE, which is not given")
    return dict(defaults.defaults_of(kind)), defaults.DEFAULTS


def _tell(kind: type[Settings], values: Mapping[str, Any], given: Mapping[str, Any], source: str) -> None:
    """Lines that say of a section what comes from flags, and what from the file `source`."""
    name = defaults.section_name(kind)
    defaults.tell(name, "from flags", {key: value for key, value in values.items() if key in given})
    defaults.tell(name, f"from {source}", {key: value for key, value in values.items() if key not in given})


def refuse_idle(args: argparse.Namespace, kind: type[Settings], why: Mapping[str, str]) -> None:
    """InputError for a flag of a section that has no effect, by `why` (`srt.commands.idle`).

    A section that is given whole, as the workflow gives it, may hold such a value, as its config file must.
    """
    if not is_whole(args, kind):
        refuse_given([name for name, value in given_settings(args, kind).items() if value is not None], why)


def is_whole(args: argparse.Namespace, kind: type[Settings]) -> bool:
    """Whether every flag of a section (of `execution`: every one that the step has) is given."""
    given = given_settings(args, kind)
    fields = args.execution_keys if kind is ExecutionConfig else flag_fields(case_of(kind, given))
    return set(fields) <= set(given)


def refuse_given(given: Iterable[str], why: Mapping[str, str]) -> None:
    """InputError for the first of these flags that has no effect."""
    for name in sorted(set(given) & set(why)):
        raise InputError(f"{defaults.flag(name)}: has no effect {why[name]}")


def _config(args: argparse.Namespace) -> Config:
    return config.load(args.config)[0]


def named(args: argparse.Namespace, flag: str, place: str = "") -> Callable[[Config], Settings]:
    """The section of a map that `--flag NAME` names; the only one where there is no choice.

    The map is the flag's own of NAMED, or the one at `place`.
    """

    def pick(config: Config) -> Settings:
        known: Mapping[str, Settings] = attrgetter(place or NAMED[flag])(config)
        name = getattr(args, f"use_{flag}", None) or (next(iter(known)) if len(known) == 1 else None)
        if name is None or name not in known:
            raise InputError(f"--use-{flag}: expected one of {sorted(known)}, found {name!r}")
        return known[name]

    return pick


def add_execution(parser: argparse.ArgumentParser, step: str) -> None:
    """The flags of `execution:` that a step reads."""
    add_settings(parser, ExecutionConfig, only=EXECUTION_FLAGS[step])
    parser.set_defaults(execution_keys=EXECUTION_FLAGS[step])


def execution(args: argparse.Namespace) -> ExecutionConfig:
    """The section `execution` as far as the step reads it; with all its flags given, no file is read."""
    given = given_settings(args, ExecutionConfig)
    if is_whole(args, ExecutionConfig):
        _tell(ExecutionConfig, given, given, "")
        # Only the step's own keys: reading another one is an AttributeError, not a silent default.
        return ExecutionConfig.model_construct(**given)
    return resolve(args, ExecutionConfig, lambda config: config.execution, shown=args.execution_keys)


def endpoint(args: argparse.Namespace, name: str | None) -> Endpoint | None:
    """The server of a teacher or judge: from `--base-url` or `--endpoint NAME=URL[,ENV]`, else from the config file."""
    if getattr(args, "base_url", None):
        return _endpoint(args.base_url, "--base-url")
    for item in args.endpoint:
        known, _, server = item.partition("=")
        found = _endpoint(server, "--endpoint")
        if known == name:
            return found
    if not is_whole(args, ExecutionConfig):
        idle.refuse_others("--endpoint", [item.partition("=")[0] for item in args.endpoint], name)
    return _config(args).execution.endpoints.get(name) if name and args.config else None


def _endpoint(text: str, flag: str) -> Endpoint:
    """URL[,ENV][,PARAMETER=[NAME]...] as an endpoint."""
    url, *more = text.split(",")
    try:
        check_address(url)
    except ValueError as error:
        raise InputError(f"{flag}: {error}, found {without_user(url)!r}") from None
    key_variable = next((part for part in more if part and "=" not in part), None)
    parameters = {name: new or None for name, new in (part.split("=", 1) for part in more if "=" in part)}
    values = {"base_url": url, "api_key_env": key_variable, "parameters": parameters}
    return validated(Endpoint, values, flag)


def only(args: argparse.Namespace, flag: str, place: str = "") -> str | None:
    """The name that `--use-FLAG` gives, else the only one in the map of `--config`; None where there is a choice."""
    name: str | None = getattr(args, f"use_{flag}")
    known = list(attrgetter(place or NAMED[flag])(_config(args))) if name is None and args.config else []
    return known[0] if len(known) == 1 else name


def price(args: argparse.Namespace, name: str | None) -> Price | None:
    """What a teacher costs: from `--price [NAME=]PROMPT,COMPLETION[,BATCH]`, else from the config file."""
    for item in args.price:
        known, _, numbers = item.rpartition("=")
        parts = numbers.split(",")
        try:
            prompt, completion, batch = (float(part) for part in (*parts, "1")[:3])
        except ValueError:
            raise InputError(f"--price: expected [NAME=]PROMPT,COMPLETION[,BATCH] in numbers, found {item!r}") from None
        if not known or known == name:
            values = {"prompt": prompt, "completion": completion, "batch": batch}
            return validated(Price, values, "--price")
    if not is_whole(args, ExecutionConfig):
        idle.refuse_others("--price", [item.rpartition("=")[0] for item in args.price], name)
    return _config(args).execution.prices.get(name) if name and args.config else None
