"""AlpacaEval 1.0 and 2 by way of the alpaca-eval package: a judge compares each answer with a reference's answer.

The package fills the prompt, draws the order of the two outputs, reads the verdict and computes the win rate. The
requests are ours: its own client and cache lose up to a chunk of paid verdicts, never ask again for one that cannot
be read, and know a cached verdict by the annotator's name without the judge's model.
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from srt.evaluation._judge_records import described, versions
from srt.evaluation.annotators import Annotator, read_annotator
from srt.evaluation.judge import NO_REPLY, UNREADABLE, Judge, asking, form_of, inert
from srt.evaluation.judging import Judging
from srt.evaluation.questions import Question, questions_version, read_answers, read_questions
from srt.evaluation.request import Request, given
from srt.evaluation.result import write_result
from srt.evaluation.win_rate import length_controlled, number, package, quiet, win_metrics, win_shares
from srt.prepare.sources import located
from srt.settings import AlpacaEvalConfig
from srt.storage.errors import InputError
from srt.storage.files import write_text
from srt.storage.journal import content_key
from srt.storage.records import Evaluation

LONGEST_RANKING = 10_000  # characters; two models' names and ranks need about 100
PLACEHOLDERS = r"\{(instruction|output_1|output_2|input)\}"


def evaluate(
    answers: Path,
    out: Path,
    settings: AlpacaEvalConfig,
    judging: Judging,
) -> None:
    """Judge a model's answers against the reference's and write the win rate as one `Evaluation`.

    Args:
        answers: JSONL of `Answer`, joined with the questions by id.
        out: the evaluation's JSON.
        settings: the questions with the reference's outputs, and the version.
        judging: who judges (`settings.judge`), and how it is asked.

    Raises:
        InputError: answers that are not to these questions, or settings that cannot work.
        ServerError: the judge does not answer.
    """
    questions = read_questions(settings.reference)
    pairs, missing = paired(questions, answers)
    judge = judging.judge
    annotator = read_annotator(form_of(judge, "alpaca_eval", settings.judge), judge)
    difficulty = located(settings.length_controlled) if settings.length_controlled else None
    with asking(judging, out) as asked:
        preferences, reasons = preferences_of(pairs, annotator, asked)
        asked.check(missing + reasons, len(questions), settings.missing_share)
    lengths = [len(pair["output"]) for pair in pairs]
    metrics = win_metrics(preferences, lengths)
    if difficulty is not None:
        metrics.append(length_controlled(_positioned(pairs, questions), preferences, difficulty))
    evaluation = Evaluation(
        benchmark=out.stem,
        metrics=metrics,
        judge={**described(judge, settings.judge, annotator.identity), "annotator": annotator.name},
        task_versions=questions_version(settings.reference, questions),
        settings=settings.model_dump(),
        versions=versions(judge, asked.answered_as, "alpaca-eval"),
        notes=asked.notes(),
        missing=dict(missing + reasons),
    )
    write_result(out, evaluation, win_shares([pair["id"] for pair in pairs], preferences))


def requested(request: Request[AlpacaEvalConfig]) -> None:
    """The same, as a benchmark is called."""
    judging = given(request.judging, "--judge")
    evaluate(given(request.answers, "ANSWERS"), request.job.out, request.settings, judging)


def paired(questions: Sequence[Question], path: Path) -> tuple[list[dict[str, str]], Counter[str]]:
    """Question, reference's output and answer joined by id, and how many questions have no answer.

    Raises:
        InputError: an answer to no question or to another text of it, or a question without a reference's answer.
    """
    answers = read_answers(path, questions)
    pairs = []
    for question in questions:
        if question.reference is None:
            raise InputError(f"question {question.id!r}: output: is missing, expected the reference's answer")
        if question.id in answers:
            answer = answers[question.id].answer
            inert_texts = inert_pair(question.id, question.question, question.reference, answer)
            pairs.append({**inert_texts, "output": answer})
    unanswered = len(questions) - len(pairs)
    return pairs, Counter({"no answer": unanswered} if unanswered else {})


def _positioned(pairs: Sequence[Mapping[str, str]], questions: Sequence[Question]) -> list[dict[str, Any]]:
    """What the length-controlled win rate reads of every pair, its texts as they were before they were made inert."""
    places = {question.id: (number, question.reference) for number, question in enumerate(questions)}
    found = [(pair, *places[pair["id"]]) for pair in pairs]
    return [{"position": place, "output_1": theirs, "output_2": pair["output"]} for pair, place, theirs in found]


def inert_pair(key: str, instruction: str, output_1: str, output_2: str) -> dict[str, str]:
    """A pair as alpaca-eval's annotator takes it, its texts inert."""
    texts = {"instruction": instruction, "output_1": output_1, "output_2": output_2}
    return {"id": key, **{name: _inert(text) for name, text in texts.items()}}


def _inert(text: str) -> str:
    """Text that neither ends the judge's turn nor is taken for a placeholder of the prompt."""
    return re.sub(PLACEHOLDERS, r"{ \1 }", inert(text))


