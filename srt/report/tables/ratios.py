"""Score against the share of the selected records that the student was trained on."""

from __future__ import annotations

from collections.abc import Sequence

from srt.experiment.runs import Run, in_series, series
from srt.report.formats import NOT_RUN, REPORTED, Column, Part, Row
from srt.report.inputs import ReportInputs
from srt.report.reported import difference, inside, reported
from srt.report.tables.alpaca_eval import alpaca_eval_rows
from srt.report.tables.open_llm import leaderboard_rows

COLUMNS = (
    Column("run", "Run"),
    Column("series", "Series"),
    Column("ratio", "Ratio", 2),
    Column("training_records", "Records", 0),
    Column("steps", "Steps", 0),
    Column("win_rate", "ours", 2, group="AlpacaEval", main=True),
    Column("se", "SE", 2, group="AlpacaEval"),
    Column("n", "n", 0, group="AlpacaEval"),
    Column("reported_win_rate", "paper", 2, group="AlpacaEval"),
    Column("difference", "diff.", 2, group="AlpacaEval", signed=True),
    Column("inside", "inside", group="AlpacaEval"),
    Column("average", "ours", 2, group="Open LLM"),
    Column("average_se", "SE", 2, group="Open LLM"),
    Column("average_n", "n", 0, group="Open LLM"),
    Column("average_reported", "paper", 2, group="Open LLM"),
    Column("average_difference", "diff.", 2, group="Open LLM", signed=True),
    Column("average_inside", "inside", group="Open LLM"),
    Column("judge", "Judge"),
    Column("reported_records", "Records", 0, group="Paper"),
    Column("reported_source", "Where", group="Paper"),
    Column("source", "Source", path=True),
    Column("open_llm_source", "Open LLM", path=True),
)
OURS = ("run", "training_records", "steps", "win_rate", "se", "n", "judge", "source")
BOARD = ("average", "average_se", "average_n")


def ratio_parts(inputs: ReportInputs) -> list[Part]:
    """One row per run of a series (runs that differ by their ratio), then the reported ratios without a run."""
    by_run = {row["run"]: row for row in alpaca_eval_rows(inputs) if row.get("run")}
    boards = leaderboard_rows(inputs)
    rows: list[Row] = []
    used: set[float] = set()
    for run in in_series(inputs.runs):
        board = boards.get(run.run, {})
        row: Row = {"ratio": run.ratio, "series": series(run)}
        row |= {key: by_run[run.run].get(key) for key in OURS} | {key: board.get(key) for key in BOARD}
        row["open_llm_source"] = board.get("source")
        if row["source"] == NOT_RUN and board:
            row["source"] = None
        if _is_the_papers(run, inputs):
            row |= _reported(run.ratio or 0)
            used.add(run.ratio or 0)
        for key, se, theirs, about in (
            ("win_rate", "se", "reported_win_rate", ""),
            ("average", "average_se", "average_reported", "average_"),
        ):
            row[f"{about}difference"] = difference(row.get(key), row.get(theirs))
            row[f"{about}inside"] = inside(row.get(key), row.get(se), row.get(theirs), None)
        rows.append(row)
    model = reported().selection_ratio.model
    others = [row.ratio for row in reported().selection_ratio.rows if row.ratio not in used]
    rows += [{**_reported(ratio), "ratio": ratio, "series": f"{model} (paper)", "source": REPORTED} for ratio in others]
    return parts(rows)


def parts(rows: Sequence[Row]) -> list[Part]:
    """The part around its rows."""
    none = "None: no runs differ by their ratio alone."
    return [Part("selection_ratio", "Score by selection ratio", COLUMNS, rows, none)]


def _is_the_papers(run: Run, inputs: ReportInputs) -> bool:
    """Whether the series holds the run that is compared with the paper's model."""
    model = reported().selection_ratio.model
    return any(inputs.compare.get(r.run) == model and series(r) == series(run) for r in inputs.runs)


def _reported(ratio: float) -> Row:
    block = reported().selection_ratio
    for row in block.rows:
        if row.ratio == ratio:
            values: Row = {"reported_win_rate": row.alpaca_eval, "average_reported": row.open_llm}
            name = block.model if ratio == 1 else f"{block.model} ({ratio:.0%})"
            records = reported().training_records(name)
            return values | {"reported_records": records, "reported_source": row.source or block.source}
    return {}
