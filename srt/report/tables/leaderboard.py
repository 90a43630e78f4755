"""AlpacaEval's own leaderboard, as the wheel of alpaca-eval ships it, beside the figures that the paper reports."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from srt.report.reported import ReportedWinRate
from srt.storage.readers import csv_records

FILE = Path("leaderboards/data_AlpacaEval/alpaca_eval_gpt4_leaderboard.csv")
# The paper's figure, the leaderboard's column, its name in a sentence, and the decimals to which the paper gives it.
FIGURES = (
    ("win_rate", "win_rate", "win rate", 2),
    ("se", "standard_error", "SE", 2),
    ("wins", "n_wins", "wins", 0),
    ("draws", "n_draws", "draws", 0),
    ("length", "avg_length", "length", 0),
)
AGREES = "agrees"
NOT_HERE = "not on it"
Published = dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class LeaderboardCells:
    """What the leaderboard says of a reported row."""

    leaderboard_win_rate: float | None = None
    leaderboard_check: str | None = None


@cache
def published() -> Published | None:
    """The leaderboard's rows by model; None where alpaca-eval is not installed. The package is not imported."""
    found = importlib.util.find_spec("alpaca_eval")
    if found is None or found.origin is None:
        return None
    _, rows = csv_records(Path(found.origin).parent / FILE)
    return {row[""]: row for row in rows}


def checked(row: ReportedWinRate) -> LeaderboardCells:
    """What the leaderboard has for a reported row: its win rate, and whether every figure agrees as far as it is given.

    A row is compared under its name there; one that names none (not submitted) is said to be not on it.
    """
    rows = published()
    if rows is None:
        return LeaderboardCells()
    if row.leaderboard is None:
        return LeaderboardCells(leaderboard_check=NOT_HERE)
    theirs = rows.get(row.leaderboard)
    if theirs is None:
        return LeaderboardCells(leaderboard_check=f"no row {row.leaderboard!r}")
    return LeaderboardCells(leaderboard_win_rate=float(theirs["win_rate"]), leaderboard_check=_compared(row, theirs))


def _compared(row: ReportedWinRate, theirs: dict[str, str]) -> str:
    """`agrees`, or every figure that is more than half of its last decimal away."""
    differing = []
    for name, column, label, digits in FIGURES:
        ours, value = getattr(row, name), float(theirs[column])
        if ours is not None and abs(ours - value) > 0.5 * 10**-digits + 1e-9:
            differing.append(f"{label} {value:.{digits}f}")
    return f"differs: {', '.join(differing)}" if differing else AGREES
