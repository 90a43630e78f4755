"""AlpacaEval 2's length-controlled win rate, through the package, with the hub's file given as a local one."""

import random

import pandas as pd
import pytest

from srt.evaluation import win_rate
from srt.evaluation.win_rate import length_controlled
from srt.storage.errors import InputError
from srt.storage.readers import read_json

N = 200


@pytest.fixture
def difficulty(tmp_path):
    """A file in the shape of df_gamed.csv: every question's difficulty, and a terse and a wordy gamed baseline."""
    draw = random.Random(0)
    rows = [
        {
            "model": model,
            "index": index,
            "instruction_difficulty": draw.gauss(0, 1) if model == "terse" else 0.0,
            "preference": 1 / (1 + 2.7 ** -(1.5 * length)),
            "std_delta_len": -length,
            "not_gamed_baseline": False,
        }
        for model, length in (("terse", -1.0), ("wordy", 1.0))
        for index in range(N)
    ]
    path = tmp_path / "df_gamed.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def judged(factor, gain):
    """Rows and preferences of a judge that loves length, for a model whose answers are `factor` times as long."""
    draw = random.Random(1)
    rows, preferences = [], []
    for position in range(N):
        reference = draw.randint(80, 120)
        length = int(reference * factor * draw.uniform(0.8, 1.2))
        rows.append({"position": position, "output_1": "x" * reference, "output_2": "y" * length})
        share = 0.5 + gain + 0.3 * max(-1.0, min(1.0, (length - reference) / 50))
        preferences.append(1 + max(0.01, min(0.99, share)))
    return rows, preferences


def test_what_only_length_won_is_taken_back(difficulty):
    rows, preferences = judged(1.5, 0.0)
    raw = 100 * (sum(preferences) / N - 1)
    found = length_controlled(rows, preferences, difficulty)
    assert raw > 70
    assert found.value < raw - 10
    assert (found.name, found.n) == ("lc_win_rate", N)
    assert found.se > 0
    better = length_controlled(*judged(1.5, 0.15), difficulty)
    assert better.value > found.value


def test_what_was_not_judged_is_left_out_and_the_order_does_not_matter(difficulty):
    rows, preferences = judged(1.2, 0.1)
    partly = [None if number % 10 == 0 else p for number, p in enumerate(preferences)]
    found = length_controlled(rows, partly, difficulty)
    turned = length_controlled(rows[::-1], partly[::-1], difficulty)
    assert found.n == N - N // 10
    # Both fits stop within the solver's tolerance.
    assert turned.value == pytest.approx(found.value, abs=0.5)
    assert length_controlled(rows, [None] * N, difficulty).value is None


def test_the_package_is_as_before(difficulty):
    glm = win_rate.package().metrics.glm_winrate
    import sklearn

    download, routing = glm.hf_hub_download, sklearn.get_config()["enable_metadata_routing"]
    length_controlled(*judged(1.0, 0.0), difficulty)
    assert glm.hf_hub_download is download
    assert sklearn.get_config()["enable_metadata_routing"] == routing


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="instruction_difficulty"), "column instruction_difficulty: is missing"),
        (lambda frame: frame[frame["index"] < N - 5], f"row {N - 5}: index: expected {N - 5}"),
        (lambda frame: frame.iloc[::-1], "row 0: index: expected 0"),
    ],
)
def test_another_file_is_refused(difficulty, change, message):
    change(pd.read_csv(difficulty)).to_csv(difficulty, index=False)
    with pytest.raises(InputError, match=message):
        length_controlled(*judged(1.0, 0.0), difficulty)


def test_real_published_judgments(shared_data, tmp_path):
    """The paper's model is four times as long as its reference: at equal length it wins less; Alpaca's is as long."""
    folder, size = shared_data / "alpaca_eval", 805
    gamed = [
        {
            "model": model,
            "index": index,
            "instruction_difficulty": 0.0,
            "preference": share,
            "std_delta_len": delta,
            "not_gamed_baseline": False,
        }
        for model, share, delta in (("terse", 0.2, 1.0), ("wordy", 0.8, -1.0))
        for index in range(size)
    ]
    path = tmp_path / "df_gamed.csv"
    pd.DataFrame(gamed).to_csv(path, index=False)
    found = {}
    for name in ("recycled-wizardlm-7b-v2.0", "alpaca-7b"):
        rows = read_json(folder / f"{name}.annotations.json")
        shown = [{"position": i, **{key: row[key] for key in ("output_1", "output_2")}} for i, row in enumerate(rows)]
        preferences = [None if row["preference"] is None else row["preference"] or 1.5 for row in rows]
        found[name] = length_controlled(shown, preferences, path).value
    assert found["recycled-wizardlm-7b-v2.0"] < 83.47826
    assert found["alpaca-7b"] == pytest.approx(26.45963, abs=1)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_difficulty_that_is_not_finite_is_refused(difficulty, value):
    frame = pd.read_csv(difficulty)
    frame.loc[7, "instruction_difficulty"] = value
    frame.to_csv(difficulty, index=False)
    with pytest.raises(InputError, match=r"df_gamed.csv: row 7: instruction_difficulty: expected a finite number"):
        length_controlled(*judged(1.5, 0.15), difficulty)
