"""The tables from any starting point: from nothing, from a few runs, from all; the wheel's baselines; the controls."""

import hashlib
import json
import shutil

import pytest

from helpers.results import COMPARE, RUNS, inputs_at, rows_of, run_of, write_win_rate
from srt.experiment import layout
from srt.experiment.runs import in_series
from srt.report import reported
from srt.report.figures import draw, ratios
from srt.report.reported import ReportedWinRate
from srt.report.tables import ablation, leaderboard, notes, open_llm, samples, write
from srt.settings.benchmarks import benchmarks
from srt.storage.errors import InputError
from srt.storage.files import read_records, write_json, write_records
from srt.storage.records import LedgerEntry, Pair, Score

# --- From nothing --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_nothing_every_table_and_figure_is_there_with_ours_empty(tmp_path):
    write.write_tables(inputs_at(tmp_path), tmp_path)
    for name in layout.FIGURES:
        draw.draw(inputs_at(tmp_path), name)
    for name in layout.tables():
        for ext in ("csv", "md", "tex"):
            assert (tmp_path / layout.TABLE.format(table=name, ext=ext)).stat().st_size > 0
    for name in layout.FIGURES:
        assert (tmp_path / layout.FIGURE.format(figure=name, ext="png")).stat().st_size > 5000
    folder = tmp_path / "tables"
    assert "Not run yet (4): base, as_is, recycled, waiting." in (folder / "alpaca_eval.md").read_text()
    assert [row["reported_win_rate"] for row in rows_of(folder, "selection_ratio")] == [
        *("74.29", "77.7", "78.4", "81.5", "83.48")
    ]
    papers = rows_of(folder, "ablation", "paper")
    assert {row["reported_method"] for row in papers} == {"original", "both", "selective"}
    assert {row["win_rate"] for row in rows_of(folder, "ablation")} == {""}


def test_one_table_alone_writes_no_other(tmp_path):
    write.write_tables(inputs_at(tmp_path, opponents=[], questions=[], compare={}), tmp_path, ["open_llm"])
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        *("open_llm.csv", "open_llm.md", "open_llm.tex")
    ]
    with pytest.raises(InputError, match=r"table: expected one of alpaca_eval, .* found 'table_9'"):
        write.write_tables(inputs_at(tmp_path, opponents=[], questions=[], compare={}), tmp_path, ["table_9"])
    with pytest.raises(InputError, match=r"figure: expected one of score_vs_data, .* found 'x'"):
        draw.tables_of(["x"])


def test_every_table_and_figure_has_its_words(results, written):
    assert set(write.BUILDERS) == set(layout.tables()) - set(benchmarks()) == set(notes.TITLES) == set(notes.NOTES)
    assert set(draw.FIGURES) == set(layout.FIGURES)
    for name in layout.tables():  # what was written can be read back, part by part
        assert write.read_tables(written, name)


def test_three_of_thirty_runs_show_three_rows_and_list_the_rest(results):
    many = [*RUNS, *(run_of(f"later_{number}", seed=number) for number in range(1, 27))]
    write.write_tables(inputs_at(results, runs=many), results)
    text = (results / "tables" / "alpaca_eval.md").read_text()
    ours = text.split("## The paper's table")[0]
    assert [line.split("|")[1].strip() for line in ours.splitlines() if line.startswith("|")][2:] == [
        *("base", "as_is", "recycled")
    ]
    (said,) = [line for line in text.splitlines() if line.startswith("Not run yet")]
    assert said.startswith("Not run yet (27): waiting, later_1, ")
    assert len(rows_of(results / "tables", "alpaca_eval")) == 30 + 31


# --- The wheel's leaderboard ---------------------------------------------------------------------------------------


