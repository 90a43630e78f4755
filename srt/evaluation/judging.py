"""By whom answers are judged, and with what means: what every judged benchmark is handed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srt.settings import Endpoint, ExecutionConfig, JudgeConfig


@dataclass(frozen=True)
class Judging:
    """A judge, and what it takes to ask it.

    Attributes:
        judge: who judges, read from its file.
        endpoint: where the judge answers; None where it is served here.
        execution: concurrency and patience, and what a served judge may use.
        cache: folder of the judge's replies; a killed job goes on from there.
    """

    judge: JudgeConfig
    endpoint: Endpoint | None
    execution: ExecutionConfig
    cache: Path
