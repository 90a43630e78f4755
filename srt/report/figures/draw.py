"""The one place where a figure is drawn and saved: the notebooks and `srt report figures` call it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from srt.experiment import layout
from srt.plotting.save import save
from srt.report.figures.bars import pairwise
from srt.report.figures.distributions import ifd_distributions
from srt.report.figures.ratios import selection_ratio
from srt.report.figures.scatter import score_vs_data
from srt.report.inputs import ReportInputs
from srt.storage.errors import InputError

# What draws a figure from the results and the folder of the tables, and the tables that it reads.
Draw = Callable[[ReportInputs, Path], Figure]
FIGURES: Mapping[str, tuple[Draw, Sequence[str]]] = {
    "score_vs_data": (lambda _, tables: score_vs_data(tables), ("alpaca_eval", "open_llm")),
    "selection_ratio": (lambda _, tables: selection_ratio(tables), ("selection_ratio",)),
    "pairwise": (lambda _, tables: pairwise(tables), ("pairwise",)),
    "ifd_distributions": (lambda inputs, _: ifd_distributions(inputs.results, inputs.runs, inputs.responses), ()),
}


def tables_of(only: Sequence[str]) -> list[str]:
    """The tables that these figures read; InputError for a figure that is not known."""
    return [table for name in only for table in _known(name)[1]]


def draw(inputs: ReportInputs, name: str, out: Path | None = None) -> Path:
    """Draw a figure from the results and from the tables below `out`, and save it there as PDF and PNG.

    Args:
        inputs: the results.
        name: the figure's, one of `layout.FIGURES`.
        out: the folder below which tables and figures are laid out; the results folder itself where not given.

    Returns:
        The path of the PNG.

    Raises:
        InputError: the figure is not known, or what it reads is missing or malformed.
    """
    out, (make, _) = out or inputs.results, _known(name)
    return save(make(inputs, (out / layout.TABLE).parent), (out / layout.FIGURE).parent, name)


def _known(name: str) -> tuple[Draw, Sequence[str]]:
    if name not in FIGURES:
        raise InputError(f"figure: expected one of {', '.join(layout.FIGURES)}, found {name!r}")
    return FIGURES[name]
