"""The figures that the notebooks show, and how they are saved."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from srt import layout
from srt.report.bars import pairwise
from srt.report.distributions import ifd_distributions
from srt.report.scatter import score_vs_data

__all__ = ["folder", "ifd_distributions", "pairwise", "save", "score_vs_data", "tables_folder"]

DPI = 160
# Without the date and the library's version the same figure is the same file, byte for byte.
METADATA: Mapping[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


def folder(results: str | Path) -> Path:
    """Where the figures lie below the results folder."""
    return (Path(results) / layout.FIGURE).parent


def tables_folder(results: str | Path) -> Path:
    """Where the tables lie below the results folder."""
    return (Path(results) / layout.TABLE).parent


def save(figure: Figure, out: Path, name: str) -> Path:
    """Write `name`.pdf and `name`.png into the folder `out`, whole or not at all; returns the path of the PNG."""
    out.mkdir(parents=True, exist_ok=True)
    for extension, metadata in METADATA.items():
        partial = out / f".{name}.{os.getpid()}.partial"
        try:
            figure.savefig(partial, format=extension, dpi=DPI, metadata=metadata)
            os.replace(partial, out / f"{name}.{extension}")
        finally:
            partial.unlink(missing_ok=True)
    return out / f"{name}.png"
