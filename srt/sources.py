"""Reading pairs as people have them: Alpaca's JSON list, JSONL, Parquet, WizardLM's conversations, our own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from srt import finite
from srt.config import locate
from srt.records import InputError, Pair, ReflectedPair, describe, pair_id, read_lines

HUB = "hub:"
HUMAN, MODEL = ("human", "user"), ("gpt", "assistant", "chatgpt", "model")


def located(source: str) -> Path:
    """The file that a source names: a path, or `hub:OWNER/NAME/FILE[@REVISION]`, fetched into the hub's own cache.

    Raises:
        InputError: an address of another form, or a file that the hub does not give.
    """
    if not source.startswith(HUB):
        return locate(source)
    address, _, revision = source.removeprefix(HUB).partition("@")
    owner, _, rest = address.partition("/")
    name, _, file = rest.partition("/")
    if not (owner and name and file):
        raise InputError(f"{source}: expected hub:OWNER/NAME/FILE[@REVISION]")
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(f"{owner}/{name}", file, repo_type="dataset", revision=revision or None))
    except (HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise InputError(f"{source}: the hub does not give it: {str(error).splitlines()[0]}") from None


def read_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(position in words, raw row) of a JSON list, JSONL or Parquet file; InputError where it cannot be read."""
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
    elif path.suffix == ".jsonl":
        for number, row in read_lines(path):
            yield f"line {number}", row
    else:
        yield from _json_rows(path)


def _parquet_rows(path: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: is not Parquet: {str(error).splitlines()[0]}") from None
    for number, row in enumerate(table.to_pylist()):
        yield f"record {number}", row


def _json_rows(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        if not text.strip():
            raise InputError(f"{path}: is empty, expected a JSON list of records")
        rows = finite.parse(text)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except json.JSONDecodeError as error:
        if error.lineno == 1 or not error.msg.startswith("Extra data"):
            raise InputError(f"{path}: line {error.lineno}: is not JSON: {error.msg} at column {error.colno}") from None
        yield from ((f"line {number}", row) for number, row in read_lines(path))  # JSONL under another name
        return
    if not isinstance(rows, list):
        raise InputError(f"{path}: expected a JSON list of records, found {type(rows).__name__}")
    for number, row in enumerate(rows):
        yield f"record {number}", row


def plain_fields(row: Any, where: str) -> dict[str, str]:
    """instruction, input and output of one raw row; InputError names the place, the field and what was expected."""
    if not isinstance(row, dict):
        raise InputError(f"{where}: expected an object with instruction and output, found {type(row).__name__}")
    if row.keys() == {"data"} and isinstance(row["data"], dict):
        row = row["data"]  # the authors' data sets have a struct of this name for a column
    if "conversations" in row:
        return _first_exchange(row["conversations"], where)
    fields: dict[str, str] = {}
    for name in ("instruction", "input", "output"):
        value = row.get(name)
        if value is None and name == "input":
            value = ""
        if name not in row and name != "input":
            raise InputError(f"{where}: {name}: is missing")
        if not isinstance(value, str):
            raise InputError(f"{where}: {name}: expected text, found {value!r}")
        fields[name] = value
    return fields


def _first_exchange(turns: Any, where: str) -> dict[str, str]:
    """The first question and answer of a conversation, as the 70k WizardLM set holds one of each."""
    if not isinstance(turns, list) or len(turns) < 2:
        raise InputError(f"{where}: conversations: expected a list of at least two turns, found {str(turns)[:60]!r}")
    texts = []
    for turn, speakers in zip(turns[:2], (HUMAN, MODEL), strict=True):
        speaker = turn.get("from", turn.get("role")) if isinstance(turn, dict) else None
        text = turn.get("value", turn.get("content")) if isinstance(turn, dict) else None
        if speaker not in speakers or not isinstance(text, str):
            raise InputError(
                f"{where}: conversations: expected a turn of {speakers[0]} with a text, found {str(turn)[:60]!r}"
            )
        texts.append(text)
    return {"instruction": texts[0], "input": "", "output": texts[1]}


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
    if not any(isinstance(row, dict) and "id" in row and "conversations" not in row for _, row in rows):
        return with_ids(plain_fields(row, f"{path}: {where}") for where, row in rows)
    pairs: dict[str, Pair] = {}
    for where, row in rows:
        kind: type[Pair] = ReflectedPair if isinstance(row, dict) and "status" in row else Pair
        try:
            pair = kind.model_validate(row)
        except ValidationError as error:
            raise InputError(f"{path}: {where}: {describe(error)}") from None
        if pair.id in pairs:
            raise InputError(f"{path}: {where}: id {pair.id!r} occurs twice, expected unique ids")
        pairs[pair.id] = pair
    return list(pairs.values())
