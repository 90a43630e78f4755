"""The data table: each version of the data, what became of the teacher's answers, and what selection did with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.reflection.cleaning import OUTCOMES
from srt.report.formats import NOT_RUN, Column, Part, Row
from srt.report.tables import before_after
from srt.storage.files import read_records
from srt.storage.records import LedgerEntry, Pair, ReflectedPair, Score

QUANTILES = (5, 25, 50, 75, 95)
REASONS_SHOWN = 12  # a run's rarer ways of being dropped are counted together

VARIANT_COLUMNS = (
    Column("dataset", "Data set"),
    Column("teacher", "Teacher"),
    Column("student", "Student"),
    Column("variant", "Variant"),
    Column("records", "Records", 0, main=True),
    Column("reflected", "Reflected", 0),
    Column("failed", "Failed", 0),
    Column("instruction_characters", "instr.", 0, group="Characters"),
    Column("response_characters", "resp.", 0, group="Characters"),
    Column("instruction_tokens", "instr.", 0, group="Tokens"),
    Column("response_tokens", "resp.", 0, group="Tokens"),
    Column("scored", "Scored", 0),
    *(
        column
        for key, label in (("ifd", "IFD"), ("r_ifd", "r-IFD"))
        for column in (
            *(Column(f"{key}_q{quantile:02d}", f"{quantile}%", 3, group=label) for quantile in QUANTILES),
            Column(f"{key}_null", "null", 0, group=label),
        )
    ),
    Column("source", "Source", path=True),
    Column("scores_source", "Scores", path=True),
)
OUTCOME_COLUMNS = (
    Column("dataset", "Data set"),
    Column("teacher", "Teacher"),
    Column("variant", "Variant"),
    Column("outcome", "Outcome"),
    Column("about", "What it means"),
    Column("records", "Records", 0, main=True),
    Column("share", "Share (%)", 1),
    Column("source", "Source", path=True),
)
SELECTION_COLUMNS = (
    Column("run", "Run"),
    Column("dataset", "Data set", shown=False),
    Column("teacher", "Teacher", shown=False),
    Column("student", "Student", shown=False),
    Column("method", "Method"),
    Column("ratio", "Ratio", 2),
    Column("outcome", "Outcome"),
    Column("branch", "Branch"),
    Column("reason", "Reason"),
    Column("records", "Records", 0, main=True),
    Column("share", "Share (%)", 1),
    Column("source", "Source", path=True),
)


@dataclass(frozen=True)
class VariantFiles:
    """One version of a data set as one student sees it: paths of pairs and scores below the results folder."""

    dataset: str
    teacher: str | None
    student: str
    variant: str
    pairs: str
    scores: str | None


def variant_files(runs: Sequence[Run], responses: str) -> list[VariantFiles]:
    """The versions that the runs read, each once, in the run table's order."""
    found: dict[tuple[str | None, ...], VariantFiles] = {}
    for run in runs:
        scores = layout.scores_paths(run, responses)
        for variant, pairs in layout.pairs_paths(run, responses).items():
            teacher = None if variant == "original" else run.teacher
            key = (run.dataset, teacher, run.scored_by, variant)
            if key not in found or (found[key].scores is None and variant in scores):
                dataset = run.dataset or ""
                found[key] = VariantFiles(dataset, teacher, run.scored_by, variant, pairs, scores.get(variant))
    return list(found.values())


def data_parts(results: Path, runs: Sequence[Run], responses: str) -> list[Part]:
    """The table's parts, read from the pairs, scores and ledgers below the results folder."""
    files = variant_files(runs, responses)
    versions = [_version(results, version) for version in files]
    reflected = {version.pairs: version for version in files if version.variant != "original"}
    outcomes = [row for version in reflected.values() for row in _outcomes(results, version)]
    branches = [row for run in runs if not run.is_untuned for row in _branches(results, run)]
    return parts(versions, outcomes, branches, before_after.before_after(results, runs, responses))


def parts(
    versions: Sequence[Row], outcomes: Sequence[Row], branches: Sequence[Row], stages: Part | None = None
) -> list[Part]:
    """The parts around their rows."""
    return [
        stages or before_after.part([]),
        Part("variant", "Versions of the data", VARIANT_COLUMNS, versions, "None: no run reads data."),
        Part("outcome", "Outcomes of reflection", OUTCOME_COLUMNS, outcomes, "None: no run reads reflections."),
        Part("selection", "Branches taken in selection", SELECTION_COLUMNS, branches, "None: no run selects data."),
    ]


