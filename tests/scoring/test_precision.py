"""Which decisions are in doubt, on hand-made scores; and that rescoring gives the selection of float32."""

import math
import random
from pathlib import Path

import pytest

from helpers.scores import choice
from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.scoring.precision import Doubt, Doubts, ErrorModel, overflowed
from srt.scoring.rescore import rescore
from srt.scoring.score import score as score_pairs
from srt.scoring.score import with_nlls
from srt.selection.candidates import Candidate
from srt.selection.choice import Choice
from srt.selection.ledger import decide_all
from srt.selection.method import Method, Preference
from srt.selection.select import select
from srt.settings.job import Job
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_json, write_records
from srt.storage.readers import read_json
from srt.storage.records import LedgerEntry, Pair, Rescored, Score

CONFIG, _ = load()
SELECTION = CONFIG.selection
VARIANTS = ("original", "instruction", "response", "both")
# |error| <= 0.1 nats for 4 tokens
ERROR = ErrorModel(scale=0.2, sample=1)


def scored(log_ifd: float, log_r_ifd: float = -1.0, tokens: int = 4, response: float = 2.0) -> Score:
    nlls = {
        "nll_instruction": 3.0,
        "nll_response": response,
        "nll_instruction_given_response": 3.0 + log_r_ifd,
        "nll_response_given_instruction": response + log_ifd,
    }
    counts = {name.replace("nll", "tokens"): tokens for name in nlls}
    rest = {"truncated": [], "status": "scored", "reason": None}
    return with_nlls(Score(id="x", **nlls, **counts, ifd=None, r_ifd=None, **rest), {})


def record(**scores: Score) -> dict[str, Candidate]:
    return {variant: Candidate(variant, score) for variant, score in scores.items()}


def doubts(records, method="all_outcomes", ratio=1.0, exact=frozenset()):
    return Doubts(choice(method, ratio, settings=SELECTION), exact, ERROR).find(records)


def both_ratios(name, *variants):
    return {Doubt("a", variant, name) for variant in variants}


def test_the_error_model_covers_what_was_measured_and_shrinks_with_length() -> None:
    model = ErrorModel.measured([(4, 0.01), (100, -0.002), (16, 0.5)])
    assert model.sample == 3
    assert model.bound([16]) >= 0.5
    assert model.bound([400]) == pytest.approx(model.bound([4]) / 10)
    assert model.bound([4, 4]) == pytest.approx(model.bound([4]) * math.sqrt(2))


def test_a_clear_decision_is_not_in_doubt() -> None:
    four = record(original=scored(-1.0), instruction=scored(-0.3), response=scored(-1), both=scored(-0.4, -2.0))
    assert doubts({"a": four}) == set()


def test_a_close_first_phase_is_looked_at_before_the_second() -> None:
    # The bound of a difference of four NLLs of four tokens is 0.2.
    four = record(
        original=scored(-0.5), instruction=scored(-0.31, response=2.1), response=scored(-1), both=scored(-0.4, -1.01)
    )
    assert doubts({"a": four}) == both_ratios("ifd", "original", "instruction")
    exact = frozenset(both_ratios("ifd", "original", "instruction"))
    assert doubts({"a": four}, exact=exact) == both_ratios("r_ifd", "instruction", "both")


def test_a_text_that_both_sides_share_has_no_error_in_their_difference() -> None:
    """Phase 2 compares responses to one instruction: NLL(x) is the same number on both sides."""
    near = record(original=scored(-0.3), response=scored(-0.3, -1.15))  # bound 0.1414 with two NLLs left of four
    assert doubts({"a": near}, method="r_ifd") == set()
    other = scored(-0.3, -1.15)
    other = with_nlls(other, {"nll_instruction": 3.001, "nll_instruction_given_response": 1.851})
    assert doubts({"a": record(original=scored(-0.3), response=other)}, method="r_ifd") == both_ratios(
        "r_ifd", "original", "response"
    )


