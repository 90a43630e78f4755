"""The tables: ours beside the paper's with the difference, every row with the file that it was read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srt import layout
from srt.records import Evaluation, write_text
from srt.report import comparison, data, formats
from srt.report.columns import COLUMNS, PAPER_COLUMNS
from srt.report.formats import NOT_RUN, Part, Row
from srt.report.sources import (
    OPEN_LLM,
    PairwiseBlock,
    ReportedVerdicts,
    evaluation,
    metric,
    profiles,
    reported,
    trained_on,
)
from srt.runs import Run

REPORTED = "reported"  # the source of a row that only the paper has
TITLES = {
    "alpaca_eval": "AlpacaEval 1.0: win rate (%) against the reference",
    "open_llm": "Open LLM Leaderboard's four benchmarks (%)",
    "pairwise": "Pairwise comparison in both orders",
    "comparison": "Differences with their error",
    "data": "Data and selection",
}
NOTES = {
    "alpaca_eval": "Difference: ours minus the paper's. Length in characters. Missing: questions without a verdict.",
    "open_llm": (
        "Profile: the rules of evaluation; the paper's figures stand beside the one that reproduces its rules. "
        "SE: standard error over the items; n: their number; missing: items without a value. "
        "Diff.: ours minus the paper's."
    ),
    "pairwise": "Winning score: (wins - losses) / all + 1. Difference: ours minus the paper's.",
    "comparison": (
        "Difference: the run minus its baseline, with the 95% interval of a paired bootstrap over the questions; "
        "told apart where 0 lies outside, for at least 30 questions. Deviation: that of the sample over seeds."
    ),
    "data": "Lengths are means. Tokens are the student's. A null score was not computed; quantiles leave it out.",
}
READ_OFF = "The paper's values marked figure were read off a plot: good to about 0.1."


@dataclass(frozen=True)
class Inputs:
    """What every table is made from; `compare` has the reported rows' own names."""

    results: Path
    runs: Sequence[Run]
    responses: str
    opponents: Sequence[str]
    compare: Mapping[str, str]


def write_tables(
    results: Path, runs: Sequence[Run], responses: str, opponents: Sequence[str], compare: dict[str, str], out: Path
) -> None:
    """Write every table as CSV, Markdown and LaTeX into `out`.

    Args:
        results: folder of all artefacts.
        runs: the run table.
        responses: the plan of the response reflection, `all` or `selected`.
        opponents: runs that every other trained run was judged against.
        compare: run: name of the reported row that it is compared with.
        out: folder of the tables.

    Raises:
        InputError: an evaluation file is malformed, or `compare` names what was not reported.
    """
    inputs = Inputs(results, runs, responses, opponents, reported().check_names(compare))
    texts: dict[str, str] = {}
    for name in layout.TABLES:
        parts = BUILDERS[name](inputs)
        read, said = for_reading(parts), notes(name)
        texts[layout.TABLE.format(table=name, ext="csv")] = formats.to_csv(parts)
        texts[layout.TABLE.format(table=name, ext="md")] = formats.to_markdown(TITLES[name], read, said)
        texts[layout.TABLE.format(table=name, ext="tex")] = formats.to_latex(name, TITLES[name], read, said)
    for path, text in texts.items():  # once all could be made
        write_text(out / Path(path).name, formats.printable(text))


def for_reading(parts: Sequence[Part]) -> list[Part]:
    """A table's parts as they are read: our runs, and apart from them the reported rows that have no run."""
    if len(parts) > 1 or not parts[0].rows:
        return list(parts)
    (whole,) = parts
    ours = [row for row in whole.rows if row["source"] != REPORTED]
    theirs = [row for row in whole.rows if row["source"] == REPORTED]
    split = [Part("ours", "Our runs", whole.columns, ours, whole.none)]
    paper = Part("paper", "What else the paper reports", PAPER_COLUMNS[whole.kind], theirs, "")
    return [*split, paper] if theirs else split


