"""A judge beside published judgments: judges of known character over real HTTP, and the numbers that must come out."""

import json
import math
from pathlib import Path

import pytest

from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge, judging
from srt.evaluation.calibration import Pair, calibrate, calibration_metrics
from srt.llm.servers import ServerError
from srt.settings import CalibrationConfig
from srt.storage.errors import InputError
from srt.storage.readers import read_json
from srt.storage.records import Evaluation

pytestmark = pytest.mark.slow

MODELS = ("weak", "fair", "strong")


def choice(first: float) -> dict:
    """The judge's reply in the log-probability form: how likely it names m, which is shown first."""
    top = [
        {"token": name, "bytes": [], "logprob": math.log(chance)}
        for name, chance in (("m", first), ("M", 1 - first))
        if chance > 0
    ]
    return {"logprobs": {"content": [{**top[0], "top_logprobs": top}], "refusal": None}}


@pytest.fixture
def annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three models of 20 pairs; of place p wins 5 (p + 1), its answers are longer than the reference's by place."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    paths = []
    for place, model in enumerate(MODELS):
        rows = []
        for i in range(20):
            won = i < 5 * (place + 1)
            texts = {"output_1": f"reference {i}", "output_2": f"{'GOOD' if won else 'poor'} {model}" + " x" * i}
            about = {"instruction": f"Question {i}?", "generator_2": model, "preference": 2 if won else 1}
            rows.append({**about, **texts})
        paths.append(tmp_path / f"{model}.json")
        paths[-1].write_text(json.dumps(rows))
    return paths


def run(annotations: list[Path], fake: FakeJudge, sample: int = 60, form: str = "alpaca_eval") -> dict[str, tuple]:
    out = annotations[0].parent / "calibration.json"
    settings = CalibrationConfig(annotations=[], sample=sample, seed=0, missing_share=0.0)
    calibrate(annotations, out, "config/judges/j.yaml", [form], settings, judging(out.parent / "cache", fake.endpoint))
    found = Evaluation.model_validate(read_json(out))
    assert found.missing == {}
    assert {metric.name.split(".")[0] for metric in found.metrics} == {form}
    return {metric.name.split(".")[1]: (metric.value, metric.n) for metric in found.metrics}


def answers(request: dict) -> list[str]:
    """The two answers in the order in which they are shown."""
    text = request["messages"][-1]["content"]
    one, two = text.split("Answer of model m:\n")[1].split("\n\nAnswer of model M:\n")
    return [one, two.split("\n\nWeigh how")[0]]


def test_a_judge_that_judges_as_published(annotations: list[Path]) -> None:
    def judge(request: dict, count: int) -> dict:
        first, second = answers(request)
        model = first if "reference" in second else second
        return choice(0.9 if ("GOOD" in model) == (model is first) else 0.1)

    with FakeJudge(judge) as fake:
        found = run(annotations, fake)
        assert len(fake.requests) == 120
        assert run(annotations, fake) == found
        assert len(fake.requests) == 120
    assert found["agreement"] == (100, 60)
    assert found["kappa"] == (pytest.approx(1), 60)
    assert found["consistency"] == (100, 60)
    assert (found["first_bias"], found["length_bias"]) == ((0, 60), (0, 57))  # three are as long as the reference
    assert found["rank_correlation"] == (pytest.approx(1), 3)


def test_a_judge_that_scores_both_answers(annotations: list[Path]) -> None:
    def judge(request: dict, count: int) -> str:
        text = request["messages"][-1]["content"]
        one, two = text.split("What assistant 1 answered:\n")[1].split("\n\nWhat assistant 2 answered:\n")
        return " ".join("9" if "GOOD" in answer else "3" if "poor" in answer else "5" for answer in (one, two))

    with FakeJudge(judge) as fake:
        found = run(annotations, fake, form="pairwise")
        assert len(fake.requests) == 120
    assert (found["agreement"], found["consistency"]) == ((100, 60), (100, 60))
    assert found["first_bias"] == (0, 60)
    assert found["rank_correlation"] == (pytest.approx(1), 3)


def test_a_judge_that_grades_each_answer_by_itself(annotations: list[Path]) -> None:
    def judge(request: dict, count: int) -> str:
        text = request["messages"][-1]["content"]
        return "9" if "GOOD" in text else "[[3]]" if "poor" in text else "Grade: 5/10"

    with FakeJudge(judge) as fake:
        found = run(annotations, fake, form="mt_bench")
    assert (found["agreement"], found["consistency"], found["first_bias"]) == ((100, 60), (100, 60), (0, 60))


