"""What a judge's numbers are worth: its calibration beside them; the tables of AlpacaEval 2, MT-Bench and judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from srt.evaluation.calibration import QUANTITIES, metric_name
from srt.evaluation.win_rate import LC_WIN_RATE
from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.formats import NOT_RUN, Column, Part, Row
from srt.report.reported import evaluation, metric, read_evaluation, setup
from srt.report.tables.columns import ANSWERS, JUDGE, RUN, SETUP
from srt.settings import ALPACA_EVAL, MT_BENCH
from srt.storage import sidecars
from srt.storage.records import Evaluation
from srt.storage.sidecars import Sidecar, read_sidecar

NO_RUN = "None: no run has an evaluation of this benchmark."
SOURCE = Column("source", "Source", path=True)
SCORES = (
    Column("n", "n", 0),
    Column("missing", "Missing", 0),
)
RATES = (
    *RUN,
    *SETUP,
    Column("lc_win_rate", "Win rate", 2, group="Length-controlled", main=True),
    Column("lc_se", "SE", 2, group="Length-controlled"),
    Column("win_rate", "Win rate", 2, group="Raw"),
    Column("se", "SE", 2, group="Raw"),
    Column("length", "Length", 0),
    *SCORES,
    *ANSWERS,
    *JUDGE,
    SOURCE,
)
GRADES = (
    *RUN,
    *SETUP,
    Column("score", "Score", 2, main=True),
    Column("se", "SE", 2),
    Column("turn_1", "first", 2, group="Turn"),
    Column("turn_1_se", "SE", 2, group="Turn"),
    Column("turn_2", "second", 2, group="Turn"),
    Column("turn_2_se", "SE", 2, group="Turn"),
    *SCORES,
    *ANSWERS,
    *JUDGE,
    SOURCE,
)
CATEGORY_GRADES = (
    *RUN,
    Column("category", "Category"),
    Column("score", "Score", 2, main=True),
    Column("se", "SE", 2),
    Column("n", "n", 0),
    *JUDGE,
    SOURCE,
)
JUDGES = (
    Column("judge", "Judge"),
    Column("model", "Model"),
    Column("answered_as", "Answered as"),
    Column("form", "Form"),
    Column("agreement", "%", 1, group="Agreement", main=True),
    Column("agreement_se", "SE", 1, group="Agreement"),
    Column("kappa", "kappa", 2, group="Agreement"),
    Column("kappa_se", "SE", 2, group="Agreement"),
    Column("consistency", "%", 1, group="Consistency"),
    Column("consistency_se", "SE", 1, group="Consistency"),
    Column("first_bias", "first", 1, group="Bias (%)", signed=True),
    Column("first_bias_se", "SE", 1, group="Bias (%)"),
    Column("length_bias", "longer", 1, group="Bias (%)", signed=True),
    Column("length_bias_se", "SE", 1, group="Bias (%)"),
    Column("rank_correlation", "Rank correlation", 2),
    *SCORES,
    SOURCE,
)
CATEGORY = "category_"
SAME = ("version", "model", "revision", "dtype", "max_model_len")


def judge_facts(results: Path, found: Evaluation, form: str) -> Row:
    """Who judged, and how far that judge agrees with published judgments in this form.

    The calibration counts only if it is of the same judge, asked in the same way: SAME, and the prompt's hash.
    """
    judge = found.judge or {}
    row: Row = {"judge": told(judge)}
    path = results / layout.CALIBRATION.format(judge=judge.get("name"))
    if not path.exists():
        return row
    calibration = read_evaluation(path)
    theirs = calibration.judge or {}
    same = all(theirs.get(key) == judge.get(key) for key in SAME)
    asked_alike = (theirs.get("prompts") or {}).get(form) == judge.get("prompt_sha256")
    values = {metric.name: metric.value for metric in calibration.metrics} if same and asked_alike else {}
    return row | {f"judge_{key}": values.get(metric_name(form, key)) for key in ("agreement", "kappa")}


def answers_facts(results: Path, run: str, questions: str) -> Row:
    """How many of a run's answers were cut off at the limit of tokens, and how many are empty."""
    path = sidecars.meta_of(layout.ANSWERS.format(run=run, questions=questions))
    counts = read_sidecar(results / path, Sidecar).counts
    return {"cut_off": counts.get("cut off"), "empty": counts.get("empty")}


