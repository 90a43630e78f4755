"""Every method against the table of the paper's methods, gone through by brute force in other words.

The reference reads plain dictionaries. It shares no code with srt/selection but the coin, whose tosses no table gives.
"""

import hashlib
import math
import random
from collections import Counter
from fractions import Fraction

import pytest

from helpers.scores import choice, score
from srt.selection.ledger import decide_all
from srt.selection.phases import coin
from srt.selection.registry import selecting
from srt.selection.select import read_candidates, select, texts_of
from srt.settings import SelectionConfig
from srt.storage.files import read_records, write_records
from srt.storage.records import Coherence, LedgerEntry, Pair, ReflectedPair

SETTINGS = SelectionConfig(ifd_below=1.0, r_ifd_below=1.0, perplexity_prefers="lower", proxy_sample=9)
PLAIN, REFLECTED = ("original", "instruction"), {"original": "response", "instruction": "both"}
VALUES = [None, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0, 1.1]  # few, so that many are equal
# What is to be as large as possible in either phase; `ppl` and `r_ifd` are better where they are small.
WANTED = {
    "selective": ("+ifd", "-r_ifd"),
    "selective_unfiltered": ("+ifd", "-r_ifd"),
    "all_outcomes": ("+ifd", "-r_ifd"),
    "random": (None, None),
    "ifd": ("+ifd", "+ifd"),
    "r_ifd": ("-r_ifd", "-r_ifd"),
    "perplexity": ("-ppl", "-ppl"),
    "coherence": ("+cos", "+cos"),
}
ALONE = {
    "original": "original",
    "instruction": "instruction",
    "response": "response",
    "both": "both",
    "cherry": "original",
}


def made(count=200):
    """id: version: what is known of it; {} where the reflection or the scoring failed, or nothing was reflected."""
    chance = random.Random(402)
    rows = {}
    for number in range(count):
        row = {}
        for version in ("original", "instruction", "response", "both"):
            known = {name: chance.choice(VALUES) for name in ("ifd", "r_ifd", "cos")}
            known |= {"ppl": chance.choice([1.5, 2.0, 2.5, 3.0]), "length": chance.choice([5, 9, 30, 31, 200])}
            known["cos"] = known["cos"] and known["cos"] - 0.5
            row[version] = {} if chance.random() < 0.15 else known
        if number % 10 == 9:
            row = rows[f"r{(number - 1) * 37 % 1000:03}"]  # the texts of the record before
        rows[f"r{number * 37 % 1000:03}"] = row
    return rows


def pick(row, old, new, wish):
    """The better of two versions, the old one where they are equal; a version without the value is none."""
    ranked = [
        ((1 if wish[0] == "+" else -1) * row[version][wish[1:]], version == old, version)
        for version in (old, new)
        if row[version].get(wish[1:]) is not None
    ]
    return max(ranked)[2] if ranked else None


def drawn(name, row, old, new, seed, phase):
    there = [version for version in (old, new) if row[version].get("ifd") is not None]
    return there[coin(seed, name, phase)] if len(there) == 2 else (there or [None])[0]


def winner(method, name, row, seed):
    if method in ALONE:
        return ALONE[method] if row[ALONE[method]] else None
    won, pair = None, PLAIN
    for phase, wish in enumerate(WANTED[method], start=1):
        won = pick(row, *pair, wish) if wish else drawn(name, row, *pair, seed, phase)
        if won is None:
            return None
        pair = won, REFLECTED.get(won)
    return won


def passes(method, known, version):
    small = {name: known[name] is not None and known[name] < 1 for name in ("ifd", "r_ifd")}
    filters = {
        "selective": version in ("response", "both") and all(small.values()),
        "selective_unfiltered": version in ("response", "both"),
        "all_outcomes": all(small.values()),
        "cherry": small["ifd"],
    }
    return filters.get(method, True) and known["ifd"] is not None


def expected(method, rows, ratio, seed):
    """id: the version that is kept."""
    if method == "length":
        return of_lengths(rows, expected("selective", rows, ratio, seed), seed)
    won = {name: winner(method, name, row, seed) for name, row in rows.items()}
    left = [name for name, version in won.items() if version and passes(method, rows[name][version], version)]
    left.sort(key=lambda name: (-rows[name][won[name]]["ifd"], name))
    keep = max(1, math.floor(Fraction(str(ratio)) * len(left)))
    return {name: won[name] for name in left[:keep]}


