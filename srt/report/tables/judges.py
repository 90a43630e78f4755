"""What a judge's numbers are worth: its calibration beside them, and the table of the judges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from srt.evaluation.calibration import QUANTITIES, metric_name
from srt.experiment import layout
from srt.report.formats import Column, Part, Row
from srt.report.reported import metric, read_evaluation
from srt.report.tables.columns import COUNTS, FILE
from srt.report.tables.rows import AnswersCells, JudgeCells
from srt.settings.judge import SERVED
from srt.storage import sidecars
from srt.storage.records import Evaluation
from srt.storage.sidecars import Sidecar, read_sidecar

JUDGES = (
    Column("judge", "Judge"),
    Column("model", "Model"),
    Column("answered_as", "Answered as"),
    Column("form", "Form"),
    Column("agreement", "%", 1, group="Agreement", main=True),
    Column("agreement_se", "SE", 1, group="Agreement"),
    Column("kappa", "kappa", 2, group="Agreement"),
    Column("kappa_se", "SE", 2, group="Agreement"),
    Column("consistency", "%", 1, group="Consistency"),
    Column("consistency_se", "SE", 1, group="Consistency"),
    Column("first_bias", "first", 1, group="Bias (%)", signed=True),
    Column("first_bias_se", "SE", 1, group="Bias (%)"),
    Column("length_bias", "longer", 1, group="Bias (%)", signed=True),
    Column("length_bias_se", "SE", 1, group="Bias (%)"),
    Column("rank_correlation", "Rank correlation", 2),
    *COUNTS,
    FILE,
)
SAME = ("version", "model")


def judge_cells(results: Path, found: Evaluation, form: str | None) -> JudgeCells:
    """Who judged, and how far that judge agrees with published judgments in this form.

    The calibration counts only if it is of the same judge, asked in the same way: SAME, the prompt's hash, and of a
    judge that is served what only such a one has.
    """
    judge = found.judge or {}
    path = results / layout.CALIBRATION.format(judge=judge.get("name"))
    if form is None or not path.exists():
        return JudgeCells(judge=told(judge))
    calibration = read_evaluation(path)
    theirs = calibration.judge or {}
    facts = SAME if judge.get("serve") is False else (*SAME, *SERVED)
    same = all(theirs.get(key) == judge.get(key) for key in facts)
    asked_alike = (theirs.get("prompts") or {}).get(form) == judge.get("prompt_sha256")
    values = {metric.name: metric.value for metric in calibration.metrics} if same and asked_alike else {}
    agreement, kappa = (values.get(metric_name(form, key)) for key in ("agreement", "kappa"))
    return JudgeCells(judge=told(judge), judge_agreement=agreement, judge_kappa=kappa)


def answers_cells(results: Path, run: str, questions: str) -> AnswersCells:
    """How many of a run's answers were cut off at the limit of tokens, and how many are empty."""
    path = sidecars.meta_of(layout.ANSWERS.format(run=run, questions=questions))
    counts = read_sidecar(results / path, Sidecar).counts
    return AnswersCells(cut_off=counts.get("cut off"), empty=counts.get("empty"))


def told(judge: dict[str, object]) -> str | None:
    """A judge as a table names it: its name with its version or, without a file of its own, its model."""
    named = " v".join(str(judge[key]) for key in ("name", "version") if judge.get(key) is not None)
    return (named if judge.get("name") else str(judge.get("model") or "")) or None


def judges_parts(results: Path) -> list[Part]:
    """Every calibrated judge, a row for each form."""
    folder = results / Path(layout.CALIBRATION).parent
    rows = [row for path in sorted(folder.glob("*.json")) for row in _judge(path, path.relative_to(results).as_posix())]
    return [Part("judges", "Judges", JUDGES, rows, "None: no judge was calibrated.")]


def _judge(path: Path, source: str) -> Iterator[Row]:
    found = read_evaluation(path)
    judge = found.judge or {}
    about = {"judge": told(judge), "model": judge.get("model"), "answered_as": found.versions.get("answered_as")}
    for form in judge.get("prompts") or {}:
        numbers = {key: metric(found, metric_name(form, key), source) for key in QUANTITIES}
        row: Row = {key: number.value for key, number in numbers.items()}
        row |= {f"{key}_se": number.se for key, number in numbers.items()} | {"n": numbers["agreement"].n}
        missing = sum(count for reason, count in found.missing.items() if reason.startswith(f"{form}: "))
        yield {**about, "form": form, **row, "missing": missing, "source": source}
