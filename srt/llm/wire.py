"""What comes off the wire, typed once: a chat completion in any of the shapes that servers really send.

What is meant is read: content in parts, usage as text or as 10.0, no `model`, `choices[].text`; `srt.llm._bodies` knows
byte order marks and event streams. What is no completion raises what `srt.llm.failures` knows. What is one and has no
usable text is a `Received` with a `fault`. The same reading serves what journals hold, also old ones: it never raises.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from srt.llm._bodies import read_body
from srt.llm.failures import PassingError, raise_error_inside, words_of

MOST_TOKENS = 10**9  # a larger count is none
RAW_CHARACTERS = 20_000  # of a choice that could not be read, for the journal
TEXT_PARTS = ("text", "output_text", "refusal", None)  # types of parts that are text
THOUGHT_PARTS = ("thinking", "reasoning", "redacted_thinking")  # types of parts that stand before it
SERVER_SAYS = "the server says "


@dataclass(frozen=True)
class Received:
    """One choice of a chat completion.

    Attributes:
        text: what the model wrote; empty where it wrote nothing.
        fault: why the text cannot be used as it is; None where it can.
        finish_reason: the server's, `stop` where it gives none.
        prompt_tokens, tokens: of the request and of the answer; None where the server does not say.
        model: what the server says answered.
        reasoning: the thoughts that came beside the text.
        calls: arguments of the functions that the model calls.
        logprobs: `{"content": [{token, logprob, top_logprobs}]}`, all of them finite.
        raw: the choice as JSON where it has a fault.
    """

    text: str
    fault: str | None = None
    finish_reason: str = "stop"
    prompt_tokens: int | None = None
    tokens: int | None = None
    model: str | None = None
    reasoning: str | None = None
    calls: list[str] = field(default_factory=list)
    logprobs: dict[str, Any] | None = None
    raw: str | None = None

    def as_choice(self) -> dict[str, Any]:
        """In OpenAI's form, for a journal; `of_choice` reads it again."""
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        if self.calls:
            message["tool_calls"] = [{"function": {"arguments": arguments}} for arguments in self.calls]
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        choice = {"index": 0, "finish_reason": self.finish_reason, "message": message, "logprobs": self.logprobs}
        return choice | ({"fault": self.fault, "raw": self.raw} if self.fault else {})


def received(body: bytes) -> Received:
    """The completion in the body of a 200 answer.

    Raises:
        PassingError: it is no completion, which may pass.
        RefusedError: it cannot be parsed, and could not be the next time.
        InputError, ServerError: an error inside it concerns every request.
    """
    return received_value(read_body(body))


def received_value(value: Any) -> Received:
    """The completion in a body that is parsed; the errors of `received`."""
    raise_error_inside(value)
    choices = value.get("choices") if isinstance(value, Mapping) else None
    if not (isinstance(choices, list) and choices and isinstance(choices[0], Mapping)):
        raise PassingError(f"HTTP 200 with no choice inside: {words_of(value)}")
    raise_error_inside(choices[0])
    return of_choice(choices[0], value.get("model"), value.get("usage"))


def of_choice(choice: Any, model: Any = None, usage: Any = None) -> Received:
    """A choice as a server sent it or a journal has it, typed; one that cannot be read has a fault."""
    known, counts = _map(choice), _map(usage)
    message = _map(known.get("message"))
    content = message.get("content")
    if content is None:
        content = message.get("refusal") if known.get("text") is None else known["text"]
    text, thoughts, fault = text_of(content)
    calls = _calls(message)
    if not text and calls:
        fault = fault or "the answer calls a function and has no text"
    fault = fault or (known["fault"] if isinstance(known.get("fault"), str) else None)
    thoughts = next((t for t in (message.get("reasoning_content"), message.get("reasoning")) if t), thoughts)
    return Received(
        text,
        fault,
        finish_of(known.get("finish_reason")),
        count(counts.get("prompt_tokens")),
        count(counts.get("completion_tokens")),
        model if isinstance(model, str) and model else None,
        thoughts if isinstance(thoughts, str) else dumped(thoughts) if thoughts else None,
        calls,
        _logprobs(known.get("logprobs")),
        (known["raw"] if isinstance(known.get("raw"), str) else dumped(choice)) if fault else None,
    )


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def text_of(content: Any) -> tuple[str, str | None, str | None]:
    """A message's content as text; thoughts that stand among its parts; and why it cannot be used, if it cannot.

    Parts that are text are joined as they stand. Any other part is a fault: the text around it is no whole answer.
    """
    parts = content if isinstance(content, list) else [] if content is None else [content]
    text, thoughts, fault = "", "", None
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        said = _text_in(part)
        if kind in THOUGHT_PARTS:
            thoughts += said if said is not None else dumped(part)
        elif said is None or kind not in TEXT_PARTS:
            fault = f"the content is no text: {dumped(part)[:80]}"
        else:
            text += said
    return text, thoughts or None, fault or _fault_in(text)