def notes(name: str) -> list[str]:
    """What has to be said under a table."""
    read_off = [READ_OFF] if name in ("alpaca_eval", "open_llm") else []
    rows = reported().alpaca_eval.rows.items() if name == "alpaca_eval" else ()
    return [NOTES[name], *read_off, *(f"{model}: {row.note}." for model, row in rows if row.note)]


def read_tables(tables: Path, name: str) -> list[Part]:
    """A table's parts as `write_tables` wrote them into the folder `tables`."""
    path = tables / Path(layout.TABLE.format(table=name, ext="csv")).name
    empty = {"data": lambda: data.parts([], [], []), "comparison": lambda: comparison.parts([], [])}.get(
        name, lambda: [_part(name, [])]
    )()
    return [formats.read_csv(path, part) for part in empty]


def _part(name: str, rows: list[Row]) -> Part:
    """A benchmark's table; without a single evaluation it has no rows, not even the paper's."""
    ours = any(row["source"] not in (NOT_RUN, REPORTED) for row in rows)
    none = "None: no run has an evaluation of this benchmark."
    return Part(name, TITLES[name], COLUMNS[name], rows if ours else [], none)


def _setup(inputs: Inputs, run: Run) -> Row:
    row = run.model_dump(include={"run", "dataset", "teacher", "student", "method", "ratio"})
    return {**row, "training_records": trained_on(inputs.results, run.run)}


def _missing(found: Evaluation) -> int:
    return sum(found.missing.values())


def difference(ours: float | None, theirs: float | None) -> float | None:
    """Ours minus the paper's, without the noise of binary fractions; None where one of them is not known."""
    return None if ours is None or theirs is None else round(ours - theirs, 9)


def alpaca_eval_rows(inputs: Inputs) -> list[Row]:
    """One row per run, then one per reported model that no run is compared with."""
    rows = [{**_alpaca_eval(inputs, run), **_reported_win_rate(inputs.compare.get(run.run, ""))} for run in inputs.runs]
    for row in rows:
        row["difference"] = difference(row.get("win_rate"), row.get("reported_win_rate"))
    others = [name for name in reported().win_rates() if name not in inputs.compare.values()]
    return rows + [{**_reported_win_rate(name), "source": REPORTED} for name in others]


def _alpaca_eval(inputs: Inputs, run: Run) -> Row:
    row = _setup(inputs, run)
    found = evaluation(inputs.results, run.run, "alpaca_eval")
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    rate = metric(result, "win_rate", source)
    counts = {key: metric(result, key, source).value for key in ("wins", "draws")}
    row |= {"win_rate": rate.value, "se": rate.se, "n": rate.n, **{key: _whole(v) for key, v in counts.items()}}
    length = metric(result, "avg_length", source).value
    return {**row, "length": length, "missing": _missing(result), "source": source}


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value


def _reported_win_rate(name: str) -> Row:
    row = reported().win_rates().get(name)
    if row is None:
        return {}
    values: Row = {f"reported_{key}": getattr(row, key) for key in ("win_rate", "se", "wins", "draws", "length")}
    return values | _reported_model(name, row.source)


def _reported_model(name: str, source: str | None) -> Row:
    records = reported().training_records(name)
    return {"reported_name": name, "reported_training_records": records, "reported_source": source}


def open_llm_rows(inputs: Inputs) -> list[Row]:
    """One row per run and profile, then one per reported model that no run stands beside."""
    known = profiles(inputs.results, inputs.runs)
    rows = [_open_llm(inputs, run, profile) for run in inputs.runs for profile in known or [""]]
    for row in rows:
        if row.get("leaderboard") == "open_llm":
            row.update(_reported_open_llm(inputs.compare.get(row["run"], "")))
        for name in OPEN_LLM:
            row[f"{name}_difference"] = difference(row.get(name), row.get(f"{name}_reported"))
    used = {row.get("reported_name") for row in rows}
    others = [name for name in reported().leaderboard() if name not in used]
    return rows + [{**_reported_open_llm(name), "source": REPORTED} for name in others]


