import json

import pytest

from srt.evaluation.questions import read_questions
from srt.storage.errors import InputError


def written(tmp_path, text, name="questions.json"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return str(tmp_path / name)


def test_json_list_with_references(tmp_path):
    rows = [{"id": "a", "instruction": "Why?", "output": "Because."}, {"instruction": "How?", "output": "So."}]
    first, second = read_questions(written(tmp_path, json.dumps(rows)))
    assert (first.id, first.question, first.reference) == ("a", "Why?", "Because.")
    assert len(second.id) == 16


@pytest.mark.parametrize("key", ["instruction", "Instruction", "text", "question"])
@pytest.mark.parametrize("id_key", ["id", "question_id", "idx"])
def test_jsonl_under_the_known_keys(tmp_path, key, id_key):
    line = json.dumps({id_key: 7, key: "Why?", "category": "x"}) + "\n"
    (question,) = read_questions(written(tmp_path, line, "questions.jsonl"))
    assert (question.id, question.question, question.reference, question.category) == ("7", "Why?", None, "x")


def test_a_conversation_has_turns_with_ids_of_their_own(tmp_path):
    row = {"question_id": 81, "turns": ["Write.", "Shorten it."], "reference": ["Once.", None]}
    single = {"question_id": 82, "turns": ["Why?"]}
    first, second = read_questions(written(tmp_path, json.dumps([row, single])))
    assert first.asked() == [("81/1", "Write."), ("81/2", "Shorten it.")]
    assert first.references == ["Once.", None]
    assert second.asked() == [("82", "Why?")]


def test_limas_conversations_are_questions(tmp_path):
    rows = [{"conversations": "Why?"}, {"conversations": ["How?", "So."]}]
    assert [question.question for question in read_questions(written(tmp_path, json.dumps(rows)))] == ["Why?", "How?"]


def test_self_instructs_input_is_that_of_its_one_instance(tmp_path):
    rows = [{"instruction": "Shorten it.", "instances": [{"input": "A long text.", "output": "A text."}]}]
    (question,) = read_questions(written(tmp_path, json.dumps(rows)))
    assert (question.question, question.reference) == ("Shorten it.\nA long text.", None)
    for instances in ([], [{}, {}], "x"):
        rows[0]["instances"] = instances
        with pytest.raises(InputError, match="record 0: instances: expected exactly one"):
            read_questions(written(tmp_path, json.dumps(rows)))


def test_a_file_on_the_hub_is_fetched_and_a_bad_address_refused(tmp_path, monkeypatch):
    asked = []
    path = written(tmp_path, json.dumps([{"prompt": "Why?"}]))
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *args, **more: asked.append((args, more)) or path)
    (question,) = read_questions("hub:owner/set/data/q.json@abc")
    assert question.question == "Why?"
    assert asked == [(("owner/set", "data/q.json"), {"repo_type": "dataset", "revision": "abc"})]
    with pytest.raises(InputError, match=r"hub:owner/set: expected hub:OWNER/NAME/FILE"):
        read_questions("hub:owner/set")


def test_without_the_hub_one_line_says_so():
    source = "hub:tatsu-lab/alpaca_eval/alpaca_eval.json"
    with pytest.raises(InputError, match=f"{source}: the hub does not give it") as error:
        read_questions(source)
    assert "\n" not in str(error.value)


def test_repeated_text_without_ids_gets_numbered_ids(tmp_path):
    rows = [{"text": "Why?"}] * 3
    ids = [question.id for question in read_questions(written(tmp_path, json.dumps(rows)))]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


def test_input_is_joined(tmp_path):
    (question,) = read_questions(
        written(tmp_path, json.dumps([{"instruction": "Translate.", "input": "Ja", "output": "Yes"}]))
    )
    assert question.question == "Translate.\nJa"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "has no questions"),
        ("", "is empty"),
        ("[1]", "record 0: expected an object"),
        ('[{"asked": "a"}]', "record 0: instruction: is missing"),
        ('[{"turns": []}]', "record 0: turns: is empty"),
        ('[{"turns": ["a", 2]}]', "record 0: turns: expected text, found 2"),
        ('[{"turns": ["a", "b"], "reference": ["c"]}]', "record 0: reference: expected one text or null per turn"),
        ('[{"text": 5}]', "record 0: text: expected text, found 5"),
        ('[{"text": "a", "output": 5}]', "record 0: output: expected text"),
        ('[{"text": " "}]', "record 0: text: is empty"),
        ('[{"text": "a", "id": true}]', "record 0: id: expected text or a whole number"),
        ('{"text": "a", "id": 1}\n{"text": "b", "id": 1}', "line 2: id '1' occurs twice"),
        ('{"text": "a"}\n{"text":', "line 2: is not JSON"),
        ("[{]", "is not JSON"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as error:
        read_questions(written(tmp_path, text))
    assert "questions.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.jsonl: no such file"):
        read_questions(str(tmp_path / "none.jsonl"))


def test_binary_file(tmp_path):
    (tmp_path / "q.json").write_bytes(b"[\xff\xfe]")
    with pytest.raises(InputError, match="is not UTF-8"):
        read_questions(str(tmp_path / "q.json"))


@pytest.mark.parametrize(("name", "count"), [("wizardlm_218", 218), ("vicuna_80", 80), ("mt_bench_80", 80)])
def test_real_question_files(shared_data, name, count):
    assert len(read_questions(str(shared_data / "questions" / f"{name}.jsonl"))) == count


def test_real_alpaca_eval_questions(shared_data):
    questions = read_questions(str(shared_data / "alpaca_eval" / "text_davinci_003.reference.json"))
    assert len({question.id for question in questions}) == 805
    assert all(question.reference for question in questions)
