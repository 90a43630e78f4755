"""What stands over and under the tables."""

from __future__ import annotations

from collections.abc import Sequence

from srt.report.formats import NOT_RUN, Part, Row
from srt.report.tables.table import table_of

TITLES = {
    "ablation": "Ablation: ways of choosing the data, and two controls",
    "selection_ratio": "Score by the share of the selected records",
    "data": "Data and selection, before and after",
    "examples": "Ten records through the whole flow",
    "comparison": "Differences with their error",
    "judges": "How far the judges agree with published judgments",
}
INSIDE = (
    "Inside the error: no larger than the 95% interval of both values (of ours alone, where the paper gives no error)."
)
ANSWERED = "Cut off: answers that the limit of new tokens ended."
JUDGED = "The judge's agreement is its calibration's, in the same form; empty where it was not calibrated."
STEPS = "Steps: optimizer steps of the finetuning; per step: records of one."
NOTES = {
    "ablation": (
        "Controls: `random` tosses a coin between a record's versions; `length` draws as many random records as "
        "`selective` keeps at that ratio, of the same response lengths. Minus a control: win rates on the same "
        "questions, with the 95% interval of a paired bootstrap (none for fewer than 30 questions); the control "
        "differs from the run by its method alone. The figures that the paper gives for other methods than those "
        f"below do not stand in our notes on it. {JUDGED}"
    ),
    "selection_ratio": (
        "A series: runs that differ by their ratio. The paper's figures stand beside the series that holds the run "
        f"which is compared with its model. {STEPS}"
    ),
    "examples": (
        "Chosen by rule: of the first run that chooses between versions, its branches in turn, and within a branch the "
        "records in the order of the SHA-256 of their id. Long texts are cut here; the CSV has all of them. "
        "`srt explain ID` tells the whole story of any record."
    ),
    "comparison": (
        "Difference: the run minus its baseline, with the 95% interval of a paired bootstrap over the questions; "
        "told apart where 0 lies outside, for at least 30 questions. Deviation: that of the sample over seeds."
    ),
    "judges": (
        "On a sample of published pairs, each asked about in both orders. Agreement: the same verdict as published. "
        "Consistency: the same verdict in both orders. Bias: how much more often the answer shown first wins, and the "
        "longer one beyond the published verdicts. Rank correlation: Spearman's, of three models or more."
    ),
    "data": (
        "Lengths are means. Tokens are the student's. A null score was not computed; quantiles and medians leave it "
        "out. Before: the original records; after: what the run's student is trained on."
    ),
}
READ_OFF_IN = ("selection_ratio",)
READ_OFF = "The paper's values marked figure were read off a plot: good to about 0.1."


def title_of(name: str) -> str:
    """What stands above a table."""
    table = table_of(name)
    return table.title if table else TITLES[name]


def notes(name: str, parts: Sequence[Part]) -> list[str]:
    """What has to be said under a table, what of it has not been run first.

    Args:
        name: the table's name.
        parts: its parts as they were built, rows that were not run among them.
    """
    table = table_of(name)
    said = [table.notes, *table.more()] if table else [NOTES[name], *([READ_OFF] if name in READ_OFF_IN else ())]
    return [line for line in [_missing(parts), *said] if line]


def _missing(parts: Sequence[Part]) -> str:
    """Which rows have not been run, each once."""
    rows = [row for part in parts for row in part.rows if row.get("source") == NOT_RUN and part.kind != "paper"]
    names = list(dict.fromkeys(map(_name, rows)))
    return f"Not run yet ({len(names)}): {', '.join(names)}." if names else ""


def _name(row: Row) -> str:
    name = row.get("run") or " ".join(str(row[key]) for key in ("dataset", "teacher", "variant") if row.get(key))
    if row.get("opponent"):
        name += f" against {row['opponent']} on {row['questions']}"
    return f"{name} ({row['profile']})" if row.get("profile") else str(name)
