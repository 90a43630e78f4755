"""The tables: ours beside the paper's with the difference, every row with the file that it was read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from srt import layout
from srt.records import write_text
from srt.report import comparison, data, formats, judged, verdicts
from srt.report.columns import COLUMNS, PAPER_COLUMNS
from srt.report.formats import NOT_RUN, REPORTED, Part, Row
from srt.report.sources import (
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
from srt.runs import Run
from srt.settings import ALPACA_EVAL

TITLES = {
    "alpaca_eval": "AlpacaEval 1.0: win rate (%) against the reference",
    "open_llm": "Open LLM Leaderboard's four benchmarks (%)",
    "alpaca_eval_2": "AlpacaEval 2: win rate (%) at equal length",
    "pairwise": "Pairwise comparison in both orders",
    "mt_bench": "MT-Bench: single-answer grading",
    "comparison": "Differences with their error",
    "judges": "How far the judges agree with published judgments",
    "data": "Data and selection",
}
INSIDE = (
    "Inside the error: no larger than the 95% interval of both values (of ours alone, where the paper gives no error)."
)
ANSWERED = "Cut off: answers that the limit of new tokens ended."
JUDGED = "The judge's agreement is its calibration's, in the same form; empty where it was not calibrated."
NOTES = {
    "alpaca_eval": (
        "Difference: ours minus the paper's. Length in characters. Missing: questions without a verdict. "
        f"{INSIDE} {ANSWERED} {JUDGED}"
    ),
    "alpaca_eval_2": f"The paper is older and has no figures of it. {ANSWERED} {JUDGED}",
    "open_llm": (
        "Profile: the rules of evaluation; the paper's figures stand beside the one that reproduces its rules. "
        "SE: standard error over the items; n: their number; missing: items without a value. "
        "Diff.: ours minus the paper's; inside: no larger than our 95% interval (the leaderboard gives no error)."
    ),
    "pairwise": (
        f"Winning score: (wins - losses) / all + 1. Difference: ours minus the paper's. {INSIDE} {ANSWERED} {JUDGED}"
    ),
    "mt_bench": f"The mean over the questions, each by the mean of its turns; n are questions. {ANSWERED} {JUDGED}",
    "comparison": (
        "Difference: the run minus its baseline, with the 95% interval of a paired bootstrap over the questions; "
        "told apart where 0 lies outside, for at least 30 questions. Deviation: that of the sample over seeds."
    ),
    "judges": (
        "On a sample of published pairs, each asked about in both orders. Agreement: the same verdict as published. "
        "Consistency: the same verdict in both orders. Bias: how much more often the answer shown first wins, and the "
        "longer one beyond the published verdicts. Rank correlation: Spearman's, of three models or more."
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
    questions: Sequence[str]
    compare: Mapping[str, str]


def write_tables(
    results: Path,
    runs: Sequence[Run],
    responses: str,
    opponents: Sequence[str],
    questions: Sequence[str],
    compare: dict[str, str],
    out: Path,
) -> None:
    """Write every table as CSV, Markdown and LaTeX into `out`.

    Args:
        results: folder of all artefacts.
        runs: the run table.
        responses: the plan of the response reflection, `all` or `selected`.
        opponents: runs that every other trained run was judged against.
        questions: the sets of questions on which they were.
        compare: run: name of the reported row that it is compared with.
        out: folder of the tables.

    Raises:
        InputError: an evaluation file is malformed, or `compare` names what was not reported.
    """
    inputs = Inputs(results, runs, responses, opponents, questions, reported().check_names(compare))
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
    if len(parts) > 1 or not parts[0].rows or parts[0].kind not in PAPER_COLUMNS:
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
    empty = EMPTY[name]() if name in EMPTY else [_part(name, [])]
    return [formats.read_csv(path, part) for part in empty]


def _part(name: str, rows: list[Row]) -> Part:
    """A benchmark's table; without a single evaluation it has no rows, not even the paper's."""
    ours = any(row["source"] not in (NOT_RUN, REPORTED) for row in rows)
    none = "None: no run has an evaluation of this benchmark."
    return Part(name, TITLES[name], COLUMNS[name], rows if ours else [], none)


def alpaca_eval_rows(inputs: Inputs) -> list[Row]:
    """One row per run, then one per reported model that no run is compared with."""
    rows = [{**_alpaca_eval(inputs, run), **_reported_win_rate(inputs.compare.get(run.run, ""))} for run in inputs.runs]
    for row in rows:
        row["difference"] = difference(row.get("win_rate"), row.get("reported_win_rate"))
        row["inside"] = inside(row.get("win_rate"), row.get("se"), row.get("reported_win_rate"), row.get("reported_se"))
    others = [name for name in reported().win_rates() if name not in inputs.compare.values()]
    return rows + [{**_reported_win_rate(name), "source": REPORTED} for name in others]


def _alpaca_eval(inputs: Inputs, run: Run) -> Row:
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
    row |= judged.answers_facts(inputs.results, run.run, ALPACA_EVAL)
    return row | judged.judge_facts(inputs.results, result, "alpaca_eval")


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
            ours, theirs = row.get(name), row.get(f"{name}_reported")
            row[f"{name}_difference"] = difference(ours, theirs)
            row[f"{name}_inside"] = inside(ours, row.get(f"{name}_se"), theirs, None)
    used = {row.get("reported_name") for row in rows}
    others = [name for name in reported().leaderboard() if name not in used]
    return rows + [{**_reported_open_llm(name), "source": REPORTED} for name in others]


def _open_llm(inputs: Inputs, run: Run, profile: str) -> Row:
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


def _pairwise(inputs: Inputs) -> list[Row]:
    return verdicts.pairwise_rows(inputs.results, inputs.runs, inputs.opponents, inputs.questions, inputs.compare)


BUILDERS: dict[str, Callable[[Inputs], list[Part]]] = {
    "alpaca_eval": lambda inputs: [_part("alpaca_eval", alpaca_eval_rows(inputs))],
    "open_llm": lambda inputs: [_part("open_llm", open_llm_rows(inputs))],
    "alpaca_eval_2": lambda inputs: judged.alpaca_eval_2_parts(inputs.results, inputs.runs),
    "pairwise": lambda inputs: [_part("pairwise", _pairwise(inputs))],
    "mt_bench": lambda inputs: judged.mt_bench_parts(inputs.results, inputs.runs),
    "comparison": lambda inputs: comparison.comparison_parts(inputs.results, inputs.runs),
    "judges": lambda inputs: judged.judges_parts(inputs.results),
    "data": lambda inputs: data.data_parts(inputs.results, inputs.runs, inputs.responses),
}
# Tables of other parts than one of COLUMNS, without their rows.
NOWHERE = Path("nowhere")
EMPTY: dict[str, Callable[[], list[Part]]] = {
    "alpaca_eval_2": lambda: judged.alpaca_eval_2_parts(NOWHERE, []),
    "mt_bench": lambda: judged.mt_bench_parts(NOWHERE, []),
    "comparison": lambda: comparison.parts([], []),
    "judges": lambda: judged.judges_parts(NOWHERE),
    "data": lambda: data.parts([], [], []),
}
