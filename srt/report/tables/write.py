"""The tables: ours beside the paper's with the difference, every row with the file that it was read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from srt.experiment import layout
from srt.report import formats
from srt.report.formats import NOT_RUN, Part
from srt.report.inputs import ReportInputs
from srt.report.reported import reported
from srt.report.tables import ablation, comparison, data, judges, ratios, samples
from srt.report.tables.notes import notes, title_of
from srt.report.tables.table import table_of
from srt.storage.errors import InputError
from srt.storage.files import write_text


def write_tables(inputs: ReportInputs, out: Path, only: Sequence[str] | None = None) -> None:
    """Write tables as CSV, Markdown and LaTeX below the folder `out`, from whatever of the results is there.

    Args:
        inputs: the results and what of them is compared.
        out: the folder below which the tables are laid out as below the results folder.
        only: the tables that are wanted; None for all.

    Raises:
        InputError: an evaluation file is malformed, `compare` names what was not reported, or a table is not known.
    """
    wanted = layout.tables() if only is None else only
    unknown = [name for name in wanted if name not in layout.tables()]
    if unknown:
        raise InputError(f"table: expected one of {', '.join(layout.tables())}, found {unknown[0]!r}")
    inputs = replace(inputs, compare=reported().check_names(inputs.compare))
    texts: dict[str, str] = {}
    for name in wanted:
        parts = _built(name, inputs)
        read, said = for_reading(parts), notes(name, parts)
        texts[layout.TABLE.format(table=name, ext="csv")] = formats.to_csv(parts)
        texts[layout.TABLE.format(table=name, ext="md")] = formats.to_markdown(title_of(name), read, said)
        texts[layout.TABLE.format(table=name, ext="tex")] = formats.to_latex(name, title_of(name), read, said)
    for path, text in texts.items():  # once all could be made
        write_text(out / path, formats.printable(text))


def for_reading(parts: Sequence[Part]) -> list[Part]:
    """A table's parts as they are read: without what was not run, and the paper's own table apart from our runs."""
    table = table_of(parts[0].kind)
    if table is None or table.paper is None:
        return [_run_only(part) for part in parts]
    (whole,) = parts
    ours = [row for row in whole.rows if row.get("run") and row["source"] != NOT_RUN]
    theirs = sorted((row for row in whole.rows if row.get("reported_name")), key=table.paper.order)
    paper = Part("paper", "The paper's table, ours beside it", table.paper.columns, theirs, "None.")
    return [Part("ours", "Our runs", whole.columns, ours, whole.none), paper]


def _run_only(part: Part) -> Part:
    if part.kind == "paper":
        return part
    return replace(part, rows=[row for row in part.rows if row.get("source") != NOT_RUN])


def read_tables(tables: Path, name: str) -> list[Part]:
    """A table's parts as `write_tables` wrote them; `tables` is the folder of the tables."""
    path = tables / Path(layout.TABLE.format(table=name, ext="csv")).name
    table = table_of(name)
    empty = table.parts if table else EMPTY[name]()
    return [formats.read_csv(path, part) for part in empty]


def _built(name: str, inputs: ReportInputs) -> list[Part]:
    """A table's parts with their rows."""
    table = table_of(name)
    return table.filled(inputs) if table else BUILDERS[name](inputs)


# The tables that are no benchmark's own.
BUILDERS: dict[str, Callable[[ReportInputs], list[Part]]] = {
    "ablation": ablation.ablation_parts,
    "selection_ratio": ratios.ratio_parts,
    "data": lambda inputs: data.data_parts(inputs.results, inputs.runs, inputs.responses),
    "examples": lambda inputs: samples.examples_parts(inputs.results, inputs.runs, inputs.responses),
    "comparison": lambda inputs: comparison.comparison_parts(inputs.results, inputs.runs),
    "judges": lambda inputs: judges.judges_parts(inputs.results),
}
# Their parts without rows.
NOWHERE = Path("nowhere")
EMPTY: dict[str, Callable[[], list[Part]]] = {
    "ablation": lambda: ablation.parts([], []),
    "selection_ratio": lambda: ratios.parts([]),
    "examples": lambda: samples.parts([]),
    "comparison": lambda: comparison.parts([], []),
    "judges": lambda: judges.judges_parts(NOWHERE),
    "data": lambda: data.parts([], [], []),
}