def of_lengths(rows, reference, seed):
    """As many versions of every bin of lengths as the reference has, in the order of a hash; then the nearest."""
    size = lambda name, version: int(math.log(rows[name][version]["length"]) / math.log(1.1))  # noqa: E731
    order = lambda name, version: hashlib.sha256(f"length:{seed}:{name}:{version}".encode()).hexdigest()  # noqa: E731
    usable = [(n, v) for n, row in rows.items() for v in row if row[v].get("ifd") is not None]
    usable.sort(key=lambda item: order(*item))
    lacking = Counter(size(*item) for item in reference.items())
    found = {}
    for name, version in usable:
        if name not in found and lacking[size(name, version)] > 0:
            found[name] = version
            lacking[size(name, version)] -= 1
    for length in sorted(lacking):
        for _ in range(lacking[length]):
            rest = [item for item in usable if item[0] not in found]
            if rest:
                nearest = min(rest, key=lambda i: (abs(size(*i) - length), size(*i), order(*i)))
                found[nearest[0]] = nearest[1]
    return found


@pytest.fixture(scope="module")
def rows():
    return made()


@pytest.fixture(scope="module")
def files(rows, tmp_path_factory):
    """The same as files of pairs, scores and cosines; what is {} failed in one of three ways."""
    folder = tmp_path_factory.mktemp("reference")
    paths = {kind: {} for kind in ("pairs", "scores", "coherence")}
    for version in ("original", "instruction", "response", "both"):
        pairs, scores, cosines = [], [], []
        for number, (name, row) in enumerate(rows.items()):
            known, fields = row[version], {"id": name, "instruction": f"{version}?", "output": f"{version} {name}"}
            state = {"status": "reflected", "reason": None, "critique": None, "outcome": "clean", "repairs": []}
            if not known and number % 3 == 0:
                state |= {"status": "failed", "reason": "cut off", "outcome": "cut_off"}
            if known or number % 3 or version == "original":
                pairs.append(Pair(**fields) if version == "original" else ReflectedPair(**fields, **state))
            nll = math.log(known["ppl"]) if known else 1.0
            found = score(known.get("ifd"), known.get("r_ifd"), nll, "scored" if known else "failed")
            scores.append(found.model_copy(update={"id": name, "tokens_response": known.get("length", 5)}))
            cosine = known.get("cos")
            cosines.append(Coherence(id=name, coherence=cosine, reason=None if cosine is not None else "why"))
        for kind, records in (("pairs", pairs), ("scores", scores), ("coherence", cosines)):
            paths[kind][version] = folder / f"{version}.{kind}.jsonl"
            write_records(paths[kind][version], records)
    return paths


def test_the_made_records_have_ties_nulls_failures_and_repeats(rows):
    pairs = [(row["original"].get("ifd"), row["instruction"].get("ifd")) for row in rows.values()]
    assert len(rows) == 200
    assert sum(a is not None and a == b for a, b in pairs) > 5
    assert sum(row["both"] == {} for row in rows.values()) > 10
    assert sum(row["both"].get("r_ifd", 0) is None for row in rows.values()) > 5
    assert len({id(row) for row in rows.values()}) == 180


@pytest.mark.parametrize("method", selecting())
def test_a_method_keeps_what_the_table_says(method, rows, files, tmp_path):
    reads = [ALONE[method]] if method in ALONE else ["original", "instruction", "response", "both"]
    given = {kind: {version: paths[version] for version in reads} for kind, paths in files.items()}
    by = choice(method, settings=SETTINGS, **given)
    records = read_candidates(texts_of(by), by)
    for ratio in (1.0, 0.5, 0.07, 0.001):
        for seed in (0, 1, 7):
            entries = decide_all(records, choice(method, ratio, seed, settings=SETTINGS))
            found = {entry.id: entry.chosen for entry in entries if entry.kept}
            assert found == expected(method, rows, ratio, seed), (ratio, seed)
            assert [entry.id for entry in entries] == list(records)
    select(tmp_path, choice(method, 0.5, settings=SETTINGS, **given))
    kept = expected(method, rows, 0.5, 0)
    train = {pair.id: pair.output for pair in read_records(tmp_path / "train.jsonl", Pair)}
    assert train == {name: f"{version} {name}" for name, version in kept.items()}
    ledger = read_records(tmp_path / "ledger.jsonl", LedgerEntry)
    assert all(entry.kept == (entry.reason == "selected") and entry.reason and entry.branch for entry in ledger)
