"""What the report is made from, and what of it each of its parts depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from srt.experiment.config import default_config, load_results
from srt.experiment.runs import Run
from srt.settings import Config, ResultsConfig

# What of a config each part of the report is made from, beside the files that it reads and the config that it shows.
READ_BY: Mapping[str, Sequence[str]] = {
    "tables": ("responses", "opponents", "questions", "compare"),
    "figures": ("responses",),
    "html": ("responses", "notice"),
    "cards": ("responses", "notice", "licences"),
}


@dataclass(frozen=True)
class ReportInputs:
    """The results of an experiment, what of them is compared, and what is said of them.

    Attributes:
        results: folder of all artefacts.
        runs: the run table.
        responses: the plan of the response reflection, `all` or `selected`.
        opponents: runs that every other trained run is compared with, pair by pair.
        questions: sets of questions of that comparison.
        compare: run: the reported model beside which it stands.
        licences: data set: the licence of its records.
        notice: a warning for the head of the page and of the cards; None for none.
        file: the config file, which the page shows; None where none is known.
        config: what stands in it, which the page compares with the paper; None where it is no whole config.
    """

    results: Path
    runs: Sequence[Run]
    responses: str
    opponents: Sequence[str] = ()
    questions: Sequence[str] = ()
    compare: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    notice: str | None = None
    file: Path | None = None
    config: Config | None = None


def read_inputs(file: Path | None = None, results: Path | None = None) -> ReportInputs:
    """The inputs by a config file, the shipped default where none is named; InputError with a line for each fault.

    `results` is the folder of all artefacts, where it is not the one that the config names.
    """
    config, runs = load_results(file)
    found = inputs_of(config, runs, file or default_config())
    return replace(found, results=results) if results else found


def inputs_of(config: Config | ResultsConfig, runs: Sequence[Run], file: Path) -> ReportInputs:
    """The inputs by a config that was read from `file`."""
    compared = config.evaluate.pairwise
    return ReportInputs(
        results=Path(config.results),
        runs=runs,
        responses=config.responses,
        opponents=compared.opponents if compared else (),
        questions=compared.questions if compared else (),
        compare=config.report.compare,
        licences=config.report.licences,
        notice=config.report.notice or None,
        file=file,
        config=config if isinstance(config, Config) else None,
    )


def settings_of(inputs: ReportInputs, part: str, run: str | None = None) -> str:
    """What of a config a part of the report depends on, as text: of one run, where its card is meant.

    It is what a rule of the workflow has as its parameter, so that the part is made again when it changes, and only
    then.
    """
    known = {name: getattr(inputs, name) for name in READ_BY[part]}
    if run is not None:
        datasets = {each.dataset for each in inputs.runs if each.run == run}
        known["licences"] = {name: licence for name, licence in inputs.licences.items() if name in datasets}
    return json.dumps(known, sort_keys=True)
