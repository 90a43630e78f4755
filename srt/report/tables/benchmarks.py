"""The rows of the two benchmarks with many baselines: ours beside the paper's, and the paper's by themselves."""

from __future__ import annotations

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, REPORTED, Row
from srt.report.inputs import ReportInputs
from srt.report.reported import (
    OPEN_LLM,
    difference,
    evaluation,
    inside,
    metric,
    missing_of,
    profiles,
    reported,
    setup,
    whole,
)
from srt.report.tables import judges, leaderboard
from srt.settings import ALPACA_EVAL


def alpaca_eval_rows(inputs: ReportInputs) -> list[Row]:
    """One row per run, then one per reported model that no run is compared with."""
    rows = [{**_alpaca_eval(inputs, run), **_reported_win_rate(inputs.compare.get(run.run, ""))} for run in inputs.runs]
    for row in rows:
        row["difference"] = difference(row.get("win_rate"), row.get("reported_win_rate"))
        row["inside"] = inside(row.get("win_rate"), row.get("se"), row.get("reported_win_rate"), row.get("reported_se"))
    others = [name for name in reported().win_rates() if name not in inputs.compare.values()]
    return rows + [{**_reported_win_rate(name), "source": REPORTED} for name in others]


def _alpaca_eval(inputs: ReportInputs, run: Run) -> Row:
    row = setup(inputs.results, run)
    found = evaluation(inputs.results, run.run, "alpaca_eval")
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    rate = metric(result, "win_rate", source)
    counts = {key: metric(result, key, source).value for key in ("wins", "draws")}
    row |= {"win_rate": rate.value, "se": rate.se, "n": rate.n, **{key: whole(v) for key, v in counts.items()}}
    length = metric(result, "avg_length", source).value
    row |= {"length": length, "missing": missing_of(result), "source": source}
    row |= judges.answers_facts(inputs.results, run.run, ALPACA_EVAL)
    return row | judges.judge_facts(inputs.results, result, "alpaca_eval")


def _reported_win_rate(name: str) -> Row:
    row = reported().win_rates().get(name)
    if row is None:
        return {}
    values: Row = {f"reported_{key}": getattr(row, key) for key in ("win_rate", "se", "wins", "draws", "length")}
    return values | leaderboard.checked(row) | _reported_model(name, row.source)


def _reported_model(name: str, source: str | None) -> Row:
    records = reported().training_records(name)
    return {"reported_name": name, "reported_training_records": records, "reported_source": source}


def open_llm_rows(inputs: ReportInputs) -> list[Row]:
    """One row per run and profile, then one per reported model that no run stands beside."""
    known = profiles(inputs.results, inputs.runs)
    rows = [_open_llm(inputs, run, profile) for run in inputs.runs for profile in known or [""]]
    for row in rows:
        if row.get("leaderboard") == "open_llm":
            row.update(_reported_open_llm(inputs.compare.get(row["run"], "")))
        for name in OPEN_LLM:
            ours, theirs = row.get(name), row.get(f"{name}_reported")
            row[f"{name}_difference"] = difference(ours, theirs)
            row[f"{name}_inside"] = inside(ours, row.get(f"{name}_se"), theirs, None)
    used = {row.get("reported_name") for row in rows}
    others = [name for name in reported().leaderboard() if name not in used]
    return rows + [{**_reported_open_llm(name), "source": REPORTED} for name in others]


def leaderboard_rows(inputs: ReportInputs) -> dict[str, Row]:
    """run: its row of the Open LLM Leaderboard, under the profile that reproduces the paper's rules if there is one."""
    rows = [row for row in open_llm_rows(inputs) if row.get("run") and row["source"] != NOT_RUN]
    rows.sort(key=lambda row: row.get("leaderboard") == "open_llm")
    return {row["run"]: row for row in rows}


def _open_llm(inputs: ReportInputs, run: Run, profile: str) -> Row:
    row = {**setup(inputs.results, run), "profile": profile or None}
    found = evaluation(inputs.results, run.run, layout.open_llm(profile))
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    for name in OPEN_LLM:
        value = metric(result, name, source)
        row |= {name: value.value, f"{name}_se": value.se, f"{name}_n": value.n}
    row |= {"version": result.versions.get("lm_eval"), "leaderboard": result.settings.get("reported")}
    return {**row, "missing": missing_of(result), "source": source}


def _reported_open_llm(name: str) -> Row:
    row = reported().leaderboard().get(name)
    if row is None:
        return {}
    return {f"{key}_reported": getattr(row, key) for key in OPEN_LLM} | _reported_model(name, row.source)