def test_an_nll_that_a_method_compares_is_in_doubt_as_a_ratio_is() -> None:
    shorter = Preference("nll_response", "lower")
    by = Choice(Method("from_outside", phases=(shorter, shorter)), SELECTION)
    two = record(original=scored(-1.0), instruction=scored(-1.0, response=2.1))  # bound 0.1414
    assert Doubts(by, frozenset(), ERROR).find({"a": two}) == both_ratios("ifd", "original", "instruction")
    two["instruction"] = Candidate("instruction", scored(-1.0, response=2.2))
    assert Doubts(by, frozenset(), ERROR).find({"a": two}) == set()


def test_a_ratio_near_the_filters_limit_is_in_doubt() -> None:
    assert doubts({"a": record(original=scored(-0.1))}) == both_ratios("ifd", "original")
    assert doubts({"a": record(original=scored(-1, 0.1))}) == both_ratios("r_ifd", "original")
    assert doubts({"a": record(original=scored(-0.1))}, method="ifd") == set()
    # `selective` drops a winner without a reflected response whatever its ratios are.
    assert doubts({"a": record(original=scored(-0.1))}, method="selective") == set()


def test_what_overflowed_in_low_precision_is_in_doubt() -> None:
    lost = with_nlls(scored(-0.5), {"nll_response": None})
    assert overflowed(lost, "ifd")
    assert not overflowed(lost, "r_ifd")
    four = {"original": Candidate("original", lost, absent=f"not scored: {lost.reason}")}
    assert doubts({"a": four}) == both_ratios("ifd", "original")
    assert doubts({"a": four}, exact=frozenset(both_ratios("ifd", "original"))) == set()


def test_only_those_near_the_last_place_are_in_doubt() -> None:
    logs = {"a": -0.2, "b": -0.9, "c": -1.0, "d": -3.0}
    records = {name: record(original=scored(value)) for name, value in logs.items()}
    assert {d.record for d in doubts(records, "original", 0.5)} == {"b", "c"}
    assert doubts(records, "original", 0.25) == set()
    assert doubts(records, "original", 1.0) == set()


@pytest.mark.parametrize("method", ["all_outcomes", "selective", "ifd", "r_ifd", "perplexity", "random", "original"])
@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.1])
def test_resolving_all_doubts_gives_the_true_selection(method: str, ratio: float) -> None:
    """Against truth by brute force: 200 records, errors as large as the model allows for."""
    chance = random.Random(f"{method} {ratio}")
    truth: dict[str, dict[str, Candidate]] = {}
    seen: dict[str, dict[str, Candidate]] = {}
    for number in range(200):
        true = {v: scored(chance.gauss(-0.5, 0.4), chance.gauss(-0.3, 0.5), chance.choice([3, 40])) for v in VARIANTS}
        noisy = {}
        for variant, score in true.items():
            fields = {n: getattr(score, n) for n in type(score).model_fields if n.startswith("nll")}
            limits = {n: ERROR.bound([score.tokens_response]) for n in fields}
            noisy[variant] = with_nlls(score, {n: v + chance.uniform(-0.5, 0.5) * limits[n] for n, v in fields.items()})
        truth[f"{number:03}"], seen[f"{number:03}"] = record(**true), record(**noisy)
    by = choice(method, ratio, settings=SELECTION)
    wrong = decide_all(seen, by)
    exact: set[Doubt] = set()
    while found := Doubts(by, exact, ERROR).find(seen):
        assert not found & exact
        for doubt in found:
            score, true = seen[doubt.record][doubt.variant].score, truth[doubt.record][doubt.variant].score
            side = "response" if doubt.ratio == "ifd" else "instruction"
            names = [n for n in type(score).model_fields if n.startswith(f"nll_{side}")]
            seen[doubt.record][doubt.variant] = Candidate(
                doubt.variant, with_nlls(score, {n: getattr(true, n) for n in names})
            )
        exact |= found
    expected = [(e.chosen, e.kept) for e in decide_all(truth, by)]
    assert [(e.chosen, e.kept) for e in decide_all(seen, by)] == expected
    assert len(exact) < 200 * 4 * 2 * 0.7  # not everything was computed again
    if method != "random" and ratio < 1.0:
        assert [(e.chosen, e.kept) for e in wrong] != expected


