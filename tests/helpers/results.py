"""A small results tree that is written through the project's own records."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.inputs import ReportInputs
from srt.storage import sidecars
from srt.storage.files import write_json, write_records
from srt.storage.records import Evaluation, ItemValue, LedgerEntry, Metric, Pair, ReflectedPair, Score

SCRIPT = "<script>alert('x')</script>"
COMMON = {"dataset": "toy", "student": "tiny", "recipe": "quick", "seed": 0, "ratio": 1.0}
RUNS = [
    Run(run="base", dataset=None, teacher=None, student="tiny", method="none", ratio=None, recipe=None, seed=None),
    Run(run="as_is", teacher=None, method="original", **COMMON),
    Run(run="recycled", teacher="sage", method="selective", **COMMON),
    Run(run="waiting", teacher="sage", method="ifd", **COMMON),
]
COMPARE = {"as_is": "Alpaca 7B", "recycled": "sRecycled Alpaca 7B"}
IFD = {"original": [0.5, 0.25, 0.75, 1.5], "instruction": [0.6, None, 0.7, 0.9]}


def score_of(number: int, ifd: float | None) -> Score:
    nulls = dict.fromkeys(
        ("nll_instruction", "nll_response", "nll_instruction_given_response", "nll_response_given_instruction")
    )
    tokens = dict.fromkeys(
        (
            "tokens_instruction",
            "tokens_response",
            "tokens_instruction_given_response",
            "tokens_response_given_instruction",
        ),
        10 * (number + 1),
    )
    status, reason = ("failed", "no token") if ifd is None else ("scored", None)
    return Score(id=str(number), ifd=ifd, r_ifd=ifd, truncated=[], status=status, reason=reason, **nulls, **tokens)  # type: ignore[arg-type]


V1 = {"reported": "open_llm", "mean": "subjects"}


def write_evaluation(
    results: Path,
    run: str,
    benchmark: str,
    values: dict[str, tuple[float | None, float | None, int]],
    rules: dict[str, str | None] | None = None,
) -> None:
    found = Evaluation(
        benchmark=benchmark,
        metrics=[Metric(name=name, value=value, se=se, n=n) for name, (value, se, n) in values.items()],
        judge={"model": "a_judge", "prompt_sha256": "00"},
        task_versions=None,
        settings={"questions": "q.json", "limit": None, **(rules or {})},
        versions={"srt": "0"},
        missing={"the verdict cannot be read": 2},
    )
    write_json(results / layout.EVALUATION.format(run=run, benchmark=benchmark), found.model_dump())


def write_evaluations(results: Path) -> None:
    for place, run in enumerate(("base", "as_is", "recycled")):
        rates = {"win_rate": (20.125 + place, 3.5, 6), "wins": (2.0, None, 6), "draws": (0.0, None, 6)}
        write_evaluation(results, run, "alpaca_eval", {**rates, "avg_length": (321.0, None, 8)})
        tasks = ("arc", "hellaswag", "mmlu", "truthfulqa")
        shares = {name: (30.0 + place + step, 1.0, 5) for step, name in enumerate(tasks)}
        write_evaluation(results, run, "open_llm_v1", {**shares, "average": (31.5 + place, 0.5, 20)}, V1)
        if run != "as_is":
            counts = {"wins": (3.0, None, 8), "ties": (4.0, None, 8), "losses": (1.0, None, 8)}
            write_evaluation(results, run, "pairwise_wizardlm_as_is", {**counts, "winning_score": (1.25, None, 8)})


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The folder of `write_results`."""
    return write_results(tmp_path / "results")


