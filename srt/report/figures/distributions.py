"""The distributions of IFD and r-IFD, one panel each per data set, teacher and student, one box per variant."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from srt.experiment.runs import Run
from srt.plotting.style import GREY, INK, VARIANT_COLORS, VERMILION, styled
from srt.report.tables.data import VariantFiles, variant_files
from srt.storage.files import read_records
from srt.storage.records import VARIANTS, Score

WIDTH = 11.0  # inches
DOTS = 300  # most records of a variant that are drawn as dots, evenly spread over the file
RATIOS = (("ifd", "IFD"), ("r_ifd", "r-IFD"))
FARTHEST = 1.5  # the axis ends at the highest value, but never beyond this many times the 95% quantile


def ifd_distributions(results: Path, runs: Sequence[Run], responses: str) -> Figure:
    """Boxes (quartiles; whiskers from 5 to 95%) and records as dots, with the line at 1.

    Args:
        results: folder of all artefacts.
        runs: the run table.
        responses: the plan of the response reflection, `all` or `selected`.

    Raises:
        InputError: a score file is malformed.
    """
    groups = _groups(results, variant_files(runs, responses))
    with styled():
        height = sum(0.42 * len(group) + 1.5 for _, group in groups) or 1.5
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        if not groups:
            figure.text(0.5, 0.5, "No run has scores.", ha="center", va="center")
            return figure
        ratios = [len(group) + 2 for _, group in groups]
        all_axes = figure.subplots(len(groups), 2, squeeze=False, height_ratios=ratios)
        for row, (title, group) in zip(all_axes, groups, strict=True):
            for axes, (key, label) in zip(row, RATIOS, strict=True):
                _draw(axes, [(files.variant, scores) for files, scores in group], key, label, title)
    return figure


Scored = tuple[VariantFiles, list[Score]]


def _groups(results: Path, files: Sequence[VariantFiles]) -> list[tuple[str, list[Scored]]]:
    """Per data set, teacher and student: its scored variants; the original stands beside every teacher's."""
    scored = [(f, read_records(results / f.scores, Score)) for f in files if f.scores and (results / f.scores).exists()]
    keys: dict[tuple[str, str | None, str], None] = {(f.dataset, f.teacher, f.student): None for f, _ in scored}
    for dataset, teacher, student in list(keys):
        if teacher is not None:  # the original stands beside what a teacher made of it
            keys.pop((dataset, None, student), None)
    groups = []
    for dataset, teacher, student in keys:
        of_student = [member for member in scored if (member[0].dataset, member[0].student) == (dataset, student)]
        members = [member for member in of_student if member[0].teacher in (None, teacher)]
        members.sort(key=lambda member: VARIANTS.index(member[0].variant))
        reflected = f", reflected by {teacher}" if teacher else ""
        groups.append((f"{dataset}{reflected}, scored by {student}", members))
    return groups


def _draw(axes: Axes, group: Sequence[tuple[str, list[Score]]], key: str, label: str, title: str) -> None:
    values = [np.array([v for score in scores if (v := getattr(score, key)) is not None]) for _, scores in group]
    ticks = []
    for place, ((variant, scores), found) in enumerate(zip(group, values, strict=True)):
        color = VARIANT_COLORS[variant]
        if len(found):
            _box(axes, place, found, color)
        null = len(scores) - len(found)
        ticks.append(f"{variant}\nn = {len(found):,}" + (f", {null:,} null" if null else ""))
    axes.axvline(1, color=VERMILION, lw=1.2, ls="--", zorder=1)
    axes.set_title(label, pad=18)
    axes.annotate(title, (0, 1), (0, 6), "axes fraction", "offset points", fontsize=8.5, color=GREY)
    axes.set(xlabel=_limit(axes, values, label), ylim=(len(group) - 0.4, -0.6))
    axes.set_yticks(range(len(group)), ticks)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")


def _box(axes: Axes, place: int, found: np.ndarray, color: str) -> None:
    dots = found[np.linspace(0, len(found) - 1, min(DOTS, len(found))).astype(int)]
    offsets = np.random.default_rng(0).uniform(-0.26, 0.26, len(dots))
    axes.scatter(dots, place + offsets, s=7, color=color, alpha=0.35, lw=0, zorder=2)
    axes.boxplot(
        [found],
        positions=[place],
        widths=0.62,
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": (*to_rgb(color), 0.25), "edgecolor": color, "linewidth": 1.2},
        medianprops={"color": INK, "linewidth": 1.6},
        whiskerprops={"color": color},
        capprops={"color": color},
        zorder=3,
    )


def _limit(axes: Axes, values: Sequence[np.ndarray], label: str) -> str:
    """Set the axis so that a few extreme records do not squeeze the rest; returns the axis's label, which says so."""
    everything = np.concatenate(values)
    text = f"{label} (1: the condition does not help)"
    if not len(everything):
        return text
    left = min(float(everything.min()), 1.0)
    right = max(min(float(everything.max()), FARTHEST * float(np.percentile(everything, 95))), 1.0)
    margin = 0.04 * (right - left) or 0.1
    axes.set_xlim(left - margin, right + margin)
    outside = int((everything > right + margin).sum())
    return f"{text}; {outside:,} of {len(everything):,} lie beyond" if outside else text