def _open_llm(inputs: Inputs, run: Run, profile: str) -> Row:
    row = {**_setup(inputs, run), "profile": profile or None}
    found = evaluation(inputs.results, run.run, layout.open_llm(profile))
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    for name in OPEN_LLM:
        value = metric(result, name, source)
        row |= {name: value.value, f"{name}_se": value.se, f"{name}_n": value.n}
    return {**row, "missing": _missing(result), "leaderboard": result.settings.get("reported"), "source": source}


def _reported_open_llm(name: str) -> Row:
    row = reported().leaderboard().get(name)
    if row is None:
        return {}
    return {f"{key}_reported": getattr(row, key) for key in OPEN_LLM} | _reported_model(name, row.source)


def pairwise_rows(inputs: Inputs) -> list[Row]:
    """One row per run and opponent, then the reported comparisons that none of them stands beside."""
    theirs = reported_verdicts()
    rows, used = [], set()
    for run in inputs.runs:
        for opponent in layout.opponents_of(run, inputs.opponents):
            key = (inputs.compare.get(run.run, ""), inputs.compare.get(opponent, ""))
            row = _pairwise(inputs, run, opponent) | theirs.get(key, {})
            row["difference"] = difference(row.get("winning_score"), row.get("reported_winning_score"))
            rows.append(row)
            used.add(key)
    others = [row for key, row in theirs.items() if key not in used]
    return rows + [{**row, "source": REPORTED} for row in others + human_study()]


def _pairwise(inputs: Inputs, run: Run, opponent: str) -> Row:
    row = {**_setup(inputs, run), "opponent": opponent}
    found = evaluation(inputs.results, run.run, f"pairwise_{opponent}")
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    score = metric(result, "winning_score", source)
    counts = {key: _whole(metric(result, key, source).value) for key in ("wins", "ties", "losses")}
    judge = result.judge or {}
    row |= {**counts, "winning_score": score.value, "n": score.n, "missing": _missing(result)}
    return {**row, "judge": judge.get("model"), "source": source}


def reported_verdicts() -> dict[tuple[str, str], Row]:
    """(model, opponent): the row of the paper's pairwise comparison by the judge."""
    return _verdicts(reported().pairwise)


def human_study() -> list[Row]:
    """The rows of the paper's study with people."""
    return list(_verdicts(reported().human_study).values())


def _verdicts(block: PairwiseBlock) -> dict[tuple[str, str], Row]:
    return {
        (block.model, opponent): _verdicts_row(block.model, opponent, verdicts, block.source, block.judge)
        for opponent, verdicts in block.rows.items()
    }


def _verdicts_row(model: str, opponent: str, verdicts: ReportedVerdicts, source: str, judge: str) -> Row:
    values: dict[str, Any] = {key: getattr(verdicts, key) for key in ("wins", "ties", "losses", "winning_score")}
    row = {f"reported_{key}": value for key, value in values.items()}
    return row | {
        "reported_name": model,
        "reported_opponent": opponent,
        "reported_judge": judge,
        "reported_source": verdicts.source or source,
    }


BUILDERS: dict[str, Callable[[Inputs], list[Part]]] = {
    "alpaca_eval": lambda inputs: [_part("alpaca_eval", alpaca_eval_rows(inputs))],
    "open_llm": lambda inputs: [_part("open_llm", open_llm_rows(inputs))],
    "pairwise": lambda inputs: [_part("pairwise", pairwise_rows(inputs))],
    "comparison": lambda inputs: comparison.comparison_parts(inputs.results, inputs.runs),
    "data": lambda inputs: data.data_parts(inputs.results, inputs.runs, inputs.responses),
}
