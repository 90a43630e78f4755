"""The bundled data and suites: small, ours, shaped like the real thing; what is shaped otherwise is refused."""

import json
from pathlib import Path

import pytest

from srt.config import locate, read_yaml, validated
from srt.evaluation.open_llm import CHOICES_AND_ANSWER, Suite, read_items
from srt.records import InputError, read_json

SUITE = validated(Suite, read_yaml(locate("config/tasks/demo.yaml")), "config/tasks/demo.yaml")
LOCAL = [
    (benchmark, task, entry) for benchmark, entry in SUITE.benchmarks.items() for task in entry.tasks if entry.items
]


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
        counts[benchmark] += len(read_items(locate(entry.items.format(task=task)), benchmark))
    assert counts == {"arc": 5, "hellaswag": 5, "mmlu": 5, "truthfulqa": 5}


@pytest.mark.parametrize(("benchmark", "task", "entry"), LOCAL, ids=[task for _, task, _ in LOCAL])
def test_few_shot_examples_are_enough_and_none_is_an_item(benchmark, task, entry):
    if entry.num_fewshot == 0:
        assert entry.fewshot is None
        return
    items = read_items(locate(entry.items.format(task=task)), benchmark)
    examples = read_items(locate(entry.fewshot.format(task=task)), benchmark)
    assert len(examples) >= 5
    assert not [item for item in items if item in examples]


def test_right_answers_do_not_all_stand_in_one_place():
    for benchmark in ("arc", "hellaswag", "mmlu"):
        places = set()
        for name, task, entry in LOCAL:
            if name == benchmark:
                for item in read_items(locate(entry.items.format(task=task)), benchmark):
                    places.add(CHOICES_AND_ANSWER[benchmark](item)[1])
        assert len(places) >= 3, benchmark


@pytest.mark.parametrize(
    ("benchmark", "item", "message"),
    [
        ("arc", [1], "question: expected an item of arc"),
        ("arc", {"question": 5, "choices": {}, "answerKey": "A"}, "question: expected an item of arc"),
        ("arc", {"question": "Q", "choices": {"text": ["a"], "label": ["A"]}, "answerKey": "B"}, "right one among"),
        ("mmlu", {"question": "Q", "choices": ["a", "b"], "answer": 2}, "right one's place, found 2"),
        ("mmlu", {"question": "Q", "choices": ["a", ""], "answer": 0}, "two or more choices"),
        ("mmlu", {"question": "Q", "choices": ["a", "b"]}, "answer: expected an item of mmlu"),
        ("hellaswag", {"activity_label": "", "ctx_a": "", "ctx_b": "", "endings": ["a", "b"], "label": "x"}, "right"),
        ("truthfulqa", {"question": "Q", "mc2_targets": {"choices": ["a", "b"], "labels": [0, 0]}}, "right one among"),
    ],
)
def test_a_bad_item_is_refused_with_its_line(tmp_path, benchmark, item, message):
    path = tmp_path / "items.jsonl"
    good = {
        "arc": {"question": "Q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
        "mmlu": {"question": "Q", "choices": ["a", "b"], "answer": 1},
        "hellaswag": {"activity_label": "", "ctx_a": "", "ctx_b": "", "endings": ["a", "b"], "label": "1"},
        "truthfulqa": {"question": "Q", "mc2_targets": {"choices": ["a", "b"], "labels": [1, 0]}},
    }[benchmark]
    path.write_text(f"{json.dumps(good)}\n{json.dumps(item)}\n")
    with pytest.raises(InputError, match=rf"items\.jsonl: line 2: .*{message}"):
        read_items(path, benchmark)


def test_an_empty_item_file_is_refused(tmp_path):
    (tmp_path / "items.jsonl").write_text("\n")
    with pytest.raises(InputError, match="has no items"):
        read_items(tmp_path / "items.jsonl", "arc")


def test_the_papers_suite_is_the_leaderboards():
    import lm_eval.tasks

    suite = validated(Suite, read_yaml(locate("config/tasks/open_llm_v1.yaml")), "v1").benchmarks
    shots = {name: (entry.num_fewshot, entry.metric) for name, entry in suite.items()}
    assert shots == {
        "arc": (25, "acc_norm"),
        "hellaswag": (10, "acc_norm"),
        "mmlu": (5, "acc"),
        "truthfulqa": (0, "acc"),
    }
    assert all(entry.items is None for entry in suite.values())
    stock = Path(lm_eval.tasks.__file__).parent / "mmlu" / "default"
    assert sorted(suite["mmlu"].tasks) == sorted(path.stem for path in stock.glob("mmlu_*.yaml"))
    assert len(suite["mmlu"].tasks) == 57
