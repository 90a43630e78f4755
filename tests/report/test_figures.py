"""Figures for print: letters that are embedded, names that do not overlap, kinds that differ in grey."""

import itertools

import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from helpers.results import RUNS, inputs_at, run_of, write_win_rate
from srt.experiment import layout
from srt.plotting import style
from srt.report.figures import bars, draw, scatter
from srt.report.figures.scatter import KINDS, Point
from srt.report.tables import write
from srt.storage.files import write_records

pytestmark = pytest.mark.slow


def grey(color):
    red, green, blue = to_rgb(color)
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.fixture
def many(results):
    """Ten runs of ours in one small place."""
    runs = [*RUNS, *(run_of(f"a_run_with_a_long_name_{n}", seed=n + 1) for n in range(10))]
    for number, found in enumerate(runs[4:]):
        write_win_rate(results, found.run, 80.0 + number / 4, {})
        train = results / layout.TRAIN.format(run=found.run)
        write_records(train, [])
        train.write_text("{}\n" * (50_000 + 500 * number))
    write.write_tables(inputs_at(results, runs=runs, questions=[]), results)
    return results / "tables"


@pytest.mark.parametrize("state", ["nothing", "demo", "many"])
def test_no_name_of_the_scatter_plot_covers_another(state, tmp_path, request):
    if state == "nothing":
        folder = tmp_path / "tables"
        write.write_tables(inputs_at(tmp_path / "none"), tmp_path, ["alpaca_eval", "open_llm"])
    else:
        folder = request.getfixturevalue("written" if state == "demo" else "many")
    figure = scatter.score_vs_data(folder)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = {text.get_text(): Text.get_window_extent(text) for text in axes.texts}
        for (name, box), (other, other_box) in itertools.combinations(boxes.items(), 2):
            assert not box.overlaps(other_box), (name, other)
        if state == "many" and axes is figure.axes[0]:
            (key,) = [text for text in boxes if "a_run_with_a_long_name_0" in text]
            assert len(key.splitlines()) == 12
            assert {str(number) for number in range(1, 13)} <= boxes.keys()


def test_pdfs_have_their_letters_inside(written, results):
    for name in layout.FIGURES:
        draw.draw(inputs_at(results), name)
        data = (results / layout.FIGURE.format(figure=name, ext="pdf")).read_bytes()
        assert b"/FontFile2" in data, name
        assert b"/Type3" not in data, name
        png = (results / layout.FIGURE.format(figure=name, ext="png")).read_bytes()
        assert png.startswith(b"\x89PNG")


def test_kinds_and_verdicts_differ_in_grey():
    faces = [grey("white") if face == "white" else grey(face) for _, _, face in KINDS.values()]
    shapes = [Point("x", 1, 1.0, None, kind).marker == "*" for kind in KINDS]
    looks = list(zip(shapes, faces, strict=True))
    for (star, one), (other_star, other) in itertools.combinations(looks, 2):
        assert star != other_star or abs(one - other) > 0.15
    colors = [grey(color) for _, _, color, _ in bars.OUTCOMES]
    for one, other in itertools.combinations(colors, 2):
        assert abs(one - other) > 0.15
    for _, _, color, ink in bars.OUTCOMES:
        assert abs(grey(color) - grey(ink)) > 0.45  # the numbers can be read
    assert style.STYLE["pdf.fonttype"] == 42


def test_markers_are_the_models_sizes():
    sizes = {"sRecycled WizardLM 7B": "7B", "LLaMA2 Chat 13B": "13B", "Guanaco 65B": "65B", "XwinLM 7b V0.1": "7B"}
    for name, size in sizes.items():
        assert Point(name, 1, 1.0, None, "other").size == size
    assert len({Point(name, 1, 1.0, None, "other").marker for name in sizes}) == 3
    labels = {handle.get_label() for handle in scatter._legend(set(KINDS))}
    assert {"Paper: 7B", "Paper: 13B", "Paper: other models with RLHF or AI feedback"} <= labels


def test_the_papers_error_bars_are_drawn(written):
    axes = scatter.score_vs_data(written).axes[0]
    drawn = {tuple(container.lines[0].get_xydata()[0]) for container in axes.containers}
    assert (46325.0, 83.48) in drawn
    assert (2.0, 22.125) in drawn
