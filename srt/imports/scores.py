"""Published scores as a student's: checked line by line and against one another, then written as `srt score` would.

The published scorer writes for each record `{"ppl": [4], "loss": [4]}` in the order of `srt.storage.records.NLLS`.
Where it fails it writes 0, where truncation left no target token NaN, and for an empty response nothing: all of these
are null here, with the reason (PROTOCOL.md, known faults). The ratios are those of the published perplexities, so that
equal and nearly equal ones are told apart as in the published selection.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srt.imports._rows import Misfits, Row, aligned, read_mapped, sha256
from srt.prepare.sources import read_pairs
from srt.settings import GivenScores
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.finite import is_finite
from srt.storage.progress import say
from srt.storage.records import NLLS, RATIOS, Pair, ReflectedPair, Score, count_name
from srt.storage.sidecars import Imported, Sidecar, StepSettings, sidecar_of, write_sidecar

ROUNDING = 1e-3  # relative, between ppl and exp(loss): the published scorer computes both in float32
EQUAL = 2e-3  # nats, between two losses of the same text
SURELY_WHOLE = 1500  # bytes of a pair that no limit of 2,048 tokens cuts: no tokenizer makes more tokens than bytes
MOST = 88.0  # nats: exp of more is infinite in float32
TOLD = 500  # scores: of fewer, the relation of loss and length says nothing
SIGMAS = 3.0  # below 0, for the rank correlation of an unconditional loss and its text's length
SIDES = {"nll_instruction": ("instruction", "input"), "nll_response": ("output",)}


@dataclass(frozen=True)
class Against:
    """What imported scores are checked against.

    Attributes:
        pairs: what was scored.
        original: the prepared pairs, whose order the file has; `pairs` itself for the original version.
        beside: version: pairs and scores that were imported before, to be compared with.
    """

    pairs: Path
    original: Path
    beside: Mapping[str, tuple[Path, Path]]


def import_scores(source: str, out: Path, student: str | None, settings: GivenScores, against: Against) -> None:
    """Write the `Score`s of a file of pairs, with what was checked and counted in the sidecar.

    A text has one unconditional NLL, wherever it stands: that of an instruction in two versions, or of a response that
    several records share. Where two of them differ, a file is in another order or of other texts. And the first tokens
    of a text are the hardest, so that over many records the loss falls with the length; in another order it does not.

    Args:
        source: the file, a row for each record of the data set's source, in its order (`srt.prepare.sources.located`).
        out: JSONL of `Score`, the ids of `against.pairs`.
        student: whose scores these are, for the sidecar.
        settings: the columns, and how many records may not fit.
        against: the pairs, and what else the file must agree with.

    Raises:
        InputError: names the first record that is missing, is no score, or whose text has another score elsewhere.
    """
    records = {pair.id: pair for pair in read_pairs(against.pairs)}
    order = read_records(against.original, Pair)
    rows = aligned(source, read_mapped(source, {"loss": settings.loss, "ppl": settings.ppl}), against.original, order)
    foreign = records.keys() - {pair.id for pair in order}
    if foreign:
        raise InputError(f"{against.pairs}: record {min(foreign)!r}: is not in {against.original}")
    misfits, known = Misfits(settings.allowed_mismatches), _Known(against.beside)
    scores = []
    for pair, row in zip(order, rows, strict=True):
        numbers = _read(row)
        if pair.id in records:
            scores.append(_score(records[pair.id], row, numbers, known, misfits))
    given = Imported(
        student=student,
        source=source,
        sha256=sha256(source),
        texts_compared=known.compared,
        mismatches=len(misfits.found),
        rank_correlation_with_length=_check_lengths(rows[0], scores, records),
    )
    _write(out, scores, given, settings)


class _Known:
    """The unconditional NLLs of texts, to compare those of the same text with."""

    def __init__(self, beside: Mapping[str, tuple[Path, Path]]) -> None:
        self.compared = 0
        self._nlls: dict[tuple[str, str], tuple[float, str]] = {}
        for variant, (pairs, scores) in beside.items():
            texts = {pair.id: pair for pair in read_pairs(pairs)}
            for score in read_records(scores, Score):
                if score.status == "scored" and score.id in texts:
                    self.differs(texts[score.id], score.model_dump(include=set(SIDES)), f"{variant}, {score.id}")
        self.compared = 0

    def differs(self, pair: Pair, nlls: Mapping[str, float | None], place: str) -> str | None:
        """A complaint where a text of the pair has another NLL elsewhere; else its NLLs are noted."""
        if len(f"{pair.instruction}{pair.input}{pair.output}".encode("utf-8", "surrogatepass")) > SURELY_WHOLE:
            return None
        for name, fields in SIDES.items():
            nll, text = nlls[name], "".join(getattr(pair, each) for each in fields)
            if nll is None:
                continue
            before, where = self._nlls.setdefault((name, text), (nll, place))
            self.compared += where != place
            if abs(before - nll) > EQUAL:
                side = name.removeprefix("nll_")
                return (
                    f"loss: expected {before:.4f} for the {side} of record {pair.id}, as for the same text elsewhere "
                    f"({where}), found {nll:.4f}: are the files in the same order, and of this data set?"
                )
        return None


def _check_lengths(first: Row, scores: Sequence[Score], pairs: Mapping[str, Pair]) -> dict[str, float] | None:
    """Spearman's rank correlation of unconditional losses and their texts' lengths; None of fewer than TOLD scores.

    InputError where neither side's is below 0 by more than chance.
    """
    scored = [score for score in scores if score.status == "scored"]
    if len(scored) < TOLD:
        return None
    from scipy.stats import spearmanr

    found: dict[str, float] = {}
    for name, fields in SIDES.items():
        lengths = [sum(len(getattr(pairs[score.id], each)) for each in fields) for score in scored]
        losses = [getattr(score, name) for score in scored]
        varied = len(set(lengths)) > 1 and len(set(losses)) > 1
        found[name] = float(spearmanr(lengths, losses).statistic) if varied else 0.0
    if min(found.values()) * math.sqrt(len(scored) - 1) > -SIGMAS:
        told = ", ".join(f"{value:.3f} for {name.removeprefix('nll_')}s" for name, value in found.items())
        raise InputError(
            f"{first.where}: expected the scores of these records, in their order, from here on: their losses do not "
            f"fall with the length of the texts (rank correlation {told})"
        )
    return found


def _read(row: Row) -> tuple[list[float | None], list[float | None]] | None:
    """The four losses and perplexities; None for a record without. InputError where they are no such numbers."""
    if row.values["loss"] is None and row.values["ppl"] is None:
        return None
    found = []
    for name in ("loss", "ppl"):
        values = row.values[name]
        numbers = isinstance(values, list) and all(value is None or _is_number(value) for value in values)
        if not numbers or len(values) != len(NLLS) or any(value is not None and value < 0 for value in values):
            raise InputError(f"{row.where}: {name}: expected four numbers from 0, found {str(values)[:80]}")
        found.append([None if value is None else float(value) for value in values])
    return found[0], found[1]


def _is_number(value: Any) -> bool:
    """Whether it is a float (the published scorer writes NaN and infinity too), or a whole number that can be one."""
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and is_finite(value))


def _score(
    pair: Pair,
    row: Row,
    numbers: tuple[list[float | None], list[float | None]] | None,
    known: _Known,
    misfits: Misfits,
) -> Score:
    if isinstance(pair, ReflectedPair) and pair.status == "failed":
        return _null(pair.id, f"reflection failed: {pair.reason}")
    if numbers is None:
        return _null(pair.id, "the file has no scores of it")
    nlls, ppls, reasons = dict(zip(NLLS, numbers[0], strict=True)), dict(zip(NLLS, numbers[1], strict=True)), []
    for name in NLLS:
        why = _unusable(nlls[name], ppls[name])
        if why is not None:
            reasons.append(f"{name}: {why}")
            nlls[name] = ppls[name] = None
    complaint = next(filter(None, (_unlike(nlls[name], ppls[name]) for name in NLLS)), None)
    complaint = complaint or known.differs(pair, nlls, f"this file, {pair.id}")
    if complaint:
        misfits.add(row, complaint)
        return _null(pair.id, "the imported scores are not of this record")
    ratios = {
        name: _ratio(*(each[place] for place in places for each in (nlls, ppls))) for name, places in RATIOS.items()
    }
    if not reasons and None in ratios.values():
        reasons = ["the ratio of perplexities is not finite"]
    return _as_score(pair.id, nlls, ratios, "; ".join(reasons) or None)


def _unusable(nll: float | None, ppl: float | None) -> str | None:
    """Why a number is none. A perplexity of 0 does not exist: the published scorer writes it where it fails."""
    if nll is None or not math.isfinite(nll):
        return "not finite in the file: truncation left no target token"
    return "0 in the file: the published scorer failed" if ppl == 0 else None


def _unlike(nll: float | None, ppl: float | None) -> str | None:
    """A complaint where a perplexity is not that of its loss, within rounding."""
    if nll is None or (nll > MOST and ppl == math.inf):
        return None
    expected = math.exp(min(nll, 700.0))
    if ppl is not None and abs(ppl - expected) <= ROUNDING * expected:
        return None
    return f"ppl: expected exp(loss) = {expected:.6g}, found {ppl}"


def _ratio(nll: float | None, ppl: float | None, alone: float | None, ppl_alone: float | None) -> float | None:
    """The ratio of the published perplexities; where one is infinite, that of the losses."""
    if nll is None or alone is None:
        return None
    if ppl is not None and ppl_alone is not None and math.isfinite(ppl) and math.isfinite(ppl_alone):
        return ppl / ppl_alone
    return math.exp(nll - alone) if nll - alone < 700 else None


def _null(record: str, reason: str) -> Score:
    return _as_score(record, dict.fromkeys(NLLS), dict.fromkeys(RATIOS), reason)


def _as_score(
    record: str, nlls: Mapping[str, float | None], ratios: Mapping[str, float | None], reason: str | None
) -> Score:
    counts: dict[str, Any] = dict.fromkeys(map(count_name, NLLS))
    fields: dict[str, Any] = {**nlls, **counts, **ratios}
    status: Any = "failed" if reason else "scored"
    return Score(id=record, **fields, truncated=[], status=status, reason=reason)


def _write(out: Path, scores: Sequence[Score], given: Imported, settings: GivenScores) -> None:
    reasons = Counter(score.reason for score in scores if score.reason)
    failed = reasons.total()
    say(f"{out}: {len(scores) - failed} imported, {failed} null")
    for reason, count in reasons.most_common(8):
        say(f"  {count} null: {reason}")
    if not given.texts_compared and given.rank_correlation_with_length is None:
        say("  few scores, and no text occurs twice: that they have the data set's order could not be checked")
    sidecar = Sidecar(
        model=given.student,
        identity="given",
        settings=StepSettings(**settings.model_dump(exclude={"files"})),
        texts=None,
        given=given,
        counts={"scored": len(scores) - failed, "null": failed},
        reasons=dict(reasons),
        versions=packages.versions("selective-reflection-tuning"),
    )
    write_sidecar(sidecar_of(out), sidecar)
    write_records(out, scores)
