"""Settings that have no effect beside the values of others: given by hand, such a flag is refused.

A config file must have every key, so that there such a value is no fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from srt.selection.method import Method
from srt.settings import SENDING, VLLM, GenerateConfig, SelectionConfig, Settings
from srt.settings.cases import Cased, fields_of
from srt.settings.defaults import flag
from srt.settings.flags import flag_text
from srt.storage.errors import InputError

Why = dict[str, str]  # field: why it has no effect, in words
# What of `execution:` each backend reads.
LOCAL = ("device", "teacher_gpus", "generate_gpus")
BACKENDS = {
    "openai": (*SENDING, "batch"),
    "vllm-server": (*SENDING, *LOCAL, *VLLM),
    "vllm": (*LOCAL, *VLLM),
    "transformers": (*LOCAL, "generation_batch"),
    "auto": (*LOCAL, *VLLM, "generation_batch"),
}


def of_selection(method: Method, reads: Collection[str] = ()) -> Why:
    """Settings and arguments of a selection that neither the method reads nor, by `reads`, the step itself."""
    known = ("seed", "coherence", *SelectionConfig.model_fields)
    return {name: f"with --method {method.name}" for name in known if name not in {*method.uses, *reads}}


def of_case(kind: type[Settings], case: type[Settings], values: Mapping[str, object]) -> Why:
    """Settings that do not exist in the case that the values are of."""
    if not issubclass(case, Cased):
        return {}
    told = f"with {flag(case.TOLD_BY)} {flag_text(values.get(case.TOLD_BY))}"
    return dict.fromkeys(fields_of(kind).keys() - fields_of(case).keys(), told)


def of_answers(settings: GenerateConfig) -> Why:
    """Settings of greedy answers that only chance needs, with a value that is not the neutral one."""
    found = {"seed": settings.seed > 0, "top_p": settings.top_p < 1} if settings.temperature == 0 else {}
    return {name: "with --temperature 0" for name, is_idle in found.items() if is_idle}


def of_backend(backend: str) -> Why:
    """Execution settings that a teacher, or a model that answers, does not read on its backend."""
    known = dict.fromkeys(name for reads in BACKENDS.values() for name in reads)
    return {name: f"with --backend {backend}" for name in known if name not in BACKENDS[backend]}


def of_unjudged(settings: Settings) -> Why:
    """Execution settings that a benchmark without a judge does not read, on the backend that it names, if it does."""
    transformers = getattr(settings, "backend", None) == "transformers"
    memory = dict.fromkeys(VLLM, "with --backend transformers") if transformers else {}
    return dict.fromkeys((*SENDING, "judge_gpus"), "on benchmarks without a judge") | memory


def of_judge(is_served: bool) -> Why:
    """Execution settings that a judged benchmark does not read."""
    served = ("device", "judge_gpus", *VLLM)
    local = {} if is_served else dict.fromkeys(served, "with a judge that is not served here")
    return dict.fromkeys(("evaluation_batch", "generate_gpus"), "on benchmarks with a judge") | local


def refuse_others(flag: str, named: Sequence[str], wanted: str | None) -> None:
    """InputError for items of `--endpoint` or `--price` that all name somebody else than who is asked."""
    if named:
        expected = f"NAME {wanted!r}" if wanted else "--use-teacher with its NAME"
        raise InputError(f"{flag}: expected {expected}, found {', '.join(map(repr, named))}")
