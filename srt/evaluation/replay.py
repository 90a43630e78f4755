"""Rows recomputed from judgments that somebody has already made: no network, no key, no judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from srt.evaluation._reading import Scores, is_score, outside_scale
from srt.evaluation.judge import UNREADABLE
from srt.evaluation.pairwise import Verdict, points_of, score_metrics, verdict
from srt.evaluation.questions import text_id
from srt.evaluation.request import ReplayRequest
from srt.evaluation.result import write_result
from srt.evaluation.win_rate import win_metrics, win_shares
from srt.storage.errors import InputError
from srt.storage.journal import content_key
from srt.storage.readers import read_json, read_lines
from srt.storage.records import Evaluation

NO_VERDICT = "no verdict in the annotations"
NO_JUDGMENT = "no judgment of the answer"


def replay_alpaca_eval(request: ReplayRequest) -> None:
    """Recompute an AlpacaEval 1.0 row from published annotations, and write it as one `Evaluation`.

    Args:
        request: `judgments` are AlpacaEval's annotations, a JSON list: `instruction`, `output_1`, `output_2`,
            `preference` (1 the reference won, 2 the model won, 0 or 1.5 a draw, null or NaN without a verdict). They
            are of one model, beside one reference. `outputs` are the model's own, a JSON list with `instruction` and
            `output`: its length is measured on all of them, and those without a judgment are counted as missing.
            Without the file, on what was judged.

    Raises:
        InputError: names file, record and field of what is malformed, of another model than the first record's, or a
            judgment of an answer not in `outputs`.
    """
    annotations, outputs = request.judgments, request.outputs
    rows = read_annotations(annotations)
    reference, model = (_only(rows, name, annotations) for name in ("generator_1", "generator_2"))
    missing = Counter({NO_VERDICT: sum(row["preference"] is None for row in rows)})
    texts = [row["output_2"] for row in rows]
    if outputs is not None:
        found = [row for _, row in _rows(outputs)]
        answers = [_output(row, f"{outputs}: record {number}") for number, row in enumerate(found, start=1)]
        _only(found, "generator", outputs)
        missing[NO_JUDGMENT] = _unjudged(rows, answers, annotations, outputs)
        texts = [text for _, text in answers]
    evaluation = Evaluation(
        benchmark="alpaca_eval",
        metrics=win_metrics([row["preference"] for row in rows], list(map(len, texts))),
        judge={"annotator": _only(rows, "annotator", annotations), "replayed": True},
        task_versions=None,
        settings={
            "model": model,
            "reference": reference,
            "annotations_sha256": content_key(rows),
        },
        versions={"alpaca_eval": version("alpaca-eval")},
        missing={reason: count for reason, count in missing.items() if count},
    )
    repeats: Counter[str] = Counter()
    ids = [text_id(row["instruction"], repeats) for row in rows]
    write_result(request.out, evaluation, win_shares(ids, [row["preference"] for row in rows]))


def replay_pairwise(request: ReplayRequest) -> None:
    """Recompute a pairwise comparison of models a and b from scores in both orders, as one `Evaluation` of a.

    Args:
        request: `judgments` are JSONL of `id`, `a_first` ([score of a, score of b], a shown first), `b_first` ([score
            of b, score of a]), from 1 to 10, or 0; null where an order has no verdict that can be read. Such a
            question is missing, not a tie.

    Raises:
        InputError: names file, line and field of what is malformed.
    """
    judgments, out = request.judgments, request.out
    verdicts: dict[str, Verdict] = {}
    judged: list[Scores] = []
    missing: Counter[str] = Counter()
    seen: set[str] = set()
    for number, row in read_lines(judgments, nan_is_null=True):
        where = f"{judgments}: line {number}"
        if not isinstance(row, dict) or not isinstance(row.get("id"), str | int) or str(row["id"]) in seen:
            raise InputError(f"{where}: id: expected text or a whole number that no other line has")
        seen.add(str(row["id"]))
        orders = [_scores(row, name, where) for name in ("a_first", "b_first")]
        if orders[0] is None or orders[1] is None:
            missing[UNREADABLE] += 1
        else:
            verdicts[str(row["id"])] = verdict(orders[0], orders[1])
            judged += [orders[0], orders[1]]
    if not seen:
        raise InputError(f"{judgments}: has no judgments, expected at least one line")
    evaluation = Evaluation(
        benchmark="pairwise",
        metrics=score_metrics(list(verdicts.values())),
        judge={"replayed": True},
        task_versions=None,
        settings={"judgments": judgments.name},
        versions={},
        missing=dict(missing),
        notes=outside_scale(judged, out),
    )
    write_result(out, evaluation, points_of(verdicts))


def read_annotations(path: Path) -> list[dict[str, Any]]:
    """AlpacaEval's published annotations, checked; InputError names file, record and field."""
    return [_annotation(row, f"{path}: record {number}") for number, row in _rows(path)]


