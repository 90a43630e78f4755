"""The methods on hand-made scores: each rule of the table, ties, nulls, filters and ratios."""

import dataclasses
import random

import pytest

from helpers.scores import SETTINGS, choice, score
from srt.selection.builtin import HIGHER_IFD
from srt.selection.candidates import Candidate
from srt.selection.ledger import decide_all, keep_ratio
from srt.selection.phases import better, choose, coin, phase_one_winner
from srt.selection.registry import method_named, selecting
from srt.settings import SelectionConfig
from srt.storage.records import Score


def candidates(**given: Score | None) -> dict[str, Candidate]:
    return {variant: Candidate(variant, value) for variant, value in given.items()}


FOUR = candidates(
    original=score(0.6, 0.9, nll=1.0),
    instruction=score(0.8, 0.7, nll=3.0),
    response=score(0.7, 0.2, nll=2.0),
    both=score(0.5, 0.6, nll=4.0),
)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("original", "original"),
        ("response", "response"),
        ("both", "both"),
        ("all_outcomes", "both"),  # IFD 0.8 > 0.6; then r-IFD 0.6 < 0.7
        ("selective", "both"),
        ("selective_unfiltered", "both"),
        ("cherry", "original"),
        ("ifd", "instruction"),  # IFD 0.8 > 0.6; then 0.8 > 0.5
        ("r_ifd", "both"),  # r-IFD 0.7 < 0.9; then 0.6 < 0.7
        ("perplexity", "both"),  # NLL 3 > 1; then 4 > 3
    ],
)
def test_each_method_chooses_as_the_table_says(method: str, expected: str) -> None:
    chosen, _ = choose("x", FOUR, choice(method))
    assert chosen is not None
    assert chosen.variant == expected


def test_perplexity_has_a_direction() -> None:
    lower = SelectionConfig(ifd_below=1.0, r_ifd_below=1.0, perplexity_prefers="lower", proxy_sample=9)
    chosen, _ = choose("x", FOUR, choice("perplexity", settings=lower))
    assert chosen is not None
    assert chosen.variant == "original"


def test_coherence_takes_the_higher_cosine() -> None:
    four = {v: Candidate(v, FOUR[v].score, cosine) for v, cosine in zip(FOUR, (0.1, 0.4, 0.9, 0.3), strict=True)}
    chosen, _ = choose("x", four, choice("coherence"))
    assert chosen is not None
    assert chosen.variant == "instruction"


def test_a_tie_keeps_the_unreflected() -> None:
    same = candidates(original=score(0.5, 0.5), instruction=score(0.5), response=score(0.9, 0.5), both=score(0.5))
    chosen, branch = choose("x", same, choice("all_outcomes"))
    assert chosen is not None
    assert (chosen.variant, branch) == ("original", "instruction kept, response kept")


def test_zero_is_a_value_and_null_is_none() -> None:
    """A failed score once counted as 0 and won by r-IFD: here it is no candidate."""
    unreflected, reflected = Candidate("original", score(0.5, 0.4)), Candidate("response", score(None, None))
    assert better(unreflected, reflected, HIGHER_IFD) is unreflected
    assert better(reflected, None, HIGHER_IFD) is None


def test_an_absent_candidate_is_never_chosen_by_any_method() -> None:
    for method in ("all_outcomes", "selective", "ifd", "r_ifd", "perplexity", "random"):
        four = {**FOUR, "both": Candidate("both", FOUR["both"].score, absent="reflection failed")}
        four["instruction"] = Candidate("instruction", FOUR["instruction"].score, absent="reflection failed")
        found = [choose("x", four, choice(method, seed=seed))[0] for seed in range(20)]
        variants = {chosen.variant for chosen in found if chosen is not None}
        assert variants, method
        assert variants <= {"original", "response"}, method


def test_phase_one_winner_ignores_what_failed() -> None:
    assert phase_one_winner({"original": score(0.5), "instruction": score(0.6)}) == "instruction"
    assert phase_one_winner({"original": score(0.5), "instruction": score(0.6, status="failed")}) == "original"
    assert phase_one_winner({"original": None, "instruction": score(None)}) is None


