"""A run's data before and after: the original records, and those that the student is trained on."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, Column, Part, Row
from srt.storage.files import read_records
from srt.storage.records import LedgerEntry, Pair, Score

COLUMNS = (
    Column("run", "Run"),
    Column("stage", "Stage"),
    Column("records", "Records", 0, main=True),
    Column("reflected_instructions", "Instructions", 1, group="Reflected (%)"),
    Column("reflected_responses", "Responses", 1, group="Reflected (%)"),
    Column("instruction_characters", "instr.", 0, group="Characters"),
    Column("response_characters", "resp.", 0, group="Characters"),
    Column("instruction_tokens", "instr.", 0, group="Tokens"),
    Column("response_tokens", "resp.", 0, group="Tokens"),
    Column("ifd", "IFD", 3, group="Median"),
    Column("r_ifd", "r-IFD", 3, group="Median"),
    Column("perplexity", "perplexity", 2, group="Median"),
    Column("dataset", "Data set"),
    Column("teacher", "Teacher"),
    Column("student", "Student"),
    Column("method", "Method"),
    Column("ratio", "Ratio", 2),
    Column("source", "Source", path=True),
)
Scores = Mapping[str, Mapping[str, Score]]


def before_after(results: Path, runs: Sequence[Run], responses: str) -> Part:
    """Two rows for each run that trains: the data set as it was, and what the run's method made of it."""
    rows = [row for run in runs if not run.is_untuned for row in _of_run(results, run, responses)]
    return part(rows)


def part(rows: Sequence[Row]) -> Part:
    """The part around its rows."""
    return Part("before_after", "Before and after", COLUMNS, rows, "None: no run trains.")


def _of_run(results: Path, run: Run, responses: str) -> Iterator[Row]:
    setup: Row = run.model_dump(include={"run", "dataset", "teacher", "student", "method", "ratio"})
    before = layout.ORIGINAL.format(dataset=run.dataset)
    train, ledger = (pattern.format(run=run.run) for pattern in (layout.TRAIN, layout.LEDGER))
    scores = {v: _scores(results / path) for v, path in layout.scores_paths(run, responses).items()}
    if (results / before).exists():
        pairs = read_records(results / before, Pair)
        known = scores.get("original", {})
        yield setup | {"stage": "before", "source": before} | _facts(pairs, known.values())
    if not ((results / train).exists() and (results / ledger).exists()):
        yield setup | {"stage": "after", "source": NOT_RUN}
        return
    kept = [entry for entry in read_records(results / ledger, LedgerEntry) if entry.kept]
    chosen = [scores[e.chosen][e.id] for e in kept if e.chosen in scores and e.id in scores[e.chosen]]
    row = setup | {"stage": "after", "source": train} | _facts(read_records(results / train, Pair), chosen)
    for name, variants in (("instructions", ("instruction", "both")), ("responses", ("response", "both"))):
        row[f"reflected_{name}"] = 100 * sum(e.chosen in variants for e in kept) / len(kept) if kept else None
    yield row


def _scores(path: Path) -> dict[str, Score]:
    return {score.id: score for score in read_records(path, Score)} if path.exists() else {}


def _facts(pairs: Sequence[Pair], scores: Iterable[Score]) -> Row:
    """Means of the lengths, medians of the student's statistics; null where nothing was scored."""
    scored = [score for score in scores if score.status == "scored"]
    nlls = [s.nll_response_given_instruction for s in scored if s.nll_response_given_instruction is not None]
    return {
        "records": len(pairs),
        "instruction_characters": _mean(len(pair.instruction) + len(pair.input) for pair in pairs),
        "response_characters": _mean(len(pair.output) for pair in pairs),
        "instruction_tokens": _mean(score.tokens_instruction for score in scored),
        "response_tokens": _mean(score.tokens_response for score in scored),
        "ifd": _median(score.ifd for score in scored),
        "r_ifd": _median(score.r_ifd for score in scored),
        "perplexity": math.exp(min(statistics.median(nlls), 700.0)) if nlls else None,
    }


def _mean(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]  # imported scores have no counts of tokens
    return statistics.fmean(found) if found else None


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None
