"""How far a judge agrees with published judgments: agreement, kappa, bias of position and length, order of models."""

from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.evaluation.alpaca_eval import inert_pair, preferences_of, read_annotator, share_of
from srt.evaluation.judge import Judge, described, versions
from srt.evaluation.replay import read_annotations
from srt.evaluation.result import write_result
from srt.journal import content_key
from srt.records import Evaluation, InputError, Metric
from srt.server import server_log, serving
from srt.settings import Endpoint, ExecutionConfig, JudgeConfig
from srt.statistics import mean_and_error

LEAST_MODELS = 3  # of fewer there is no order to compare


@dataclass(frozen=True)
class Pair:
    """A published pair, and what the judge said of it in both orders; shares are the model's, from 0 to 1.

    Attributes:
        model: whose answer stands beside the reference's.
        published: 1 the model won, 0.5 a draw, 0 the reference won.
        first: the judge's share for the model where its answer was shown first.
        second: the same where it was shown second.
        longer: whether the model's answer is the longer one; None for equal lengths.
    """

    id: str
    model: str
    published: float
    first: float
    second: float
    longer: bool | None

    @property
    def share(self) -> float:
        """The judge's share over both orders."""
        return (self.first + self.second) / 2


def calibrate(
    annotations: Sequence[Path],
    out: Path,
    annotator: str,
    judge: JudgeConfig,
    endpoint: Endpoint | None,
    execution: ExecutionConfig,
    cache: Path,
    sample: int,
    seed: int,
) -> None:
    """Ask a judge about a sample of published pairs, in both orders, and write how it agrees as one `Evaluation`.

    Args:
        annotations: AlpacaEval's published annotations, a file for each model; as many pairs are drawn from each.
        out: the evaluation's JSON.
        annotator: the judge's prompt and parser, as in `srt evaluate alpaca-eval`.
        judge: who is calibrated.
        endpoint: where it answers, if it is not served.
        execution: concurrency, and what a served judge may use.
        cache: folder of the judge's replies; a killed calibration goes on from there.
        sample: how many pairs in all.
        seed: of the drawing.

    Raises:
        InputError: a malformed file, or fewer pairs than models.
        ServerError: the judge does not answer.
    """
    drawn = _drawn(annotations, sample, seed)
    asked_of = read_annotator(annotator, judge)
    with (
        serving(judge, execution, endpoint, server_log(cache, out)) as server,
        Judge(server, judge, execution, cache, str(out.resolve())) as asked,
    ):
        both = [_shown(row, number, turned) for number, row in enumerate(drawn) for turned in (False, True)]
        preferences, reasons = preferences_of(both, asked_of, asked, judge.serve, cache, shuffled=False)
    pairs = [
        _pair(row, number, preferences[2 * number], preferences[2 * number + 1]) for number, row in enumerate(drawn)
    ]
    judged = [pair for pair in pairs if pair is not None]
    evaluation = Evaluation(
        benchmark="judge_calibration",
        metrics=calibration_metrics(judged),
        judge={**described(judge, asked_of.prompt), "annotator": asked_of.name},
        task_versions=None,
        settings={"annotations": [path.name for path in annotations], "sample": sample, "seed": seed},
        versions={**versions(judge, asked.answered_as, "alpaca-eval"), "pairs_sha256": content_key(drawn)},
        missing=dict(reasons),
    )
    write_result(out, evaluation, [(pair.id, 100.0 * _agrees(pair)) for pair in judged])


def _drawn(annotations: Sequence[Path], sample: int, seed: int) -> list[dict[str, str | float]]:
    """As many pairs with a verdict of each file, by chance."""
    if sample < len(annotations):
        raise InputError(f"--sample: expected at least one pair of each of {len(annotations)} files, found {sample}")
    drawn: list[dict[str, str | float]] = []
    for place, path in enumerate(annotations):
        rows = [row for row in read_annotations(path) if row["preference"] is not None]
        wanted = sample // len(annotations) + (place < sample % len(annotations))
        if len(rows) < wanted:
            raise InputError(f"{path}: expected at least {wanted} records with a verdict, found {len(rows)}")
        keys = ("instruction", "output_1", "output_2", "preference")
        chosen = random.Random(f"{seed} {path.name}").sample(rows, wanted)
        drawn += [
            {**{key: row[key] for key in keys}, "model": str(row.get("generator_2") or path.stem)} for row in chosen
        ]
    return drawn


