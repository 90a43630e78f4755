"""A data card and a model card beside what a run has made, in the form that the hub reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report import formats
from srt.report.escaping import markdown
from srt.report.inputs import ReportInputs
from srt.report.page import evidence, ledgers, provenance
from srt.report.page.html import evaluations, number
from srt.report.reported import training
from srt.report.tables import before_after
from srt.storage.errors import InputError
from srt.storage.files import write_text
from srt.storage.sidecars import Sidecar, meta_of, read_sidecar
from srt.storage.trainings import TrainingRecord

Kind = Literal["data", "model"]
FILES: dict[Kind, str] = {"data": layout.DATA_CARD, "model": layout.MODEL_CARD}
NOT_STATED = "not stated: ask where the data comes from before you publish it"


def write_cards(
    inputs: ReportInputs, out: Path, kinds: Sequence[Kind] = ("data", "model"), only: Sequence[str] = ()
) -> None:
    """Write the cards of every run that has what they describe; a run that is named and has not is an InputError.

    Args:
        inputs: the results, their licences, and what is said of them.
        out: the folder below which the cards are laid out as below the results folder.
        kinds: which cards.
        only: the runs that are wanted; all where none is named.
    """
    known = {run.run: run for run in inputs.runs}
    for name in only:
        if name not in known:
            raise InputError(f"run: expected one of {sorted(known)}, found {name!r}")
    for run in [known[name] for name in only] or inputs.runs:
        for kind in kinds:
            made = layout.TRAIN if kind == "data" else layout.TRAINING
            path = inputs.results / made.format(run=run.run)
            if path.exists():
                write_text(out / FILES[kind].format(run=run.run), formats.printable(_card(inputs, run, kind)))
            elif only:
                raise InputError(f"{path}: no such file, so that there is nothing to write a {kind} card of")


def _card(inputs: ReportInputs, run: Run, kind: Kind) -> str:
    """The text of one card."""
    results, responses = inputs.results, inputs.responses
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined)  # noqa: S701
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters.update(number=number, cell=_cell)
    found = evaluations(results, [run])
    licence = inputs.licences.get(run.dataset or "")
    trained = training(results, run.run)
    facts: dict[str, Any] = {
        "run": run,
        "licence": licence or NOT_STATED,
        "origin": _sidecar(results, layout.ORIGINAL.format(dataset=run.dataset)),
        "teacher_facts": _teacher_facts(results, run, responses),
        "stages": before_after.before_after(results, [run], responses).rows,
        "kinds": ledgers.ledgers(results, [run]),
        "train_sha256": _sha256(results / layout.TRAIN.format(run=run.run)),
        "training": trained,
        "evaluations": found,
        "standing": evidence.standing(results, found, inputs.notice),
        "commit": provenance.commit(Path(__file__).parent),
    }
    header = yaml.safe_dump(_header(run, licence, trained, kind), sort_keys=False)
    return environment.get_template(f"{kind}_card.md.j2").render(header=header, **facts)


def _header(run: Run, licence: str | None, trained: TrainingRecord, kind: Kind) -> dict[str, Any]:
    """What the hub reads at a card's head."""
    tags = ["selective-reflection-tuning", "instruction-tuning", "synthetic"]
    if kind == "data":
        known = licence.lower() if licence else "unknown"
        return {"license": known, "tags": tags, "pretty_name": f"{run.dataset}, {run.method}, {run.student}"}
    # Base model and data bind the weights together, which no single name says.
    return {"license": "other", "tags": tags, "base_model": trained.base_model, "library_name": "transformers"}


def _sidecar(results: Path, path: str) -> Sidecar:
    return read_sidecar(results / meta_of(path), Sidecar)


def _teacher_facts(results: Path, run: Run, responses: str) -> list[str]:
    """The models and prompts that wrote the reflections which the run reads, each once."""
    paths = [path for variant, path in layout.pairs_paths(run, responses).items() if variant != "original"]
    settings = [_sidecar(results, path).settings for path in paths]
    told = [f"model {known.model}" for known in settings if known.model]
    told += [f"prompts {known.prompts}" for known in settings if known.prompts]
    return list(dict.fromkeys(told))


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _cell(text: object) -> str:
    """A text as a cell of a Markdown table, in which nothing that a model wrote is markup."""
    return markdown("" if text is None else str(text))
