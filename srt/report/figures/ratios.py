"""Score against the selection ratio: AlpacaEval on the left, the Open LLM Leaderboard on the right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from srt.plotting.style import BLUE, GREEN, INK, ORANGE, VERMILION, styled
from srt.report.formats import REPORTED, Row
from srt.report.reported import reported
from srt.report.tables.write import read_tables

SIZE = (9.0, 4.2)  # inches
PANELS = (  # title, axis, ours, its error, and the paper's
    ("AlpacaEval 1.0", "Win rate (%)", "win_rate", "se", "reported_win_rate"),
    ("Open LLM Leaderboard v1", "Average of four benchmarks (%)", "average", "average_se", "average_reported"),
)
# Series of ours differ by marker and by dashes as well as by colour.
LINES = ((BLUE, "o", "-"), (GREEN, "s", "-."), (ORANGE, "^", ":"), (INK, "v", (0, (3, 1, 1, 1, 1, 1))))
Point = tuple[float, float, float | None]


def selection_ratio(tables: Path) -> Figure:
    """The paper's line, and one line with error bars for each series of runs that differ by their ratio.

    Args:
        tables: the folder of the tables.

    Raises:
        InputError: the table is missing or malformed.
    """
    (part,) = read_tables(tables, "selection_ratio")
    with styled():
        figure = Figure(figsize=SIZE, layout="constrained")
        for axes, (title, label, key, se, theirs) in zip(figure.subplots(1, 2), PANELS, strict=True):
            _papers(axes, part.rows, theirs)
            _ours(axes, part.rows, key, se)
            axes.set(title=title, xlabel="Share of the selected records (%, log scale)", ylabel=label, xscale="log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xticks(sorted({round(100 * row["ratio"], 6) for row in part.rows if row["ratio"]}))
            axes.tick_params(axis="x", which="minor", length=0)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _papers(axes: Axes, rows: Sequence[Row], key: str) -> None:
    points = sorted((100 * row["ratio"], row[key]) for row in rows if row[key] is not None)
    read_off = {100 * row.ratio for row in reported().selection_ratio.rows if row.source == "figure"}
    model = reported().selection_ratio.model
    axes.plot(*zip(*points, strict=True), color=VERMILION, lw=1.2, ls="--", zorder=2)
    for hollow, label in ((False, f"Paper: {model}"), (True, "Paper, read off its plot")):
        marked = [point for point in points if (point[0] in read_off) == hollow]
        face = "white" if hollow else VERMILION
        axes.plot(*zip(*marked, strict=True), ls="", marker="D", ms=6, color=VERMILION, mfc=face, label=label, zorder=3)


def _ours(axes: Axes, rows: Sequence[Row], key: str, se: str) -> None:
    series: dict[str, list[Point]] = defaultdict(list)
    for row in rows:
        if row["source"] != REPORTED and row[key] is not None:
            series[row["series"]].append((100 * row["ratio"], row[key], row[se]))
    for (name, points), (color, marker, dashes) in zip(sorted(series.items()), LINES * len(series), strict=False):
        x, y, errors = zip(*sorted(points), strict=True)
        bars = [error or 0.0 for error in errors]
        label = f"Ours: {name} (±1 SE)"
        axes.errorbar(x, y, bars, color=color, marker=marker, ls=dashes, capsize=3, lw=1.2, label=label, zorder=4)
