"""The leaderboard's items in every shape that people have, and one line for what is none of them."""

import json

import pytest

from srt.evaluation._items import read_items
from srt.storage.errors import InputError

GOOD = {
    "arc": {"question": "Q", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"},
    "mmlu": {"question": "Q", "choices": ["a", "b", "c", "d"], "answer": 1},
    "hellaswag": {"activity_label": "", "ctx_a": "", "ctx_b": "", "endings": ["a", "b"], "label": 1},
    "truthfulqa": {"question": "Q", "mc2_targets": {"choices": ["a", "b", "c"], "labels": [1, 0, 1]}},
}


def changed(benchmark, **fields):
    return {**GOOD[benchmark], **fields}


@pytest.mark.parametrize("benchmark", GOOD)
def test_the_hubs_shape_is_taken_as_it_is_and_other_fields_are_left_out(tmp_path, benchmark):
    row = {**GOOD[benchmark], "id": "x", "source_id": 5}
    (tmp_path / "items.jsonl").write_text(json.dumps(row) + "\n\n")
    (tmp_path / "items.json").write_text(json.dumps([row]))
    for name in ("items.jsonl", "items.json"):
        assert read_items(tmp_path / name, benchmark) == [GOOD[benchmark]]


def test_truthfulqas_published_map_and_hellaswags_label_as_text(tmp_path):
    (tmp_path / "mc.json").write_text('[{"question": "Q", "mc2_targets": {"a": 1, "b": 0, "c": 1}}]')
    assert read_items(tmp_path / "mc.json", "truthfulqa") == [GOOD["truthfulqa"]]
    (tmp_path / "val.jsonl").write_text(json.dumps(changed("hellaswag", label="1")))
    assert read_items(tmp_path / "val.jsonl", "hellaswag") == [GOOD["hellaswag"]]


@pytest.mark.parametrize(
    "text",
    [
        "question,choice0,choice1,choice2,choice3,answer\nQ,a,b,c,d,1\n",
        "Q,a,b,c,d,B\n",
        "\ufeffquestion,A,B,C,D,answer\r\nQ,a,b,c,d,B\r\n",
    ],
    ids=["header and numbers", "no header and letters", "byte order mark and letters"],
)
def test_mmlus_csv_with_and_without_a_header(tmp_path, text):
    (tmp_path / "x_test.csv").write_text(text, encoding="utf-8", newline="")
    assert read_items(tmp_path / "x_test.csv", "mmlu") == [GOOD["mmlu"]]


def test_a_quoted_line_break_stays_in_its_field(tmp_path):
    (tmp_path / "x.csv").write_text('"One, ""two""\nthree?",a,b,c,d,D\n')
    (item,) = read_items(tmp_path / "x.csv", "mmlu")
    assert (item["question"], item["answer"]) == ('One, "two"\nthree?', 3)


@pytest.mark.parametrize(
    ("benchmark", "item", "message"),
    [
        ("arc", [1], "value: "),
        ("arc", changed("arc", question=5), "question: .*found 5"),
        ("arc", changed("arc", choices={"text": ["a"], "label": ["A"]}), "choices.text: "),
        ("arc", changed("arc", choices={"text": ["a", "b"], "label": ["A"]}), "choices.label: expected one for each"),
        ("arc", changed("arc", choices={"text": ["a", ""], "label": ["A", "B"]}), "choices.text.1: "),
        ("arc", changed("arc", answerKey="E"), r"answerKey: expected one of \['A', 'B'\], found 'E'"),
        ("mmlu", changed("mmlu", choices=["a", "b"]), "choices: "),
        ("mmlu", changed("mmlu", answer=4), "answer: .*found 4"),
        ("mmlu", {"question": "Q", "choices": ["a", "b", "c", "d"]}, "answer: is missing"),
        ("hellaswag", changed("hellaswag", label="x"), "label: .*found 'x'"),
        ("hellaswag", changed("hellaswag", label=2), "label: expected the place of an ending"),
        ("truthfulqa", changed("truthfulqa", mc2_targets={"a": 0, "b": 0}), "mc2_targets.labels: .*a true one"),
        ("truthfulqa", changed("truthfulqa", mc2_targets={"a": 1, "b": 2}), "mc2_targets.labels.1: "),
        ("truthfulqa", changed("truthfulqa", mc2_targets=["a"]), "mc2_targets: "),
    ],
)
def test_a_bad_item_is_refused_with_file_record_and_field(tmp_path, benchmark, item, message):
    path = tmp_path / "items.jsonl"
    path.write_text(f"{json.dumps(GOOD[benchmark])}\n{json.dumps(item)}\n")
    with pytest.raises(InputError, match=rf"items\.jsonl: line 2: is no item of {benchmark}: {message}") as error:
        read_items(path, benchmark)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.csv", "Q,a,b,c,d,B\nQ,a,b,c,d,E\n", "row 2: is no item of mmlu: answer: .*found 'E'"),
        ("x.csv", "Q,a,b,c,d,B\nQ,a,b,c,D\n", "row 2: expected six fields: .*; found 5"),
        ("x.csv", 'Q,a,b,c,d,B\n"Q,a,b,c,d,B\n', "row 2: is not CSV"),
        ("x.csv", "question,choice0,choice1,choice2,choice3,answer\n", "has no items"),
        ("x.jsonl", "\n", "has no items"),
        ("x.json", "{}", "expected a list of items, found dict"),
        ("x.json", "[1]", "record 1: is no item of mmlu: "),
        ("x.txt", "Q", "expected a file in JSONL or JSON"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_items(tmp_path / name, "mmlu")
    assert str(error.value).startswith(str(tmp_path / name))


def test_bytes_that_are_no_text_and_a_file_that_is_not_there(tmp_path):
    (tmp_path / "x.csv").write_bytes(b"Q\xff,a,b,c,d,B\n")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_items(tmp_path / "x.csv", "mmlu")
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        read_items(tmp_path / "none.csv", "mmlu")
    with pytest.raises(InputError, match="expected a file in JSONL or JSON"):
        read_items(tmp_path / "x.csv", "arc")


@pytest.mark.parametrize(
    ("name", "benchmark", "count"),
    [
        ("arc_challenge_test.jsonl", "arc", 1172),
        ("arc_challenge_train.jsonl", "arc", 1056),
        ("hellaswag_val_1000.jsonl", "hellaswag", 1000),
        ("truthfulqa_mc.json", "truthfulqa", 817),
        ("mmlu/dev/anatomy_dev.csv", "mmlu", 5),
    ],
)
def test_the_published_files_are_read_whole(shared_data, name, benchmark, count):
    assert len(read_items(shared_data / "open_llm" / name, benchmark)) == count
