"""The fuzz in small: whatever a file, an answer or a verdict holds, it is read, or refused in one line.

`PYTHONPATH=.:tests python -m helpers.fuzz_inputs 60` prints the same findings with more mutants; with another checkout
in the place of `.` it is that code that is fuzzed.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers import fuzz_inputs
from helpers.fuzzing import ALL, findings
from srt.evaluation import _reading as reading
from srt.evaluation.alpaca_eval import plain_names, ranking
from srt.llm.requests import Completion
from srt.llm.spending import completion_of, endings_of, spent_of
from srt.llm.wire import of_choice
from srt.reflection.cleaning import Failure, Reading, read_cleaning
from srt.reflection.styles import read_style
from srt.storage.journal import Journal, entries_of
from srt.storage.records import Evaluation

GROUPS = {make.__name__: make for make in fuzz_inputs.GROUPS}
# SRT_FUZZ=all tries every change at every place: half an hour.
VALUES = ALL * 100 if os.environ.get("SRT_FUZZ") == "all" else 12
LEAST_MUTANTS = {"settings": 400, "texts": 1_000, "data": 2_000, "imports": 500, "records": 800, "evaluations": 250}
LEAST_MUTANTS |= {"results": 300}
STYLES = ("tags", "json", "turns")
PIECES = (
    *(
        "[New Instruction]",
        "[New Answer]",
        "[Better Answer]",
        "[End]",
        "</end>",
        "End\n",
        "I cannot ",
        "a word ",
        "\n\n",
    ),
    *('{"critique": "a", "instruction": "b"', ', "response": "c"}', '{"', "[" * 40, "{" * 40, "}", "]", '"', "\\u12"),
    *(
        "<think>",
        "</think>",
        "<|im_end|>",
        "1. ",
        "8 7",
        "7/10",
        "[[9]]",
        "Score: ",
        "#1 8",
        "inf",
        "nan",
        "1e400",
        "-3",
    ),
    *("\x00", "\x1b[2J", "\ud800", "\u2028", "\ufeff", "\U0001f600", "\r", "\t", "9" * 5_000, " " * 300, "\u0663"),
    *("[{'model': 'model_1', 'rank': 1}", ", {'model': 'model_2', 'rank': 2}]", "((((", "**", "```", "```json\n", "> "),
)
WHOLE = (
    "[New Instruction]Ask.[End][New Answer]Say.[End]",
    '{"critique": "a", "instruction": "b", "response": "c"}',
    "[{'model': 'model_1', 'rank': 1}, {'model': 'model_2', 'rank': 2}]",
    "8 7\nThe first one is better.",
)
ODD = (None, True, -1, 0.5, 10**400, "x", "", "\ud800", [], [None], {}, {"x": 1}, math.nan, math.inf, [[]])


def texts(name: str, number: int) -> Iterator[str]:
    """Texts of pieces that parsers look for, in any order; every fourth holds a whole answer."""
    rng = random.Random(name)
    for place in range(number):
        pieces = rng.choices(PIECES, k=rng.randint(1, 8))
        if place % 4 == 0:
            pieces = [*pieces[: rng.randint(0, 2)], rng.choice(WHOLE), *pieces[len(pieces) - rng.randint(0, 1) :]]
        yield "".join(pieces)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_mutant_of_a_file_is_read_or_refused_in_one_line(group: str, tmp_path: Path) -> None:
    found, tried = [], 0
    for given in GROUPS[group](tmp_path):
        count, more = findings(given, tmp_path, VALUES)
        tried += count
        found += more
    assert not found, "\n".join([f"{len(found)} of {tried} mutants:", *map(str, found[:20])])
    assert tried > LEAST_MUTANTS[group]


@pytest.mark.parametrize("name", STYLES)
def test_every_answer_of_a_teacher_is_read_or_a_failure(name: str) -> None:
    style, cleaning = (
        read_style(f"config/prompts/{name}.yaml"),
        read_cleaning("config/prompts/answers.yaml"),
    )
    read = 0
    for number, text in enumerate(texts(f"answers in {name}", 400)):
        for turn in (*style.instruction, *style.response):
            found = turn.read(Completion(text, 9, ("stop", "length", "odd")[number % 3]), cleaning)
            assert isinstance(found, Reading | Failure)
            if isinstance(found, Reading):
                read += 1
                assert all(isinstance(part, str) for part in found.fields.values())
                assert isinstance(style.leak_in("".join(found.fields.values()), text), str | None)
    assert read > 5


def test_every_verdict_of_a_judge_is_on_the_scale_or_none() -> None:
    read = Counter[str]()
    for text in texts("verdicts", 1_500):
        for form, found in (("scores", reading.scores(text)), ("grade", [reading.grade(text)])):
            if found is not None and found != [None]:
                read[form] += 1
                assert all(map(reading.is_score, found)), text[:80]
        if ranked := ranking(text):
            read["ranking"] += 1
            assert ranked == text
            assert set(re.findall(r"'rank': (\d)", ranked)) == {"1", "2"}
    assert min(read[form] for form in ("scores", "grade", "ranking")) > 5, read


@pytest.mark.parametrize("field", ["token", "logprob", "top_logprobs", "content"])
def test_log_probabilities_of_any_kind_are_read_or_left_out(field: str) -> None:
    for value in ODD:
        top = {"token": " m", "logprob": -0.5} | ({field: value} if field in ("token", "logprob") else {})
        first = {"token": "m", "logprob": -0.5, "top_logprobs": value if field == "top_logprobs" else [top, top]}
        choice = {"logprobs": {"content": value if field == "content" else [first]}, "message": {"content": "m"}}
        named = plain_names(of_choice(choice).as_choice())
        assert named["message"]["content"] == "m"
        kept = (named["logprobs"] or {"content": []})["content"]
        assert all(type(top["logprob"]) is float for place in kept for top in place["top_logprobs"])


def test_every_line_of_a_journal_is_an_entry_or_passed_over(tmp_path: Path) -> None:
    answer = {
        "text": "a",
        "tokens": 3,
        "prompt_tokens": 2,
        "finish_reason": "stop",
        "cost": 0.1,
        "wall": 1.0,
        "turn": "t",
    }
    lines = [{"key": "whole", "value": answer}]
    lines += [{"key": f"{name} {n}", "value": {**answer, name: odd}} for name in answer for n, odd in enumerate(ODD)]
    lines += [{"key": odd, "value": answer} for odd in ODD] + [
        {"key": f"k{n}", "value": odd} for n, odd in enumerate(ODD)
    ]
    path = tmp_path / "a.jsonl"
    junk = b'\n\x00\n{"key"\n[]\n1\n"\n' + b"[" * 50_000 + b"\n" + b"\xff\xfe\n" + b"9" * 5_000 + b"\n"
    path.write_bytes("".join(json.dumps(line) + "\n" for line in lines).encode() + junk + b'{"key": "torn", "va')
    entries = entries_of(tmp_path)
    assert entries["whole"] == answer
    assert all(isinstance(key, str) for key in entries)
    for entry in entries.values():
        completion = completion_of(entry)
        assert isinstance(completion.text, str)
        completion.said()
    assert spent_of(entries.values(), None).requests >= 1
    assert all(list(endings_of(entries.values())))
    journal = Journal(path)
    journal.add("after", 1)
    journal.close()
    assert entries_of(tmp_path)["after"] == 1


def test_a_judge_that_is_oddly_described_is_refused() -> None:
    whole = {"benchmark": "b", "metrics": [], "task_versions": None, "settings": {}, "versions": {}, "missing": {}}
    for judge in ({"name": 1}, {"name": "../a"}, {"version": "1"}, {"prompts": []}, {"model": {}}):
        with pytest.raises(ValueError, match="judge"):
            Evaluation.model_validate({**whole, "judge": judge})
