"""Score against the number of training records: AlpacaEval above, the Open LLM Leaderboard below."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from srt.plotting.labels import Label, place_labels
from srt.plotting.style import BLUE, GREY, INK, VERMILION, styled
from srt.report.formats import NOT_RUN, REPORTED, Row
from srt.report.reported import ReportedOpenLlm, ReportedWinRate, reported
from srt.report.tables.write import read_tables

SIZE = (11.0, 11.5)  # inches
NAMED = 8  # the most of our runs that are named in a panel; more are numbered, with a key beside it
NOTE_WIDTH = 150  # letters in a line of the note below a panel
PATH = "Paper: the same model on 2 to 100% of its records"
KINDS = {  # how a point is drawn: its name in the legend, edge and face; they differ in grey as well
    "ours": ("Ours (±1 SE)", BLUE, BLUE),
    "own": ("Paper: sRecycled models (±1 SE)", INK, VERMILION),
    "other": ("Paper: other models", GREY, "white"),
    "rlhf": ("Paper: other models with RLHF or AI feedback", GREY, "#C4C4C4"),
}
# The marker's form is the model's size, as in the paper's plot; ours have one of their own.
SIZES = {"7B": "o", "13B": "s", "65B": "D"}
OURS = "*"


@dataclass(frozen=True)
class Point:
    """One model: training records, score and standard error in percent, and a key of KINDS."""

    name: str
    records: int
    value: float
    se: float | None
    kind: str

    @property
    def size(self) -> str:
        """The number of parameters, as the name of a reported model has it."""
        found = re.search(r"\b\d+B\b", self.name, re.IGNORECASE)
        return found.group().upper() if found else ""

    @property
    def marker(self) -> str:
        """The form that is drawn."""
        return OURS if self.kind == "ours" else SIZES.get(self.size, "v")


@dataclass(frozen=True)
class Panel:
    """What one panel shows: points, the selection ratios' path, and untuned models, which have no records."""

    title: str
    label: str
    points: Sequence[Point]
    path: Sequence[tuple[str, int, float]]
    untuned: Mapping[str, float]
    left_out: Sequence[str]


def score_vs_data(tables: Path) -> Figure:
    """The paper's two panels with our runs in them, from the tables' CSV and the reported figures.

    Args:
        tables: the folder of the tables.

    Raises:
        InputError: a table is missing or malformed.
    """
    alpaca_eval = _panel(
        "AlpacaEval 1.0", "Win rate (%)", _rows(tables, "alpaca_eval", "win_rate"), "win_rate", "se", "alpaca_eval"
    )
    open_llm = _panel(
        "Open LLM Leaderboard v1",
        "Average of four benchmarks (%)",
        _of_the_leaderboard(_rows(tables, "open_llm", "average")),
        "average",
        "average_se",
        "open_llm",
    )
    with styled():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots(2, 1, height_ratios=(1.55, 1))
        kinds: set[str] = set()
        labels = [_draw(ax, panel) for ax, panel in zip(axes, (alpaca_eval, open_llm), strict=True)]
        for panel in (alpaca_eval, open_llm):
            kinds |= {point.kind for point in panel.points} | ({"ours"} if panel.untuned else set())
        figure.legend(handles=_legend(kinds), loc="outside lower center", ncols=3, handletextpad=0.4)
        for ax, panel, names in zip(axes, (alpaca_eval, open_llm), labels, strict=True):
            place_labels(ax, names, _lines(panel, ax.get_xlim()))
    return figure


def _rows(tables: Path, name: str, key: str) -> list[Row]:
    (part,) = read_tables(tables, name)
    return [row for row in part.rows if row["source"] not in (REPORTED, NOT_RUN) and row[key] is not None]


def _of_the_leaderboard(rows: Sequence[Row]) -> list[Row]:
    """Rows under the paper's rules alone; where several profiles have them, each row is named with its own."""
    kept = [row for row in rows if row["leaderboard"] == "open_llm"]
    if len({row["profile"] for row in kept}) > 1:
        return [{**row, "run": f"{row['run']} ({row['profile']})"} for row in kept]
    return kept


def _panel(title: str, label: str, rows: Sequence[Row], key: str, se: str, benchmark: str) -> Panel:
    ours = [
        Point(row["run"], row["training_records"], row[key], row[se], "ours") for row in rows if row["training_records"]
    ]
    untuned = {row["run"]: row[key] for row in rows if not row["training_records"]}
    facts = reported()
    theirs: Mapping[str, ReportedWinRate | ReportedOpenLlm] = (
        facts.win_rates() if benchmark == "alpaca_eval" else facts.leaderboard()
    )
    points, left_out = [], []
    for name, row in theirs.items():
        records = facts.training_records(name)
        if name in facts.ratio_names():
            continue
        if records:
            points.append(Point(name, records, getattr(row, key), getattr(row, "se", None), _kind(name)))
        else:
            left_out.append(name)
    ratios = {**facts.ratio_names(), facts.selection_ratio.model: facts.selection_ratio.rows[-1]}
    path = [
        (f"{row.ratio:.0%}", facts.training_records(name) or 0, getattr(row, benchmark)) for name, row in ratios.items()
    ]
    return Panel(title, label, [*ours, *points], path, untuned, left_out)