def _version(results: Path, files: VariantFiles) -> Row:
    row: Row = {"dataset": files.dataset, "teacher": files.teacher, "student": files.student, "variant": files.variant}
    if not (results / files.pairs).exists():
        return {**row, "source": NOT_RUN}
    row |= _pairs_facts(results / files.pairs, files.variant) | {"source": files.pairs}
    if files.scores is None or not (results / files.scores).exists():
        return row
    return row | _scores_facts(read_records(results / files.scores, Score)) | {"scores_source": files.scores}


def _pairs_facts(path: Path, variant: str) -> Row:
    pairs: Sequence[Pair] = read_records(path, Pair if variant == "original" else ReflectedPair)
    if not pairs:
        return {"records": 0}
    failed = sum(isinstance(pair, ReflectedPair) and pair.status == "failed" for pair in pairs)
    return {
        "records": len(pairs),
        "reflected": None if variant == "original" else len(pairs) - failed,
        "failed": None if variant == "original" else failed,
        "instruction_characters": fmean(len(pair.instruction) + len(pair.input) for pair in pairs),
        "response_characters": fmean(len(pair.output) for pair in pairs),
    }


def _outcomes(results: Path, files: VariantFiles) -> list[Row]:
    """One row per outcome of a file of reflections, and one per kind of repair."""
    if not (results / files.pairs).exists():
        return []
    pairs = read_records(results / files.pairs, ReflectedPair)
    outcomes = Counter(pair.outcome for pair in pairs)
    repairs = Counter(repair for pair in pairs for repair in pair.repairs)
    counted = [
        (name, OUTCOMES.get(name, ""), outcomes[name]) for name in (*OUTCOMES, *sorted({*outcomes} - {*OUTCOMES}))
    ]
    counted += [(f"of these: {repair}", "mended in the teacher's answer", n) for repair, n in repairs.most_common()]
    setup: Row = {"dataset": files.dataset, "teacher": files.teacher, "variant": files.variant, "source": files.pairs}
    return [
        {**setup, "outcome": name, "about": about, "records": count, "share": 100 * count / len(pairs)}
        for name, about, count in counted
        if count
    ]


def _scores_facts(scores: Sequence[Score]) -> Row:
    """Mean token counts of what was scored, and quantiles of both ratios beside the counts of nulls."""
    import numpy as np

    scored = [score for score in scores if score.status == "scored"]
    row: Row = {"scored": len(scored)}
    if scored:
        for name in ("instruction", "response"):
            counted = [count for score in scored if (count := getattr(score, f"tokens_{name}")) is not None]
            row[f"{name}_tokens"] = fmean(counted) if counted else None  # imported scores have no counts
    for key in ("ifd", "r_ifd"):
        values = [value for score in scores if (value := getattr(score, key)) is not None]
        row[f"{key}_null"] = len(scores) - len(values)
        if values:
            for quantile, value in zip(QUANTILES, np.percentile(values, QUANTILES), strict=True):
                row[f"{key}_q{quantile:02d}"] = float(value)
    return row


def _branches(results: Path, run: Run) -> list[Row]:
    setup: Row = run.model_dump(include={"run", "dataset", "teacher", "student", "method", "ratio"})
    source = layout.LEDGER.format(run=run.run)
    if not (results / source).exists():
        return [{**setup, "source": NOT_RUN}]
    entries = read_records(results / source, LedgerEntry)
    kept = Counter(entry.branch or "" for entry in entries if entry.kept)
    dropped = Counter((entry.branch or "", entry.reason) for entry in entries if not entry.kept)
    rows: list[Row] = [{"outcome": "kept", "branch": b, "reason": None, "records": n} for b, n in kept.most_common()]
    common = dropped.most_common(REASONS_SHOWN)
    rows += [{"outcome": "dropped", "branch": b, "reason": reason, "records": n} for (b, reason), n in common]
    rest = dropped.total() - sum(n for _, n in common)
    if rest:
        more = f"{len(dropped) - len(common)} other branches and reasons"
        rows.append({"outcome": "dropped", "branch": None, "reason": more, "records": rest})
    shares = ({"share": 100 * row["records"] / len(entries), "source": source} for row in rows)
    return [{**setup, **row, **share} for row, share in zip(rows, shares, strict=True)]
