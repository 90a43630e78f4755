"""What stands over and under the tables."""

from __future__ import annotations

from collections.abc import Sequence

from srt.report.formats import NOT_RUN, Part, Row
from srt.report.reported import reported
from srt.report.tables import leaderboard

TITLES = {
    "alpaca_eval": "AlpacaEval 1.0: win rate (%) against the reference (the paper's Table 1)",
    "open_llm": "Open LLM Leaderboard's four benchmarks (%)",
    "ablation": "Ablation: ways of choosing the data, and two controls",
    "selection_ratio": "Score by the share of the selected records",
    "pairwise": "Pairwise comparison in both orders, and the study with people",
    "data": "Data and selection, before and after",
    "examples": "Ten records through the whole flow",
    "alpaca_eval_2": "AlpacaEval 2: win rate (%) at equal length",
    "mt_bench": "MT-Bench: single-answer grading",
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
    "alpaca_eval": (
        "Difference: ours minus the paper's. Length in characters. Missing: questions without a verdict. "
        f"{INSIDE} {ANSWERED} {JUDGED} {STEPS} "
        "Leaderboard: AlpacaEval's own, as the installed alpaca-eval ships it, against the paper's figures in the row."
    ),
    "alpaca_eval_2": f"The paper is older and has no figures of it. {ANSWERED} {JUDGED}",
    "open_llm": (
        "Profile: the rules of evaluation; the paper's figures stand beside the one that reproduces its rules. "
        "SE: standard error over the items; n: their number; missing: items without a value. "
        "Diff.: ours minus the paper's; inside: no larger than our 95% interval (the leaderboard gives no error)."
    ),
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
    "pairwise": (
        f"Winning score: (wins - losses) / all + 1. Difference: ours minus the paper's. {INSIDE} {ANSWERED} {JUDGED} "
        "The study with people cannot be rerun."
    ),
    "examples": (
        "Chosen by rule: of the first run that chooses between versions, its branches in turn, and within a branch the "
        "records in the order of the SHA-256 of their id. Long texts are cut here; the CSV has all of them. "
        "`srt explain ID` tells the whole story of any record."
    ),
    "mt_bench": (
        "The mean over the questions, each by the mean of its turns; n are questions, missing ones turns. "
        f"{ANSWERED} {JUDGED}"
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
READ_OFF = "The paper's values marked figure were read off a plot: good to about 0.1."


def notes(name: str, parts: Sequence[Part]) -> list[str]:
    """What has to be said under a table, what of it has not been run first.

    Args:
        name: the table's name.
        parts: its parts as they were built, rows that were not run among them.
    """
    said = [_missing(parts), NOTES[name]]
    if name in ("alpaca_eval", "open_llm", "selection_ratio"):
        said.append(READ_OFF)
    if name == "alpaca_eval":
        if leaderboard.published() is None:
            said.append("alpaca-eval is not installed: the paper's figures could not be compared with its leaderboard.")
        rows = reported().alpaca_eval.rows.items()
        said += [f"{model}: {row.note}." for model, row in rows if row.note]
    return [line for line in said if line]


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
