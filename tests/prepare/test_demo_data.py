"""The bundled data: small, ours, shaped like the real thing."""

import pytest

from srt.evaluation._items import read_items
from srt.evaluation.suites import read_suite
from srt.experiment.config import load
from srt.storage.readers import read_json
from srt.storage.shipped import locate

PROFILE = load()[0].evaluate.open_llm["demo"]
SUITE, _ = read_suite(PROFILE.suite)
LOCAL = [(benchmark, task, entry) for benchmark, entry in SUITE.benchmarks.items() for task in entry.tasks]
ANSWER = {  # the right one's place among the choices
    "arc": lambda item: item["choices"]["label"].index(item["answerKey"]),
    "hellaswag": lambda item: item["label"],
    "mmlu": lambda item: item["answer"],
}


def items_of(names, task, benchmark):
    """The demo's items of a task under the one name that its suite has for them."""
    (name,) = names
    return read_items(locate(PROFILE.data) / name.format(task=task), benchmark)


def test_records_are_24_different_alpaca_records():
    records = read_json(locate("config/demo/records.json"))
    assert len(records) == 24
    assert all(list(record) == ["instruction", "input", "output"] for record in records)
    assert len({record["instruction"] for record in records}) == 24
    assert len({record["output"] for record in records}) == 24
    assert 6 <= sum(bool(record["input"]) for record in records) <= 10


def test_records_are_short_texts():
    for record in read_json(locate("config/demo/records.json")):
        assert 5 <= len(record["instruction"].split()) <= 25, record["instruction"]
        assert 5 <= len(record["output"].split()) <= 80, record["instruction"]
        assert record["output"] == record["output"].strip()


def test_questions_have_references_and_are_not_training_data():
    questions = read_json(locate("config/demo/questions.json"))
    trained = {record["instruction"] for record in read_json(locate("config/demo/records.json"))}
    assert len(questions) == 8
    assert len({question["instruction"] for question in questions} - trained) == 8
    for question in questions:
        assert list(question) == ["instruction", "output"]
        assert 30 <= len(question["output"].split()) <= 80


def test_each_benchmark_has_five_items():
    counts = dict.fromkeys(SUITE.benchmarks, 0)
    for benchmark, task, entry in LOCAL:
        counts[benchmark] += len(items_of(entry.items, task, benchmark))
    assert counts == {"arc": 5, "hellaswag": 5, "mmlu": 5, "truthfulqa": 5}


@pytest.mark.parametrize(("benchmark", "task", "entry"), LOCAL, ids=[task for _, task, _ in LOCAL])
def test_few_shot_examples_are_enough_and_none_is_an_item(benchmark, task, entry):
    if entry.num_fewshot == 0:
        assert entry.fewshot == []
        return
    items = items_of(entry.items, task, benchmark)
    examples = items_of(entry.fewshot, task, benchmark)
    assert len(examples) >= 5
    assert not [item for item in items if item in examples]


def test_right_answers_do_not_all_stand_in_one_place():
    for benchmark in ("arc", "hellaswag", "mmlu"):
        places = set()
        for name, task, entry in LOCAL:
            if name == benchmark:
                for item in items_of(entry.items, task, benchmark):
                    places.add(ANSWER[benchmark](item))
        assert len(places) >= 3, benchmark
