"""Reading pairs as people have them: Alpaca's JSON list, JSONL, Parquet, WizardLM's conversations, our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srt.storage import readers
from srt.storage.errors import InputError, shown
from srt.storage.files import describe, with_text_id
from srt.storage.finite import is_finite
from srt.storage.progress import say
from srt.storage.records import Pair, ReflectedPair, pair_id
from srt.storage.shipped import locate

HUB = "hub:"
NOT_USED = (
    "further turns of a conversation",
    "a history of earlier turns",
    "a system text",
    "a further column of turns",
)
CONVERSATIONS = ("conversations", "messages")
# What tells one record in a .json file, a pair or a question, from a file of another kind.
OF_ONE_RECORD = ("instruction", "Instruction", *CONVERSATIONS, "turns", "text", "question", "prompt")
HUMAN, MODEL, SYSTEM = ("human", "user"), ("gpt", "assistant", "chatgpt", "model"), ("system", "developer")


def located(source: str) -> Path:
    """The file that a source names: a path, or `hub:OWNER/NAME/FILE[@REVISION]`, fetched into the hub's own cache.

    Raises:
        InputError: an address of another form, or a file that the hub does not give.
    """
    if not source.startswith(HUB):
        return locate(source)
    repository, file, revision = hub_address(source)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, file, repo_type="dataset", revision=revision))
    except hub_errors() as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{source}: the hub does not give it: {reason}") from None


def hub_errors() -> tuple[type[Exception], ...]:
    """What the hub's libraries raise: no network, no such name or revision, a proxy that is of no use."""
    import httpx2
    from datasets.exceptions import DatasetsError

    return (httpx2.HTTPError, httpx2.InvalidURL, DatasetsError, ImportError, OSError, ValueError)


def hub_address(source: str) -> tuple[str, str, str | None]:
    """Repository, file and revision of `hub:OWNER/NAME/FILE[@REVISION]`; InputError for another form."""
    address, _, revision = source.removeprefix(HUB).partition("@")
    owner, _, rest = address.partition("/")
    name, _, file = rest.partition("/")
    if not (owner and name and file):
        raise InputError(f"{source}: expected hub:OWNER/NAME/FILE[@REVISION]")
    return f"{owner}/{name}", file, revision or None


def read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(position in words, raw row) of a JSON list, JSONL or Parquet file; InputError where it cannot be read."""
    form = readers.form_of(path)
    if form == ".parquet":
        return readers.parquet_rows(path)
    return (readers.jsonl_rows if form == ".jsonl" else readers.json_rows)(path, OF_ONE_RECORD)


def plain_fields(row: Any, where: str) -> dict[str, str]:
    """instruction, input and output of one raw row; what is null is empty.

    InputError names the place, the field and what was expected.
    """
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object with instruction and output, found {type(row).__name__}")
    row = _record(row)
    name = _conversation(row)
    if name is not None:
        return _first_exchange(row[name], f"{where}: {name}")
    fields: dict[str, str] = {}
    for name in ("instruction", "input", "output"):
        if name not in row and name != "input":
            raise InputError(f"{where}: {name}: is missing")
        value = row.get(name)
        if not isinstance(value, str | None) and is_finite(value):  # pandas writes NaN for null
            raise InputError(f"{where}: {name}: expected text, found {shown(value)}")
        fields[name] = value if isinstance(value, str) else ""
    return fields


def not_used(row: dict[str, Any]) -> list[str]:
    """What a raw row has, in words, that a pair cannot hold, and that is left out therefore."""
    row = _record(row)
    name = _conversation(row)
    turns = row[name] if name else []
    system = sum(_speaker(turn) in SYSTEM for turn in turns[:1])
    instructed = bool(system) or any(_says_something(row.get(name)) for name in ("system", "system_prompt"))
    beside = any(other != name for other in _with_turns(row))
    is_there = (len(turns) - system > 2, _says_something(row.get("history")), instructed, beside)
    return [what for what, found in zip(NOT_USED, is_there, strict=True) if found]


def say_not_used(path: str | Path, counts: Mapping[str, int], records: int) -> None:
    """A line for each kind of what was left out of a source's records."""
    for what, count in counts.items():
        say(f"{path}: {count} of {records} records: {what}: not used")


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """The authors' data sets have a struct of the name `data` for a column."""
    return row["data"] if row.keys() == {"data"} and isinstance(row["data"], dict) else row


