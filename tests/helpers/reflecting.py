"""`srt reflect` as a process, against a server."""

import os
import sys
from pathlib import Path

from helpers.fake_teacher import KEY, MODEL
from srt.storage.files import write_records
from srt.storage.records import Pair

SRT = str(Path(sys.executable).with_name("srt"))


def pairs(folder: Path, count: int) -> Path:
    rows = [Pair(id=f"r{i}", instruction=f"Tell me about case {i}.", output=f"Case {i}.") for i in range(count)]
    write_records(folder / "pairs.jsonl", rows)
    return folder / "pairs.jsonl"


def command(folder: Path, base_url: str, **changes: str) -> list[str]:
    """`srt reflect` against a server, the file in `folder`; journals beside it."""
    flags = {
        "variant": "instruction",
        "backend": "openai",
        "base-url": base_url,
        "model": MODEL,
        "prompts": "config/prompts/tags.yaml",
        "repetition-penalty": "1",
        "concurrency": "16",
        "request-seconds": "2",
        "patience-seconds": "20",
        "journal": str(folder / "journal"),
        **changes,
    }
    words = [word for name, value in flags.items() for word in (f"--{name}", value)]
    return [SRT, "reflect", str(folder / "pairs.jsonl"), str(folder / "out.jsonl"), *words]


def environment(key: str = KEY) -> dict[str, str]:
    return {**{k: v for k, v in os.environ.items() if k != "OPENAI_API_KEY"}, "SRT_TEACHER_API_KEY": key}