@pytest.mark.parametrize(
    ("method", "candidate", "expected"),
    [
        ("all_outcomes", Candidate("original", score(0.9, 0.9)), None),
        ("all_outcomes", Candidate("original", score(1.0, 0.9)), "IFD is not below 1"),
        ("all_outcomes", Candidate("both", score(0.9, 1.2)), "r-IFD is not below 1"),
        ("selective", Candidate("instruction", score(0.9, 0.9)), "the response was not reflected"),
        ("selective", Candidate("both", score(0.9, 0.9)), None),
        ("random", Candidate("original", score(2.0, 2.0)), None),
        ("ifd", Candidate("original", score(2.0, 2.0)), None),
    ],
)
def test_filters(method: str, candidate: Candidate, expected: str | None) -> None:
    assert method_named(method).filter.refusal(candidate, SETTINGS) == expected


@pytest.mark.parametrize(("ratio", "count", "kept"), [(0.02, 46325, 926), (1.0, 7, 7), (0.001, 7, 1), (0.07, 100, 7)])
def test_the_ratio_keeps_the_floor_and_at_least_one(ratio: float, count: int, kept: int) -> None:
    assert len(keep_ratio([(f"{i:06}", 0.5) for i in range(count)], ratio)) == kept


def test_the_ratio_ranks_by_ifd_then_id_whatever_the_order() -> None:
    selected = [("c", 0.5), ("a", 0.5), ("b", 0.9), ("d", 0.1)]
    for _ in range(5):
        random.shuffle(selected)
        assert keep_ratio(selected, 0.5) == {"a", "b"}


def test_the_coin_is_fair_and_its_own_for_seed_record_and_phase() -> None:
    tosses = [coin(0, str(record), 1) for record in range(4000)]
    assert 1850 < sum(tosses) < 2150
    assert tosses == [coin(0, str(record), 1) for record in range(4000)]
    assert tosses != [coin(1, str(record), 1) for record in range(4000)]
    assert tosses != [coin(0, str(record), 2) for record in range(4000)]


def test_the_ledger_accounts_for_every_record_with_a_reason() -> None:
    records = {
        "a": FOUR,
        "b": candidates(original=score(1.5), instruction=score(0.1), response=score(0.1), both=score(0.1)),
        "c": {v: Candidate(v, None, absent="reflection failed: no answer") for v in FOUR},
        "d": {**FOUR, "both": Candidate("both", score(0.3, 0.1))},
    }
    entries = {entry.id: entry for entry in decide_all(records, choice("all_outcomes", 0.5))}
    assert {key: entry.kept for key, entry in entries.items()} == {"a": True, "b": False, "c": False, "d": False}
    assert entries["b"].reason == "IFD is not below 1"
    assert entries["c"].reason == "no candidate is left: reflection failed: no answer"
    assert entries["d"].reason == "outside the ratio 0.5 by IFD"
    assert entries["a"].branch == "instruction reflected, response reflected"


@pytest.mark.parametrize("method", selecting())
def test_a_method_uses_exactly_the_settings_that_change_what_it_keeps(method: str) -> None:
    records = {}
    for number in range(20):
        of_record = {**FOUR, "both": Candidate("both", score(0.5, 0.6 + 0.01 * number, nll=4.0))}
        records[str(number)] = {v: dataclasses.replace(c, coherence=0.5) for v, c in of_record.items()}

    def kept(ratio: float = 0.5, seed: int = 0, **other: object) -> list[str]:
        entries = decide_all(records, choice(method, ratio, seed, settings=SETTINGS.model_copy(update=other)))
        return [f"{entry.id} {entry.chosen}" for entry in entries if entry.kept]

    others = {"ifd_below": 0.4, "r_ifd_below": 0.65, "perplexity_prefers": "lower", "proxy_sample": 1}
    changed = {name for name, value in others.items() if kept(**{name: value}) != kept()}
    changed |= {"ratio"} if kept(ratio=0.1) != kept() else set()
    changed |= {"seed"} if any(kept(seed=seed) != kept() for seed in range(1, 5)) else set()
    assert changed == method_named(method).uses - {"coherence"}
