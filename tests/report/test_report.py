"""The report against a small results tree that is written through the project's own records."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers.results import RUNS, SCRIPT, inputs_at, rows_of, write_evaluation, write_items
from srt.experiment import layout
from srt.plotting import save
from srt.report import formats, reported
from srt.report.figures import bars, distributions, scatter
from srt.report.page.html import write_html
from srt.report.tables import comparison, open_llm, write
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_records
from srt.storage.readers import read_json
from srt.storage.records import LedgerEntry

METRICS = {
    "alpaca_eval": {"win_rate": "win_rate", "wins": "wins", "draws": "draws", "length": "avg_length"},
    "open_llm": {name: name for name in open_llm.LABELS},
    "pairwise": {name: name for name in ("wins", "ties", "losses", "winning_score")},
}


@pytest.mark.parametrize("name", METRICS)
def test_every_cell_is_in_the_file_that_its_row_names(results: Path, written: Path, name: str) -> None:
    traced = 0
    for row in rows_of(written, name):
        if row["source"] in (formats.REPORTED, formats.NOT_RUN):
            continue
        found = {metric["name"]: metric for metric in read_json(results / row["source"])["metrics"]}
        for column, metric in METRICS[name].items():
            assert float(row[column]) == found[metric]["value"], (row["run"], column)
            traced += 1
        assert row["missing"] == "2"
        assert f"runs/{row['run']}/" in row["source"]
    assert traced == {"alpaca_eval": 12, "open_llm": 15, "pairwise": 4}[name]


def test_the_standard_error_and_n_are_the_win_rates(written: Path) -> None:
    row = rows_of(written, "alpaca_eval")[0]
    assert (row["se"], row["n"], row["training_records"]) == ("3.5", "6", "")


def test_differences_are_ours_minus_the_papers(written: Path) -> None:
    rows = {row["run"]: row for row in rows_of(written, "alpaca_eval") if row["run"]}
    assert float(rows["as_is"]["difference"]) == pytest.approx(21.125 - 26.46)
    assert rows["recycled"]["reported_name"] == "sRecycled Alpaca 7B"
    assert float(rows["recycled"]["difference"]) == pytest.approx(22.125 - 79.58)
    assert (rows["recycled"]["training_records"], rows["recycled"]["reported_training_records"]) == ("2", "37114")
    assert rows["base"]["difference"] == rows["base"]["reported_name"] == ""
    open_llm = {row["run"]: row for row in rows_of(written, "open_llm") if row["run"]}
    assert float(open_llm["as_is"]["mmlu_difference"]) == pytest.approx(33 - 41.73)
    assert float(open_llm["recycled"]["average_difference"]) == pytest.approx(33.5 - 56.05)


def test_a_reported_row_stands_either_beside_a_run_or_by_itself(written: Path) -> None:
    names = [row["reported_name"] for row in rows_of(written, "alpaca_eval") if row["reported_name"]]
    assert sorted(names) == sorted(reported.reported().win_rates())


def test_pairwise_difference_where_both_sides_are_compared(results: Path) -> None:
    compare = {"recycled": "sRecycled WizardLM 7B", "as_is": "Alpaca 7B"}
    write.write_tables(inputs_at(results, compare=compare), results)
    rows = rows_of(results / "tables", "pairwise")
    (row,) = [row for row in rows if row["run"] == "recycled"]
    assert (row["reported_wins"], row["reported_losses"]) == ("190", "14")
    assert float(row["difference"]) == pytest.approx(1.25 - ((190 - 14) / 218 + 1))
    assert sum(row["reported_opponent"] == "Alpaca 7B" for row in rows) == 1


@pytest.mark.parametrize("name", METRICS)
def test_a_missing_evaluation_is_empty_in_the_csv_and_listed_for_reading(written: Path, name: str) -> None:
    (row,) = [row for row in rows_of(written, name) if row["run"] == "waiting"]
    assert row["source"] == formats.NOT_RUN
    assert {row[column] for column in METRICS[name]} == {""}
    lines = (written / f"{name}.md").read_text().splitlines()
    assert not [line for line in lines if line.startswith("| waiting")]
    (said,) = [line for line in lines if line.startswith("Not run yet")]
    assert "waiting" in said
    assert "recycled" not in said


@pytest.mark.slow
def test_without_an_evaluation_the_papers_rows_stand_there_and_ours_are_empty(results: Path) -> None:
    shutil.rmtree(results / "runs")
    write.write_tables(inputs_at(results), results)
    for name, metrics in METRICS.items():
        rows = rows_of(results / "tables", name)
        assert {row[column] for row in rows for column in metrics} == {""}
        assert {row["source"] for row in rows} == {formats.NOT_RUN, formats.REPORTED}
        named = [row["reported_name"] for row in rows if row["reported_name"]]
        assert len(named) == {"alpaca_eval": 33, "open_llm": 12, "pairwise": 12}[name]
        for form in ("md", "tex"):
            text = (results / "tables" / f"{name}.{form}").read_text()
            assert "None: no run has an evaluation" in text
            assert "sRecycled WizardLM 7B" in text
    save.save(scatter.score_vs_data(results / "tables"), results / "figures", "score_vs_data")
    save.save(bars.pairwise(results / "tables"), results / "figures", "pairwise")


def test_the_same_tables_come_out_twice(results: Path, written: Path) -> None:
    write.write_tables(inputs_at(results), results / "again")
    for path in sorted(written.iterdir()):
        assert path.read_bytes() == (results / "again" / "tables" / path.name).read_bytes()
    assert len(list(written.iterdir())) == 3 * len(layout.tables())


def test_an_unknown_reported_name_is_refused_and_nothing_is_written(results: Path) -> None:
    with pytest.raises(InputError, match=r"report.compare: as_is: expected one of .*found 'GPT-9'"):
        write.write_tables(inputs_at(results, opponents=[], questions=[], compare={"as_is": "GPT-9"}), results)
    assert not (results / "tables").exists()


def test_a_malformed_evaluation_is_named_and_nothing_is_written(results: Path) -> None:
    path = results / layout.EVALUATION.format(run="recycled", benchmark="open_llm_v1")
    broken = read_json(path)
    broken["metrics"][0]["value"] = "high"
    path.write_text(json.dumps(broken))
    with pytest.raises(InputError, match=r"open_llm_v1.json: metrics.0.value"):
        write.write_tables(inputs_at(results, opponents=[], questions=[]), results)
    assert not (results / "tables").exists()
    broken["metrics"] = broken["metrics"][1:]
    path.write_text(json.dumps(broken))
    with pytest.raises(InputError, match=r"expected one named 'arc'"):
        write.write_tables(inputs_at(results, opponents=[], questions=[]), results)


def test_a_metric_that_is_null_is_an_empty_cell(results: Path) -> None:
    path = results / layout.EVALUATION.format(run="recycled", benchmark="alpaca_eval")
    found = read_json(path)
    found["metrics"][0] |= {"value": None, "se": None, "n": 0}
    path.write_text(json.dumps(found))
    write.write_tables(inputs_at(results, opponents=[], questions=[]), results)
    (row,) = [row for row in rows_of(results / "tables", "alpaca_eval") if row["run"] == "recycled"]
    assert (row["win_rate"], row["difference"], row["n"]) == ("", "", "0")


def test_data_table_counts_and_quantiles(results: Path, written: Path) -> None:
    rows = {row["variant"]: row for row in rows_of(written, "data") if row["kind"] == "variant"}
    assert set(rows) == {"original", "instruction", "response", "both"}
    row = rows["instruction"]
    assert (row["records"], row["reflected"], row["failed"]) == ("4", "3", "1")
    assert (row["scored"], row["ifd_null"], row["r_ifd_null"]) == ("3", "1", "1")
    for quantile in (5, 25, 50, 75, 95):
        expected = np.percentile([0.6, 0.7, 0.9], quantile)
        assert float(row[f"ifd_q{quantile:02d}"]) == pytest.approx(expected)
    assert float(rows["original"]["instruction_characters"]) == len(SCRIPT) + len("|in_put|")
    assert float(rows["original"]["response_characters"]) == 5
    assert float(rows["instruction"]["response_tokens"]) == pytest.approx((10 + 30 + 40) / 3)
    assert (results / row["source"]).exists()
    assert (results / row["scores_source"]).exists()


def test_data_table_counts_the_outcomes_of_reflection(written: Path) -> None:
    rows = [row for row in rows_of(written, "data") if row["kind"] == "outcome" and row["variant"] == "both"]
    assert [(row["outcome"], row["records"], row["share"]) for row in rows] == [
        ("repaired", "3", "75.0"),
        ("cut_off", "1", "25.0"),
        ("of these: missing [End]", "3", "75.0"),
    ]


def test_data_table_branches_are_the_ledgers(results: Path, written: Path) -> None:
    rows = [row for row in rows_of(written, "data") if row["kind"] == "selection" and row["run"] == "recycled"]
    assert [(row["outcome"], row["branch"], row["records"], row["share"]) for row in rows] == [
        ("kept", "b: reflected", "2", "50.0"),
        ("dropped", "kept_as_is", "1", "25.0"),
        ("dropped", "phase 1: no candidate", "1", "25.0"),
    ]
    assert sum(int(row["records"]) for row in rows) == len(read_records(results / rows[0]["source"], LedgerEntry))
    (waiting,) = [row for row in rows_of(written, "data") if row["kind"] == "selection" and row["run"] == "waiting"]
    assert (waiting["records"], waiting["source"]) == ("", formats.NOT_RUN)


def test_many_reasons_are_counted_together(results: Path) -> None:
    path = results / layout.LEDGER.format(run="recycled")
    entries = [
        LedgerEntry(id=str(n), candidates={}, chosen=None, branch="x", kept=False, reason=f"reason {n}")
        for n in range(40)
    ]
    write_records(path, entries)
    write.write_tables(inputs_at(results, opponents=[], questions=[]), results)
    rows = [
        row for row in rows_of(results / "tables", "data") if row["kind"] == "selection" and row["run"] == "recycled"
    ]
    assert len(rows) == 13
    assert sum(int(row["records"]) for row in rows) == 40


def test_latex_escapes_what_means_something_to_it(written: Path) -> None:
    assert formats.latex("a_b 5% {x} \\ & # $ ~^") == (
        r"a\_b 5\% \{x\} \textbackslash{} \& \# \$ \textasciitilde{}\textasciicircum{}"
    )
    text = (written / "alpaca_eval.tex").read_text()
    body = [line.split(" % ")[0] for line in text.splitlines() if not line.startswith(("%", "\\label"))]
    assert not [line for line in body if re.search(r"(?<!\\)[_#]|(?<!\\)%(?!$)", line)]
    assert r"as\_is & 21.12 & 3.50 & 6 & 26.46" in text
    assert r"50\% $" not in text
    assert r"50\% \textbar{} a\_b" in (written / "data.tex").read_text()
    row = next(line for line in text.splitlines() if line.startswith("as\\_is"))
    assert row.endswith("\\\\ % runs/as_is/evaluation/alpaca_eval.json")
    assert "$-$5.33" in row or "$-$5.34" in row


def test_markdown_escapes_pipes_and_tags() -> None:
    part = formats.Part("x", "X", [formats.Column("a", "A")], [{"a": "1 | <b>2</b>\n3"}], "none")
    assert formats.to_markdown("T", [part]).splitlines()[-1] == r"| 1 \| &lt;b&gt;2&lt;/b&gt; 3 |"


def test_markdown_rows_have_the_headers_cells(written: Path) -> None:
    blocks = [(path, block) for path in written.glob("*.md") for block in path.read_text().split("\n\n")]
    blocks = [(path, block) for path, block in blocks if block.startswith("|")]
    assert {path.stem for path, _ in blocks} == set(layout.tables())
    for path, block in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, path


def test_reported_agrees_with_itself() -> None:
    facts = reported.reported()
    for name, row in facts.open_llm.rows.items():
        if row.arc is not None:
            mean = (row.arc + row.hellaswag + row.mmlu + row.truthfulqa) / 4
            assert row.average == pytest.approx(mean, abs=0.006), name
    assert {row.n for row in facts.pairwise.rows.values()} == {218}
    assert facts.human_study.rows["WizardLM 7B"].n == 108
    assert facts.training_records("sRecycled WizardLM 7B (2%)") == 926
    assert facts.training_records("sRecycled WizardLM 7B (50%)") == 23162
    assert facts.check_names({"v1": "Recycled Alpaca 7B V1"}) == {"v1": "Recycled Alpaca 7B"}
    for row in (*facts.win_rates().values(), *facts.leaderboard().values()):
        assert row.source


def test_reported_agrees_with_the_notes_on_the_paper(shared_data: Path) -> None:
    path = shared_data.parent / "paper" / "reported.yaml"
    if not path.exists():
        pytest.skip(f"{path}: the notes on the paper are not here")
    given = yaml.safe_load(path.read_text())
    facts = reported.reported()
    for name, row in given["alpaca_eval"].items():
        ours = facts.alpaca_eval.rows[name]
        assert ours.model_dump(include={"win_rate", "se", "wins", "draws", "length"}) == {
            key: row[key] for key in ("win_rate", "se", "wins", "draws", "length")
        }
        model = facts.models.get(name, reported.ReportedModel())
        assert (model.training_records, model.rlhf) == (row.get("data"), row.get("rlhf"))
        assert model.own == row.get("ours", False)
    for name, row in given["open_llm"].items():
        ours = facts.open_llm.rows[facts.canonical(name)].model_dump()
        assert {key: ours[key] for key in open_llm.LABELS} == {key: row.get(key) for key in open_llm.LABELS}
        if "alpaca_eval" in row:
            assert facts.alpaca_eval.rows[facts.canonical(name)].win_rate == row["alpaca_eval"]
    for name, counts in given["pairwise_wizardlm_218"].items():
        ours = facts.pairwise.rows[facts.canonical(name)]
        assert [ours.wins, ours.ties, ours.losses] == counts
    for ours, row in zip(facts.selection_ratio.rows, given["selection_ratio"], strict=True):
        assert (ours.ratio, ours.alpaca_eval, ours.open_llm) == (row["ratio"], row["alpaca_eval"], row["open_llm"])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("win_rate: 95.28", "win_rate: '95.28'", "alpaca_eval.rows.GPT4.win_rate"),
        ("win_rate: 95.28", "win_rate: 952.8", "alpaca_eval.rows.GPT4.win_rate"),
        ("win_rate: 95.28", "winrate: 95.28", "win"),
        ("  Vicuna 7B: {training", "  Vicuna 9B: {training", "Vicuna 9B"),
        ("ratio: 0.05", "ratio: 0.50", "rising ratios"),
    ],
)
def test_a_broken_reported_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, said: str
) -> None:
    text = reported.REPORTED_FILE.read_text()
    assert old in text
    monkeypatch.setattr(reported, "REPORTED_FILE", tmp_path / "reported.yaml")
    reported.REPORTED_FILE.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=said):
        reported.reported.__wrapped__()


@pytest.mark.slow
def test_figures_are_the_same_file_twice(results: Path, written: Path) -> None:
    for _ in range(2):
        save.save(bars.pairwise(written), results / "figures", "pairwise")
        save.save(distributions.ifd_distributions(results, RUNS, "all"), results / "figures", "ifd_distributions")
        now = {path.name: path.read_bytes() for path in (results / "figures").iterdir()}
        (results / "figures").rename(results / f"figures{len(list(results.glob('figures*')))}")
    before = {path.name: path.read_bytes() for path in (results / "figures1").iterdir()}
    assert now == before
    assert sorted(now) == ["ifd_distributions.pdf", "ifd_distributions.png", "pairwise.pdf", "pairwise.png"]


@pytest.mark.slow
def test_score_vs_data_draws_our_runs_where_they_belong(written: Path) -> None:
    left, right = scatter.score_vs_data(written).axes
    for axes, value in ((left, 22.125), (right, 33.5)):
        names = {text.get_text(): text for text in axes.texts}
        assert names["recycled"].xy == (2, value)
        assert "base (untuned)" in names
        assert "waiting" not in names


def test_no_scores_is_said_in_the_figure(tmp_path: Path) -> None:
    figure = distributions.ifd_distributions(tmp_path, RUNS, "all")
    assert [text.get_text() for text in figure.texts] == ["No run has scores."]


@pytest.mark.slow
def test_html_escapes_opens_offline_and_says_what_is_missing(results: Path, written: Path) -> None:
    save.save(bars.pairwise(written), results / "figures", "pairwise")
    write_html(inputs_at(results, notice="Mind <this> & that."), results)
    page = (results / "report.html").read_text()
    assert "Mind &lt;this&gt; &amp; that." in page
    assert "<script" not in page
    assert "&lt;script&gt;alert" in page
    assert "<b>bold" not in page
    assert "&lt;b&gt;bold" in page
    assert "&lt;i&gt;too short&lt;/i&gt;" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:image/png;base64,|#)", page)
    assert "url(" not in page
    assert page.count('<img src="data:image/png;base64,') == 1
    assert page.count("This figure has not been made.") == 3
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]+\"", page)) == page.count("<img ")
    assert "Not run yet (1): waiting." in page
    assert "2 missing" in page
    assert "the verdict cannot be read" in page
    assert "runs/recycled/evaluation/open_llm_v1.json" in page
    assert not list(results.glob(".*partial"))


@pytest.mark.slow
def test_html_without_a_notice_and_without_tables(results: Path, written: Path) -> None:
    write_html(inputs_at(results), results)
    assert 'class="notice"' not in (results / "report.html").read_text()
    (written / "open_llm.csv").unlink()
    with pytest.raises(InputError, match=r"open_llm.csv: no such file"):
        write_html(inputs_at(results), results)


# --- Differences with their error ----------------------------------------------------------------------------------


def test_runs_are_compared_with_their_baseline_on_the_same_questions(results: Path) -> None:
    write_items(results, "as_is", "alpaca_eval", {str(i): 0.0 for i in range(40)})
    write_items(results, "recycled", "alpaca_eval", {str(i): 100.0 * (i % 4 != 0) for i in range(2, 42)})
    write_items(results, "base", "alpaca_eval", {"0": 0.0, "1": 100.0})
    write.write_tables(inputs_at(results), results)
    rows = {row["run"]: row for row in rows_of(results / "tables", "comparison") if row["kind"] == "paired"}
    assert {run: row["baseline"] for run, row in rows.items()} == {"recycled": "as_is", "as_is": "base"}
    row = rows["recycled"]
    assert (row["n"], row["told_apart"], row["metric"]) == ("38", "yes", "win_rate")
    assert float(row["low"]) < float(row["difference"]) < float(row["high"])
    assert float(row["difference"]) == pytest.approx(100 * 29 / 38)
    assert (rows["as_is"]["n"], rows["as_is"]["told_apart"]) == ("2", "too few")


def test_the_baseline_is_the_original_data_and_its_own_is_the_untuned_student() -> None:
    by_name = {run.run: run for run in RUNS}
    found = {name: comparison.baseline_of(run, RUNS) for name, run in by_name.items()}
    names = {name: baseline.run if baseline else None for name, baseline in found.items()}
    assert names == {"base": None, "as_is": "base", "recycled": "as_is", "waiting": "as_is"}
    other = by_name["as_is"].model_copy(update={"run": "as_is_1", "seed": 1})
    recycled = by_name["recycled"].model_copy(update={"seed": 1})
    baseline = comparison.baseline_of(recycled, [*RUNS, other])
    assert baseline is not None
    assert baseline.run == "as_is_1"


def test_runs_that_differ_by_their_seed_alone_are_brought_together(results: Path) -> None:
    again = RUNS[2].model_copy(update={"run": "recycled_1", "seed": 1})
    values = {"win_rate": (30.0, 3.5, 6), "wins": (2.0, None, 6), "draws": (0.0, None, 6)}
    write_evaluation(results, "recycled_1", "alpaca_eval", {**values, "avg_length": (321.0, None, 8)})
    write.write_tables(inputs_at(results, runs=[*RUNS, again]), results)
    (row,) = [row for row in rows_of(results / "tables", "comparison") if row["kind"] == "seeds"]
    assert (row["method"], row["seeds"], row["runs"]) == ("selective", "2", "recycled, recycled_1")
    assert float(row["mean"]) == pytest.approx((22.125 + 30) / 2)
    assert float(row["deviation"]) == pytest.approx(abs(30 - 22.125) / 2**0.5)


TODAY: dict[str, str | None] = {"reported": None, "mean": "items"}


@pytest.fixture
def two_profiles(results: Path) -> Path:
    """The same runs under a second profile of the leaderboard's benchmarks, one that the paper did not use."""
    for place, run in enumerate(("base", "as_is", "recycled")):
        values = dict.fromkeys(open_llm.LABELS, (50.0 + place, 2.5, 7))
        write_evaluation(results, run, "open_llm_today", values, TODAY)
    return results