def test_a_form_that_the_judge_has_not_is_refused(annotations: list[Path], tmp_path: Path) -> None:
    settings = CalibrationConfig(annotations=[], sample=6, seed=0, missing_share=0.0)
    with pytest.raises(InputError, match=r"j\.yaml: mt_bench: is null"):
        calibrate(annotations, tmp_path / "c.json", "j.yaml", ["mt_bench"], settings, judging(tmp_path, mt_bench=None))


def test_pairs_that_cannot_be_read_fail_the_calibration_and_are_counted_as_pairs(annotations: list[Path]) -> None:
    def judge(request: dict, count: int) -> str:
        text = request["messages"][-1]["content"]
        return "no idea" if "Question 3?" in text else "8 7"

    with FakeJudge(judge) as fake:
        with pytest.raises(ServerError, match=r"3 of 60 pairs have no usable verdict \(3 pairwise: unreadable verdict"):
            run(annotations, fake, form="pairwise")
        out = annotations[0].parent / "allowed.json"
        settings = CalibrationConfig(annotations=[], sample=60, seed=0, missing_share=0.1)
        judged = judging(out.parent / "cache", fake.endpoint)
        calibrate(annotations, out, "config/judges/j.yaml", ["pairwise"], settings, judged)
    found = Evaluation.model_validate(read_json(out))
    (missing,) = found.missing.values()
    assert {metric.name: metric.n for metric in found.metrics}["pairwise.agreement"] == 60 - missing
    assert missing == 3


def test_a_judge_that_names_who_is_first(annotations: list[Path]) -> None:
    with FakeJudge(lambda request, count: choice(0.9)) as fake:
        found = run(annotations, fake)
    assert (found["first_bias"], found["consistency"], found["agreement"]) == ((100, 60), (0, 60), (0, 60))
    assert found["rank_correlation"] == (None, 3)


def test_a_judge_that_loves_length(annotations: list[Path]) -> None:
    def judge(request: dict, count: int) -> dict:
        first, second = answers(request)
        return choice(0.5 if len(first) == len(second) else 0.9 if len(first) > len(second) else 0.1)

    with FakeJudge(judge) as fake:
        found = run(annotations, fake, sample=30)
    assert found["length_bias"][0] > 0
    assert found["first_bias"] == (0, 30)
    assert found["consistency"] == (100, 30)


def test_metrics_from_known_pairs() -> None:
    shares = [(1.0, 0.9, 0.9), (1.0, 0.2, 0.2), (0.0, 0.1, 0.1), (0.0, 0.9, 0.05), (0.5, 0.5, 0.5)]
    pairs = [Pair(str(i), "m", p, first, second, None) for i, (p, first, second) in enumerate(shares)]
    found = {metric.name.split(".")[1]: metric for metric in calibration_metrics("pairwise", pairs)}
    assert (found["agreement"].value, found["agreement"].n) == (80, 5)
    assert found["agreement"].se == pytest.approx(20)
    assert found["first_bias"].value == 20
    assert (found["length_bias"].value, found["length_bias"].n) == (None, 0)
    assert found["kappa"].value == pytest.approx((0.8 - 0.36) / (1 - 0.36))
    assert calibration_metrics("pairwise", [])[0].value is None


def test_real_published_pairs_are_drawn_alike_from_every_model(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "alpaca_eval"
    paths = [folder / f"{name}.annotations.json" for name in ("recycled-wizardlm-7b-v2.0", "alpaca-7b")]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(KEY_VARIABLE, KEY)
        with FakeJudge(lambda request, count: choice(0.6)) as fake:
            out, settings = tmp_path / "c.json", CalibrationConfig(annotations=[], sample=41, seed=0, missing_share=0.0)
            judged = judging(tmp_path / "cache", fake.endpoint)
            calibrate(paths, out, "config/judges/j.yaml", ["alpaca_eval"], settings, judged)
            assert 60 < len(fake.requests) <= 82  # alpaca-eval asks nobody about equal answers: a draw
    found = Evaluation.model_validate(read_json(out))
    assert {metric.name: metric.value for metric in found.metrics}["alpaca_eval.rank_correlation"] is None
    assert found.settings["sample"] == 41


def test_a_sample_that_cannot_be_drawn_is_refused(annotations: list[Path]) -> None:
    with FakeJudge(lambda request, count: choice(0.5)) as fake:
        with pytest.raises(InputError, match="--sample: expected at least one pair of each of 3 files, found 2"):
            run(annotations, fake, sample=2)
        with pytest.raises(InputError, match=r"expected at least 21 records with a verdict, found 20"):
            run(annotations, fake, sample=63)