def test_the_papers_baselines_agree_with_the_wheels_leaderboard_but_for_the_misprint(written):
    checks = {row["reported_name"]: row["leaderboard_check"] for row in rows_of(written, "alpaca_eval")}
    del checks[""]
    differing = {name: check for name, check in checks.items() if check.startswith("differs")}
    assert differing == {
        "UltraLM 13B V2.0": "differs: win rate 86.28, SE 1.22, wins 692",
        "UltraLM 13B": "differs: SE 1.39",  # 1.394, which the paper gives as 1.40
    }
    assert sum(check == leaderboard.AGREES for check in checks.values()) == 22
    assert {name for name, check in checks.items() if check == leaderboard.NOT_HERE} == {
        *("sRecycled WizardLM 13B", "sRecycled Alpaca 7B", "Recycled Alpaca 7B", "WizardLM 7B", "Recycled Alpaca 13B"),
        *reported.reported().ratio_names(),
    }
    text = (written / "alpaca_eval.md").read_text()
    assert "probably a misprint" in text
    assert "| differs: win rate 86.28, SE 1.22, wins 692 |" in text


def test_a_leaderboard_that_lacks_a_row_or_is_not_installed_is_said(monkeypatch):
    row = ReportedWinRate(win_rate=50.0, leaderboard="nobody")
    assert leaderboard.checked(row) == leaderboard.LeaderboardCells(leaderboard_check="no row 'nobody'")
    monkeypatch.setattr(leaderboard, "published", lambda: None)
    assert leaderboard.checked(row) == leaderboard.LeaderboardCells()
    assert any("not installed" in line for line in notes.notes("alpaca_eval", []))


# --- Ablation and ratios -------------------------------------------------------------------------------------------


@pytest.fixture
def ablated(results):
    """The method and both controls, with known answers to forty questions."""
    runs = [*RUNS, run_of("coin", method="random"), run_of("same_length", method="length")]
    write_win_rate(results, "recycled", 75.0, {str(i): 100.0 * (i % 4 != 0) for i in range(40)})
    write_win_rate(results, "coin", 50.0, {str(i): 100.0 * (i % 2) for i in range(40)})
    write_win_rate(results, "same_length", 100.0, {str(i): 100.0 for i in range(20)})
    write.write_tables(inputs_at(results, runs=runs, questions=[]), results)
    return results


def test_a_method_stands_beside_both_controls_on_the_same_questions(ablated):
    found = {row["run"]: row for row in rows_of(ablated / "tables", "ablation", "runs")}
    row = found["recycled"]
    assert (row["part_of"], found["coin"]["part_of"], found["as_is"]["part_of"]) == ("method", "control", "baseline")
    assert float(row["random_difference"]) == pytest.approx(25.0)
    assert float(row["random_low"]) < 25 < float(row["random_high"])
    assert float(row["length_difference"]) == pytest.approx(-25.0)
    assert row["length_low"] == row["length_high"] == ""  # twenty questions are too few for an interval
    assert found["coin"]["random_difference"] == ""
    assert (row["win_rate"], row["se"], row["n"], row["average"]) == ("75.0", "2.0", "40", "33.5")
    papers = {row["reported_name"]: row for row in rows_of(ablated / "tables", "ablation", "paper")}
    assert float(papers["sRecycled Alpaca 7B"]["difference"]) == pytest.approx(75 - 79.58)
    assert papers["Recycled Alpaca 7B"]["run"] == ""


def test_a_control_differs_by_its_method_alone():
    method, control = run_of("m", seed=1), run_of("c", method="random", seed=1)
    other_seed, other_ratio = run_of("d", method="random", seed=2), run_of("e", method="random", ratio=0.5, seed=1)
    assert ablation.control_of(method, [method, other_ratio, other_seed, control], "random") == control
    assert ablation.control_of(method, [method, other_ratio, other_seed], "random") == other_seed
    assert ablation.control_of(method, [method, other_ratio], "random") is None
    assert ablation.control_of(control, [method, control], "random") is None


def test_ratios_of_one_series_stand_in_order_and_the_papers_beside_its_own(results):
    runs = [*RUNS, run_of("tenth", ratio=0.1), run_of("all_of_it", ratio=1.0), run_of("odd", ratio=0.3)]
    write_win_rate(results, "tenth", 60.0, {})
    compare = {**COMPARE, "all_of_it": "sRecycled WizardLM 7B"}
    write.write_tables(inputs_at(results, runs=runs, opponents=[], questions=[], compare=compare), results)
    found = {row["run"]: row for row in rows_of(results / "tables", "selection_ratio") if row["run"]}
    assert list(found) == ["tenth", "odd", "recycled", "all_of_it"]
    assert (found["tenth"]["reported_win_rate"], found["tenth"]["reported_records"]) == ("78.4", "4632")
    assert float(found["tenth"]["difference"]) == pytest.approx(60 - 78.4)
    assert found["odd"]["reported_win_rate"] == ""
    assert len([row for row in rows_of(results / "tables", "selection_ratio") if not row["run"]]) == 3
    axes = ratios.selection_ratio(results / "tables").axes[0]
    assert any("Ours: toy, selective, tiny" in text for text in axes.get_legend_handles_labels()[1])
    assert in_series(RUNS) == []