def told(judge: dict[str, object]) -> str | None:
    """A judge as a table names it: its name with its version or, without a file of its own, its model."""
    named = " v".join(str(judge[key]) for key in ("name", "version") if judge.get(key) is not None)
    return (named if judge.get("name") else str(judge.get("model") or "")) or None


def alpaca_eval_2_parts(results: Path, runs: Sequence[Run]) -> list[Part]:
    """AlpacaEval 2: one row per run."""
    rows = [_alpaca_eval_2(results, run) for run in runs]
    return [Part("alpaca_eval_2", "AlpacaEval 2", RATES, rows, NO_RUN)]


def _alpaca_eval_2(results: Path, run: Run) -> Row:
    row = setup(results, run)
    found = evaluation(results, run.run, "alpaca_eval_2")
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    rates = {"lc_": metric(result, LC_WIN_RATE, source), "": metric(result, "win_rate", source)}
    for prefix, rate in rates.items():
        row |= {f"{prefix}win_rate": rate.value, f"{prefix}se": rate.se, "n": rate.n}
    row |= {"length": metric(result, "avg_length", source).value, "missing": sum(result.missing.values())}
    row |= judge_facts(results, result, "alpaca_eval") | answers_facts(results, run.run, ALPACA_EVAL)
    return {**row, "source": source}


def mt_bench_parts(results: Path, runs: Sequence[Run]) -> list[Part]:
    """MT-Bench: one row per run, and one per run and category."""
    rows = [_mt_bench(results, run) for run in runs]
    categories = [row for run in runs for row in _categories(results, run)]
    return [
        Part("score", "Scores from 1 to 10", GRADES, rows, NO_RUN),
        Part("category", "By category", CATEGORY_GRADES, categories, "None: no run has a grade in a category."),
    ]


def _mt_bench(results: Path, run: Run) -> Row:
    row = setup(results, run)
    found = evaluation(results, run.run, "mt_bench")
    if found is None:
        return {**row, "source": NOT_RUN}
    result, source = found
    score = metric(result, "score", source)
    known = {metric.name: metric for metric in result.metrics}
    for name in ("turn_1", "turn_2"):
        if name in known:
            row |= {name: known[name].value, f"{name}_se": known[name].se}
    row |= {"score": score.value, "se": score.se, "n": score.n, "missing": sum(result.missing.values())}
    row |= judge_facts(results, result, "mt_bench") | answers_facts(results, run.run, MT_BENCH)
    return {**row, "source": source}


def _categories(results: Path, run: Run) -> Iterator[Row]:
    found = evaluation(results, run.run, "mt_bench")
    for known in found[0].metrics if found else []:
        if found and known.name.startswith(CATEGORY):
            numbers = {"score": known.value, "se": known.se, "n": known.n}
            about = {"run": run.run, "category": known.name.removeprefix(CATEGORY), "source": found[1]}
            yield about | numbers | judge_facts(results, found[0], "mt_bench")


def judges_parts(results: Path) -> list[Part]:
    """Every calibrated judge, a row for each form."""
    folder = results / Path(layout.CALIBRATION).parent
    rows = [row for path in sorted(folder.glob("*.json")) for row in _judge(path, path.relative_to(results).as_posix())]
    return [Part("judges", "Judges", JUDGES, rows, "None: no judge was calibrated.")]


def _judge(path: Path, source: str) -> Iterator[Row]:
    found = read_evaluation(path)
    judge = found.judge or {}
    about = {"judge": told(judge), "model": judge.get("model"), "answered_as": found.versions.get("answered_as")}
    for form in judge.get("prompts") or {}:
        numbers = {key: metric(found, metric_name(form, key), source) for key in QUANTITIES}
        row: Row = {key: number.value for key, number in numbers.items()}
        row |= {f"{key}_se": number.se for key, number in numbers.items()} | {"n": numbers["agreement"].n}
        missing = sum(count for reason, count in found.missing.items() if reason.startswith(f"{form}: "))
        yield {**about, "form": form, **row, "missing": missing, "source": source}
