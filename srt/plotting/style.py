"""The figures' look: Okabe and Ito's colours, which the color-blind tell apart, and one set of matplotlib settings."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import seaborn as sns
from matplotlib import rc_context

BLUE = "#0072B2"  # ours; a win
VERMILION = "#D55E00"  # the paper's own models
ORANGE = "#E69F00"  # a loss: in grey, vermilion would be as dark as blue
GREEN = "#009E73"
GREY = "#7A7A7A"  # other reported models
LIGHT = "#E2E2E2"  # a tie
INK = "#222222"
VARIANT_COLORS = {"original": GREY, "instruction": ORANGE, "response": GREEN, "both": BLUE}

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with matplotlib: the same letters on every machine
    "font.size": 9,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ECECEC",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,  # letters stay text in the PDF
}


def styled() -> AbstractContextManager[None]:
    """The settings under which a figure is made; they end with the block."""
    settings: Any = {**sns.axes_style("ticks"), **STYLE}
    return rc_context(settings)