def write_results(folder: Path) -> Path:
    """Four records; every run but `waiting` has been run."""
    run = RUNS[2]
    pairs = layout.pairs_paths(run, "all")
    originals = [Pair(id=str(n), instruction=SCRIPT, input="|in_put|", output="ab" * (n + 1)) for n in range(4)]
    write_records(folder / pairs["original"], originals)
    for variant in ("instruction", "response", "both"):
        reflected = [
            ReflectedPair(
                id=pair.id,
                instruction=f"{variant} {pair.id} \ud800",
                output="<b>bold</b>",
                status="failed" if pair.id == "1" else "reflected",
                outcome="cut_off" if pair.id == "1" else "repaired",
                repairs=[] if pair.id == "1" else ["missing [End]"],
                reason="no tags" if pair.id == "1" else None,
                critique=None if pair.id == "1" else "<i>too short</i>",
            )
            for pair in originals
        ]
        write_records(folder / pairs[variant], reflected)
    for variant, path in layout.scores_paths(run, "all").items():
        values = IFD.get(variant, [0.5, 0.5, 0.5, 0.5])
        write_records(folder / path, [score_of(number, value) for number, value in enumerate(values)])
    facts = {
        "original": {"ifd": 0.5, "r_ifd": 0.5, "perplexity": 2.0},
        "both": {"ifd": 0.5},
        "response": {"absent": "x"},
    }
    outcomes = [("both", "b: reflected", True), ("both", "b: reflected", True), ("original", "kept_as_is", False)]
    entries = [
        LedgerEntry(
            id=str(n),
            candidates=facts,
            chosen=chosen,
            branch=branch,
            kept=kept,
            reason="selected" if kept else "50% | a_b",
        )
        for n, (chosen, branch, kept) in enumerate([*outcomes, (None, "phase 1: no candidate", False)])
    ]
    for name, train in (("as_is", originals), ("recycled", originals[:2])):
        write_records(folder / layout.TRAIN.format(run=name), train)
        write_records(folder / layout.LEDGER.format(run=name), entries)
    write_evaluations(folder)
    return folder


def inputs_at(results: Path, **more: Any) -> ReportInputs:
    """What the report is made from, of a results folder; `more` replaces single fields."""
    whole = ReportInputs(results, RUNS, "all", ["as_is"], ["wizardlm"], COMPARE)
    return replace(whole, **more)


def small_config(folder: Path, inputs: ReportInputs) -> str:
    """The text of a config of the report's own keys, whose run table is written into a folder."""
    columns = ("run", "dataset", "teacher", "student", "method", "ratio", "recipe", "seed")
    rows = [["-" if (value := getattr(run, name)) is None else str(value) for name in columns] for run in inputs.runs]
    (folder / "runs.tsv").write_text("".join("\t".join(row) + "\n" for row in [columns, *rows]))
    compared = {"questions": [*inputs.questions], "opponents": [*inputs.opponents]}
    values = {
        "run_table": str(folder / "runs.tsv"),
        "results": str(inputs.results),
        "responses": inputs.responses,
        "evaluate": {"pairwise": compared},
        "report": {"notice": inputs.notice, "compare": {**inputs.compare}, "licences": {**inputs.licences}},
    }
    return str(yaml.safe_dump(values, sort_keys=False))


@pytest.fixture
def written(results: Path) -> Path:
    """The tables' folder."""
    from srt.report.tables import write

    write.write_tables(inputs_at(results), results)
    return results / "tables"


def write_items(results: Path, run: str, benchmark: str, values: dict[str, float]) -> None:
    path = results / sidecars.items_of(layout.EVALUATION.format(run=run, benchmark=benchmark))
    write_records(path, [ItemValue(id=key, value=value) for key, value in values.items()])


JUDGE = {"name": "local", "version": 2, "model": "m", "revision": None, "prompt_sha256": "0"}


def evaluation(benchmark, metrics, judge=JUDGE, **more):
    values = {"task_versions": None, "settings": {}, "versions": {"answered_as": "m-0613"}, "missing": {}}
    return Evaluation(
        benchmark=benchmark,
        metrics=[Metric(name=name, value=value, se=se, n=n) for name, (value, se, n) in metrics.items()],
        judge=judge,
        **{**values, **more},
    )


def rows_of(folder, name, kind=None):
    with (folder / f"{name}.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if kind is None or row["kind"] == kind]


def run_of(name, **more):
    given = {"dataset": "toy", "teacher": "sage", "student": "tiny", "method": "selective", "ratio": 1.0}
    return Run(run=name, **{**given, "recipe": "quick", "seed": 0, **more})


def write_win_rate(results, name, value, items):
    rates = {"win_rate": (value, 2.0, 40), "wins": (2.0, None, 40), "draws": (0.0, None, 40)}
    write_evaluation(results, name, "alpaca_eval", {**rates, "avg_length": (321.0, None, 40)})
    write_items(results, name, "alpaca_eval", items)