def test_each_profile_has_its_row_and_the_papers_figures_stand_beside_the_reproducing_one(two_profiles: Path) -> None:
    write.write_tables(inputs_at(two_profiles, questions=[]), two_profiles)
    rows = rows_of(two_profiles / "tables", "open_llm")
    ours = {(row["run"], row["profile"]): row for row in rows if row["run"]}
    assert list(ours) == [(run.run, profile) for run in RUNS for profile in ("today", "v1")]
    assert float(ours["recycled", "v1"]["average_difference"]) == pytest.approx(33.5 - 56.05)
    today = ours["recycled", "today"]
    assert (today["average"], today["average_se"], today["average_n"]) == ("52.0", "2.5", "7")
    assert today["average_reported"] == today["average_difference"] == today["reported_name"] == ""
    names = [row["reported_name"] for row in rows if row["reported_name"]]
    assert sorted(names) == sorted(reported.reported().leaderboard())


def test_every_benchmark_is_read_with_its_error_and_n(written: Path) -> None:
    header = (written / "open_llm.md").read_text().splitlines()
    (header,) = [line for line in header if line.startswith("| Run")][:1]
    for label in open_llm.LABELS.values():
        assert f"| {label}: ours | {label}: SE | {label}: n | {label}: paper |" in header


@pytest.mark.slow
def test_the_figure_shows_the_reproducing_profile_alone(two_profiles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    panel = scatter._panel
    monkeypatch.setattr(
        scatter,
        "_panel",
        lambda title, label, rows, *more: shown.update({title: rows}) or panel(title, label, rows, *more),
    )
    write.write_tables(inputs_at(two_profiles, questions=[]), two_profiles)
    scatter.score_vs_data(two_profiles / "tables")
    rows = shown["Open LLM Leaderboard v1"]
    assert [(row["run"], row["profile"]) for row in rows] == [(r, "v1") for r in ("base", "as_is", "recycled")]
    both = [{**row, "profile": name} for row in rows[:1] for name in ("v1", "v1_vllm")]
    assert [row["run"] for row in scatter._of_the_leaderboard(both)] == ["base (v1)", "base (v1_vllm)"]


def test_profiles_are_compared_as_they_average(two_profiles: Path) -> None:
    """Three items of one subject and one of another: per item the difference is 75 or 50 points."""
    keys = [*(f"mmlu/mmlu_anatomy/{i}" for i in range(3)), "mmlu/mmlu_virology/0"]
    for benchmark in ("open_llm_v1", "open_llm_today"):
        write_items(two_profiles, "as_is", benchmark, dict.fromkeys(keys, 0.0))
        write_items(two_profiles, "recycled", benchmark, {key: 100.0 * ("anatomy" in key) for key in keys})
    write.write_tables(inputs_at(two_profiles, questions=[]), two_profiles)
    rows = [row for row in rows_of(two_profiles / "tables", "comparison") if row["kind"] == "paired"]
    found = {row["benchmark"]: float(row["difference"]) for row in rows if row["run"] == "recycled"}
    assert found == {"open_llm_today": pytest.approx(75.0), "open_llm_v1": pytest.approx(50.0)}
