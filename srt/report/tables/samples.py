"""Ten records through the whole flow: every version, what the teacher said, the scores, and what was decided.

They are chosen by rule and not by hand: of the first run that chooses between versions (by its method's `precedence`,
`selective` first), the branches of its ledger in turn, the most frequent first, and within a branch the
records in the order of the SHA-256 of their id. Nobody can have looked at them before.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from srt.experiment import layout
from srt.experiment.runs import Run, choosing
from srt.report.formats import Column, Part, Row
from srt.storage.files import read_records
from srt.storage.records import LedgerEntry, Pair, ReflectedPair

IN_ALL = 10
STATISTICS = ("ifd", "r_ifd", "perplexity", "coherence")
SHOWN = 280  # letters of a text that a table shows for reading; the CSV has all of it
COLUMNS = (
    Column("number", "No.", 0),
    Column("id", "Record", path=True),
    Column("version", "Version"),
    Column("chosen", "Chosen"),
    Column("decision", "Decision"),
    Column("ifd", "IFD", 3),
    Column("r_ifd", "r-IFD", 3),
    Column("perplexity", "Perplexity", 2),
    Column("coherence", "Coherence", 3, shown=False),
    Column("remark", "Remark"),
    Column("instruction", "Instruction", letters=SHOWN),
    Column("input", "Input", letters=SHOWN),
    Column("response", "Response", letters=SHOWN),
    Column("critique", "Teacher's critique", letters=SHOWN),
    Column("run", "Run"),
    Column("source", "Source", path=True),
)


@dataclass(frozen=True)
class Version:
    """One version of a record: the pair and the teacher's words, its statistics, and why it can be no candidate."""

    variant: str
    pair: Pair | None
    facts: Row
    source: str | None

    @property
    def critique(self) -> str | None:
        """What the teacher said of the version that this one was made from."""
        return self.pair.critique if isinstance(self.pair, ReflectedPair) else None

    @property
    def remark(self) -> str | None:
        """Why it is no candidate, or has no score."""
        return self.facts.get("absent") or self.facts.get("reason")


@dataclass(frozen=True)
class Story:
    """One record in one run."""

    run: str
    entry: LedgerEntry
    versions: list[Version]

    @property
    def decision(self) -> str:
        """What the student decided, in a line."""
        if self.entry.kept:
            return f"kept: {self.entry.branch}"
        return f"dropped: {self.entry.reason} ({self.entry.branch})"


def stories(results: Path, runs: Sequence[Run], responses: str) -> list[Story]:
    """Ten records of one run, or as many as there are; none where no run has chosen between versions yet."""
    for run in choosing(runs):
        path = results / layout.LEDGER.format(run=run.run)
        if path.exists():
            return _of_run(results, run, responses, by_rule(read_records(path, LedgerEntry)))
    return []


def by_rule(entries: Iterable[LedgerEntry]) -> list[LedgerEntry]:
    """IN_ALL records of a ledger by the rule of this module."""
    branches: dict[tuple[bool, str], list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        branches[entry.kept, entry.branch or ""].append(entry)
    for members in branches.values():
        members.sort(key=lambda entry: hashlib.sha256(entry.id.encode("utf-8", "surrogatepass")).hexdigest())
    ranked = sorted(branches.items(), key=lambda item: (-len(item[1]), item[0]))
    in_turn = chain.from_iterable(zip_longest(*(members for _, members in ranked)))
    return [entry for entry in in_turn if entry is not None][:IN_ALL]


def _of_run(results: Path, run: Run, responses: str, entries: Sequence[LedgerEntry]) -> list[Story]:
    paths = layout.pairs_paths(run, responses)
    pairs = {variant: _pairs(results / path, variant) for variant, path in paths.items()}
    found = []
    for entry in entries:
        versions = [
            Version(variant, pairs[variant].get(entry.id), entry.candidates.get(variant, {}), path)
            for variant, path in paths.items()
        ]
        found.append(Story(run.run, entry, versions))
    return found


def _pairs(path: Path, variant: str) -> dict[str, Pair]:
    if not path.exists():
        return {}
    kind: type[Pair] = Pair if variant == "original" else ReflectedPair
    return {pair.id: pair for pair in read_records(path, kind)}


def examples_parts(results: Path, runs: Sequence[Run], responses: str) -> list[Part]:
    """The stories as a table: one row per record and version."""
    told = stories(results, runs, responses)
    return parts([row for number, story in enumerate(told, start=1) for row in _rows(number, story)])


def parts(rows: Sequence[Row]) -> list[Part]:
    """The part around its rows."""
    return [Part("examples", "Ten records", COLUMNS, rows, "None: no run chooses between versions of a record.")]


def _rows(number: int, story: Story) -> Iterable[Row]:
    for version in story.versions:
        row: Row = {"number": number, "id": story.entry.id, "run": story.run, "version": version.variant}
        row |= {key: version.facts.get(key) for key in STATISTICS}
        if version.pair is not None:
            pair = version.pair
            row |= {"instruction": pair.instruction, "input": pair.input, "response": pair.output}
        row |= {"critique": version.critique, "remark": version.remark, "source": version.source}
        if version.variant == story.entry.chosen:
            row["chosen"] = "yes"
        yield row | {"decision": story.decision}
