"""MT-Bench (arXiv 2306.05685): a judge grades every answer of a two-turn conversation by itself, from 1 to 10."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import Field, JsonValue

from srt.evaluation import _reading as reading
from srt.evaluation._judge_records import described, versions
from srt.evaluation.judge import asking, form_of, inert
from srt.evaluation.judging import Judging
from srt.evaluation.questions import Question, questions_version, read_answers, read_questions
from srt.evaluation.request import Request, given
from srt.evaluation.result import write_result
from srt.evaluation.statistics import mean_and_error
from srt.llm.prompts import fill
from srt.settings import MtBenchConfig, Settings
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.records import Evaluation, Metric
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml


class GradingPrompt(Settings):
    """The judge's prompt (config/prompts/mt_bench.yaml): what it is, what it is asked, and how."""

    system: str
    ask: str = Field(description="with {conversation} and {reference}")
    turn: str = Field(description="one turn of the conversation, with {question} and {answer}")
    reference: str = Field(description="what stands for {reference} where there is one, with {reference}")
    request: dict[str, JsonValue] = Field(description="arguments of every chat completion")
    served: dict[str, JsonValue] = Field(description="sent as well where vLLM serves the judge")


def read_grading_prompt(name: str) -> GradingPrompt:
    """The judge's prompt from its YAML file; InputError names what is missing or mistyped."""
    path = locate(name)
    prompt = validated(GradingPrompt, read_yaml(path), str(path))
    needed = {"ask": ("conversation", "reference"), "turn": ("question", "answer"), "reference": ("reference",)}
    for field, placeholders in needed.items():
        for placeholder in placeholders:
            if f"{{{placeholder}}}" not in getattr(prompt, field):
                raise InputError(f"{path}: {field}: expected the placeholder {{{placeholder}}}")
    return prompt


def evaluate(
    answers: Path,
    out: Path,
    questions: str,
    settings: MtBenchConfig,
    judging: Judging,
) -> None:
    """Grade a model's answers and write one `Evaluation`: the mean grade, per turn and per category.

    Args:
        answers: the model's answers, JSONL of `Answer`, one per turn.
        out: the evaluation's JSON.
        questions: the conversations (`srt.evaluation.questions.read_questions`).
        settings: of the benchmark.
        judging: who judges (`settings.judge`), and how it is asked.

    Raises:
        InputError: answers that are not to these questions, or settings that cannot work.
        ServerError: the judge does not answer.
    """
    asked_of = read_questions(questions)
    judge = judging.judge
    prompt = read_grading_prompt(form_of(judge, "mt_bench", settings.judge))
    requests, missing = _requests(asked_of, answers, prompt, judge.serve)
    with asking(judging, out) as asked:
        grades, reasons = asked.read(requests, reading.grade, out.stem)
        lost = Counter(reasons.values())
        asked.check(
            missing + lost, sum(len(question.asked()) for question in asked_of), settings.missing_share, "turns"
        )
    evaluation = Evaluation(
        benchmark=out.stem,
        metrics=_grade_metrics(asked_of, grades),
        judge=described(judge, settings.judge, prompt.model_dump_json()),
        task_versions=questions_version(questions, asked_of),
        settings=settings.model_dump(),
        versions=versions(judge, asked.answered_as),
        notes=asked.notes(),
        missing=dict(missing + lost),
    )
    write_result(out, evaluation, list(_means(asked_of, grades).items()))


def requested(request: Request[MtBenchConfig]) -> None:
    """The same, as a benchmark is called."""
    questions, judging = given(request.questions, "--questions"), given(request.judging, "--judge")
    evaluate(given(request.answers, "ANSWERS"), request.job.out, questions, request.settings, judging)


def _requests(
    questions: Sequence[Question], path: Path, prompt: GradingPrompt, served: bool
) -> tuple[dict[str, Mapping[str, Any]], Counter[str]]:
    """The request for every answer's grade by the answer's id, and how many turns have no answer."""
    found = read_answers(path, questions)
    requests: dict[str, Mapping[str, Any]] = {}
    for question in questions:
        turns: list[tuple[str, str]] = []
        for number, (key, text) in enumerate(question.asked()):
            if key not in found:
                break  # what follows was not asked in this conversation
            turns.append((text, found[key].answer))
            reference = question.references[number] if question.references else None
            requests[key] = request(turns, reference, prompt, served)
    unanswered = sum(len(question.asked()) for question in questions) - len(requests)
    return requests, Counter({"no answer": unanswered} if unanswered else {})


def request(
    turns: Sequence[tuple[str, str]], reference: str | None, prompt: GradingPrompt, served: bool
) -> Mapping[str, Any]:
    """A chat about the last answer of a conversation, its texts inert."""
    said = [fill(prompt.turn, {"question": inert(asked), "answer": inert(answer)}) for asked, answer in turns]
    known = "" if reference is None else fill(prompt.reference, {"reference": inert(reference)})
    messages = [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": fill(prompt.ask, {"conversation": "\n".join(said).rstrip(), "reference": known})},
    ]
    return {"messages": messages, **prompt.request, **({"extra_body": prompt.served} if served else {})}


def _means(questions: Sequence[Question], grades: Mapping[str, float]) -> dict[str, float]:
    """Question: the mean grade of its turns, for those of which every turn has one."""
    of_turns = {question.id: [grades.get(key) for key, _ in question.asked()] for question in questions}
    known = {key: [grade for grade in found if grade is not None] for key, found in of_turns.items()}
    return {key: fmean(found) for key, found in known.items() if len(found) == len(of_turns[key])}


def _grade_metrics(questions: Sequence[Question], grades: Mapping[str, float]) -> list[Metric]:
    """The mean grade (1 to 10) with its standard error over the questions; the same per turn and per category.

    A question counts in `score` and its category by the mean of its turns, where all of them have a grade.

    Args:
        questions: the conversations.
        grades: by the answers' ids.
    """
    means = _means(questions, grades)
    groups: dict[str, list[float]] = {"score": list(means.values())}
    for turn in range(max((len(question.asked()) for question in questions), default=0)):
        keys = [question.asked()[turn][0] for question in questions if turn < len(question.asked())]
        groups[f"turn_{turn + 1}"] = [grades[key] for key in keys if key in grades]
    for category in dict.fromkeys(question.category for question in questions if question.category):
        chosen = [question.id for question in questions if question.category == category]
        groups[f"category_{category}"] = [means[key] for key in chosen if key in means]
    return [
        Metric(name=name, value=value, se=error, n=len(values))
        for name, values in groups.items()
        for value, error in [mean_and_error(values)]
    ]
