"""A benchmark's questions: from a file, or AlpacaEval's 805 from the hub."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

from srt.config import locate
from srt.prompts import joined
from srt.records import InputError, Record, read_json, read_lines

HUB_NAME = "alpaca_eval"
TEXT_KEYS = ("instruction", "Instruction", "text", "question")
ID_KEYS = ("id", "question_id", "idx")


class Question(Record):
    """One question of a benchmark, with the reference's answer where the benchmark has one."""

    id: str
    question: str
    reference: str | None


def read_questions(source: str) -> list[Question]:
    """The questions of a JSON list or JSONL file, or of AlpacaEval 1.0 under the name `alpaca_eval`.

    A question's text stands under one of TEXT_KEYS, its id under one of ID_KEYS (without one, a hash of the text;
    a repeat gets `-2`, `-3`), the reference's answer under `output`.

    Raises:
        InputError: names file, record and field of what is missing, mistyped or repeated.
    """
    path = _hub_file() if source == HUB_NAME else locate(source)
    place = HUB_NAME if source == HUB_NAME else str(path)
    repeats: Counter[str] = Counter()
    questions: list[Question] = []
    seen: set[str] = set()
    for where, value in _records(path, place):
        question = _question(where, value, repeats)
        if question.id in seen:
            raise InputError(f"{where}: id {question.id!r} occurs twice, expected unique ids")
        seen.add(question.id)
        questions.append(question)
    if not questions:
        raise InputError(f"{place}: has no questions, expected at least one")
    return questions


def _hub_file() -> Path:
    """AlpacaEval 1.0's questions and reference answers.

    The data file itself, because the data set's loading script is what `datasets` no longer runs.
    """
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download("tatsu-lab/alpaca_eval", "alpaca_eval.json", repo_type="dataset"))


def _records(path: Path, place: str) -> list[tuple[str, Any]]:
    try:
        with path.open("rb") as file:
            start = file.read(4096).lstrip()[:1]
        if start != b"[":
            return [(f"{place}: line {number}", value) for number, value in read_lines(path)]
        return [(f"{place}: record {number}", value) for number, value in enumerate(read_json(path), start=1)]
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{place}: cannot be read: {error.strerror}") from None


def _question(where: str, value: Any, repeats: Counter[str]) -> Question:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object, found {type(value).__name__}")
    key = next((name for name in TEXT_KEYS if name in value), None)
    if key is None:
        raise InputError(f"{where}: instruction: is missing, expected one of {', '.join(TEXT_KEYS)}")
    text, context, reference = value[key], value.get("input", ""), value.get("output")
    for name, found in ((key, text), ("input", context), ("output", "" if reference is None else reference)):
        if not isinstance(found, str):
            raise InputError(f"{where}: {name}: expected text, found {found!r}")
    if not text.strip():
        raise InputError(f"{where}: {key}: is empty, expected a question")
    question = joined(text, context)
    return Question(id=_identifier(where, value, question, repeats), question=question, reference=reference)


def _identifier(where: str, value: dict[str, Any], question: str, repeats: Counter[str]) -> str:
    key = next((name for name in ID_KEYS if name in value), None)
    if key is not None:
        found = value[key]
        if isinstance(found, bool) or not isinstance(found, str | int) or found == "":
            raise InputError(f"{where}: {key}: expected text or a whole number, found {found!r}")
        return str(found)
    return text_id(question, repeats)


def text_id(question: str, repeats: Counter[str]) -> str:
    """The id of a question that has none: a hash of its text; a repeat, counted in `repeats`, gets `-2`, `-3`."""
    digest = hashlib.sha256(question.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    repeats[digest] += 1
    return digest if repeats[digest] == 1 else f"{digest}-{repeats[digest]}"
