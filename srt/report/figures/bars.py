"""Pairwise verdicts as stacked bars: ours above, the paper's below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from srt.plotting.style import BLUE, INK, LIGHT, ORANGE, styled
from srt.report.formats import NOT_RUN, REPORTED, Row
from srt.report.reported import reported
from srt.report.tables.pairwise import human_study, reported_verdicts
from srt.report.tables.rows import as_row
from srt.report.tables.write import read_tables

WIDTH = 6.2  # inches of the figure without the names
LETTER = 0.078  # inches of a letter of a name
ROW = 0.36  # inches of height per bar
OUTCOMES = (("wins", "Win", BLUE, "white"), ("ties", "Tie", LIGHT, INK), ("losses", "Lose", ORANGE, INK))
NARROW = 3.5  # percent of the width below which a bar has no room for its number


@dataclass(frozen=True)
class Bar:
    """One comparison: its name, the verdicts in the order of OUTCOMES, the winning score with its standard error."""

    name: str
    counts: tuple[int, ...]
    score: float | None
    se: float | None


def pairwise(tables: Path) -> Figure:
    """Win, tie and lose per comparison in percent, with the counts in the bars and the winning score beside them.

    Args:
        tables: the folder of the tables.

    Raises:
        InputError: the table is missing or malformed.
    """
    (part,) = read_tables(tables, "pairwise")
    rows = [row for row in part.rows if row["source"] not in (REPORTED, NOT_RUN) and row["wins"] is not None]
    ours = [_bar(row, "", f"{row['run']} vs {row['opponent']}, {row['questions']}") for row in rows]
    judged = map(as_row, reported_verdicts().values())
    theirs = [_bar(row, "reported_", f"vs {row['reported_opponent']}") for row in judged]
    theirs += [
        _bar(row, "reported_", f"vs {row['reported_opponent']} ({row['reported_judge']})")
        for row in map(as_row, human_study())
    ]
    block = reported().pairwise
    groups = [("Ours", ours), (f"Paper: {block.model}, judged by {block.judge}", theirs)]
    with styled():
        return _figure([(title, bars) for title, bars in groups if bars])


def _bar(row: Row, prefix: str, name: str) -> Bar:
    counts = tuple(row[prefix + key] for key, *_ in OUTCOMES)
    return Bar(f"{name}  (n = {sum(counts)})", counts, row[prefix + "winning_score"], row.get(prefix + "se"))


def _figure(groups: Sequence[tuple[str, list[Bar]]]) -> Figure:
    heights = [len(bars) for _, bars in groups]
    height = ROW * sum(heights) + 0.35 * len(groups) + 0.8  # bars, titles, axis and legend
    longest = max((len(bar.name) for _, bars in groups for bar in bars), default=0)
    figure = Figure(figsize=(WIDTH + LETTER * longest, height), layout="constrained")
    all_axes = figure.subplots(len(groups), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (title, bars) in zip(all_axes, groups, strict=True):
        _draw(axes, bars)
        axes.set_title(title)
    all_axes[-1].set_xlabel("Share of the questions (%), with counts")
    handles = [Patch(color=color, label=label) for _, label, color, _ in OUTCOMES]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _draw(axes: Axes, bars: Sequence[Bar]) -> None:
    for place, bar in enumerate(bars):
        left = 0.0
        for (_, _, color, ink), count in zip(OUTCOMES, bar.counts, strict=True):
            width = 100 * count / (sum(bar.counts) or 1)
            axes.barh(place, width, left=left, color=color, height=0.74)
            if width >= NARROW:
                axes.text(left + width / 2, place, f"{count}", color=ink, ha="center", va="center", fontsize=8)
            left += width
        score = "" if bar.score is None else f"{bar.score:.3f}"
        score += "" if bar.se is None else f" ± {bar.se:.3f}"
        axes.text(101.5, place, score, va="center", fontsize=8.5)
    heading = axes.annotate("Winning score ± SE", (1.015, 1), (0, 6), "axes fraction", "offset points")
    heading.set(va="baseline", fontsize=8.5, fontweight="bold")
    axes.set(xlim=(0, 100), ylim=(len(bars) - 0.5, -0.5), yticks=range(len(bars)))
    axes.set_yticklabels([bar.name for bar in bars])
    axes.tick_params(axis="both", length=0)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
