"""The report's words about itself: demo or evidence, deviations, cost, wall time, hashes, ledgers."""

import hashlib
import re
import subprocess

import pytest
import yaml

from helpers.results import RUNS, evaluation, inputs_at
from srt.experiment import config as settings_of
from srt.experiment import layout
from srt.report.page import deviations, evidence, ledgers, provenance
from srt.report.page.html import evaluations, write_html
from srt.storage.errors import InputError
from srt.storage.files import write_json

GPT4 = {"name": "gpt4", "version": 1, "model": "gpt-4", "revision": None}
LOCAL = {**GPT4, "name": "local", "model": "m"}


def lines(folder, found, notice=None):
    return [(line.kind, line.text) for line in evidence.standing(folder, found, notice)]


def of(n, judge, benchmark="alpaca_eval", **more):
    return evaluation(benchmark, {"win_rate": (50.0, 1.0, n)}, judge, **more)


# --- Demo or evidence ----------------------------------------------------------------------------------------------


def test_a_whole_benchmark_by_the_papers_judge_is_evidence(tmp_path):
    (evidence, paper) = lines(tmp_path, [("one", "x", of(805, GPT4)), ("two", "x", of(805, GPT4))])
    assert evidence == ("Evidence", "AlpacaEval 1.0 of one, two: all 805 questions or more, each with a verdict.")
    assert paper[0] == "The paper's"
    assert [kind for kind, _ in lines(tmp_path, [("one", "x", of(805, GPT4))], "A notice.")] == [
        *("Demo", "Demo", "The paper's")
    ]


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (of(8, GPT4), "8 of 805 questions"),
        (of(805, GPT4, missing={"unreadable": 3}), "3 without a value"),
        (of(805, LOCAL), "the judge local v1 was not calibrated"),
        (of(79, GPT4, "pairwise_x_y"), "79 of 80 questions"),
        (of(20, None, "open_llm_v1"), "20 of 26,073 questions"),
    ],
)
def test_what_is_less_is_demo_and_the_reason_is_said(tmp_path, found, why):
    ((kind, text), _) = lines(tmp_path, [("one", "x", found)])
    assert kind == "Demo"
    assert why in text


@pytest.mark.parametrize(("kappa", "kind"), [(-0.25, "Demo"), (0.6, "Evidence")])
def test_a_calibrated_judge_has_to_beat_chance(tmp_path, kappa, kind):
    metrics = {"alpaca_eval.agreement": (50.0, 1.0, 40), "alpaca_eval.kappa": (kappa, None, 40)}
    write_json(
        tmp_path / layout.CALIBRATION.format(judge="local"),
        evaluation("judge_calibration", metrics, LOCAL).model_dump(),
    )
    assert lines(tmp_path, [("one", "x", of(805, LOCAL))])[0][0] == kind


def test_without_an_evaluation_all_is_the_papers(tmp_path):
    assert lines(tmp_path, []) == [
        ("The paper's", "Nothing of ours has been evaluated yet: every number on this page is the paper's.")
    ]


@pytest.mark.slow
def test_the_first_lines_of_the_page_say_it(results, written):
    write_html(inputs_at(results), results)
    body = (results / "report.html").read_text().partition("<main>")[2]
    first = re.sub(r"<[^>]+>", " ", body[: body.index("<h1>")])
    assert "Demo" in first
    assert "6 of 805 questions" in first or "8 of 805 questions" in first
    assert "reported there and not measured here" in first


# --- Deviations ----------------------------------------------------------------------------------------------------


def test_the_papers_config_deviates_by_its_teacher_and_not_by_its_recipe(root):
    config, runs = settings_of.load(root / "config/paper.yaml")
    part, same = deviations.deviations(config, runs)
    rows = {row["topic"]: row["here"] for row in part.rows}
    assert rows["Teacher"] == "gpt: model gpt-4o-mini"
    assert {"Finetuning", "Scoring", "Selection", "Judge", "Student", "Answers to the benchmarks"} - {*same} <= {
        "Judge"  # AlpacaEval 2's judge is another one than the paper's
    }
    assert "gpt4_turbo: model" in rows.get("Judge", "gpt4_turbo: model")


def test_the_demos_deviations_are_its_settings(root):
    config, runs = settings_of.load(root / "config/config.yaml")
    part, _ = deviations.deviations(config, runs)
    rows = {row["topic"]: row["here"] for row in part.rows}
    assert "max_steps 3" in rows["Finetuning"]
    assert "learning_rate" not in rows["Finetuning"]
    assert rows["Student"].startswith("smollm2: model models/")
    assert all(row["why"] and row["paper"] for row in part.rows)
    unknown, same = deviations.deviations(None, RUNS)
    assert not same
    assert "not known: no config was given" in {row["here"] for row in unknown.rows}


def test_the_values_named_as_the_papers_are_those_of_the_papers_config(root):
    """Every value that the file compares with is a key of its section, so that a rename cannot silence it."""
    config, runs = settings_of.load(root / "config/paper.yaml")
    compared = [
        (entry, section)
        for entry in deviations.entries()
        if entry.section
        for section in deviations._sections(entry.section, config, runs).values()
    ]
    assert compared
    for entry, section in compared:
        assert entry.values.keys() <= section.model_dump().keys(), entry.topic


