"""Where a completion becomes text: the thoughts before it go, and how it came to its end is told apart.

Every answer passes here, a teacher's, a judge's or a student's, whatever the backend. Journals keep what was received,
so that an old journal is read by these rules as well.

Thoughts are what reasoning models write before their answer. Their marks are those of vLLM 0.32's reasoning parsers
that can be in a text: `<think>` (DeepSeek, Qwen, GLM and most others), also with a prefix (`<seed:think>`,
`<mm:think>`), Mistral's `[THINK]` and Kimi's `◁think▷`; and those that models were trained or asked to write:
`<thinking>`, `<thought>`, `<thoughts>`, `<reasoning>`, `<|begin_of_thought|>` (Sky-T1). All are read in any case but
Mistral's, whose letters in brackets are words. Where the marks are special tokens that no text has (gpt-oss, Cohere),
or whole sentences (Granite 3.2), the server's own reasoning parser is needed.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from srt.storage.progress import say

# What was done about an answer's thoughts, as it is counted.
REMOVED = "thoughts before the answer"
REMOVED_UNOPENED = "thoughts before the answer, without an opening tag"
NEVER_CLOSED = "thoughts that were never closed"

_MARK = re.compile(
    r"</?(?:\w{1,16}:)?(?:think(?:ing)?|thoughts?|reasoning)\s{0,4}>"
    r"|(?-i:\[/?THINK\])|◁/?think▷|<\|(?:begin|end)_of_thought\|>",
    re.IGNORECASE,
)
# What may stand before the thoughts without being a word: white space, also of no width, and a chat template's control
# words with the name of who speaks. DeepSeek's have wide bars (U+FF5C).
_LEAD = re.compile(
    r"(?:[\s\ufeff\u200b-\u200f\u2060]|</?s>|<bos>|\[/INST\]|<start_of_turn>(?:model)?"
    r"|<[|\uff5c][^<>]{1,40}[|\uff5c]>(?:assistant)?|(?:assistant|model)\n)*+",
    re.IGNORECASE,
)

Ending = Literal["finished", "cut off", "filtered", "broken"]

# The ends that a whole answer has: OpenAI's, vLLM's and llama.cpp's `stop`; TGI's and Together's `eos`, `eos_token` and
# `stop_sequence`; Anthropic's and xAI's `end_turn`; Cohere's `complete`, OpenAI's later `completed`; Gemini's are in
# upper case; some servers give none, or null as a word. What is not known is no end: nobody can list a vocabulary that
# others write.
FINISHED = frozenset(
    {"", "null", "none", "stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed"}
)
LIMIT = "length"
CUT_OFF = frozenset(
    {LIMIT, "model_length", "max_tokens", "max_output_tokens", "max_length", "model_context_window_exceeded"}
)
FILTERED = frozenset(
    {"content_filter", "content_filtered", "safety", "recitation", "refusal", "blocklist", "prohibited_content", "spii"}
)
CALLED = frozenset({"tool_calls", "function_call"})  # the end of a reply that calls the function it was given


def ending(finish_reason: str | None) -> Ending:
    """What a server's finish reason means; `broken` for all that are neither an end nor a limit nor a filter."""
    known = _spelled(str(finish_reason or ""))
    if known in FINISHED:
        return "finished"
    if known in CUT_OFF:
        return "cut off"
    return "filtered" if known in FILTERED else "broken"


def _spelled(finish_reason: str) -> str:
    """In lower case with `_` between words (`endTurn`, `end-turn`), without the name of Gemini's and Vertex's enum."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", finish_reason.strip()).lower().replace("-", "_")
    return re.sub(r"^finish_?reason[._]", "", words)


@dataclass(frozen=True)
class Said:
    """An answer as text.

    Attributes:
        text: without the thoughts before it; empty where these were never closed.
        ending: how it came to its end; thoughts that were never closed were cut off, whatever the server says.
        thoughts: what was done about its thoughts, None where it has none.
        reason: why it cannot be used as a whole answer; None where it can.
    """

    text: str
    ending: Ending
    thoughts: str | None
    reason: str | None

    @property
    def lost(self) -> bool:
        """Whether nothing can be read of it; an answer cut off at its limit may hold what was asked for before that."""
        return self.reason is not None and (self.ending != "cut off" or self.thoughts == NEVER_CLOSED)


def said(text: str, finish_reason: str | None) -> Said:
    """A completion's raw text and finish reason as an answer."""
    answer, thoughts = without_thoughts(text)
    end = ending(finish_reason)
    if thoughts == NEVER_CLOSED and end == "finished":
        end = "cut off"
    reasons = {
        "finished": None,
        "cut off": NEVER_CLOSED if thoughts == NEVER_CLOSED else f"cut off ({finish_reason})",
        "filtered": f"withheld by a content filter ({finish_reason})",
        "broken": f"ended by {finish_reason!r}, which is no known end of an answer",
    }
    return Said(answer, end, thoughts, reasons[end])


def without_thoughts(text: str) -> tuple[str, str | None]:
    """A text without the block of thoughts at its head, and what was done: one of the constants above, or None.

    The block ends with the tag that closes its first one, so that a pair inside it is part of it. A prompt template
    often writes the opening tag itself: where the first tag of all closes, all before it are thoughts. Later tags, and
    an opening tag after other words, are text; a chat template's control words before it are none.
    """
    first = _MARK.search(text)
    if first is None:
        return text, None
    if _closes(first):
        return text[first.end() :].lstrip(), REMOVED_UNOPENED
    if not _LEAD.fullmatch(text, 0, first.start()):
        return text, None
    depth = 0
    for mark in _MARK.finditer(text, first.start()):
        if _name(mark) == _name(first):
            depth += -1 if _closes(mark) else 1
        if depth == 0:
            return text[mark.end() :].lstrip(), REMOVED
    return "", NEVER_CLOSED


def _closes(mark: re.Match[str]) -> bool:
    return re.search("/|end_of", mark[0], re.IGNORECASE) is not None


def _name(mark: re.Match[str]) -> str:
    """What the tags of a pair have in common."""
    return re.sub(r"/|\s|begin_of|end_of", "", mark[0].lower())


@dataclass
class ThoughtCounts:
    """How many answers had thoughts, by what was done about them: of those just received, and of a journal's."""

    received: Counter[str] = field(default_factory=Counter)
    reused: Counter[str] = field(default_factory=Counter)

    def add(self, thoughts: str | None, reused: bool) -> None:
        """Count an answer (`Said.thoughts`)."""
        if thoughts is not None:
            (self.reused if reused else self.received)[thoughts] += 1

    def as_json(self) -> dict[str, dict[str, int]]:
        """For a sidecar."""
        return {"received": dict(self.received), "reused": dict(self.reused)}

    def say(self, where: object) -> None:
        """A line for each kind, for the log."""
        for thoughts, count in (self.received + self.reused).most_common():
            say(f"{where}: {count} answers had {thoughts}, {self.reused[thoughts]} of them read from the journal")
