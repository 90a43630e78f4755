"""Where text comes from: transformers or vLLM in process, vLLM's server for one job, or somebody's endpoint.

All answer the same requests behind one small interface: a caller submits requests under tickets of its own and
collects completions as they are ready, so that it can write each into its journal and submit what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from srt import limits, models
from srt.completions import Said, said
from srt.prompts import text_ids
from srt.records import InputError
from srt.settings import Endpoint, ExecutionConfig
from srt.system_role import WithoutSystemRole, templated

Message = tuple[Literal["system", "user", "assistant"], str]
REFUSED = "refused: "


@dataclass(frozen=True)
class Sampling:
    """How the next token is drawn. Temperature 0 is greedy."""

    temperature: float
    top_p: float
    repetition_penalty: float
    seed: int


@dataclass(frozen=True)
class Turns:
    """A conversation in a training format: finished turns, each ended by the EOS token, and the prompt of the last."""

    texts: tuple[str, ...]


Chat = tuple[Message, ...] | str | Turns


@dataclass(frozen=True)
class Request:
    """A chat, or one plain prompt (in a conversation: `Turns`); `schema` asks for JSON, constrained where it can be."""

    chat: Chat
    max_new_tokens: int
    sampling: Sampling
    schema: dict[str, Any] | None = None

    @property
    def characters(self) -> int:
        """Length of the prompt, without what a chat template adds."""
        return sum(map(len, self._texts()))

    @property
    def bytes(self) -> int:
        """The same in UTF-8: no tokenizer makes more tokens of it."""
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in self._texts())

    def _texts(self) -> list[str]:
        if isinstance(self.chat, Turns):
            return list(self.chat.texts)
        return [self.chat] if isinstance(self.chat, str) else [content for _, content in self.chat]

    def as_json(self) -> dict[str, Any]:
        """What it is known by, with its model."""
        return {
            "chat": {"turns": self.chat.texts} if isinstance(self.chat, Turns) else self.chat,
            "max_new_tokens": self.max_new_tokens,
            "sampling": vars(self.sampling),
            "schema": self.schema,
        }


@dataclass(frozen=True)
class Completion:
    """A raw answer. `finish_reason` is `stop`, `length` (cut off), another of the server's, or `refused: ...`.

    What was refused was not answered at all and cost nothing. `tokens` are the answer's, as the backend counts
    them, `prompt_tokens` the request's; `model` is what the server says answered; `seconds` from the sending of
    the request that was answered to its answer; `reasoning` what the server sent of the thoughts beside the text.
    `fault` is why the text cannot be used at all, `raw` what came then; `moved` says that the model refuses the system
    role, whose text was put elsewhere (`srt.system_role`).
    """

    text: str
    tokens: int
    finish_reason: str
    prompt_tokens: int | None = None
    model: str | None = None
    seconds: float | None = None
    reasoning: str | None = None
    fault: str | None = None
    raw: str | None = None
    moved: str | None = None

    def said(self) -> Said:
        """The answer as text: without its thoughts, and how it came to its end."""
        return said(self.text, self.finish_reason)

    @property
    def refused(self) -> bool:
        """Whether there was no answer."""
        return self.finish_reason.startswith(REFUSED)

    def as_json(self) -> dict[str, Any]:
        """For the journal; what only odd replies have is left out of the others."""
        seldom = ("reasoning", "fault", "raw", "moved")
        return {name: value for name, value in asdict(self).items() if value is not None or name not in seldom}


class Backend(Protocol):
    """What all backends offer."""

    @property
    def capacity(self) -> int:
        """How many submitted and not yet collected requests it can use."""
        ...

    def submit(self, ticket: str, request: Request) -> None:
        """Take a request; its completion will come under the ticket."""
        ...

    def collect(self) -> list[tuple[str, Completion]]:
        """Wait until at least one submitted request is done; all that are done by then, each once."""
        ...

    def settled(self) -> None:
        """Told by the caller once what `collect` returned is on disk."""
        ...

    def close(self) -> None:
        """Free the model, or stop the connections."""
        ...


@dataclass(frozen=True)
class Speaker:
    """Whose text it is: a backend's name, and the model with its arithmetic and its context length in process."""

    backend: str
    model: str
    revision: str | None
    dtype: str
    max_total_tokens: int

    def identity(self) -> str:
        """What answers are journalled under, whatever computed them. InputError for a missing model."""
        if self.backend == "openai":
            return f"openai {self.model}"
        return f"{models.identity(self.model, self.revision)} {self.dtype}"

    def batched(self, execution: ExecutionConfig) -> bool:
        """Whether it is asked through the batch API, at that one's price."""
        return self.backend == "openai" and execution.batch is not None

    def resolved(self, device: str) -> Speaker:
        """The same with the backend that `auto` is on this device."""
        return replace(self, backend=in_process(self.backend, device))

    def open(
        self, execution: ExecutionConfig, folder: Path, endpoint: Endpoint | None = None, gpus: int = 1
    ) -> Backend:
        """Its backend, ready to answer, also where the model refuses the system role.

        Args:
            execution: how, not what.
            folder: this job's own, for a started server's log and a batch's state.
            endpoint: the server of the backend `openai`.
            gpus: over so many a model that runs here is laid out.
        """
        return WithoutSystemRole(self._opened(execution, folder, endpoint, gpus), self.model)

    def _opened(self, execution: ExecutionConfig, folder: Path, endpoint: Endpoint | None, gpus: int) -> Backend:
        from srt import endpoint as endpoints
        from srt import inprocess
        from srt.batch import BatchBackend
        from srt.batch_states import refuse_open_batches, under_way

        if self.batched(execution):
            return BatchBackend(endpoints.server_of(endpoint, self.model), execution, folder)
        if self.backend == "openai":
            refuse_open_batches(folder)
            return endpoints.EndpointBackend(endpoints.server_of(endpoint, self.model), execution, under_way(folder))
        models.require(self.model)
        served = self.backend == "vllm-server"
        on_vllm = served or in_process(self.backend, execution.device) == "vllm"
        fitting = self._within_limits(fixed=on_vllm)  # vLLM takes no context beyond the model's
        if served:
            return endpoints.ServedBackend(fitting, execution, folder / "server.log", gpus)
        kind = inprocess.VllmBackend if on_vllm else inprocess.TransformersBackend
        return kind(fitting, execution, gpus)

    def _within_limits(self, fixed: bool) -> Speaker:
        longest = limits.of(self.model, self.revision).longest(self.max_total_tokens, "max_total_tokens", fixed)
        return replace(self, max_total_tokens=longest)


class OneForAll:
    """One backend for several users, one after another: opened for the first, closed with the context alone.

    Args:
        opened: opens it; is given the first user's folder.
    """

    def __init__(self, opened: Callable[[Path], Backend]) -> None:
        self._opened = opened
        self._backend: Backend | None = None

    def __enter__(self) -> OneForAll:
        return self

    def __exit__(self, *_: object) -> None:
        if self._backend is not None:
            self._backend.close()

    def open(self, folder: Path) -> Backend:
        """The backend for one user, who may close it."""
        if self._backend is None:
            self._backend = self._opened(folder)
        return _Lent(self._backend)


class _Lent:
    """A backend that stays open for others when it is closed."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.submit, self.collect, self.settled = backend.submit, backend.collect, backend.settled

    @property
    def capacity(self) -> int:
        return self._backend.capacity

    def close(self) -> None:
        """The lender's to do."""


def in_process(backend: str, device: str) -> str:
    """`transformers` or `vllm`; `auto` is vLLM on CUDA."""
    if backend != "auto":
        return backend
    return "vllm" if models.kind(device) == "cuda" else "transformers"


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
