"""Servers that must answer: an entry for each teacher and judge that is asked, and its key in the environment.

Nobody is asked here. A key is named and never shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from srt.experiment import layout
from srt.experiment.judges import read_judge
from srt.experiment.runs import Run
from srt.experiment.table import Table
from srt.llm.endpoint import server_of
from srt.llm.server import endpoint_server
from srt.settings import Config, JudgeConfig
from srt.settings.judge import judge_name
from srt.storage.errors import InputError
from srt.storage.findings import Finding, did_you_mean

ENDPOINTS = "execution.endpoints"


def _teachers_asked(config: Config, runs: Sequence[Run], also: Collection[str] = ()) -> dict[str, str]:
    """The teachers that a run needs, and those in `also`: the key that names each, and its name under `teachers:`."""
    named = {run.teacher for run in runs if set(layout.variants_read(run)) - {"original"}} | {*also}
    return {f"teachers.{name}": name for name in config.teachers if name in named}


def _judges_asked(config: Config, runs: Sequence[Run]) -> dict[str, str]:
    """The judges that are asked, as some evaluation is not given: the key that names each, and its file."""
    asked = {each.section.key for run in runs for each in layout.judged_here(config, run)}
    sections = config.evaluate.judged()
    if config.evaluate.calibration is not None:
        asked |= {section.key for section in sections if section.benchmark.form}
    return {f"evaluate.{section.key}.judge": str(section.judge) for section in sections if section.key in asked}


def access_findings(config: Config, table: Table, where: str) -> Iterator[Finding]:
    """Endpoints that are missing, and keys that are not in the environment, of all who are asked."""
    for about, name in _teachers_asked(config, table.runs, table.teachers).items():
        if config.teachers[name].backend == "openai":
            yield from _server_findings(config, name, config.teachers[name].model, where, about)
    yield from _judge_findings(config, _judges_asked(config, table.runs), where)


def _judge_findings(config: Config, judges: Mapping[str, str], where: str) -> Iterator[Finding]:
    for about, file in judges.items():
        try:
            judge = read_judge(file)
        except InputError:
            continue  # a finding of its own
        if not judge.serve:
            yield from _server_findings(config, judge_name(file), judge, where, about)


def _server_findings(config: Config, name: str, asked: str | JudgeConfig, where: str, about: str) -> Iterator[Finding]:
    endpoints = config.execution.endpoints
    key = f"{ENDPOINTS}.{name}"
    if name not in endpoints:
        form = "expected {base_url: ..., api_key_env: ...}"
        message = f"is missing, where {about} is asked: {form}{did_you_mean(name, endpoints)}"
        yield Finding(where, key, message, about, beside=ENDPOINTS)
        return
    try:
        if isinstance(asked, JudgeConfig):
            endpoint_server(asked, endpoints[name])
        else:
            server_of(endpoints[name], asked)
    except InputError as error:
        yield Finding(where, key, str(error), about, beside=ENDPOINTS)