def test_steps_are_those_of_the_finetuning(results):
    write_json(results / layout.TRAINING.format(run="recycled"), {"steps": 17})
    write.write_tables(inputs_at(results, opponents=[], questions=[]), results)
    found = {row["run"]: row["steps"] for row in rows_of(results / "tables", "alpaca_eval") if row["run"]}
    assert found == {"base": "", "as_is": "", "recycled": "17", "waiting": ""}


# --- The data, and ten records -------------------------------------------------------------------------------------


def test_data_before_and_after(results, written):
    found = {(row["run"], row["stage"]): row for row in rows_of(written, "data", "before_after")}
    before, after = found["recycled", "before"], found["recycled", "after"]
    assert (before["records"], after["records"]) == ("4", "2")
    assert (before["source"], after["source"]) == ("data/toy/original.jsonl", "runs/recycled/train.jsonl")
    assert (after["reflected_instructions"], after["reflected_responses"]) == ("100.0", "100.0")
    assert float(before["response_characters"]) == 5
    assert float(after["response_tokens"]) == 15  # of the two chosen records: 10 and 20
    assert float(before["ifd"]) == pytest.approx((0.5 + 0.75) / 2)
    assert found["waiting", "after"]["source"] == "not run"


def test_scores_without_counts_of_tokens_leave_those_cells_empty(results):
    """Scores that somebody else published have none."""
    counts = ("tokens_instruction", "tokens_response")
    for path in layout.scores_paths(RUNS[2], "all").values():
        known = read_records(results / path, Score)
        write_records(results / path, [score.model_copy(update=dict.fromkeys(counts)) for score in known])
    write.write_tables(inputs_at(results, opponents=[], questions=[]), results, ["data"])
    found = {(row["run"], row["stage"]): row for row in rows_of(results / "tables", "data", "before_after")}
    after = found["recycled", "after"]
    assert after["instruction_tokens"] == after["response_tokens"] == ""
    assert (after["records"], after["ifd"]) == ("2", "0.5")


