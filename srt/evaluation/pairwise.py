"""Pairwise comparison: a judge scores two models' answers from 1 to 10, in both orders (PROTOCOL.md, Evaluation)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue

from srt.evaluation import _reading as reading
from srt.evaluation._judge_records import described, versions
from srt.evaluation._reading import Scores
from srt.evaluation.judge import Judge, asking, form_of, inert
from srt.evaluation.judging import Judging
from srt.evaluation.questions import Question, questions_version, read_answers, read_questions
from srt.evaluation.request import Request, given
from srt.evaluation.result import write_result
from srt.evaluation.statistics import mean_and_error
from srt.llm.prompts import fill
from srt.settings import PairwiseConfig, Settings
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.records import Evaluation, Metric
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

Verdict = Literal["win", "tie", "lose"]
POINTS: dict[Verdict, int] = {"win": 1, "tie": 0, "lose": -1}


class PairwisePrompt(Settings):
    """The judge's prompt (config/prompts/pairwise.yaml): what it is, what it is asked, and how."""

    system: str
    ask: str = Field(description="with {question}, {first} and {second}")
    request: dict[str, JsonValue] = Field(description="arguments of every chat completion")
    served: dict[str, JsonValue] = Field(description="sent as well where vLLM serves the judge")


@dataclass(frozen=True)
class Match:
    """One question with the two models' answers."""

    id: str
    question: str
    ours: str
    theirs: str


def verdict(scores: Scores, scores_reversed: Scores) -> Verdict:
    """The outcome for our model from the scores in both orders.

    Win: ahead in both orders, or ahead in one and equal in the other. Tie: equal in both, or ahead in one each.

    Args:
        scores: of (ours, theirs), ours shown first.
        scores_reversed: of (theirs, ours), theirs shown first: the order in which the judge gave them.
    """
    ahead = _sign(scores[0] - scores[1]) + _sign(scores_reversed[1] - scores_reversed[0])
    return "win" if ahead > 0 else "lose" if ahead < 0 else "tie"


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def evaluate(
    answers: Path,
    opponent: Path,
    out: Path,
    questions: str,
    settings: PairwiseConfig,
    judging: Judging,
) -> None:
    """Compare a model's answers with an opponent's and write one `Evaluation`, named after the stem of `out`.

    Args:
        answers: our model's answers, JSONL of `Answer`.
        opponent: the other model's, to the same questions.
        out: the evaluation's JSON.
        questions: what both models answered (`srt.evaluation.questions.read_questions`).
        settings: of the comparison.
        judging: who judges (`settings.judge`), and how it is asked.

    Raises:
        InputError: answers that are not to these questions, or settings that cannot work.
        ServerError: the judge does not answer.
    """
    asked_of = read_questions(questions)
    if any(question.turns for question in asked_of):
        raise InputError(f"{questions}: expected questions of one turn, found conversations, which are MT-Bench's")
    judge = judging.judge
    prompt = read_prompt(form_of(judge, "pairwise", settings.judge))
    matches, missing = matched(asked_of, answers, opponent)
    with asking(judging, out) as asked:
        verdicts, reasons = _verdicts(matches, prompt, asked, out.stem)
        asked.check(missing + reasons, len(asked_of), settings.missing_share)
    evaluation = Evaluation(
        benchmark=out.stem,
        metrics=score_metrics(list(verdicts.values())),
        judge=described(judge, settings.judge, prompt.model_dump_json()),
        task_versions=questions_version(questions, asked_of),
        settings=settings.model_dump(exclude={"questions"}),
        versions=versions(judge, asked.answered_as),
        notes=asked.notes(),
        missing=dict(missing + reasons),
    )
    write_result(out, evaluation, points_of(verdicts))


def requested(request: Request[PairwiseConfig]) -> None:
    """The same, as a benchmark is called."""
    answers, opponent = given(request.answers, "ANSWERS"), given(request.opponent, "OPPONENT")
    questions, judging = given(request.questions, "--questions"), given(request.judging, "--judge")
    evaluate(answers, opponent, request.job.out, questions, request.settings, judging)


def read_prompt(name: str) -> PairwisePrompt:
    """The judge's prompt from its YAML file; InputError names what is missing or mistyped."""
    path = locate(name)
    prompt = validated(PairwisePrompt, read_yaml(path), str(path))
    for placeholder in ("{question}", "{first}", "{second}"):
        if placeholder not in prompt.ask:
            raise InputError(f"{path}: ask: expected the placeholder {placeholder}")
    return prompt


def matched(questions: Sequence[Question], answers: Path, opponent: Path) -> tuple[list[Match], Counter[str]]:
    """The questions that both models answered, joined by id, and how many each left out.

    Raises:
        InputError: an answer to no question, or to another text of it.
    """
    ours, theirs = read_answers(answers, questions), read_answers(opponent, questions)
    both = [q for q in questions if q.id in ours and q.id in theirs]
    missing = Counter(
        "no answer" if q.id not in ours else "no answer of the opponent" for q in questions if q not in both
    )
    return [Match(q.id, q.question, ours[q.id].answer, theirs[q.id].answer) for q in both], missing


def _verdicts(
    matches: Sequence[Match], prompt: PairwisePrompt, judge: Judge, label: str
) -> tuple[dict[str, Verdict], Counter[str]]:
    """The verdicts that can be read by question, and why the others cannot, by count."""
    served = judge.judging.judge.serve
    requests = {
        (match.id, turned): request(match, turned, prompt, served) for match in matches for turned in (False, True)
    }
    scores, reasons = judge.read(requests, reading.scores, label)
    lost = {key: reason for (key, _), reason in reasons.items()}
    verdicts = {m.id: verdict(scores[m.id, False], scores[m.id, True]) for m in matches if m.id not in lost}
    return verdicts, Counter(lost.values())


def request(match: Match, turned: bool, prompt: PairwisePrompt, served: bool) -> Mapping[str, Any]:
    """A chat about one match, ours shown first or, `turned`, theirs; texts inert."""
    first, second = (match.theirs, match.ours) if turned else (match.ours, match.theirs)
    fields = {"question": inert(match.question), "first": inert(first), "second": inert(second)}
    messages = [
        {"role": "system", "content": prompt.system},
        {"role": "user", "content": fill(prompt.ask, fields)},
    ]
    return {"messages": messages, **prompt.request, **({"extra_body": prompt.served} if served else {})}


def points_of(verdicts: Mapping[str, Verdict]) -> list[tuple[str, float]]:
    """(question, its share of the winning score): 2 a win, 1 a tie, 0 a loss."""
    return [(key, float(POINTS[outcome] + 1)) for key, outcome in verdicts.items()]


def score_metrics(verdicts: Sequence[Verdict]) -> list[Metric]:
    """Wins, ties, losses, and the winning score (wins - losses) / all + 1 with its standard error.

    "All" are the questions with a verdict: 1 is parity, 0 and 2 the ends of the scale.
    """
    n = len(verdicts)
    points = [POINTS[outcome] for outcome in verdicts]
    mean, error = mean_and_error(points)
    score = None if mean is None else mean + 1
    outcomes: dict[str, Verdict] = {"wins": "win", "ties": "tie", "losses": "lose"}
    counts = [Metric(name=k, value=float(verdicts.count(v)) if n else None, se=None, n=n) for k, v in outcomes.items()]
    return [Metric(name="winning_score", value=score, se=error, n=n), *counts]
