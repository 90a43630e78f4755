"""How far a judge agrees with published judgments: agreement, kappa, bias of position and length, order of models."""

from __future__ import annotations

import json
import math
import random
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt.evaluation import _reading as reading
from srt.evaluation import mt_bench, pairwise
from srt.evaluation._judge_records import described, versions
from srt.evaluation.alpaca_eval import inert_pair, preferences_of
from srt.evaluation.annotators import read_annotator
from srt.evaluation.judge import Judge, asking, form_of
from srt.evaluation.judging import Judging
from srt.evaluation.replay import read_annotations
from srt.evaluation.result import write_result
from srt.evaluation.statistics import mean_and_error
from srt.evaluation.win_rate import share_of
from srt.settings import CalibrationConfig
from srt.storage.errors import InputError
from srt.storage.journal import content_key
from srt.storage.records import Evaluation, Metric

Drawn = dict[str, str | float]  # a published pair
Shares = tuple[float | None, float | None]  # the model's, its answer shown first and second
Said = tuple[str, list[Shares], Counter[str]]  # the text of the prompt, the shares by pair, why others have none
QUANTITIES = ("agreement", "kappa", "consistency", "first_bias", "length_bias", "rank_correlation")
RESAMPLES = 200  # for the error of kappa
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
    file: str,
    forms: Sequence[str],
    settings: CalibrationConfig,
    judging: Judging,
) -> None:
    """Ask a judge about a sample of published pairs, in both orders, and write how it agrees as one `Evaluation`.

    Args:
        annotations: AlpacaEval's published annotations, a file for each model; as many pairs are drawn from each.
        out: the evaluation's JSON.
        file: the judge's file.
        forms: what it is asked: AlpacaEval's comparison, scores of both answers, a grade of each by itself. The metrics
            of each form begin with its name.
        settings: how many pairs in all, and the seed of their drawing.
        judging: who is calibrated (`file`), and how it is asked.

    Raises:
        InputError: a malformed file, fewer pairs than models, or a form that the judge has not.
        ServerError: the judge does not answer.
    """
    drawn = _drawn(annotations, settings.sample, settings.seed)
    judge = judging.judge
    prompts = {form: form_of(judge, form, file) for form in forms}
    metrics: list[Metric] = []
    items: list[tuple[str, float]] = []
    texts: dict[str, str] = {}
    missing: Counter[str] = Counter()
    with asking(judging, out) as asked:
        for form, prompt in prompts.items():
            texts[form], shares, why = ASKED[form](drawn, prompt, asked)
            pairs = [_pair(row, number, *both) for number, (row, both) in enumerate(zip(drawn, shares, strict=True))]
            judged = [pair for pair in pairs if pair is not None]
            lost = {f"{form}: {', '.join(sorted(why))}": len(drawn) - len(judged)} if why else {}
            asked.check(lost, len(drawn), settings.missing_share, "pairs")
            metrics += calibration_metrics(form, judged)
            items += [(f"{form}/{pair.id}", 100.0 * _agrees(pair)) for pair in judged]
            missing.update(lost)
    evaluation = Evaluation(
        benchmark="judge_calibration",
        metrics=metrics,
        judge={**described(judge, file, json.dumps(texts)), "prompts": {f: content_key(t) for f, t in texts.items()}},
        task_versions={"pairs": {"n": len(drawn), "sha256": content_key(drawn)}},
        settings={**settings.model_dump(), "annotations": [_name(path) for path in annotations]},
        versions=versions(judge, asked.answered_as, "alpaca-eval"),
        notes=asked.notes(),
        missing=dict(missing),
    )
    write_result(out, evaluation, items)