def test_ten_records_are_chosen_by_their_hash_over_all_branches():
    sizes = {"a": 30, "b": 5, "c": 1}
    entries = [
        LedgerEntry(id=f"{branch}{n}", candidates={}, chosen=None, branch=branch, kept=branch != "c", reason="x")
        for branch, size in sizes.items()
        for n in range(size)
    ]
    chosen = samples.by_rule(entries)
    assert [entry.branch for entry in chosen] == ["a", "b", "c", "a", "b", "a", "b", "a", "b", "a"]
    of_a = sorted((f"a{n}" for n in range(30)), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert [entry.id for entry in chosen if entry.branch == "a"] == of_a[:5]
    assert samples.by_rule(reversed(entries)) == chosen  # the file's order does not matter


def test_the_examples_are_the_files_texts(results, written):
    found = rows_of(written, "examples")
    assert len(found) == 16  # four records in four versions
    for row in found:
        pairs = {pair["id"]: pair for pair in map(json.loads, (results / row["source"]).open())}
        pair = pairs[row["id"]]
        assert row["instruction"] == pair["instruction"].replace("\ud800", "?")
        assert row["response"] == pair["output"]
        assert row["critique"] == (pair.get("critique") or "")
    assert sum(row["chosen"] == "yes" for row in found) == 3


def test_a_long_text_is_cut_for_reading_and_whole_in_the_csv(results):
    path = results / layout.pairs_paths(RUNS[2], "all")["original"]
    long = [Pair(**{**pair.model_dump(), "output": "word " * 300}) for pair in read_records(path, Pair)]
    write_records(path, long)
    write.write_tables(inputs_at(results, opponents=[], questions=[]), results, ["examples"])
    assert {row["response"] for row in rows_of(results / "tables", "examples") if row["version"] == "original"} == {
        long[0].output
    }
    assert "word \N{HORIZONTAL ELLIPSIS}" not in (results / "tables" / "examples.csv").read_text()
    assert max(map(len, (results / "tables" / "examples.md").read_text().splitlines())) < 3000


def test_a_train_file_that_went_missing_is_listed_and_nothing_fails(results):
    shutil.rmtree(results / "runs" / "recycled")
    write.write_tables(inputs_at(results), results)
    assert "Not run yet (2): recycled, waiting." in (results / "tables" / "alpaca_eval.md").read_text()
    assert "Not run yet (2): recycled, waiting." in (results / "tables" / "data.md").read_text()


# --- Every number comes from the file that its row names --------------------------------------------------------------

OF_BENCHMARK = {  # table: the metrics behind its columns, by the column that names the file
    "ablation": {
        "source": {"win_rate": "win_rate", "se": "win_rate.se", "n": "win_rate.n"},
        "open_llm_source": {"average": "average", "average_se": "average.se", "average_n": "average.n"},
    },
    "selection_ratio": {
        "source": {"win_rate": "win_rate", "se": "win_rate.se", "n": "win_rate.n"},
        "open_llm_source": {"average": "average", "average_se": "average.se", "average_n": "average.n"},
    },
    "alpaca_eval": {
        "source": {
            "win_rate": "win_rate",
            "se": "win_rate.se",
            "n": "win_rate.n",
            "wins": "wins",
            "draws": "draws",
            "length": "avg_length",
        }
    },
    "open_llm": {
        "source": {
            f"{name}{suffix}": f"{name}{of}"
            for name in open_llm.LABELS
            for suffix, of in (("", ""), ("_se", ".se"), ("_n", ".n"))
        }
    },
    "pairwise": {
        "source": {
            **{name: name for name in ("wins", "ties", "losses", "winning_score")},
            "se": "winning_score.se",
            "n": "winning_score.n",
        }
    },
}


def value_of(path, name):
    metric, _, field = name.partition(".")
    (found,) = [known for known in json.loads(path.read_text())["metrics"] if known["name"] == metric]
    return found[field or "value"]


@pytest.mark.parametrize("name", OF_BENCHMARK)
def test_every_number_of_ours_is_in_the_file_that_its_row_names(ablated, name):
    runs = [*RUNS, run_of("coin", method="random"), run_of("tenth", ratio=0.1)]
    write_win_rate(ablated, "tenth", 60.0, {})
    write.write_tables(inputs_at(ablated, runs=runs), ablated)
    traced = 0
    for row in rows_of(ablated / "tables", name):
        if row.get("kind", "runs") != "runs":
            continue
        for place, columns in OF_BENCHMARK[name].items():
            known = row[place] not in ("", "not run", "reported")
            for column, metric in columns.items():
                expected = value_of(ablated / row[place], metric) if known else None
                assert row[column] == ("" if expected is None else str(expected)) or (
                    expected is not None and float(row[column]) == float(expected)
                ), (row["run"], column)
                traced += expected is not None
    assert traced >= {"pairwise": 5}.get(name, 9)


def test_every_number_of_the_data_table_can_be_counted_again(results, written):
    for row in rows_of(written, "data"):
        if row["source"] in ("", "not run"):
            continue
        lines = [json.loads(line) for line in (results / row["source"]).open()]
        if row["kind"] in ("variant", "before_after"):
            assert int(row["records"]) == len(lines)
            mean = sum(len(line["output"]) for line in lines) / len(lines)
            assert float(row["response_characters"]) == pytest.approx(mean)
        elif row["kind"] == "outcome" and not row["outcome"].startswith("of these"):
            assert int(row["records"]) == sum(line["outcome"] == row["outcome"] for line in lines)
        elif row["kind"] == "selection" and row["outcome"] == "kept":
            kept = [line for line in lines if line["kept"] and line["branch"] == row["branch"]]
            assert int(row["records"]) == len(kept)