@pytest.fixture
def versions(tmp_path: Path, tiny_llamas: dict[str, Path]):
    """40 records in two versions of the response, scored by a tiny student in bfloat16 and in float32."""
    chance = random.Random(0)
    words = ["sun", "moon", "star", "sea", "hill", "road", "bird", "tree", "stone", "river", "cloud", "light"]
    rows = {v: [] for v in VARIANTS}
    for number in range(40):
        for variant in VARIANTS:
            text = " ".join(chance.choices(words, k=chance.randint(3, 30)))
            rows[variant].append(Pair(id=f"{number:02}", instruction=f"Say {number} {variant[:1]}", output=text))
    pairs = {v: tmp_path / f"{v}.jsonl" for v in VARIANTS}
    for variant, path in pairs.items():
        write_records(path, rows[variant])
    scores = {}
    for dtype in ("bfloat16", "float32"):
        scores[dtype] = {v: tmp_path / dtype / f"{v}.jsonl" for v in VARIANTS}
        for variant, path in pairs.items():
            settings = CONFIG.score.model_copy(update={"dtype": dtype, "precision": "exact"})
            job = Job(scores[dtype][variant], tmp_path / "cache", CONFIG.execution)
            score_pairs(path, ModelRef(str(tiny_llamas["plain"])), settings, job)
    return pairs, scores, str(tiny_llamas["plain"])


EXACT = CONFIG.score.model_copy(update={"dtype": "bfloat16", "precision": "exact"})


@pytest.mark.slow
@pytest.mark.parametrize(("method", "ratio"), [("all_outcomes", 1.0), ("ifd", 0.25)])
def test_a_rescored_selection_is_that_of_float32(versions, tmp_path: Path, method: str, ratio: float) -> None:
    pairs, scores, model = versions
    selection = SELECTION.model_copy(update={"ifd_below": 3.0, "r_ifd_below": 3.0})
    out = tmp_path / "rescored.jsonl"
    by = {d: choice(method, ratio, settings=selection, pairs=pairs, scores=of_dtype) for d, of_dtype in scores.items()}
    rescore(by["bfloat16"], ModelRef(model), EXACT, Job(out, tmp_path / "cache", CONFIG.execution))
    select(tmp_path / "exact", by["bfloat16"], out)
    select(tmp_path / "float32", by["float32"])
    ledgers = [read_records(tmp_path / name / "ledger.jsonl", LedgerEntry) for name in ("exact", "float32")]
    assert [(e.chosen, e.kept) for e in ledgers[0]] == [(e.chosen, e.kept) for e in ledgers[1]]
    rows = read_records(out, Rescored)
    exact = {(variant, s.id): s for variant in VARIANTS for s in read_records(scores["float32"][variant], Score)}
    for row in rows:
        for name in row.ratios:
            assert getattr(row.score, name) == pytest.approx(getattr(exact[row.variant, row.record], name), rel=1e-5)
    meta = read_json(tmp_path / "rescored.meta.json")
    assert meta["counts"]["ratios"] == sum(len(row.ratios) for row in rows)
    assert 0 < meta["error"]["scale"] < 1


@pytest.mark.slow
def test_another_students_scores_are_refused(versions, tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    pairs, scores, _ = versions
    job = Job(tmp_path / "rescored.jsonl", tmp_path / "cache", CONFIG.execution)
    by = choice("all_outcomes", settings=SELECTION, pairs=pairs, scores=scores["bfloat16"])
    with pytest.raises(InputError, match="identity: expected that of"):
        rescore(by, ModelRef(str(tiny_llamas["bos"])), EXACT, job)
    assert not job.out.exists()


@pytest.mark.slow
def test_scores_of_different_settings_are_refused_in_one_selection(versions, tmp_path: Path) -> None:
    pairs, scores, _ = versions
    mixed = {**scores["float32"], "both": scores["bfloat16"]["both"]}
    with pytest.raises(InputError, match="settings: expected scores by the same student and settings as"):
        select(tmp_path / "run", choice("all_outcomes", pairs=pairs, scores=mixed))
    sidecar = tmp_path / "float32" / "both.meta.json"
    write_json(sidecar, {**read_json(sidecar), "identity": "another"})
    with pytest.raises(InputError, match="identity: expected"):
        select(tmp_path / "run", choice("all_outcomes", pairs=pairs, scores=scores["float32"]))
    assert not (tmp_path / "run").exists()
