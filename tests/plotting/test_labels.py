"""Names beside points: none lies over another."""

from matplotlib.figure import Figure
from matplotlib.text import Text

from srt.plotting.labels import Label, place_labels


def test_labels_do_not_cover_each_other() -> None:
    figure = Figure(figsize=(6, 6))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    labels = [Label(f"a model of some size {n}", 0.5 + 0.01 * (n % 3), 0.5 + 0.01 * n, "k") for n in range(8)]
    place_labels(axes, labels)
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the leaders
    assert len(boxes) == 8
    for place, box in enumerate(boxes):
        text_only = [other for other in boxes[place + 1 :] if box.overlaps(other)]
        assert not text_only, place