def _rows(path: Path) -> list[tuple[int, Any]]:
    rows = read_json(path, nan_is_null=True)
    if not isinstance(rows, list) or not rows:
        raise InputError(f"{path}: expected a JSON list of at least one record")
    return list(enumerate(rows, start=1))


def _annotation(row: Any, where: str) -> dict[str, Any]:
    for name in ("instruction", "output_1", "output_2"):
        if not isinstance(row, dict) or not isinstance(row.get(name), str):
            raise InputError(f"{where}: {name}: expected text")
    preference = row.get("preference")
    number = isinstance(preference, int | float) and not isinstance(preference, bool)
    if preference is not None and not (number and (preference == 0 or 1 <= preference <= 2)):
        raise InputError(f"{where}: preference: expected 0, 1 to 2, or null, found {preference!r}")
    return {**row, "preference": None if preference is None else float(preference)}


def _output(row: Any, where: str) -> tuple[str, str]:
    for name in ("instruction", "output"):
        if not isinstance(row, dict) or not isinstance(row.get(name), str):
            raise InputError(f"{where}: {name}: expected text")
    return row["instruction"], row["output"]


def _unjudged(
    rows: Sequence[Mapping[str, Any]], answers: Sequence[tuple[str, str]], annotations: Path, outputs: Path
) -> int:
    """How many answers nobody judged; InputError for a judgment of an answer that is not there."""
    left = Counter(answers)
    for number, row in enumerate(rows, start=1):
        answer = (row["instruction"], row["output_2"])
        if not left[answer]:
            raise InputError(f"{annotations}: record {number}: output_2: is no answer in {outputs} to its instruction")
        left[answer] -= 1
    return left.total()


def _only(rows: Sequence[Mapping[str, Any]], name: str, path: Path) -> str | None:
    """What all the rows say under that name, None where none says anything.

    InputError where two of them differ: a row of the leaderboard is one model's, beside one reference, by one judge.
    Rows that say nothing beside rows that do are of another one too, for all that is known.
    """
    said = [None if row.get(name) is None else str(row[name]) for row in rows]
    expected = next((found for found in said if found is not None), None)
    for number, found in enumerate(said, start=1):
        if found != expected:
            place = said.index(expected) + 1
            raise InputError(
                f"{path}: record {number}: {name}: expected {expected!r}, as in record {place}, found {found!r}"
            )
    return expected


def _scores(row: Mapping[str, Any], name: str, where: str) -> Scores | None:
    if name not in row:
        raise InputError(f"{where}: {name}: is missing, expected two scores, or null where there are none")
    value = row[name]
    if value is None or (isinstance(value, list) and None in value):
        return None
    numbers = isinstance(value, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if not numbers or len(value) != 2 or not all(map(is_score, value)):
        raise InputError(f"{where}: {name}: expected two scores from 1 to 10, or 0, or null, found {value!r}")
    return float(value[0]), float(value[1])
