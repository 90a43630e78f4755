"""A model by its name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelRef:
    """A model: a folder, or a name on the hub with its revision (None: the newest)."""

    name: str
    revision: str | None = None
