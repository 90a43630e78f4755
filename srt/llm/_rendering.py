"""A request as its model sees it: messages of an endpoint, or token ids, and the room that they leave."""

from __future__ import annotations

from typing import Any

from srt.llm import limits
from srt.llm.prompts import text_ids
from srt.llm.requests import REFUSED, Chat, Completion, Request, Turns
from srt.llm.system_role import templated
from srt.storage.errors import InputError


def messages(chat: Chat) -> list[dict[str, str]]:
    """A chat as OpenAI's and transformers' list of role and content."""
    if isinstance(chat, str | Turns):
        raise InputError("an endpoint is asked in chats; a plain prompt needs a model in process")
    return [{"role": role, "content": content} for role, content in chat]


def token_ids(tokenizer: Any, chat: Chat) -> list[int]:
    """A request's prompt as the model sees it: a chat through the model's own template, once.

    A plain prompt is tokenised as in training: the BOS that the tokenizer adds, once, and no other special token, also
    where the text spells one out; between the turns of a conversation stands the EOS that ended the answers there.
    """
    if isinstance(chat, str):
        return text_ids(tokenizer, [chat])[0]
    if isinstance(chat, Turns):
        first, *others = chat.texts
        ids = text_ids(tokenizer, [first])[0]
        for found in text_ids(tokenizer, others, begins=False):
            ids += [tokenizer.eos_token_id, *found]
        return ids
    if tokenizer.chat_template is None:
        raise InputError(f"{tokenizer.name_or_path}: has no chat template; expected an instruction-tuned model")
    return templated(tokenizer, chat)


def room(prompt_tokens: int, request: Request, max_total_tokens: int) -> int:
    """How many new tokens a prompt of that length leaves: at most what was asked for; below 1 there is no room."""
    return min(request.max_new_tokens, max_total_tokens - prompt_tokens)


def why_refused(prompt: list[int], request: Request, max_total_tokens: int, known: limits.Limits) -> Completion | None:
    """The completion of a prompt that the model cannot be asked: it leaves no room, or has tokens that are unknown."""
    if (outside := known.outside(prompt)) is not None:
        return Completion("", 0, f"{REFUSED}{known.why_outside(outside)}")
    if room(len(prompt), request, max_total_tokens) < 1:
        told = f"the prompt has {len(prompt)} tokens, at most {max_total_tokens} are allowed"
        return Completion("", 0, f"{REFUSED}{told}")
    return None
