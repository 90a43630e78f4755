"""MT-Bench: grades over real HTTP, per turn and category, and what becomes of those that cannot be read."""

import json

import pytest

from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge, judging
from srt.evaluation import mt_bench
from srt.evaluation.questions import read_questions
from srt.llm.servers import ServerError
from srt.settings import MtBenchConfig
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.records import Answer, Evaluation

QUESTIONS = [
    {"question_id": 1, "category": "writing", "turns": ["Write W1.", "Now W2."]},
    {"question_id": 2, "category": "math", "turns": ["Add M1.", "Now M2."], "reference": ["It is two.", None]},
    {"question_id": 3, "category": "math", "turns": ["Add N1.", "Now N2."]},
]
GRADES = {"1/1": 8, "1/2": 6, "2/1": 4, "2/2": 2, "3/1": 10, "3/2": 9}


@pytest.fixture
def job(tmp_path, monkeypatch):
    """The answers to QUESTIONS, and evaluate() on them: `run(judge server)` gives the evaluation."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    (tmp_path / "questions.json").write_text(json.dumps(QUESTIONS))
    answers = [
        Answer(id=key, question=text, answer=f"answer {key} <|im_end|>", tokens=3, finish_reason="stop")
        for question in read_questions(str(tmp_path / "questions.json"))
        for key, text in question.asked()
    ]
    write_records(tmp_path / "answers.jsonl", answers)

    def run(fake, missing_share=0.0, **changes):
        settings = MtBenchConfig(judge="config/judges/j.yaml", missing_share=missing_share)
        out = tmp_path / "evaluation" / "mt_bench.json"
        questions = str(tmp_path / "questions.json")
        judged = judging(tmp_path / "cache", fake.endpoint, **changes)
        mt_bench.evaluate(tmp_path / "answers.jsonl", out, questions, settings, judged)
        return Evaluation.model_validate(json.loads(out.read_text()))

    return run


def graded(request):
    """The id of the answer that is graded: the last one in the conversation."""
    text = request["messages"][1]["content"]
    return max(GRADES, key=lambda key: text.rfind(f"answer {key} "))


def test_grades_per_turn_and_category(job, tmp_path):
    with FakeJudge(lambda request, count: f"{GRADES[graded(request)]}\nSo it is.") as fake:
        found = job(fake)
        assert len(fake.requests) == 6
        assert job(fake) == found
        assert len(fake.requests) == 6
    values = {metric.name: (metric.value, metric.n) for metric in found.metrics}
    assert values["score"] == (pytest.approx((7 + 3 + 9.5) / 3), 3)
    assert values["turn_1"] == (pytest.approx(22 / 3), 3)
    assert values["turn_2"] == (pytest.approx(17 / 3), 3)
    assert values["category_writing"] == (7, 1)
    assert values["category_math"] == (pytest.approx(6.25), 2)
    assert found.metrics[0].se == pytest.approx(1.8929694)  # over the questions, not the turns
    assert found.missing == {}
    assert (found.judge["name"], found.judge["version"]) == ("j", 1)
    assert found.task_versions["questions"]["n"] == 3


def test_the_second_turn_is_shown_with_the_first_and_a_reference_where_there_is_one(job):
    with FakeJudge(lambda request, count: "5") as fake:
        job(fake)
        texts = {graded(request): request["messages"][1]["content"] for request in fake.requests}
    assert "Write W1." in texts["1/2"]
    assert "answer 1/1 " in texts["1/2"]
    assert "W2" not in texts["1/1"]
    assert "It is two." in texts["2/1"]
    assert not any("known to be good" in text for key, text in texts.items() if key != "2/1")
    assert not any("<|im_end|>" in text for text in texts.values())


def test_a_grade_of_zero_counts_and_is_marked(job):
    with FakeJudge(lambda request, count: "0\nNothing is there." if graded(request) == "2/2" else "6") as fake:
        found = job(fake)
        assert len(fake.requests) == 6
    assert found.value("score") == pytest.approx((6 + 3 + 6) / 3)
    assert (found.missing, found.notes) == ({}, {"judgments outside the asked scale of 1 to 10": 1})


def test_a_grade_that_cannot_be_read_is_asked_for_again_and_then_fails_the_job(job):
    def answer(request, count):
        return "no idea" if graded(request) == "2/2" and count <= 2 else "5"

    with FakeJudge(answer) as fake:
        with pytest.raises(ServerError, match=r"1 of 6 turns have no usable verdict \(1 unreadable verdict\)"):
            job(fake)
        found = job(fake)
        assert len(fake.requests) == 5 + 3
    assert found.value("score") == 5


def test_an_allowed_share_is_counted_and_its_question_left_out_of_the_mean(job):
    with FakeJudge(lambda request, count: "no" if graded(request) == "2/2" else "6") as fake:
        found = job(fake, missing_share=0.2)
    assert found.missing == {"unreadable verdict": 1}
    counts = {metric.name: metric.n for metric in found.metrics}
    assert (counts["score"], counts["turn_1"], counts["turn_2"], counts["category_math"]) == (2, 3, 2, 1)


def test_turns_without_an_answer_are_missing(job, tmp_path):
    kept = [answer for answer in read_records(tmp_path / "answers.jsonl", Answer) if answer.id != "3/1"]
    write_records(tmp_path / "answers.jsonl", kept)
    with FakeJudge(lambda request, count: "6") as fake:
        found = job(fake, missing_share=0.5)
        assert len(fake.requests) == 4  # the second turn makes no sense without the first
    assert found.missing == {"no answer": 2}


@pytest.mark.parametrize(("field", "value"), [("id", "9/1"), ("question", "Another?")])
def test_answers_to_other_questions_are_refused(job, tmp_path, field, value):
    answers = read_records(tmp_path / "answers.jsonl", Answer)
    answers[0] = answers[0].model_copy(update={field: value})
    write_records(tmp_path / "answers.jsonl", answers)
    with FakeJudge(lambda request, count: "6") as fake, pytest.raises(InputError, match=f"{field}: expected"):
        job(fake)


def test_the_prompt_file_is_checked(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("system: s\nask: '{conversation}'\nturn: t\nreference: r\nrequest: {}\nserved: {}\n")
    with pytest.raises(InputError, match=r"p\.yaml: ask: expected the placeholder \{reference\}"):
        mt_bench.read_grading_prompt(str(path))


def test_the_real_questions_have_two_turns_in_eight_categories(shared_data):
    questions = read_questions(str(shared_data / "questions" / "mt_bench_80.jsonl"))
    assert {len(question.asked()) for question in questions} == {2}
    assert len({question.category for question in questions}) == 8
