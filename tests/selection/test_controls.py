"""The length-matched control: as many records as the reference keeps, of the same lengths, otherwise at random."""

import math
import random
from collections import Counter

import pytest

from helpers.scores import choice, score
from srt.scoring.precision import Doubts, ErrorModel
from srt.selection.candidates import Candidate
from srt.selection.controls import STEP, draw
from srt.selection.ledger import decide_all
from srt.selection.phases import contests


def many(count, seed=0):
    """Records in four versions; reflected responses are longer, as they are in the real data."""
    drawn = random.Random(seed)
    records = {}
    for number in range(count):
        of_record = {}
        for variant, mean in (("original", 4), ("instruction", 4.3), ("response", 5), ("both", 5.1)):
            found = score(drawn.uniform(0.3, 1.1), drawn.uniform(0.3, 1.1))
            length = max(1, round(drawn.lognormvariate(mean, 0.6)))
            of_record[variant] = Candidate(variant, found.model_copy(update={"tokens_response": length}))
        records[f"r{number}"] = of_record
    return records


def lengths(records, entries):
    return [records[e.id][e.chosen].score.tokens_response for e in entries if e.kept]


@pytest.mark.parametrize("ratio", [1.0, 0.1])
def test_it_draws_as_many_records_of_the_same_lengths(ratio):
    records = many(2000)
    theirs, ours = (decide_all(records, choice(method, ratio)) for method in ("selective", "length"))
    wanted, found = sorted(lengths(records, theirs)), sorted(lengths(records, ours))
    assert len(found) == len(wanted) > 50
    assert [entry.id for entry in ours] == list(records)
    apart = [abs(a - b) / b for a, b in zip(found, wanted, strict=True)]
    assert sum(apart) / len(apart) < 0.05
    plain = sorted(lengths(records, decide_all(records, choice("random", 1.0))))
    assert sum(plain) / len(plain) < 0.9 * sum(wanted) / len(wanted)  # which an unmatched draw does not have
    same = sum(a.kept and b.kept and a.chosen == b.chosen for a, b in zip(theirs, ours, strict=True))
    assert same < 0.6 * len(wanted)


def test_the_draw_depends_on_the_seed_and_not_on_the_order():
    records = many(200)
    again = dict(reversed(records.items()))
    found = [
        {entry.id: entry.chosen for entry in decide_all(given, choice("length", 0.5, seed))}
        for given, seed in ((records, 0), (again, 0), (records, 1))
    ]
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_scores_do_not_sway_the_draw_and_failed_versions_are_not_drawn():
    records = many(50)
    for number, candidates in enumerate(records.values()):
        candidates["both"] = Candidate("both", None, absent="reflection failed: x")
        if number % 2:
            candidates["response"] = Candidate("response", score(None, status="failed"))
    entries = decide_all(records, choice("length", 1.0))
    assert {entry.chosen for entry in entries if entry.kept} <= {"original", "instruction", "response"}
    assert all(entry.chosen != "response" for entry in entries[1::2])
    (unkept, *_) = [entry for entry in entries if not entry.kept]
    assert (unkept.chosen, unkept.branch, unkept.reason) == (None, "not drawn", "not drawn by length")


def test_a_bin_without_enough_records_is_filled_from_the_nearest():
    def version(tokens):
        return {"original": Candidate("original", score(0.5).model_copy(update={"tokens_response": tokens}))}

    records = {"short": version(10), "middle": version(40), "long": version(400)}
    bins = {name: int(math.log(tokens) / STEP) for name, tokens in (("middle", 40), ("long", 400))}
    assert set(draw(records, Counter({bins["long"]: 2}), 0)) == {"long", "middle"}
    assert set(draw(records, Counter({bins["middle"]: 1}), 0)) == {"middle"}


def test_its_doubts_are_those_of_the_method_that_it_matches():
    records = many(20)
    for record, candidates in records.items():
        held = contests(record, candidates, choice("length"))
        assert held == contests(record, candidates, choice("selective"))
    ours, theirs = (Doubts(choice(m, 0.5), set(), ErrorModel(0.2, 9)) for m in ("length", "selective"))
    assert ours.find(records) == theirs.find(records) != set()
