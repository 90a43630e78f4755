"""The ablation: every way of choosing the data, beside two controls that choose at random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, REPORTED, Column, Part, Row
from srt.report.inputs import ReportInputs
from srt.report.reported import reported
from srt.report.tables import comparison
from srt.report.tables.alpaca_eval import alpaca_eval_rows
from srt.report.tables.columns import INSIDE, JUDGE, RUN, SETUP
from srt.report.tables.open_llm import leaderboard_rows
from srt.selection.registry import controls

PAIRED = ("difference", "low", "high")
BEFORE_CONTROLS = (
    *RUN,
    Column("part_of", "Role"),
    Column("win_rate", "ours", 2, group="AlpacaEval", main=True),
    Column("se", "SE", 2, group="AlpacaEval"),
    Column("n", "n", 0, group="AlpacaEval"),
    Column("reported_win_rate", "paper", 2, group="AlpacaEval"),
    Column("difference", "diff.", 2, group="AlpacaEval", signed=True),
    INSIDE,
)
AFTER_CONTROLS = (
    Column("average", "ours", 2, group="Open LLM"),
    Column("average_se", "SE", 2, group="Open LLM"),
    Column("average_n", "n", 0, group="Open LLM"),
    Column("average_reported", "paper", 2, group="Open LLM"),
    Column("average_difference", "diff.", 2, group="Open LLM", signed=True),
    *JUDGE,
    *SETUP,
    Column("reported_name", "Model", group="Paper"),
    Column("source", "Source", path=True),
    Column("open_llm_source", "Open LLM", path=True),
)
PAPER_COLUMNS = (
    Column("reported_data", "Data"),
    Column("reported_method", "Method"),
    Column("reported_name", "Model"),
    Column("reported_win_rate", "paper", 2, group="AlpacaEval"),
    Column("run", "run", group="Ours"),
    Column("win_rate", "ours", 2, group="AlpacaEval", main=True),
    Column("se", "SE", 2, group="AlpacaEval"),
    Column("difference", "diff.", 2, group="AlpacaEval", signed=True),
    Column("average_reported", "paper", 2, group="Open LLM"),
    Column("average", "ours", 2, group="Open LLM"),
    Column("average_difference", "diff.", 2, group="Open LLM", signed=True),
    Column("source", "Source", path=True),
)
SHARED = {
    "alpaca_eval": (
        *("win_rate", "se", "n", "reported_win_rate", "reported_name", "difference", "inside", "source"),
        *(column.key for column in (*JUDGE, *SETUP)),
    ),
    "open_llm": ("average", "average_se", "average_n", "average_reported", "average_difference"),
}


def ablation_parts(inputs: ReportInputs) -> list[Part]:
    """Two parts: the runs that train, by data set and student; and the paper's models with ours beside them."""
    by_run = {row["run"]: row for row in alpaca_eval_rows(inputs) if row.get("run")}
    boards = leaderboard_rows(inputs)
    runs = [run for run in inputs.runs if not run.is_untuned]
    rows = [_row(run, by_run[run.run], boards.get(run.run, {})) for run in runs]
    for run, row in zip(runs, rows, strict=True):
        row.update(_against_controls(inputs, run))
    ranked = sorted(rows, key=lambda row: (str(row.get("dataset")), str(row.get("student"))))
    return parts(ranked, list(_papers(rows)))


def parts(rows: Sequence[Row], papers: Sequence[Row]) -> list[Part]:
    """The two parts around their rows."""
    none = "None: no run that trains has an evaluation."
    return [
        Part("runs", "Ways of choosing the data", columns(), rows, none),
        Part("paper", "The paper's models by method", PAPER_COLUMNS, papers, "None: the paper's figures are not here."),
    ]


def columns() -> tuple[Column, ...]:
    """The columns of the runs: three for each control."""
    against = (
        Column(f"{control.name}_{key}", header, 2, group=f"Win rate minus {control.name}'s", signed=True)
        for control in controls()
        for key, header in zip(PAIRED, ("diff.", "from", "to"), strict=True)
    )
    return (*BEFORE_CONTROLS, *against, *AFTER_CONTROLS)


def _row(run: Run, alpaca_eval: Mapping[str, object], board: Mapping[str, object]) -> Row:
    row: Row = {"run": run.run, "part_of": run.chosen_by.role}
    row |= {key: alpaca_eval.get(key) for key in SHARED["alpaca_eval"]}
    row |= {key: board.get(key) for key in SHARED["open_llm"]}
    row["open_llm_source"] = board.get("source")
    if row["source"] == NOT_RUN and board:
        row["source"] = None  # it has one of the two evaluations
    return row


def control_of(run: Run, runs: Sequence[Run], method: str) -> Run | None:
    """The run that differs from this one by the control's method alone: of the same seed, where there is one."""
    if run.is_untuned or run.chosen_by.role == "control":
        return None
    fields = ("dataset", "student", "ratio", "recipe", "scored_by")
    alike = [r for r in runs if r.method == method and all(getattr(r, f) == getattr(run, f) for f in fields)]
    alike = [r for r in alike if run.teacher in (None, r.teacher)]
    return next((r for r in alike if r.seed == run.seed), alike[0] if alike else None)


def _against_controls(inputs: ReportInputs, run: Run) -> Row:
    """The difference of the win rates on the same questions, with the 95% interval of a paired bootstrap."""
    row: Row = {}
    for method in (control.name for control in controls()):
        control = control_of(run, inputs.runs, method)
        found = comparison.compared(inputs.results, run.run, control.run, "alpaca_eval") if control else None
        if found is not None:
            row |= {f"{method}_{key}": value for key, value in zip(PAIRED, found.interval, strict=True)}
    return row


def _papers(rows: Sequence[Row]) -> Iterator[Row]:
    """The paper's models that differ by the data alone, each with the runs that are compared with it."""
    facts = reported()
    for name, about in facts.ablation.rows.items():
        row: Row = {"reported_name": name, "reported_data": about.data, "reported_method": about.method}
        win_rate, board = facts.win_rates().get(name), facts.leaderboard().get(name)
        row["reported_win_rate"] = win_rate.win_rate if win_rate else None
        row["average_reported"] = board.average if board else None
        ours = [found for found in rows if found["reported_name"] == name]
        kept = ("run", "win_rate", "se", "difference", "average", "average_difference", "source")
        for found in ours or [{"source": REPORTED}]:
            yield row | {key: found.get(key) for key in kept}
