"""Preparing a small source in any format."""

import json
from pathlib import Path

from srt.prepare.prepare import prepare
from srt.settings import PrepareConfig
from srt.storage.files import read_records
from srt.storage.records import Pair

PREPARE = {"source": "unused", "revision": None, "split": "train", "duplicates": "keep", "limit": None}


def prepared(source: Path, out: Path, **changes: object) -> list[Pair]:
    prepare(str(source), out, PrepareConfig(**{**PREPARE, **changes}))
    return read_records(out, Pair)


def write_as(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows))
    return path
