"""What a rule waits for, as far as it is here."""

from __future__ import annotations

from pathlib import Path

from helpers import ROOT
from srt.experiment import config
from srt.experiment.lookups import Experiment
from srt.planning import inputs
from srt.prepare.demo_model import FILES, FOLDER


def test_only_what_is_here_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "{x}.json").write_text("{}")
    assert inputs.present(str(tmp_path)) == [str(tmp_path / "a.json")]
    assert inputs.present(str(tmp_path / "a.json")) == [str(tmp_path / "a.json")]
    assert inputs.present("owner/on-the-hub") == []
    assert inputs.model_files("owner/on-the-hub") == []


def test_the_demo_s_model_is_waited_for_before_it_is_here() -> None:
    assert inputs.model_files(FOLDER) == [f"{FOLDER}/{name}" for name in FILES]
    assert inputs.weights(FOLDER) is None


def test_jobs_wait_for_the_models_that_they_load() -> None:
    demo = Experiment(*config.load(ROOT / "config/config.yaml"))
    model = [f"{FOLDER}/{name}" for name in FILES]
    (judge,) = demo.judges
    assert inputs.run_model_files(demo, "base") == model
    assert inputs.run_model_files(demo, "recycled") == ["results/runs/recycled/model"]
    assert inputs.run_weights(demo, "recycled") is None
    assert inputs.teacher_files(demo, "smollm2")[-len(model) :] == model
    assert inputs.judge_files(demo, judge, ["mt_bench"])[-len(model) :] == model
    paper = Experiment(*config.load(ROOT / "config/paper.yaml"))
    asked = next(iter(paper.judges))
    assert inputs.judge_files(paper, asked, ["mt_bench"]) == [asked, "config/prompts/mt_bench.yaml"]
    assert inputs.judge_weights(paper, asked) is None
