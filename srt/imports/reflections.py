"""Finished reflections as a teacher's: checked against the original data, then written as `srt reflect` would.

What the published post-processing does where it finds no answer is told apart here: it hands the old text back. A pair
that is wholly the old one is a failed reflection; one whose instruction or response alone is old is marked as repaired
and stays a candidate, as it was one in the published selection.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.imports._rows import TEXTS, Misfits, Row, aligned, read_texts, same, sha256, short
from srt.settings import GivenReflections
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.progress import say, say_counts
from srt.storage.records import Outcomes, Pair, ReflectedPair
from srt.storage.sidecars import Imported, Sidecar, StepSettings, sidecar_of, write_sidecar

LETTERS = 4  # of a word that says what a text is about
DECIDED = 20  # records: fewer say nothing of a file's order
SIGMAS = 3.0  # a reflection of its own record shares more words with it than another's, in most records


@dataclass(frozen=True)
class Verdict:
    """What became of a reflection, as `ReflectedPair` has it."""

    outcome: str
    reason: str | None = None
    repairs: tuple[str, ...] = ()


def import_reflections(
    source: str,
    original: Path,
    out: Path,
    variant: str,
    settings: GivenReflections,
    beside: Mapping[str, str],
) -> None:
    """Write the `ReflectedPair`s of a variant, with what was checked and counted in the sidecar.

    Args:
        source: the file, a row for each record of the data set's source, in its order (`srt.prepare.sources.located`).
        original: the prepared pairs.
        out: JSONL of `ReflectedPair`, the same ids.
        variant: `instruction`, `response` or `both`.
        settings: the columns, and how many records may not fit.
        beside: the same release's files of `original` and `instruction`, as far as there are any: the order of the
            first is checked for every variant, and `both` is checked against the second.

    Raises:
        InputError: names the first record that is missing, is another's, or is none of this data set.
    """
    pairs = read_records(original, Pair)
    rows, *others = (
        aligned(name, read_texts(name, settings.instruction, settings.input, settings.output), original, pairs)
        for name in (source, *beside.values())
    )
    known = dict(zip(beside, others, strict=True))
    misfits = Misfits(settings.allowed_mismatches)
    bases = _bases(pairs, known.get("instruction") if variant == "both" else None)
    wrong = _misplaced(rows, pairs, variant, bases, known, misfits)
    results = [
        _result(pair, row, base, variant, pair.id in wrong) for pair, row, base in zip(pairs, rows, bases, strict=True)
    ]
    shared = _check_order(source, results, pairs, rows, variant, settings.allowed_mismatches)
    status, outcomes, reasons, repairs = Outcomes.of(results)
    say(f"{out}: {status['reflected']} of {len(results)} imported as reflected, {status['failed']} as failed")
    say_counts(reasons, "failed")
    say_counts(repairs, "marked")
    others_of_release = [Imported(source=name, sha256=sha256(name)) for name in beside.values()]
    sidecar = Sidecar(
        variant=variant,
        given=Imported(source=source, sha256=sha256(source), beside=others_of_release),
        settings=StepSettings(**settings.model_dump(exclude={"files"})),
        counts={"reflected": status["reflected"], "failed": status["failed"]},
        outcomes=dict(outcomes),
        reasons=dict(reasons),
        repairs=dict(repairs),
        shares_more_words_with=shared,
        versions=packages.versions("selective-reflection-tuning"),
    )
    write_sidecar(sidecar_of(out), sidecar)
    write_records(out, results)


def _bases(pairs: Sequence[Pair], instructions: Sequence[Row] | None) -> list[Pair]:
    """What each pair was reflected from: itself, or for `both` its instruction reflection where that is there."""
    if instructions is None:
        return list(pairs)
    return [Pair(id=pair.id, **row.values) for pair, row in zip(pairs, instructions, strict=True)]


def _misplaced(
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    variant: str,
    bases: Sequence[Pair],
    known: Mapping[str, Sequence[Row]],
    misfits: Misfits,
) -> set[str]:
    """The ids whose row belongs to another record or to none; InputError where they are more than allowed."""
    originals = _owners(pairs, TEXTS)
    checks: list[_Check] = []
    if "original" in known:
        checks.append(_Check(known["original"], pairs, TEXTS, originals))
    if variant == "response":
        names = ("instruction", "input")
        checks.append(_Check(rows, pairs, names, _owners(pairs, names)))
    elif variant == "both" and "instruction" in known:
        checks.append(_Check(rows, bases, ("instruction",), _owners(bases, ("instruction",))))
    wrong: set[str] = set()
    for number, pair in enumerate(pairs):
        found = ((check.rows[number], check.complaint(number)) for check in checks)
        row, complaint = next((each for each in found if each[1]), (rows[number], None))
        if complaint is None and variant == "instruction":
            complaint = _belongs_elsewhere(row, pair, originals)
        if complaint:
            misfits.add(row, complaint)
            wrong.add(pair.id)
    return wrong


@dataclass(frozen=True)
class _Check:
    """Rows that must have some texts of the pairs at their positions."""

    rows: Sequence[Row]
    expected: Sequence[Pair]
    names: Sequence[str]
    owners: Mapping[tuple[str, ...], str]

    def complaint(self, number: int) -> str | None:
        """What is wrong with a row, and whose texts it has."""
        row, pair = self.rows[number], self.expected[number]
        for name in self.names:
            text, found = getattr(pair, name), row.values[name]
            if not same(found, text):
                owner = self.owners.get(tuple(row.values[each].strip() for each in self.names))
                hint = f", which is record {owner}'s: is the file in another order?" if owner else ""
                return f"{name}: expected that of record {pair.id}, {short(text)}, found {short(found)}{hint}"
        return None


def _owners(pairs: Sequence[Pair], names: Sequence[str]) -> dict[tuple[str, ...], str]:
    """Texts: the id of the first record that has them."""
    return {tuple(getattr(pair, name).strip() for name in names): pair.id for pair in reversed(pairs)}


def _belongs_elsewhere(row: Row, pair: Pair, ids: Mapping[tuple[str, ...], str]) -> str | None:
    """A complaint where a row that was not reflected is the original of another record."""
    owner = ids.get(tuple(row.values[name].strip() for name in TEXTS))
    if owner is None or ids[_content(pair)] == owner:
        return None
    return f"instruction: expected a reflection of record {pair.id}, found record {owner}'s original: another order?"


def _content(pair: Pair) -> tuple[str, ...]:
    return tuple(getattr(pair, name).strip() for name in TEXTS)


def _result(pair: Pair, row: Row, base: Pair, variant: str, misplaced: bool) -> ReflectedPair:
    verdict = _verdict(pair, row, base, variant, misplaced)
    failed = verdict.reason is not None
    texts = {name: getattr(base, name) for name in TEXTS} if failed else dict(row.values)
    return ReflectedPair(
        id=pair.id,
        **texts,
        status="failed" if failed else "reflected",
        outcome=verdict.outcome,
        reason=verdict.reason,
        repairs=list(verdict.repairs),
        critique=None,
    )


def _verdict(pair: Pair, row: Row, base: Pair, variant: str, misplaced: bool) -> Verdict:
    if misplaced:
        return Verdict("mismatch", "the imported reflection is not this record's")
    if variant == "both" and base is not pair and (_content(base) == _content(pair) or not base.output.strip()):
        return Verdict("upstream", "its instruction reflection failed: the pair is the original one")
    for name in ("instruction", "output"):
        if not row.values[name].strip():
            return Verdict("empty", f"the imported {name} is empty")
    old = [name for name in ("instruction", "output") if same(row.values[name], getattr(base, name))]
    if variant != "instruction":
        return Verdict("repeated", "the response is the old one") if "output" in old else Verdict("clean")
    if len(old) == 2:
        return Verdict("unchanged", "the pair is the original one")
    return Verdict("repaired", None, (f"the {old[0]} is the old one",)) if old else Verdict("clean")


def _check_order(
    source: str,
    results: Sequence[ReflectedPair],
    pairs: Sequence[Pair],
    rows: Sequence[Row],
    variant: str,
    allowed: int,
) -> dict[str, int]:
    """Compare words with the own original's and with another record's; InputError where these are shared as much.

    Nothing else can tell new texts in the wrong order: they are nowhere else.
    """
    words = [_words(f"{pair.instruction} {pair.input} {pair.output}") for pair in pairs]
    counts: Counter[str] = Counter()
    first: Row | None = None
    for number, result in enumerate(results):
        theirs = _words(f"{result.instruction if variant == 'instruction' else ''} {result.output}")
        own, other = len(theirs & words[number]), len(theirs & words[number - len(pairs) // 2])
        if result.status == "failed" or own == other:
            continue
        counts["own" if own > other else "another"] += 1
        first = rows[number] if own < other and first is None else first
    decided = counts.total()
    if (
        decided >= DECIDED
        and counts["another"] > allowed
        and counts["own"] - counts["another"] < SIGMAS * math.sqrt(decided)
    ):
        where = first.where if first else source
        told = f"{counts['own']} share more words with their own original, {counts['another']} with another record's"
        raise InputError(f"{where}: expected reflections of these records, in their order; of {decided}, {told}")
    return {"own": counts["own"], "another": counts["another"]}


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w+", text.lower()) if len(word) >= LETTERS}
