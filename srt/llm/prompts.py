"""Prompts are data: reading them, filling them, and the two training prompts that alpaca-eval ships."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.readers import read_text
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

# Names of the training prompts, and the folder in alpaca-eval's wheel that holds each.
WHEEL_PROMPTS = {"vicuna_v1.1": "vicuna-7b", "alpaca": "alpaca-7b"}


# Between prompt and response in training: FastChat's Vicuna format has a space, Stanford's Alpaca format nothing.
SEPARATORS = {"vicuna_v1.1": " ", "alpaca": ""}
# Where a further turn of the same conversation begins within the prompt: what stands before is said once.
TURN_STARTS = {"vicuna_v1.1": "USER:", "alpaca": "### Instruction:"}


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Replace `{name}` for the names in `fields`, in one pass: braces inside the values stay as they are."""
    pattern = "|".join(re.escape("{" + name + "}") for name in fields)
    return re.sub(pattern, lambda match: fields[match.group()[1:-1]], template)


def training_prompt(name: str) -> str:
    """A training prompt with `{instruction}`, byte for byte as alpaca-eval's wheel has it (no import of it)."""
    spec = find_spec("alpaca_eval")
    if spec is None or spec.origin is None:
        raise InputError("the package alpaca-eval is not installed; it holds the training prompts: run `make .venv`")
    path = Path(spec.origin).parent / "models_configs" / WHEEL_PROMPTS[name] / "prompt.txt"
    return read_text(path)


def conversation_turns(name: str, exchanges: Sequence[tuple[str, str]], question: str) -> tuple[str, ...]:
    """A training prompt before the answer to `question`, after finished exchanges of (question, answer).

    As FastChat writes a conversation: the frame once, and turn by turn. Every text but the last is a whole turn, which
    an end-of-sequence token ends; the next one follows it at once.
    """
    template = training_prompt(name)
    turn = template[template.index(TURN_STARTS[name]) :]
    forms = [template, *[turn] * len(exchanges)]
    asked = [*exchanges, (question, None)]
    return tuple(
        fill(form, {"instruction": text}) + ("" if answer is None else SEPARATORS[name] + answer)
        for form, (text, answer) in zip(forms, asked, strict=True)
    )


def text_ids(tokenizer: Any, texts: Sequence[str], begins: bool = True, spelled_out: bool = False) -> list[list[int]]:
    """Token ids of plain texts: with `begins` the BOS that the tokenizer adds, never what it adds at the end.

    Special tokens that a text spells out stay text, as in training; with `spelled_out` they are what they spell, as in
    the published scorer.
    """
    if not texts:
        return []
    more = {"split_special_tokens": True} if not spelled_out else {}
    found: list[list[int]] = tokenizer(list(texts), verbose=False, add_special_tokens=begins, **more)["input_ids"]
    end = len(appended(tokenizer)) if begins else 0
    return [ids[: len(ids) - end] for ids in found]


def appended(tokenizer: Any) -> list[int]:
    """The tokens that a tokenizer adds after a text by itself: an EOS, or none."""
    bare, whole = (tokenizer(".", add_special_tokens=special)["input_ids"] for special in (False, True))
    starts = [at for at in range(len(whole) - len(bare) + 1) if whole[at : at + len(bare)] == bare]
    return list(whole[starts[0] + len(bare) :]) if bare and starts else []


def joined(instruction: str, input: str) -> str:
    """Instruction and input as one instruction, on lines of their own: the plain join."""
    return f"{instruction}\n{input}" if input else instruction


class _TemplateFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    without_input: str
    with_input: str


@dataclass(frozen=True)
class StudentTemplate:
    """T(x): the student's prompt around an instruction, with and without an input."""

    without_input: str
    with_input: str

    def render(self, instruction: str, input: str = "") -> str:
        """The context before a response."""
        template = self.with_input if input else self.without_input
        return fill(template, {"instruction": instruction, "input": input})


def student_template(name: str) -> StudentTemplate:
    """A template by name (vicuna_v1.1, alpaca: from alpaca-eval's wheel) or from a YAML file, kept byte for byte.

    The wheel's prompts have no form with an input; the published scorer's is `{instruction}`, newline, `Input:`,
    newline, `{input}` in the instruction's place.
    """
    if name in WHEEL_PROMPTS:
        prompt = training_prompt(name)
        return StudentTemplate(prompt, prompt.replace("{instruction}", "{instruction}\nInput:\n{input}"))
    path = locate(name)
    parsed = validated(_TemplateFile, read_yaml(path), str(path))
    for key, needed in (("without_input", ["{instruction}"]), ("with_input", ["{instruction}", "{input}"])):
        for placeholder in needed:
            if placeholder not in getattr(parsed, key):
                raise InputError(f"{path}: {key}: expected the placeholder {placeholder}")
    return StudentTemplate(parsed.without_input, parsed.with_input)


def guess_prompt(name: str) -> str:
    """g(y): the request to guess the instruction, text with `{response}`, kept byte for byte."""
    path = locate(name)
    text = read_text(path)
    if "{response}" not in text:
        raise InputError(f"{path}: expected the placeholder {{response}}")
    return text
