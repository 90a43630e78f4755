"""The error of a mean, and of a difference: a paired bootstrap over the questions that two models both answered."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

RESAMPLES = 9999
CONFIDENCE = 0.95
NORMAL_95 = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
SEED = 0
LEAST = 30  # questions of a group: of fewer, a bootstrap's interval is too narrow to tell anything apart by
BATCH_CELLS = 2_000_000  # of one resampling, so that ten thousand questions take no more memory than a hundred


def mean_and_error(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean, and its standard error: the sample's standard deviation over sqrt(n); null for too few values."""
    if not values:
        return None, None
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def inside_error(
    ours: float | None, error: float | None, theirs: float | None, their_error: float | None
) -> bool | None:
    """Whether two independent estimates differ by no more than their 95% interval (normal approximation).

    Args:
        ours: an estimate.
        error: its standard error.
        theirs: another estimate.
        their_error: its standard error; where it is not known, it is taken as 0.

    Returns:
        None where an estimate or our error is not known.
    """
    if ours is None or theirs is None or error is None:
        return None
    return abs(ours - theirs) <= NORMAL_95 * math.hypot(error, their_error or 0.0)


@dataclass(frozen=True)
class Difference:
    """Mean of ours minus theirs on the same questions, with the bounds of its interval.

    `n` questions, `smallest` of them in the smallest group.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    smallest: int

    @property
    def interval(self) -> tuple[float, float | None, float | None]:
        """The value, and the interval's bounds where there are enough questions for one."""
        few = self.smallest < LEAST
        return self.value, None if few else self.low, None if few else self.high

    @property
    def told_apart(self) -> bool | None:
        """Whether 0 lies outside the interval; None where there are too few questions to say."""
        if self.low is None or self.high is None or self.smallest < LEAST:
            return None
        return not self.low <= 0 <= self.high


def paired_difference(
    ours: Mapping[str, float],
    theirs: Mapping[str, float],
    group: Callable[[str], tuple[str, ...]] = lambda key: (),
) -> Difference | None:
    """The difference of two models' means on the questions that both have, and its 95% percentile interval.

    Questions are drawn anew, with both models' values together, within each group (a benchmark's task), as the
    groups are taken as given. Where groups are nested the mean is unweighted at every level: over the benchmarks of
    the leaderboard, and over the subjects of MMLU.

    Args:
        ours: our model's value by question.
        theirs: the other model's.
        group: the group of a question, from the outermost level to the innermost; none for a plain mean.

    Returns:
        None where they share no question; bounds of None where a group has a single one.
    """
    import numpy as np
    from scipy.stats import bootstrap

    pairs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for key in sorted(ours.keys() & theirs.keys()):
        pairs[group(key)].append(ours[key] - theirs[key])
    if not pairs:
        return None
    weights = _weights(list(pairs))
    value = sum(weights[name] * float(np.mean(values)) for name, values in pairs.items())
    sizes = [len(values) for values in pairs.values()]
    n, smallest = sum(sizes), min(sizes)
    if smallest < 2:
        return Difference(value, None, None, n, smallest)
    drawn = np.random.default_rng(SEED)
    total = np.zeros(RESAMPLES)
    for name, values in pairs.items():
        if len(set(values)) == 1:
            total += weights[name] * values[0]  # nothing varies
            continue
        found = bootstrap(
            (np.asarray(values),),
            np.mean,
            n_resamples=RESAMPLES,
            batch=max(1, BATCH_CELLS // len(values)),
            method="percentile",
            random_state=drawn,
        )
        total += weights[name] * found.bootstrap_distribution
    low, high = np.quantile(total, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(value, float(low), float(high), n, smallest)


def _weights(groups: list[tuple[str, ...]]) -> dict[tuple[str, ...], float]:
    """Each group's share of an unweighted mean at every level."""
    weights = dict.fromkeys(groups, 1.0)
    depth = len(groups[0])
    for level in range(depth):
        siblings: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for name in groups:
            siblings[name[:level]].add(name[level])
        for name in groups:
            weights[name] /= len(siblings[name[:level]])
    return weights
