"""One job: where it writes, and what it may use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srt.settings.execution import ExecutionConfig


@dataclass(frozen=True)
class Job:
    """Where a step writes, and how it runs.

    Attributes:
        out: the file, or the folder, that the step writes.
        cache: folder of journals and checkpoints: what was paid for, and outlives every run.
        execution: device, sizes, patience; it changes speed and hardware, never a result.
    """

    out: Path
    cache: Path
    execution: ExecutionConfig
