"""Saving a figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from srt.plotting.style import styled
from srt.storage.atomic import replacing

DPI = 160
# Without the date and the library's version the same figure is the same file, byte for byte.
METADATA: Mapping[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
}


def save(figure: Figure, out: Path, name: str) -> Path:
    """Write `name`.pdf and `name`.png into the folder `out`, whole or not at all; returns the path of the PNG."""
    for extension, metadata in METADATA.items():
        # How letters are put into a PDF is read here, not when the figure is made.
        with replacing(out / f"{name}.{extension}") as partial, styled():
            figure.savefig(partial, format=extension, dpi=DPI, metadata=metadata)
    return out / f"{name}.png"
