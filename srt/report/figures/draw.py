"""The figures that the notebooks show, and how they are saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.plotting.save import save
from srt.report.figures.bars import pairwise
from srt.report.figures.distributions import ifd_distributions
from srt.report.figures.ratios import selection_ratio
from srt.report.figures.scatter import score_vs_data
from srt.storage.errors import InputError

__all__ = ["folder", "ifd_distributions", "pairwise", "save", "score_vs_data", "selection_ratio", "tables_folder"]


# What draws a figure from the folder of the tables or from the results folder, and the tables that it reads.
Draw = Callable[[Path, Path, Sequence[Run], str], Figure]
FIGURES: Mapping[str, tuple[Draw, Sequence[str]]] = {
    "score_vs_data": (lambda tables, *_: score_vs_data(tables), ("alpaca_eval", "open_llm")),
    "selection_ratio": (lambda tables, *_: selection_ratio(tables), ("selection_ratio",)),
    "pairwise": (lambda tables, *_: pairwise(tables), ("pairwise",)),
    "ifd_distributions": (lambda _, *read: ifd_distributions(*read), ()),
}


def tables_of(only: Sequence[str]) -> list[str]:
    """The tables that these figures read; InputError for a figure that is not known."""
    for name in only:
        if name not in FIGURES:
            raise InputError(f"figure: expected one of {', '.join(layout.FIGURES)}, found {name!r}")
    return [table for name in only for table in FIGURES[name][1]]


def draw(results: Path, runs: Sequence[Run], responses: str, only: Sequence[str], out: Path | None = None) -> None:
    """Draw figures from the scores below the results folder and the tables below `out`, and save them there.

    `out` is the results folder itself where it is not given.
    """
    out = out or results
    for name in only:
        save(FIGURES[name][0](tables_folder(out), results, runs, responses), folder(out), name)


def folder(results: str | Path) -> Path:
    """Where the figures lie below the results folder."""
    return (Path(results) / layout.FIGURE).parent


def tables_folder(results: str | Path) -> Path:
    """Where the tables lie below the results folder."""
    return (Path(results) / layout.TABLE).parent
