"""A benchmark's questions, in the shapes in which they are published."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from srt.llm.prompts import joined
from srt.prepare.sources import located, read_rows
from srt.storage.errors import InputError, shown
from srt.storage.files import read_records
from srt.storage.journal import content_key
from srt.storage.records import Answer, Record

TEXT_KEYS = ("instruction", "Instruction", "text", "question", "prompt", "conversations")
ID_KEYS = ("id", "question_id", "idx")


class Question(Record):
    """One question of a benchmark.

    `reference` is the reference's answer where the benchmark has one, `turns` what follows the question in the same
    conversation, each asked after the answer to the one before, `references` a good answer to each turn of it (empty
    where there are none), `category` the benchmark's own.
    """

    id: str
    question: str
    reference: str | None
    turns: list[str]
    references: list[str | None]
    category: str | None

    def asked(self) -> list[tuple[str, str]]:
        """(id of the answer, text) of every turn; a question of one turn keeps its own id."""
        texts = [self.question, *self.turns]
        return [(_turn_id(self.id, number) if self.turns else self.id, text) for number, text in enumerate(texts, 1)]


def _turn_id(question: str, turn: int) -> str:
    """The id of the answer to one turn of a conversation, counted from 1."""
    return f"{question}/{turn}"


def read_questions(source: str) -> list[Question]:
    """The questions of a JSON list, JSONL or Parquet file, here or on the hub (`srt.prepare.sources.located`).

    A question's text stands under one of TEXT_KEYS or, for a conversation, as the list `turns`; its id under one of
    ID_KEYS (without one, a hash of the text; a repeat gets `-2`, `-3`), the reference's answer under `output`.

    Raises:
        InputError: names file, record and field of what is missing, mistyped or repeated.
    """
    repeats: Counter[str] = Counter()
    questions: list[Question] = []
    seen: set[str] = set()
    path = located(source)
    for position, value in read_rows(path):
        where = f"{path}: {position}"
        question = _question(where, value, repeats)
        if question.id in seen:
            raise InputError(f"{where}: id {question.id!r} occurs twice, expected unique ids")
        seen.add(question.id)
        questions.append(question)
    if not questions:
        raise InputError(f"{path}: has no questions, expected at least one")
    return questions


def read_answers(path: Path, questions: Sequence[Question]) -> dict[str, Answer]:
    """A model's answers by id, each to one turn of these questions.

    Raises:
        InputError: a malformed file, an answer to no turn, or to another text of it.
    """
    texts = {key: text for question in questions for key, text in question.asked()}
    found = {answer.id: answer for answer in read_records(path, Answer)}
    for key, answer in found.items():
        if key not in texts:
            raise InputError(f"{path}: record {key!r}: id: expected the id of one of the {len(texts)} questions")
        if answer.question != texts[key]:
            raise InputError(f"{path}: record {key!r}: question: expected {texts[key][:60]!r}, found another")
    return found


def questions_version(source: str, questions: Sequence[Question]) -> dict[str, Any]:
    """What an evaluation records of its questions: their source, number and SHA-256."""
    content = content_key([question.model_dump() for question in questions])
    return {"questions": {"source": source, "n": len(questions), "sha256": content}}


def _question(where: str, value: Any, repeats: Counter[str]) -> Question:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {type(value).__name__}")
    context, reference, category = _context(where, value), value.get("output"), value.get("category")
    text, *turns = _texts(where, value)
    for name, found in (("input", context), ("output", reference), ("category", category)):
        if not (isinstance(found, str) or (found is None and name != "input")):
            raise InputError(f"{where}: {name}: expected text, found {shown(found)}")
    question = joined(text, context)
    key = _identifier(where, value, question, repeats)
    references = value.get("reference") or []
    if isinstance(references, list):
        references = [found or None for found in references]  # an empty text is none
    good = isinstance(references, list) and all(found is None or isinstance(found, str) for found in references)
    if not good or len(references) not in (0, 1 + len(turns)):
        raise InputError(f"{where}: reference: expected one text or null per turn, found {shown(references)}")
    return Question(
        id=key, question=question, reference=reference, turns=turns, references=references, category=category
    )


def _context(where: str, value: dict[str, Any]) -> Any:
    """The question's input, which Self-Instruct's test set has in its one instance."""
    if "instances" not in value:
        return value.get("input", "")
    instances = value["instances"]
    if not isinstance(instances, list) or len(instances) != 1 or not isinstance(instances[0], dict):
        raise InputError(f"{where}: instances: expected exactly one, an object, found {shown(instances)}")
    return instances[0].get("input", "")


def _texts(where: str, value: dict[str, Any]) -> Sequence[str]:
    """The text of every turn."""
    key = next((name for name in ("turns", *TEXT_KEYS) if name in value), None)
    if key is None:
        raise InputError(f"{where}: instruction: is missing, expected turns or one of {', '.join(TEXT_KEYS)}")
    texts = value[key] if key in ("turns", "conversations") and isinstance(value[key], list) else [value[key]]
    texts = texts[:1] if key == "conversations" else texts  # LIMA's: the question, and an answer where there is one
    if not texts:
        raise InputError(f"{where}: {key}: is empty, expected at least one question")
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"{where}: {key}: expected text, found {shown(text)}")
        if not text.strip():
            raise InputError(f"{where}: {key}: is empty, expected a question")
    return texts


def _identifier(where: str, value: dict[str, Any], question: str, repeats: Counter[str]) -> str:
    key = next((name for name in ID_KEYS if name in value), None)
    if key is not None:
        found = value[key]
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            raise InputError(f"{where}: {key}: expected text or a whole number, found {shown(found)}")
        return str(found)
    return text_id(question, repeats)


def text_id(question: str, repeats: Counter[str]) -> str:
    """The id of a question that has none: a hash of its text; a repeat, counted in `repeats`, gets `-2`, `-3`."""
    digest = hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    repeats[digest] += 1
    return digest if repeats[digest] == 1 else f"{digest}-{repeats[digest]}"
