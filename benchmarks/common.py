"""What the benchmarks share."""

from __future__ import annotations

import heapq
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def records_file() -> Path:
    """Real Alpaca records beside the project (SRT_SHARED_DATA), else the bundled sample."""
    shared = Path(os.environ.get("SRT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    real = shared / "alpaca" / "cherry_alpaca_5_percent.json"
    return real if real.is_file() else ROOT / "config" / "demo" / "records.json"


def greedy(latencies: Sequence[float], slots: int) -> float:
    """Seconds until the last request ends, each begun in the slot that is free first."""
    free = [0.0] * slots
    for seconds in latencies:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)


def child(mode: str) -> dict[str, Any]:
    """This command with `--only mode` in a process of its own: the JSON object of its last line."""
    command = [sys.executable, sys.argv[0], *sys.argv[1:], "--only", mode]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
