"""Names beside the points of a scatter plot, placed so that they overlap neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import cos, hypot, pi, sin
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

SIZE = 7.5  # points
MARKER = 5.0  # points around a marker's centre that a label leaves free
RINGS = (6.0, 11.0, 18.0, 26.0, 36.0, 48.0, 62.0, 80.0)  # distances from the marker that are tried, in points
DIRECTIONS = tuple(pi * step / 8 for step in (0, 8, 4, 12, 2, 6, 10, 14, 1, 15, 7, 9, 3, 5, 11, 13))
LEADER_FROM = 18.0  # a label as far away as this gets a line to its point
PASSES = 6
CROSSING = 4.0  # how much worse a line through a name is than the area that it hides
DISTANCE = 0.4  # what a point of distance costs, in square points of hidden area
Boxes = np.ndarray
NOTHING: Boxes = np.empty((0, 4))


@dataclass(frozen=True)
class Label:
    """A name for the point (x, y) in data coordinates."""

    text: str
    x: float
    y: float
    color: str
    weight: str = "normal"


class _Places:
    """Every place that is tried for one label: boxes are rows of left, bottom, right, top in pixels."""

    def __init__(self, axes: Axes, label: Label, scale: float) -> None:
        width, height = _text_size(axes, label, scale)
        x, y = _pixels(axes, label.x, label.y)
        tried = [(ring, angle) for ring in RINGS for angle in DIRECTIONS]
        # The text's edge, not its centre, lies one ring away from the point.
        dx = np.array([cos(angle) * (ring * scale + width / 2) for ring, angle in tried])
        dy = np.array([sin(angle) * (ring * scale + height / 2 - 2 * scale) for ring, angle in tried])
        self.offsets = np.stack([dx, dy], axis=1) / scale
        self.boxes = np.stack(
            [x + dx - width / 2, y + dy - height / 2, x + dx + width / 2, y + dy + height / 2], axis=1
        )
        self.leaders = []
        self.starts = []  # where on its text's box the line to a far label begins, as shares of width and height
        for (ring, _), box in zip(tried, self.boxes, strict=True):
            edge = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
            self.starts.append(((edge[0] - box[0]) / width, (edge[1] - box[1]) / height))
            # The line to a far label, from the marker's edge on.
            self.leaders.append(_course([(x, y), edge], scale)[3:] if ring >= LEADER_FROM else NOTHING)
        self.owner = np.repeat(np.arange(len(tried)), [len(leader) for leader in self.leaders])
        self.steps = np.concatenate(self.leaders)

    def cost(self, boxes: Boxes, leaders: Boxes, crossing: float = 1.0) -> Any:
        """Per place, the area in square pixels that its text and leader share with labels and lines.

        Where a line is one of the two, the area counts `crossing` times.
        """
        under = _overlap(self.steps, np.concatenate([boxes, leaders]))
        crossed = np.bincount(self.owner, under, minlength=len(self.boxes))
        return 2 * _overlap(self.boxes, boxes) + crossing * (_overlap(self.boxes, leaders) + crossed)


def place_labels(axes: Axes, labels: Sequence[Label], lines: Sequence[Sequence[tuple[float, float]]] = ()) -> None:
    """Write each label at a near place around its point that nothing else has; the axes' limits must be final.

    Greedy in the given order, then each label in turn looks again for a better place. Where none is free, a label
    takes the place with the least overlap. `lines` (in data coordinates) are kept free as well.
    """
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    figure.draw_without_rendering()  # fixes the layout, which the pixel positions depend on
    scale = figure.dpi / 72
    points = [_pixels(axes, label.x, label.y) for label in labels]
    reach = MARKER * scale
    markers = np.array([(x - reach, y - reach, x + reach, y + reach) for x, y in points]).reshape(-1, 4)
    courses = [_course([_pixels(axes, *point) for point in line], scale) for line in lines]
    fixed = np.concatenate([markers, *courses])
    inside = np.array([[*axes.transAxes.transform((0, 0)), *axes.transAxes.transform((1, 1))]])
    places = [_Places(axes, label, scale) for label in labels]
    for label, place, best in zip(labels, places, _choose(places, fixed, inside, scale), strict=True):
        _write(axes, label, place.offsets[best], place.starts[best] if len(place.leaders[best]) else None)


def _choose(places: Sequence[_Places], fixed: Boxes, inside: Boxes, scale: float) -> list[int]:
    """The number of the place that each label takes."""
    alone = []
    for place in places:
        area = _overlap(place.boxes[:1], place.boxes[:1])
        outside = area - _overlap(place.boxes, inside)
        far = DISTANCE * scale**2 * np.hypot(*place.offsets.T)
        alone.append(place.cost(NOTHING, fixed) + 4 * outside + far)
    chosen: dict[int, int] = {}
    for _ in range(PASSES):
        for index, place in enumerate(places):
            others = [(places[other], best) for other, best in chosen.items() if other != index]
            boxes = np.concatenate([NOTHING, *(other.boxes[best : best + 1] for other, best in others)])
            leaders = np.concatenate([NOTHING, *(other.leaders[best] for other, best in others)])
            chosen[index] = int(np.argmin(alone[index] + place.cost(boxes, leaders, CROSSING)))
    return [chosen[index] for index in range(len(places))]


def _pixels(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)


def _course(line: Sequence[tuple[float, float]], scale: float) -> Boxes:
    """Small boxes along a line, close enough for no letter to slip through."""
    centers = []
    for (x0, y0), (x1, y1) in pairwise(line):
        steps = max(1, round(hypot(x1 - x0, y1 - y0) / (3 * scale)))
        centers += [(x0 + (x1 - x0) * step / steps, y0 + (y1 - y0) * step / steps) for step in range(steps + 1)]
    return np.array([(x - scale, y - scale, x + scale, y + scale) for x, y in centers]).reshape(-1, 4)


def _text_size(axes: Axes, label: Label, scale: float) -> tuple[float, float]:
    text = axes.text(0, 0, label.text, fontsize=SIZE, fontweight=label.weight)
    extent = text.get_window_extent()
    text.remove()
    return float(extent.width) + 5 * scale, float(extent.height) + scale


def _overlap(boxes: Boxes, others: Boxes) -> Any:
    """Per box, the area in square pixels that it shares with the others, summed over them."""
    width = np.minimum(boxes[:, None, 2], others[None, :, 2]) - np.maximum(boxes[:, None, 0], others[None, :, 0])
    height = np.minimum(boxes[:, None, 3], others[None, :, 3]) - np.maximum(boxes[:, None, 1], others[None, :, 1])
    return (width.clip(0) * height.clip(0)).sum(axis=1)


def _write(axes: Axes, label: Label, offset: Any, start: tuple[float, float] | None) -> None:
    line = {"arrowstyle": "-", "color": "0.55", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3.5, "relpos": start}
    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(float(offset[0]), float(offset[1])),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=SIZE,
        color=label.color,
        fontweight=label.weight,
        arrowprops=line if start else None,
        zorder=5,
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