def _conversation(row: Mapping[str, Any]) -> str | None:
    """The field with a row's turns, if it is a conversation: one that has turns, beside no whole pair.

    Without turns it is one only where nothing says that it is a pair, so that it is refused as what it is.
    """
    fields = ("instruction", "output")
    if all(_says_something(row.get(name)) for name in fields):
        return None
    empty = [] if any(name in row for name in fields) else [name for name in CONVERSATIONS if name in row]
    return next(iter(_with_turns(row) + empty), None)


def _with_turns(row: Mapping[str, Any]) -> list[str]:
    return [name for name in CONVERSATIONS if isinstance(row.get(name), list) and row[name]]


def _speaker(turn: Any) -> Any:
    return turn.get("from", turn.get("role")) if isinstance(turn, dict) else None


def _says_something(value: Any) -> bool:
    """Whether a field is neither null (pandas writes NaN) nor empty."""
    return bool(value.strip()) if isinstance(value, str) else bool(value) and is_finite(value)


def _first_exchange(turns: Any, where: str) -> dict[str, str]:
    """The first question and answer of a conversation, after the system's turn where there is one."""
    begins = isinstance(turns, list) and [_speaker(turn) in SYSTEM for turn in turns[:1]] == [True]
    if not isinstance(turns, list) or len(turns) - begins < 2:
        raise InputError(f"{where}: expected a list of at least two turns, found {str(turns)[:60]!r}")
    texts = []
    for turn, speakers in zip(turns[begins : begins + 2], (HUMAN, MODEL), strict=True):
        text = turn.get("value", turn.get("content")) if isinstance(turn, dict) else None
        if _speaker(turn) not in speakers or not isinstance(text, str):
            raise InputError(f"{where}: expected a turn of {speakers[0]} with a text, found {str(turn)[:60]!r}")
        texts.append(text)
    return {"instruction": texts[0], "input": "", "output": texts[1]}


def _without_nulls(row: Any) -> Any:
    """A row with ids, its texts empty where they are null."""
    nulls = [name for name in ("instruction", "input", "output") if isinstance(row, dict) and row.get(name, "") is None]
    return {**row, **dict.fromkeys(nulls, "")} if nulls else row


def with_ids(rows: Iterable[dict[str, str]]) -> list[Pair]:
    """Pairs with the hash of their content as id; repeats get `-2`, `-3`."""
    seen: dict[str, int] = {}
    pairs = []
    for fields in rows:
        key = pair_id(**fields)
        seen[key] = seen.get(key, 0) + 1
        pairs.append(Pair(id=key if seen[key] == 1 else f"{key}-{seen[key]}", **fields))
    return pairs


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of any file that a step may be given: an artefact with its ids and status, or raw Alpaca-style data.

    InputError where it is empty or malformed, mixes rows with and without ids, or repeats an id.
    """
    rows = list(read_rows(path))
    if not rows:
        raise InputError(f"{path}: is empty, expected at least one pair")
    if not any(isinstance(row, dict) and "id" in row and _conversation(row) is None for _, row in rows):
        pairs_of_source = with_ids(plain_fields(row, f"{path}: {where}") for where, row in rows)
        say_not_used(path, Counter(what for _, row in rows for what in not_used(row)), len(rows))
        return pairs_of_source
    pairs: dict[str, Pair] = {}
    for where, row in rows:
        kind: type[Pair] = ReflectedPair if isinstance(row, dict) and "status" in row else Pair
        try:
            pair = kind.model_validate(_without_nulls(with_text_id(row)))
        except ValidationError as error:
            raise InputError(f"{path}: {where}: {describe(error)}") from None
        if pair.id in pairs:
            raise InputError(f"{path}: {where}: id {pair.id!r} occurs twice, expected unique ids")
        pairs[pair.id] = pair
    return list(pairs.values())
