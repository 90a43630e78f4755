"""AlpacaEval's numbers from its preferences: the win rate of 1.0, and the length-controlled one of 2."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from srt.storage.errors import InputError
from srt.storage.readers import read_text
from srt.storage.records import Metric

LC_WIN_RATE = "lc_win_rate"


def package() -> Any:
    """The package alpaca-eval, late, without version 2's downloads and the root logger that it turns to INFO."""
    os.environ.setdefault("IS_ALPACA_EVAL_2", "False")
    level = logging.getLogger().level
    import alpaca_eval

    logging.getLogger().setLevel(level)
    return alpaca_eval


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the package's log, which has a traceback for each verdict that cannot be read; we count those."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def win_shares(ids: Sequence[str], preferences: Sequence[float | None]) -> list[tuple[str, float]]:
    """(question, its share of the win rate in percent): 100 a win, 50 a draw, 0 a loss; those without a verdict not."""
    return [(key, 100 * share_of(p)) for key, p in zip(ids, preferences, strict=True) if p is not None]


def share_of(preference: float) -> float:
    """A preference (1 to 2, 0 a draw) as output_2's share of the win, from 0 to 1."""
    return (preference or 1.5) - 1


def win_metrics(preferences: Sequence[float | None], lengths: Sequence[int]) -> list[Metric]:
    """AlpacaEval 1.0's leaderboard row: win rate in percent, wins, draws, losses, mean length in characters.

    Args:
        preferences: 1 the reference won, 2 the model won, between them the probability of the latter; 1.5 or 0 a
            draw; null without a usable verdict (left out of every count but the length).
        lengths: of all the model's answers, in characters.
    """
    judged = [preference for preference in preferences if preference is not None]
    mean = float(int(sum(lengths) / len(lengths))) if lengths else None
    length = Metric(name="avg_length", value=mean, se=None, n=len(lengths))
    if not judged:
        return [
            *(Metric(name=name, value=None, se=None, n=0) for name in ("win_rate", "wins", "draws", "losses")),
            length,
        ]
    row = package().metrics.get_winrate([{"preference": preference} for preference in judged])
    counts = {"wins": row["n_wins"], "draws": row["n_draws"], "losses": row["n_wins_base"]}
    if sum(counts.values()) != len(judged):
        raise ValueError(f"{counts} of {len(judged)} verdicts: a preference is outside 1 to 2")
    win_rate = Metric(name="win_rate", value=float(row["win_rate"]), se=number(row["standard_error"]), n=len(judged))
    return [win_rate, *(Metric(name=k, value=float(v), se=None, n=len(judged)) for k, v in counts.items()), length]


def number(value: float | None) -> float | None:
    """A number of the package's; None for NaN."""
    return None if value is None or math.isnan(value) else float(value)


def length_controlled(
    rows: Sequence[Mapping[str, Any]], preferences: Sequence[float | None], difficulty: Path
) -> Metric:
    """AlpacaEval 2's win rate at equal length, in percent, with its standard error: `lc_win_rate`.

    The package fits it (arXiv 2404.04475): a logistic regression of the preference on the difference of lengths, the
    question's difficulty and the model, regularised by two gamed baselines; predicted at a difference of 0.

    Args:
        rows: per question `position` (from 0, among AlpacaEval's questions), `output_1` and `output_2`.
        preferences: of output_2, from 1 to 2; null without a usable verdict (left out).
        difficulty: AlpacaEval's df_gamed.csv: each question's difficulty, and what the gamed baselines won.

    Raises:
        InputError: a malformed file, or one without a question's difficulty.
    """
    import pandas as pd

    both = zip(rows, preferences, strict=True)
    judged = [{**row, "preference": preference} for row, preference in both if preference is not None]
    if not judged:
        return Metric(name=LC_WIN_RATE, value=None, se=None, n=0)
    if len({len(row["output_1"]) - len(row["output_2"]) for row in judged}) == 1:  # of which nothing can be fitted
        return Metric(name=LC_WIN_RATE, value=None, se=None, n=len(judged))
    _check_difficulty(difficulty, [row["position"] for row in judged])
    frame = pd.DataFrame(judged).set_index("position").rename_axis(None)
    frame["generator_1"], frame["generator_2"] = "reference", "model"
    found = _fitted(frame, difficulty)
    value, error = float(found["length_controlled_winrate"]), number(found["lc_standard_error"])
    return Metric(name=LC_WIN_RATE, value=value, se=error, n=len(judged))


def _fitted(frame: Any, difficulty: Path) -> dict[str, Any]:
    """The package's numbers. What it would fetch from the hub is the file that we were given.

    It also turns on a setting of scikit-learn for the whole process, and its own call is one that warns by now.
    """
    import sklearn

    glm = package().metrics.glm_winrate
    download = glm.hf_hub_download
    glm.hf_hub_download = lambda *args, **kwargs: str(difficulty)
    try:
        with sklearn.config_context(), warnings.catch_warnings(action="ignore", category=FutureWarning):
            found = glm.get_length_controlled_winrate(frame, save_weights_dir=None, is_warn_extreme_changes=False)
    finally:
        glm.hf_hub_download = download
    return dict(found)


def _check_difficulty(path: Path, positions: Sequence[int]) -> None:
    """The package takes a question's difficulty from the row of its position, so the rows must be in that order."""
    import pandas as pd

    text = read_text(path, "AlpacaEval's df_gamed.csv")
    try:
        frame = pd.read_csv(io.StringIO(text))
    except ValueError as error:
        raise InputError(f"{path}: cannot be read as AlpacaEval's df_gamed.csv: {error}") from None
    needed = ("model", "index", "instruction_difficulty", "preference", "std_delta_len", "not_gamed_baseline")
    for name in needed:
        if name not in frame.columns:
            raise InputError(f"{path}: column {name}: is missing, expected AlpacaEval's df_gamed.csv")
    first = frame.drop_duplicates("index")["index"]
    wrong = [position for position in positions if position not in first.index or first[position] != position]
    if wrong:
        raise InputError(f"{path}: row {wrong[0]}: index: expected {wrong[0]}, the question that was judged")
    for name, rows in (("instruction_difficulty", positions), ("preference", ()), ("std_delta_len", ())):
        _check_finite(path, frame[name], rows)


def _check_finite(path: Path, column: Any, needed: Sequence[int]) -> None:
    """InputError for what is no number or infinite in a column, or empty in a row that is needed."""
    import numpy as np
    import pandas as pd

    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float)
    bad = np.isinf(numbers) | (np.isnan(numbers) & column.notna().to_numpy())
    bad[list(needed)] |= np.isnan(numbers[list(needed)])
    for row in np.flatnonzero(bad)[:1]:
        expected = f"row {row}: {column.name}: expected a finite number"
        raise InputError(f"{path}: {expected}, found {column.iloc[row]!s}")