def _shown(row: dict[str, str | float], number: int, turned: bool) -> dict[str, str]:
    """The pair as the judge sees it: the model's answer first, or turned."""
    outputs = [str(row["output_2"]), str(row["output_1"])]
    first, second = reversed(outputs) if turned else outputs
    return inert_pair(f"{number}{'t' if turned else ''}", str(row["instruction"]), first, second)


def _pair(row: dict[str, str | float], number: int, first: float | None, second: float | None) -> Pair | None:
    """What the judge said, as shares of the model: its answer was output 1 at first, output 2 when turned."""
    if first is None or second is None:
        return None
    lengths = len(str(row["output_2"])), len(str(row["output_1"]))
    longer = None if lengths[0] == lengths[1] else lengths[0] > lengths[1]
    published = share_of(float(row["preference"]))
    return Pair(str(number), str(row["model"]), published, 1 - share_of(first), share_of(second), longer)


def _verdict(share: float) -> str:
    return "win" if share > 0.5 else "loss" if share < 0.5 else "draw"


def _agrees(pair: Pair) -> bool:
    return _verdict(pair.share) == _verdict(pair.published)


def calibration_metrics(pairs: Sequence[Pair]) -> list[Metric]:
    """What a calibration comes to, agreement and shares in percent.

    - agreement: the same verdict (win, draw, loss) as published, over both orders; kappa: Cohen's, of the same.
    - consistency: the same verdict in both orders; first_bias: how much more often the answer shown first wins than
      the one shown second, in percent of all showings (0 for a judge that does not look at the order).
    - length_bias: how much more often than in the published verdicts the longer answer wins.
    - rank_correlation: Spearman's, of the models' mean shares; null for fewer than three models.
    """
    from sklearn.metrics import cohen_kappa_score

    verdicts = [(_verdict(pair.published), _verdict(pair.share)) for pair in pairs]
    kappa = float(cohen_kappa_score(*map(list, zip(*verdicts, strict=True)))) if verdicts else math.nan
    first = [_sign(pair.first) - _sign(pair.second) for pair in pairs]
    longer = [(pair, 1 if pair.longer else -1) for pair in pairs if pair.longer is not None]
    length = [sign * (_sign(pair.share) - _sign(pair.published)) / 2 for pair, sign in longer]
    return [
        _mean("agreement", [100.0 * _agrees(pair) for pair in pairs]),
        Metric(name="kappa", value=None if math.isnan(kappa) else kappa, se=None, n=len(pairs)),
        _mean("consistency", [100.0 * (_verdict(pair.first) == _verdict(pair.second)) for pair in pairs]),
        _mean("first_bias", [100.0 * value / 2 for value in first]),
        _mean("length_bias", [100.0 * value for value in length]),
        _rank_correlation(pairs),
    ]


def _sign(share: float) -> int:
    return (share > 0.5) - (share < 0.5)


def _mean(name: str, values: Sequence[float]) -> Metric:
    value, error = mean_and_error(values)
    return Metric(name=name, value=value, se=error, n=len(values))


def _rank_correlation(pairs: Sequence[Pair]) -> Metric:
    from scipy.stats import spearmanr

    models: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        models[pair.model].append(pair)
    if len(models) < LEAST_MODELS:
        return Metric(name="rank_correlation", value=None, se=None, n=len(models))
    published = [statistics.fmean(pair.published for pair in of_model) for of_model in models.values()]
    ours = [statistics.fmean(pair.share for pair in of_model) for of_model in models.values()]
    found = float(spearmanr(published, ours).statistic)
    return Metric(name="rank_correlation", value=None if math.isnan(found) else found, se=None, n=len(models))
