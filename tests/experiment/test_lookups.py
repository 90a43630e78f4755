"""What the rules look up in a config with its run table, without Snakemake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers import ROOT
from helpers.cases import teacher
from srt.experiment import config
from srt.experiment.lookups import Experiment, assigned
from srt.storage.yaml_files import read_yaml

SETTINGS = "--ifd-below 1.0 --r-ifd-below 1.0"
SCORED = "results/scores/smollm2/demo"


@pytest.fixture(scope="module")
def demo() -> Experiment:
    """The demo: an untuned student, and two trained runs of which only one chooses."""
    found, runs = config.load(ROOT / "config/config.yaml")
    return Experiment(found, runs)


def changed(experiment: Experiment, run: str = "recycled", **more: Any) -> Experiment:
    """An experiment one of whose runs has other columns."""
    runs = [each.model_copy(update=more) if each.run == run else each for each in experiment.runs]
    return Experiment(experiment.config, runs)


def with_section(experiment: Experiment, section: str, **more: Any) -> Experiment:
    found = getattr(experiment.config, section).model_copy(update=more)
    return Experiment(experiment.config.model_copy(update={section: found}), experiment.runs)


def test_an_untuned_run_is_its_student_and_a_trained_one_its_own_folder(demo: Experiment) -> None:
    model = "models/smollm2-135m-instruct"
    assert (demo.model("base"), demo.model("recycled")) == (model, "results/runs/recycled/model")
    assert demo.model_flags("base") == f"--model {model} --revision null"
    assert demo.model_flags("recycled") == "--model results/runs/recycled/model --revision null"
    assert (demo.prompt("base"), demo.prompt("recycled")) == ("chat", "vicuna_v1.1")
    assert demo.untuned("recycled") is None
    with pytest.raises(ValueError, match="run 'recycled' trains nothing"):
        changed(demo, recipe=None).prompt("recycled")


def test_a_selection_reads_what_its_method_compares(demo: Experiment) -> None:
    files = demo.selection_files("recycled")
    data = ["original", "smollm2/instruction", "smollm2/response", "smollm2/both"]
    assert files == [
        *(f"results/data/demo/{name}.jsonl" for name in data),
        *(f"{SCORED}/{name}.jsonl" for name in data),
    ]
    assert demo.selection_files("original") == ["results/data/demo/original.jsonl"]
    near = changed(demo, method="coherence")
    assert near.selection_files("recycled")[-1] == "results/coherence/smollm2/demo/smollm2/both.jsonl"
    words = demo.selection_flags("recycled")
    assert words.startswith("--pairs original=results/data/demo/original.jsonl --pairs instruction=")
    assert "--scores original=results/scores/smollm2/demo/original.jsonl" in words
    assert words.endswith("--method selective --ratio 1.0")


def test_only_what_a_method_reads_is_a_setting_of_its_selection(demo: Experiment) -> None:
    assert demo.selection_settings("recycled") == SETTINGS
    assert demo.selection_rest("recycled") == "--perplexity-prefers lower --proxy-sample 200"
    assert demo.selection_settings("recycled", "proxy_sample") == f"{SETTINGS} --proxy-sample 200"
    assert demo.selection_settings("recycled", "proxy_sample") not in demo.selection_rest("recycled", "proxy_sample")


def test_a_run_is_rescored_or_compared_where_that_is_asked_for(demo: Experiment) -> None:
    assert (demo.rescored("recycled"), demo.agreement("recycled")) == ([], [])
    exact = with_section(demo, "score", dtype="bfloat16", precision="exact")
    assert exact.rescored("recycled") == ["results/runs/recycled/rescored.jsonl"]
    assert changed(demo, scorer="proxy").agreement("recycled") == ["results/runs/recycled/proxy.json"]


def test_both_is_made_from_the_instruction_s_reflection(demo: Experiment) -> None:
    assert demo.unreflected("d", "t", "both") == "results/data/d/t/instruction.jsonl"
    assert {demo.unreflected("d", "t", name) for name in ("instruction", "response")} == {
        "results/data/d/original.jsonl"
    }


def test_of_later_questions_only_what_is_drawn_otherwise_is_said(demo: Experiment) -> None:
    words = demo.question_flags(["alpaca_eval", "mt_bench"], "base")
    first, later = words.split(" --also ")
    assert first.startswith("config/demo/questions.json results/runs/base/answers/alpaca_eval.jsonl --backend ")
    assert later.startswith("config/demo/mt_bench.jsonl results/runs/base/answers/mt_bench.jsonl")
    first_of, later_of = (demo.config.generate[demo.config.questions[n].decoding] for n in ("alpaca_eval", "mt_bench"))
    differs = {f"{key}={value}" for key, value in later_of if value != getattr(first_of, key)}
    assert set(later.split()[2:]) == differs


def test_a_served_judge_has_a_model_and_texts(demo: Experiment) -> None:
    (file,) = demo.judges
    assert demo.judge_model(file) == "models/smollm2-135m-instruct"
    texts = demo.judge_texts(file, {"pairwise", "mt_bench"})
    assert texts == [file, "config/prompts/mt_bench.yaml", "config/prompts/pairwise.yaml"]
    paper, runs = config.load(ROOT / "config/paper.yaml")
    published = Experiment(paper, runs)
    assert {published.judge_model(file) for file in published.judges} == {None}


def test_a_teacher_that_is_asked_elsewhere_loads_nothing_but_whose_tokens_count(demo: Experiment) -> None:
    assert demo.teacher_models("smollm2") == ["models/smollm2-135m-instruct"]
    asked = teacher(demo.config.teachers["smollm2"], backend="openai", pair_tokenizer="owner/tokens")
    found = Experiment(demo.config.model_copy(update={"teachers": {"smollm2": asked}}), demo.runs)
    assert found.teacher_models("smollm2") == ["owner/tokens"]


def test_execution_becomes_flags_and_coherence_has_no_cache(demo: Experiment) -> None:
    assert demo.how("score").endswith("--cache cache")
    assert "--cache" not in demo.how("coherence")
    assert (demo.servers(), demo.prices()) == ("", "")
    server = {"base_url": "http://host/v1", "api_key_env": "KEY"}
    values = read_yaml(ROOT / "config/config.yaml")
    values["execution"] |= {
        "endpoints": {"far": server},
        "prices": {"far": {"prompt": 1.0, "completion": 2.0, "batch": 0.5}},
    }
    found = Experiment(*config.parse(values, "mine.yaml"))
    assert found.servers() == "--endpoint far=http://host/v1,KEY"
    assert found.prices() == "--price far=1.0,2.0,0.5"


def test_the_report_reads_every_evaluation_and_what_led_to_it(demo: Experiment) -> None:
    files = demo.report_files()
    assert files == sorted(set(files))
    below = {Path(path).relative_to("results").as_posix() for path in files}
    assert {"judges/smollm2.json", "runs/base/evaluation/alpaca_eval.json", "runs/recycled/ledger.jsonl"} <= below
    assert {"runs/base/answers/mt_bench.meta.json", "runs/base/evaluation/alpaca_eval.items.jsonl"} <= below
    assert not any(path.startswith(("runs/base/train", "runs/base/ledger")) for path in below)


def test_flags_are_quoted_for_a_shell() -> None:
    assert (
        assigned("pairs", {"original": "a b.jsonl", "both": "$x"}) == "--pairs 'original=a b.jsonl' --pairs 'both=$x'"
    )