def test_a_broken_deviations_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(deviations, "FILE", tmp_path / "deviations.yaml")
    deviations.FILE.write_text(yaml.safe_dump([{"topic": "t", "paper": "p", "why": "w"}]))
    with pytest.raises(InputError, match=r"expected either `here`, or `section` with `values`"):
        deviations.entries.__wrapped__()


# --- How it was made -----------------------------------------------------------------------------------------------


def parts(folder, runs=RUNS):
    return {part.kind: part.rows for part in provenance.making(folder, runs)}


def test_the_teachers_cost_is_counted_once(tmp_path):
    for variant, requests in (("instruction", 10), ("both", 30)):
        spent = {"requests": requests, "prompt_tokens": 5, "completion_tokens": 7, "usd": 0.5}
        meta = {"settings": {"model": "gpt"}, "teacher_in_all": spent, "versions": {"openai": "1"}}
        write_json(tmp_path / f"data/toy/sage/{variant}.meta.json", meta)
    (row,) = parts(tmp_path)["cost"]
    assert (row["teacher"], row["requests"], row["usd"]) == ("gpt", 30, 0.5)
    assert row["source"] == "data/toy/sage/both.meta.json"
    assert parts(tmp_path)["versions"] == [{"package": "openai", "version": "1", "files": 2}]


def test_wall_time_is_summed_over_jobs_and_finetunings_is_beside_the_weights(tmp_path):
    folder = tmp_path / layout.TIMINGS / "reflect" / "toy"
    folder.mkdir(parents=True)
    for name, seconds in (("a", "1.5"), ("b", "60.25")):
        (folder / f"{name}.tsv").write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t2048\n")
    write_json(tmp_path / layout.TRAINING.format(run="recycled"), {"seconds": 12.5, "steps": 3})
    reflect, finetune = parts(tmp_path)["time"]
    assert (reflect["step"], reflect["jobs"], reflect["seconds"], reflect["longest"]) == ("reflect", 2, 61.75, 60.25)
    assert reflect["memory"] == 2.0
    assert (finetune["step"], finetune["seconds"], finetune["memory"]) == ("finetune", 12.5, None)
    for content in ("", "nothing\tat all\n", "nothing\tat all\n1\t2\n", "s\tmax_rss\nnan\t2\n"):
        (folder / "a.tsv").write_text(content)
        with pytest.raises(InputError, match=r"a.tsv: expected a benchmark file of Snakemake"):
            parts(tmp_path)


def test_every_artefact_has_its_hash(results, written):
    rows = {row["path"]: row for row in parts(results)["hashes"]}
    for path in ("data/toy/original.jsonl", "runs/recycled/ledger.jsonl", "tables/alpaca_eval.csv"):
        data = (results / path).read_bytes()
        assert (rows[path]["sha256"], rows[path]["size"]) == (hashlib.sha256(data).hexdigest(), len(data))
    assert {f"runs/{run}/evaluation/alpaca_eval.json" for run in ("base", "as_is", "recycled")} <= rows.keys()


def test_seeds_are_the_run_tables(results):
    seeds = {row["what"]: row["seed"] for row in parts(results)["seeds"]}
    assert seeds["selection and finetuning of recycled"] == 0
    assert len(seeds) == 3


@pytest.mark.slow
def test_the_commit_is_gits_word(tmp_path):
    assert provenance.commit(tmp_path / "nowhere").startswith("not known")

    def git(*arguments):
        name = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *name, *arguments], check=True, capture_output=True)

    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    assert re.fullmatch(r"[0-9a-f]{40}", provenance.commit(tmp_path))
    (tmp_path / "a").write_text("2")
    assert provenance.commit(tmp_path).endswith(", with changes that are not committed")


def test_the_ledgers_in_short_name_a_record_of_each_kind(results):
    kinds = [kind for kind in ledgers.ledgers(results, RUNS) if kind.run == "recycled"]
    assert [(kind.kept, kind.branch, kind.records, kind.share) for kind in kinds] == [
        (True, "b: reflected", 2, 50.0),
        (False, "kept_as_is", 1, 25.0),
        (False, "phase 1: no candidate", 1, 25.0),
    ]
    assert kinds[1].example == "2"
    assert kinds[0].example == min("01", key=lambda name: hashlib.sha256(name.encode()).hexdigest())


@pytest.mark.slow
def test_the_page_shows_config_commit_and_links(results, written, root):
    chosen = root / "config/config.yaml"
    write_html(inputs_at(results, file=chosen, config=settings_of.load(chosen)[0]), results)
    page = (results / "report.html").read_text()
    assert hashlib.sha256(chosen.read_bytes()).hexdigest() in page
    assert "run_table: config/demo.tsv" in page
    assert '<a href="#record-2"><code>srt explain 2</code></a>' in page
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(re.findall(r'id="([^"]+)"', page))
    assert "as lm-eval 0.4.13 draws them" in page
    assert len(evaluations(results, RUNS)) == 8