def preferences_of(
    pairs: Sequence[Mapping[str, str]], annotator: Annotator, judge: Judge, shuffled: bool = True
) -> tuple[list[float | None], Counter[str]]:
    """Per pair the preference (1 for output_1 to 2 for output_2, 1.5 a draw), null after all tries, and why by count.

    `shuffled` shows the outputs in alpaca-eval's random order, False output_1 first.
    """
    folder = judge.judging.cache / "annotators" / content_key(annotator.identity)[:16]
    config = folder / annotator.name / "configs.yaml"
    write_text(config, yaml.safe_dump({annotator.name: annotator.config}))
    preferences: list[float | None] = [None] * len(pairs)
    refusals: dict[str, str] = {}
    reasons: dict[int, str] = {}
    for attempt in range(judge.tries):
        lost = (i for i, preference in enumerate(preferences) if preference is None)
        open_items = [i for i in lost if not reasons.get(i, "").startswith(NO_REPLY)]
        if not open_items:
            break
        refusals.clear()
        completions = _completions(annotator, judge, attempt, refusals)
        rows = _annotate([pairs[i] for i in open_items], config, completions, shuffled)
        for i in open_items:
            preferences[i] = rows[pairs[i]["id"]]
            if preferences[i] is None:
                reasons[i] = _reason(pairs[i], refusals)
    return preferences, Counter(reasons[i] for i, preference in enumerate(preferences) if preference is None)


def _annotate(
    pairs: Sequence[Mapping[str, str]], config: Path, completions: Callable[..., dict[str, list[Any]]], shuffled: bool
) -> dict[str, float | None]:
    """Id: preference, by alpaca-eval's annotator with our completions and none of its caches."""
    annotator = package().annotators.PairwiseAnnotator(
        annotators_config=config.resolve(),
        caching_path=None,
        fn_completions=completions,
        annotation_type=float,
        is_randomize_output_order=shuffled,
    )
    fields = ("id", "instruction", "output_1", "output_2")
    with quiet():
        rows = annotator.annotate_pairs([{name: pair[name] for name in fields} for pair in pairs], chunksize=None)
    return {row["id"]: number(row["preference"]) for row in rows}


def _completions(
    annotator: Annotator, judge: Judge, attempt: int, refusals: dict[str, str]
) -> Callable[..., dict[str, list[Any]]]:
    """What alpaca-eval calls for completions; whatever the judge refuses goes into `refusals` by its prompt."""
    prompt_to_chatml = package().utils.prompt_to_chatml
    extra = {"extra_body": annotator.served} if judge.judging.judge.serve and annotator.served else {}

    def completions(prompts: Sequence[str]) -> dict[str, list[Any]]:
        requests = [{"messages": prompt_to_chatml(prompt), **annotator.request, **extra} for prompt in prompts]
        replies = judge.ask(requests, attempt, "alpaca_eval")
        refusals.update({p: reply.trouble for p, reply in zip(prompts, replies, strict=True) if reply.trouble})
        ranked = annotator.config.get("fn_completion_parser") == "ranking_parser"
        texts = [ranking(reply.text) if ranked else reply.text for reply in replies]
        usable = [{} if reply.trouble else reply.choice for reply in replies]
        choices = [{**plain_names(choice), "text": text} for choice, text in zip(usable, texts, strict=True)]
        return {"completions": texts, "completions_all": choices}

    return completions


def ranking(text: str) -> str:
    """A judge's ranking of two; nothing, which no parser reads, where it is not one of 1 and 2.

    The package takes two models on the same rank for a win of the first one.
    """
    listed = text[max(text.find("["), 0) : text.rfind("]") + 1]
    try:
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):  # of numbers that run into words
            ranks = sorted(row["rank"] for row in ast.literal_eval(listed)) if len(listed) < LONGEST_RANKING else []
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):  # the last two: too deep
        return ""
    return text if ranks == [1, 2] else ""


def plain_names(choice: Mapping[str, Any]) -> dict[str, Any]:
    """A choice whose log-probabilities stand under tokens without spaces around them, those of one name added up.

    The package looks for `m` alone, and where a tokenizer says ` m` it would find no probability at all.
    """
    content = (choice.get("logprobs") or {}).get("content") or []
    if not content or not content[0].get("top_logprobs"):
        return dict(choice)
    added: dict[str, float] = {}
    for top in content[0]["top_logprobs"]:
        name = top["token"].strip()
        known = added.get(name)
        added[name] = top["logprob"] if known is None else _log_of_sum(known, top["logprob"])
    tops = [{**content[0], "token": name, "logprob": value} for name, value in added.items()]
    first = {**content[0], "top_logprobs": [{k: v for k, v in top.items() if k != "top_logprobs"} for top in tops]}
    return {**choice, "logprobs": {**choice["logprobs"], "content": [first, *content[1:]]}}


def _log_of_sum(one: float, other: float) -> float:
    """log(exp(one) + exp(other)), whatever lies between them: servers send -9999 for nothing."""
    return max(one, other) + math.log1p(math.exp(-abs(one - other)))


def _reason(pair: Mapping[str, str], refusals: Mapping[str, str]) -> str:
    texts = [pair[name] for name in ("instruction", "output_1", "output_2")]
    found = [reason for prompt, reason in refusals.items() if all(text in prompt for text in texts)]
    return found[0] if found else UNREADABLE
