"""The paired bootstrap against what can be known without it, and on real judgments."""

import math
import random
import statistics
from pathlib import Path

import pytest

from srt.evaluation.statistics import paired_difference
from srt.evaluation.win_rate import win_shares
from srt.storage.readers import read_json


def test_the_interval_is_that_of_the_normal_approximation_for_many_questions() -> None:
    drawn = random.Random(0)
    theirs = {str(i): drawn.gauss(0, 1) for i in range(2000)}
    ours = {key: value + drawn.gauss(0.1, 0.5) for key, value in theirs.items()}
    found = paired_difference(ours, theirs)
    differences = [ours[key] - theirs[key] for key in theirs]
    mean, error = statistics.fmean(differences), statistics.stdev(differences) / math.sqrt(2000)
    assert found is not None
    assert found.value == pytest.approx(mean)
    assert found.low == pytest.approx(mean - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(mean + 1.96 * error, abs=0.1 * error)
    assert found.told_apart
    unpaired = math.sqrt(sum(statistics.variance(side.values()) / 2000 for side in (ours, theirs)))
    assert found.high - found.low < 0.5 * 2 * 1.96 * unpaired  # what the models share is no error of their difference


def test_only_shared_questions_count_and_the_order_does_not() -> None:
    ours, theirs = {"a": 1.0, "b": 0.0, "c": 1.0, "x": 9.0}, {"c": 0.0, "b": 0.0, "a": 0.0, "y": 9.0}
    found = paired_difference(ours, theirs)
    assert found == paired_difference(dict(reversed(ours.items())), theirs)
    assert found is not None
    assert (found.value, found.n) == (pytest.approx(2 / 3), 3)
    assert found.told_apart is None  # three questions tell nothing
    assert paired_difference({"a": 1.0}, {"b": 1.0}) is None
    single = paired_difference({"a": 1.0}, {"a": 0.0})
    assert single is not None
    assert (single.value, single.low, single.told_apart) == (1.0, None, None)


def test_groups_are_weighed_as_the_leaderboard_does() -> None:
    def group(key: str) -> tuple[str, ...]:
        return tuple(key.split("/")[:2])

    values = {"arc/arc": [3.0, 3.0], "mmlu/one": [1.0, 1.0, 1.0, 1.0], "mmlu/two": [5.0, 5.0]}
    ours = {f"{name}/{i}": value for name, of_task in values.items() for i, value in enumerate(of_task)}
    found = paired_difference(ours, dict.fromkeys(ours, 0.0), group)
    assert found is not None
    assert found.value == pytest.approx((3 + (1 + 5) / 2) / 2)
    assert (found.low, found.high) == (pytest.approx(found.value), pytest.approx(found.value))


def test_two_published_models_are_told_apart_and_one_from_itself_is_not(shared_data: Path) -> None:
    def shares(name: str) -> dict[str, float]:
        rows = read_json(shared_data / "alpaca_eval" / f"{name}.annotations.json")
        return dict(win_shares([str(i) for i in range(len(rows))], [row["preference"] for row in rows]))

    ours, theirs = shares("recycled-wizardlm-7b-v2.0"), shares("alpaca-7b")
    assert statistics.fmean(ours.values()) == pytest.approx(83.47826, abs=1e-5)
    assert statistics.fmean(theirs.values()) == pytest.approx(26.45963, abs=1e-5)
    found = paired_difference(ours, theirs)
    assert found is not None
    assert (round(found.value, 5), found.n, found.told_apart) == (57.01863, 805, True)
    same = paired_difference(ours, ours)
    assert same is not None
    assert (same.value, same.told_apart) == (0, False)
