"""Where text comes from: transformers or vLLM in process, vLLM's server for one job, or somebody's endpoint.

All answer the same requests behind one small interface: a caller submits requests under tickets of its own and
collects completions as they are ready, so that it can write each into its journal and submit what follows from it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol

from srt.llm import devices, loading
from srt.llm.completions import Said, said
from srt.settings import ExecutionConfig

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
    role, whose text was put elsewhere (`srt.llm.system_role`).
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
    """Whose text it is: a backend's name, and the model.

    Attributes:
        revision, dtype, max_total_tokens: of a model that runs here, which context length and arithmetic it has;
            nobody reads them of an endpoint.
    """

    backend: str
    model: str
    revision: str | None = None
    dtype: str = ""
    max_total_tokens: int = 0

    def identity(self) -> str:
        """What answers are journalled under, whatever computed them. InputError for a missing model."""
        if self.backend == "openai":
            return f"openai {self.model}"
        return f"{loading.identity(self.model, self.revision)} {self.dtype}"

    def batched(self, execution: ExecutionConfig) -> bool:
        """Whether it is asked through the batch API, at that one's price."""
        return self.backend == "openai" and execution.batch is not None

    def resolved(self, device: str) -> Speaker:
        """The same with the backend that `auto` is on this device."""
        return replace(self, backend=in_process(self.backend, device))


def in_process(backend: str, device: str) -> str:
    """`transformers` or `vllm`; `auto` is vLLM on CUDA."""
    if backend != "auto":
        return backend
    return "vllm" if devices.kind(device) == "cuda" else "transformers"
