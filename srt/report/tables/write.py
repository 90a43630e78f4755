"""The tables: ours beside the paper's with the difference, every row with the file that it was read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from srt.experiment import layout
from srt.report import formats
from srt.report.formats import NOT_RUN, Part, Row
from srt.report.inputs import ReportInputs
from srt.report.reported import reported
from srt.report.tables import ablation, comparison, data, judges, pairwise, ratios, samples
from srt.report.tables.benchmarks import alpaca_eval_rows, open_llm_rows
from srt.report.tables.columns import COLUMNS, PAPER_COLUMNS
from srt.report.tables.notes import TITLES, notes
from srt.storage.errors import InputError
from srt.storage.files import write_text


def write_tables(inputs: ReportInputs, out: Path, only: Sequence[str] = layout.TABLES) -> None:
    """Write tables as CSV, Markdown and LaTeX below the folder `out`, from whatever of the results is there.

    Args:
        inputs: the results and what of them is compared.
        out: the folder below which the tables are laid out as below the results folder.
        only: the tables that are wanted.

    Raises:
        InputError: an evaluation file is malformed, `compare` names what was not reported, or a table is not known.
    """
    unknown = [name for name in only if name not in BUILDERS]
    if unknown:
        raise InputError(f"table: expected one of {', '.join(layout.TABLES)}, found {unknown[0]!r}")
    inputs = replace(inputs, compare=reported().check_names(inputs.compare))
    texts: dict[str, str] = {}
    for name in only:
        parts = BUILDERS[name](inputs)
        read, said = for_reading(parts), notes(name, parts)
        texts[layout.TABLE.format(table=name, ext="csv")] = formats.to_csv(parts)
        texts[layout.TABLE.format(table=name, ext="md")] = formats.to_markdown(TITLES[name], read, said)
        texts[layout.TABLE.format(table=name, ext="tex")] = formats.to_latex(name, TITLES[name], read, said)
    for path, text in texts.items():  # once all could be made
        write_text(out / path, formats.printable(text))


def for_reading(parts: Sequence[Part]) -> list[Part]:
    """A table's parts as they are read: without what was not run, and the paper's own table apart from our runs."""
    if len(parts) > 1 or parts[0].kind not in PAPER_COLUMNS:
        return [_run_only(part) for part in parts]
    (whole,) = parts
    ours = [row for row in whole.rows if row.get("run") and row["source"] != NOT_RUN]
    theirs = sorted((row for row in whole.rows if row.get("reported_name")), key=ORDER[whole.kind])
    paper = Part("paper", "The paper's table, ours beside it", PAPER_COLUMNS[whole.kind], theirs, "None.")
    return [Part("ours", "Our runs", whole.columns, ours, whole.none), paper]


def _run_only(part: Part) -> Part:
    if part.kind == "paper":
        return part
    return replace(part, rows=[row for row in part.rows if row.get("source") != NOT_RUN])


def _by_score(row: Row) -> tuple[bool, float]:
    """Opponents as the paper orders them: the strongest first, the study with people last."""
    return row["reported_judge"] == reported().human_study.judge, row["reported_winning_score"]


ORDER: dict[str, Callable[[Row], Any]] = {
    "alpaca_eval": lambda row: -row["reported_win_rate"],
    "open_llm": lambda row: -row["average_reported"],
    "pairwise": _by_score,
}


def read_tables(tables: Path, name: str) -> list[Part]:
    """A table's parts as `write_tables` wrote them; `tables` is the folder of the tables."""
    path = tables / Path(layout.TABLE.format(table=name, ext="csv")).name
    empty = EMPTY[name]() if name in EMPTY else [_part(name, [])]
    return [formats.read_csv(path, part) for part in empty]


def _part(name: str, rows: list[Row]) -> Part:
    return Part(name, TITLES[name], COLUMNS[name], rows, "None: no run has an evaluation of this benchmark.")


def _pairwise(inputs: ReportInputs) -> list[Row]:
    return pairwise.pairwise_rows(inputs.results, inputs.runs, inputs.opponents, inputs.questions, inputs.compare)


BUILDERS: dict[str, Callable[[ReportInputs], list[Part]]] = {
    "alpaca_eval": lambda inputs: [_part("alpaca_eval", alpaca_eval_rows(inputs))],
    "open_llm": lambda inputs: [_part("open_llm", open_llm_rows(inputs))],
    "ablation": ablation.ablation_parts,
    "selection_ratio": ratios.ratio_parts,
    "pairwise": lambda inputs: [_part("pairwise", _pairwise(inputs))],
    "data": lambda inputs: data.data_parts(inputs.results, inputs.runs, inputs.responses),
    "examples": lambda inputs: samples.examples_parts(inputs.results, inputs.runs, inputs.responses),
    "alpaca_eval_2": lambda inputs: judges.alpaca_eval_2_parts(inputs.results, inputs.runs),
    "mt_bench": lambda inputs: judges.mt_bench_parts(inputs.results, inputs.runs),
    "comparison": lambda inputs: comparison.comparison_parts(inputs.results, inputs.runs),
    "judges": lambda inputs: judges.judges_parts(inputs.results),
}
# Tables of other parts than one of COLUMNS, without their rows.
NOWHERE = Path("nowhere")
EMPTY: dict[str, Callable[[], list[Part]]] = {
    "ablation": lambda: ablation.parts([], []),
    "selection_ratio": lambda: ratios.parts([]),
    "examples": lambda: samples.parts([]),
    "alpaca_eval_2": lambda: judges.alpaca_eval_2_parts(NOWHERE, []),
    "mt_bench": lambda: judges.mt_bench_parts(NOWHERE, []),
    "comparison": lambda: comparison.parts([], []),
    "judges": lambda: judges.judges_parts(NOWHERE),
    "data": lambda: data.parts([], [], []),
}