def _compared(drawn: Sequence[Drawn], prompt: str, asked: Judge) -> Said:
    """AlpacaEval's comparison: the model's answer is output 1 at first, and output 2 when turned."""
    annotator = read_annotator(prompt, asked.judging.judge)
    both = [_shown(row, number, turned) for number, row in enumerate(drawn) for turned in (False, True)]
    found, reasons = preferences_of(both, annotator, asked, shuffled=False)
    shares = [
        (_share(first, as_output_1=True), _share(second)) for first, second in zip(found[::2], found[1::2], strict=True)
    ]
    return annotator.identity, shares, reasons


def _share(preference: float | None, as_output_1: bool = False) -> float | None:
    share = None if preference is None else share_of(preference)
    return 1 - share if share is not None and as_output_1 else share


def _scored(drawn: Sequence[Drawn], prompt: str, asked: Judge) -> Said:
    """Scores of both answers, in both orders: the higher one wins."""
    text = pairwise.read_prompt(prompt)
    matches = [
        pairwise.Match(str(number), str(row["instruction"]), str(row["output_2"]), str(row["output_1"]))
        for number, row in enumerate(drawn)
    ]
    requests = {
        (match.id, turned): pairwise.request(match, turned, text, asked.judging.judge.serve)
        for match in matches
        for turned in (False, True)
    }
    scores, reasons = asked.read(requests, reading.scores, "calibration")
    shares = [(_ahead(scores.get((m.id, False))), _ahead(scores.get((m.id, True)), turned=True)) for m in matches]
    return text.model_dump_json(), shares, Counter(reasons.values())


def _ahead(scores: reading.Scores | None, turned: bool = False) -> float | None:
    """The model's share of one order's scores: 1 ahead, 0.5 equal, 0 behind."""
    return None if scores is None else 0.5 + _sign(scores[0], scores[1]) * (-0.5 if turned else 0.5)


def _graded(drawn: Sequence[Drawn], prompt: str, asked: Judge) -> Said:
    """A grade of each answer by itself: the higher one wins, whatever the order."""
    text = mt_bench.read_grading_prompt(prompt)
    requests = {
        (number, name): mt_bench.request(
            [(str(row["instruction"]), str(row[name]))], None, text, asked.judging.judge.serve
        )
        for number, row in enumerate(drawn)
        for name in ("output_2", "output_1")
    }
    grades, reasons = asked.read(requests, reading.grade, "calibration")
    both = [(grades.get((number, "output_2")), grades.get((number, "output_1"))) for number in range(len(drawn))]
    shares = [_ahead(None if ours is None or theirs is None else (ours, theirs)) for ours, theirs in both]
    return text.model_dump_json(), [(share, share) for share in shares], Counter(reasons.values())


ASKED: dict[str, Callable[[Sequence[Drawn], str, Judge], Said]] = {
    "alpaca_eval": _compared,
    "pairwise": _scored,
    "mt_bench": _graded,
}


def _drawn(annotations: Sequence[Path], sample: int, seed: int) -> list[Drawn]:
    """As many pairs with a verdict of each file, by chance."""
    if sample < len(annotations):
        raise InputError(f"--sample: expected at least one pair of each of {len(annotations)} files, found {sample}")
    drawn: list[Drawn] = []
    for place, path in enumerate(annotations):
        rows = [row for row in read_annotations(path) if row["preference"] is not None]
        wanted = sample // len(annotations) + (place < sample % len(annotations))
        if len(rows) < wanted:
            raise InputError(f"{path}: expected at least {wanted} records with a verdict, found {len(rows)}")
        keys = ("instruction", "output_1", "output_2", "preference")
        chosen = random.Random(f"{seed} {path.name}").sample(rows, wanted)
        drawn += [
            {**{key: row[key] for key in keys}, "model": str(row.get("generator_2") or _name(path))} for row in chosen
        ]
    return drawn


def _name(path: Path) -> str:
    """A file of annotations by its folder too: published ones are all called annotations.json."""
    return f"{path.parent.name}/{path.name}"