def _kind(name: str) -> str:
    model = reported().models[name]
    return "own" if model.own else "rlhf" if model.rlhf else "other"


def _draw(axes: Axes, panel: Panel) -> list[Label]:
    """Draw everything but the names; returns them, ours first, to be placed once the layout is final."""
    axes.plot(*zip(*[(x, y) for _, x, y in panel.path], strict=True), color=VERMILION, lw=1, ls="--", zorder=2)
    small = panel.path[:-1]  # the last one is the model itself and has a marker of its own
    axes.scatter([x for _, x, _ in small], [y for *_, y in small], s=16, color=VERMILION, zorder=3)
    for point in panel.points:
        _, edge, face = KINDS[point.kind]
        if point.se:
            axes.errorbar(point.records, point.value, point.se, color=edge, capsize=2, lw=0.8, zorder=3)
        size = 110 if point.kind == "ours" else 38
        axes.scatter(
            point.records, point.value, s=size, marker=point.marker, facecolor=face, edgecolor=edge, lw=1.1, zorder=4
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set(title=panel.title, xlabel="Training records (log scale)", ylabel=panel.label)
    if panel.left_out:
        note = textwrap.fill(f"Not drawn, training records not reported: {', '.join(panel.left_out)}", NOTE_WIDTH)
        axes.annotate(note, (0, 0), (0, -36), "axes fraction", "offset points", va="top", fontsize=7, color=GREY)
    axes.margins(x=0.12, y=0.07)
    axes.autoscale_view()
    points = sorted(panel.points, key=lambda point: list(KINDS).index(point.kind))
    names = [_label(point) for point in _numbered(axes, points)]
    steps = [Label(name, x, y, VERMILION) for name, x, y in small]
    ours = sum(point.kind == "ours" for point in panel.points)
    return [*names[:ours], *steps, *_untuned(axes, panel), *names[ours:]]


def _numbered(axes: Axes, points: Sequence[Point]) -> Sequence[Point]:
    """The points as they are named: where we have many, ours by a number, which a key right of the panel explains."""
    ours = [point for point in points if point.kind == "ours"]
    if len(ours) <= NAMED:
        return points
    key = "\n".join(f"{number}  {point.name}" for number, point in enumerate(ours, start=1))
    shown = axes.annotate(key, (1, 1), (8, 0), "axes fraction", "offset points")
    shown.set(va="top", fontsize=7.5, color=BLUE, linespacing=1.5)
    return [
        *(replace(point, name=str(number)) for number, point in enumerate(ours, start=1)),
        *(point for point in points if point.kind != "ours"),
    ]


def _lines(panel: Panel, limits: tuple[float, float]) -> list[list[tuple[float, float]]]:
    """The course of the path, of the error bars, and of the untuned models' lines."""
    across = [[(limits[0], value), (limits[1], value)] for value in panel.untuned.values()]
    bars: list[list[tuple[float, float]]] = [
        [(point.records, point.value - point.se), (point.records, point.value + point.se)]
        for point in panel.points
        if point.se
    ]
    path: list[tuple[float, float]] = [(records, value) for _, records, value in panel.path]
    return [path, *bars, *across]


def _untuned(axes: Axes, panel: Panel) -> list[Label]:
    """Models without training: a line across the panel, named near its right end."""
    left, right = axes.get_xlim()
    anchor = left * (right / left) ** 0.88  # on a log axis
    for value in panel.untuned.values():
        axes.axhline(value, color=BLUE, lw=1, ls=":", zorder=1)
    axes.set_xlim(left, right)
    return [Label(f"{name} (untuned)", anchor, value, BLUE, "bold") for name, value in panel.untuned.items()]


def _label(point: Point) -> Label:
    color = {"ours": BLUE, "own": VERMILION}.get(point.kind, INK)
    return Label(point.name, point.records, point.value, color, "bold" if point.kind == "ours" else "normal")


def _legend(kinds: set[str]) -> list[Line2D]:
    handles = [
        _handle(label, OURS if kind == "ours" else "o", edge, face)
        for kind, (label, edge, face) in KINDS.items()
        if kind in kinds
    ]
    handles.append(Line2D([], [], ls="--", lw=1, marker=".", ms=6, color=VERMILION, label=PATH))
    return [*handles, *(_handle(f"Paper: {size}", marker, GREY, "white") for size, marker in SIZES.items())]


def _handle(label: str, marker: str, edge: str, face: str) -> Line2D:
    return Line2D([], [], ls="", marker=marker, ms=9 if marker == OURS else 6, color=edge, mfc=face, label=label)
