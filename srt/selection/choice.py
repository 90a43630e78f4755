"""A choice: from which files, by which method, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from srt.selection.method import Method
from srt.settings import SelectionConfig

Files = Mapping[str, Path]  # by variant


@dataclass(frozen=True)
class Choice:
    """What one run chooses from, and how. A choice between records that are read already names no files.

    Attributes:
        method: what chooses between the versions of a record.
        settings: what the methods compare with.
        ratio: the share of the selected records that is kept, above 0 and at most 1.
        seed: of what is left to chance.
        pairs: the pairs of each variant that the method reads.
        scores: their scores; none where the method needs none.
        coherence: their cosines of instruction and response, for a method that compares these.
    """

    method: Method
    settings: SelectionConfig
    ratio: float = 1.0
    seed: int = 0
    pairs: Files = field(default_factory=dict)
    scores: Files = field(default_factory=dict)
    coherence: Files = field(default_factory=dict)

    @property
    def is_ranked(self) -> bool:
        """Whether scores matter: they are given, or the method needs them."""
        return bool(self.scores) or self.method.reads_scores(self.ratio)

    def facts(self) -> dict[str, Any]:
        """What a sidecar says of it."""
        return {"method": self.method.name, "ratio": self.ratio, "seed": self.seed, **self.settings.model_dump()}