def _shown(row: Drawn, number: int, turned: bool) -> dict[str, str]:
    """The pair as the judge sees it: the model's answer first, or turned."""
    outputs = [str(row["output_2"]), str(row["output_1"])]
    first, second = reversed(outputs) if turned else outputs
    return inert_pair(f"{number}{'t' if turned else ''}", str(row["instruction"]), first, second)


def _pair(row: Drawn, number: int, first: float | None, second: float | None) -> Pair | None:
    """What the judge said in both orders; None where one of them has no verdict."""
    if first is None or second is None:
        return None
    lengths = len(str(row["output_2"])), len(str(row["output_1"]))
    longer = None if lengths[0] == lengths[1] else lengths[0] > lengths[1]
    return Pair(str(number), str(row["model"]), share_of(float(row["preference"])), first, second, longer)


def _verdict(share: float) -> str:
    return "win" if share > 0.5 else "loss" if share < 0.5 else "draw"


def _agrees(pair: Pair) -> bool:
    return _verdict(pair.share) == _verdict(pair.published)


def metric_name(form: str, quantity: str) -> str:
    """The name of a quantity of one form."""
    return f"{form}.{quantity}"


def calibration_metrics(form: str, pairs: Sequence[Pair]) -> list[Metric]:
    """What a calibration in one form comes to, agreement and shares in percent.

    - agreement: the same verdict (win, draw, loss) as published, over both orders; kappa: Cohen's, of the same.
    - consistency: the same verdict in both orders; first_bias: how much more often the answer shown first wins than
      the one shown second, in percent of all showings (0 for a judge that does not look at the order).
    - length_bias: how much more often than in the published verdicts the longer answer wins.
    - rank_correlation: Spearman's, of the models' mean shares; null for fewer than three models.
    """
    verdicts = [(_verdict(pair.published), _verdict(pair.share)) for pair in pairs]
    first = [_sign(pair.first) - _sign(pair.second) for pair in pairs]
    longer = [(pair, 1 if pair.longer else -1) for pair in pairs if pair.longer is not None]
    length = [sign * (_sign(pair.share) - _sign(pair.published)) / 2 for pair, sign in longer]
    found = [
        _mean("agreement", [100.0 * _agrees(pair) for pair in pairs]),
        _kappa(verdicts),
        _mean("consistency", [100.0 * (_verdict(pair.first) == _verdict(pair.second)) for pair in pairs]),
        _mean("first_bias", [100.0 * value / 2 for value in first]),
        _mean("length_bias", [100.0 * value for value in length]),
        _rank_correlation(pairs),
    ]
    return [metric.model_copy(update={"name": metric_name(form, metric.name)}) for metric in found]


def _kappa(verdicts: Sequence[tuple[str, str]]) -> Metric:
    """Cohen's kappa with the standard deviation of its bootstrap over the pairs as standard error."""
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    def kappa(rows: Sequence[tuple[str, str]]) -> float:
        # Where both always say the same, agreement by chance is certain and kappa is not defined.
        return math.nan if len({*sum(rows, ())}) == 1 else float(cohen_kappa_score(*map(list, zip(*rows, strict=True))))

    if not verdicts:
        return Metric(name="kappa", value=None, se=None, n=0)
    drawn = np.random.default_rng(0).integers(len(verdicts), size=(RESAMPLES, len(verdicts)))
    again = [value for rows in drawn if not math.isnan(value := kappa([verdicts[row] for row in rows]))]
    value = kappa(verdicts)
    error = statistics.stdev(again) if len(again) > 1 else None
    return Metric(name="kappa", value=None if math.isnan(value) else value, se=error, n=len(verdicts))


def _sign(value: float, middle: float = 0.5) -> int:
    return (value > middle) - (value < middle)


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
    constant = len(set(published)) == 1 or len(set(ours)) == 1  # of which there is no order
    found = None if constant else float(spearmanr(published, ours).statistic)
    return Metric(name="rank_correlation", value=found, se=None, n=len(models))