def _text_in(part: Any) -> str | None:
    """The text of a part: itself, or under the name of its kind; None where it has none."""
    if not isinstance(part, Mapping):
        return part if isinstance(part, str) else None
    found = next((part[name] for name in ("text", "refusal", "thinking", "reasoning") if part.get(name)), None)
    if isinstance(found, Mapping):
        found = found.get("value")
    if isinstance(found, list):
        texts = [_text_in(inner) for inner in found if not isinstance(inner, list)]
        return None if None in texts else "".join(map(str, texts))
    return "" if found is None and "text" in part else found if isinstance(found, str) else None


def _fault_in(text: str) -> str | None:
    """What no text of a language has: no tokenizer or file takes it without harm."""
    if "\0" in text:
        return "the text has a NUL character in it"
    if re.search("[\ud800-\udfff]", text):
        return "the text has half a character in it (a lone surrogate)"
    return None


def finish_of(value: Any) -> str:
    """A finish reason as text, `stop` where there is none."""
    if value is None or value == "":
        return "stop"
    said = value if isinstance(value, str) else dumped(value)[:80]
    return SERVER_SAYS + said if said.startswith("refused") else said  # which is our own word for no answer


def count(value: Any) -> int | None:
    """A number of tokens, also as text or as 10.0; None for what is none."""
    number = number_of(value)
    return int(number) if number is not None and 0 <= number <= MOST_TOKENS else None


def number_of(value: Any) -> float | None:
    """A finite number, also as text; None for what is none."""
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?\d{1,15}(\.\d{0,15})?\s*", value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < 1e15 and math.isfinite(value) else None


def dumped(value: Any) -> str:
    """Any value as JSON on one line, cut to RAW_CHARACTERS."""
    try:
        return json.dumps(value, default=str)[:RAW_CHARACTERS]
    except (ValueError, TypeError, RecursionError):
        return f"a {type(value).__name__} that is no JSON"


def _calls(message: Mapping[str, Any]) -> list[str]:
    """The arguments of the functions that a message calls, in the old form first."""
    tools = message.get("tool_calls")
    called = [message.get("function_call")]
    called += [tool.get("function") for tool in tools if isinstance(tool, Mapping)] if isinstance(tools, list) else []
    found = [call.get("arguments") for call in called if isinstance(call, Mapping)]
    return [call if isinstance(call, str) else dumped(call) for call in found if call is not None]


def _logprobs(value: Any) -> dict[str, Any] | None:
    """Log-probabilities that can be computed with; None where one of them cannot."""
    content = value.get("content") if isinstance(value, Mapping) else None
    tokens = [_token(item) for item in content] if isinstance(content, list) else []
    return {"content": tokens} if tokens and None not in tokens else None


def _token(item: Any) -> dict[str, Any] | None:
    """A token with its log-probability and those of its rivals; a rival of probability 0 is left out."""
    found = _named(item)
    tops = item.get("top_logprobs") if isinstance(item, Mapping) else None
    if found is None or not isinstance(tops, list | None):
        return None
    possible = [top for top in tops or [] if not (isinstance(top, Mapping) and top.get("logprob") == -math.inf)]
    rivals = [_named(top) for top in possible]
    return None if None in rivals else {**found, "top_logprobs": rivals}


def _named(item: Any) -> dict[str, Any] | None:
    token, logprob = (item.get("token"), item.get("logprob")) if isinstance(item, Mapping) else (None, None)
    number = number_of(logprob) if not isinstance(logprob, str) else None
    usable = isinstance(token, str) and number is not None and number < 0.01  # rounding may pass 0
    return {"token": token, "logprob": number} if usable else None
