"""The registry of benchmarks: what it names is there, and an entry point that is of no use is told in one line."""

import pkgutil
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from helpers import ROOT
from srt import cli
from srt.experiment import layout
from srt.experiment.config import load
from srt.settings import EvaluateConfig, Settings, benchmarks
from srt.settings.benchmark import Benchmark
from srt.settings.evaluation import evaluate_type
from srt.settings.judge import FORMS, JudgeFile
from srt.settings.whole import config_type
from srt.storage.yaml_files import read_yaml


class JudgedConfig(Settings):
    judge: JudgeFile


JUDGED = Benchmark(
    key="other",
    title="Other",
    about="Another one.",
    command="other",
    settings=JudgedConfig,
    evaluate="x:y",
    table="x:z",
    questions="other",
)
NAMED_AS_ONE_OF_OURS = f"{__name__}:JUDGED"


@pytest.fixture
def installed(monkeypatch):
    """`installed(value)` puts an entry point beside this package's benchmarks; its object stands in this module."""
    caches = (benchmarks.benchmarks, evaluate_type, config_type)

    def install(value, name="other", found=JUDGED):
        point = EntryPoint(name, value, benchmarks.GROUP)
        monkeypatch.setattr(benchmarks, "entry_points", lambda group: [point])
        if ":" in value and found is not None:
            monkeypatch.setattr(EntryPoint, "load", lambda self: found)
        for function in caches:
            function.cache_clear()

    yield install
    monkeypatch.undo()
    for function in caches:
        function.cache_clear()


@pytest.mark.parametrize("key", benchmarks.OWN)
def test_what_a_benchmark_names_is_there(key):
    found = benchmarks.OWN[key]
    assert found.key == key
    assert key in EvaluateConfig.model_fields
    assert callable(pkgutil.resolve_name(found.evaluate))
    assert found.replay is None or callable(pkgutil.resolve_name(found.replay.evaluate))
    assert found.form is None or found.form in FORMS
    assert (found.form is not None) == found.is_judged


def test_an_evaluation_belongs_to_the_benchmark_that_makes_it():
    known = {
        "alpaca_eval": "alpaca_eval",
        "alpaca_eval_2": "alpaca_eval_2",
        "open_llm_v1": "open_llm",
        "open_llm": "open_llm",
        "pairwise_lima_base": "pairwise",
        "mt_bench": "mt_bench",
        "judge_calibration": None,
        "alpaca_eval_3": None,
    }
    found = {name: benchmarks.benchmark_of(name) for name in known}
    assert {name: each and each.key for name, each in found.items()} == known


@pytest.mark.parametrize(
    ("value", "name", "found", "told"),
    [
        ("nothing.of.the.kind:X", "other", None, "cannot be loaded: ModuleNotFoundError: No module named 'nothing'"),
        ("x:y", "other", 3, "expected a srt.settings.benchmark.Benchmark, found int"),
        ("x:y", "another", JUDGED, "expected a benchmark of the entry point's name, found 'other'"),
        ("x:y", "mt_bench", JUDGED, "expected another name: there is a benchmark 'mt_bench'"),
        ("x:y", "data", replace(JUDGED, key="data"), "expected another name: 'data' is a table or section"),
        (
            "x:y",
            "calibration",
            replace(JUDGED, key="calibration"),
            "expected another name: 'calibration' is a table or section",
        ),
        (
            "x:y",
            "pairwise_too",
            replace(JUDGED, key="pairwise_too"),
            "expected another name of its evaluations: 'pairwise_too' could be one of pairwise",
        ),
        (
            "x:y",
            "other",
            replace(JUDGED, questions=None, file="{questions}_other"),
            "expected another name of its evaluations: '{questions}_other' could be one of alpaca_eval",
        ),
    ],
)
def test_an_entry_point_of_no_use_is_told_in_one_line(installed, capsys, value, name, found, told):
    installed(value, name, found)
    assert cli.main(["plan"]) == 2
    assert capsys.readouterr().err == f"srt: entry point {name} = {value} of srt.benchmarks: {told}\n"


def test_no_other_benchmark_takes_the_place_of_a_table_or_a_section():
    ours = {*layout.tables(), *EvaluateConfig.model_fields}
    assert ours == {*benchmarks.OWN, *benchmarks.TAKEN}


def test_a_benchmark_of_another_package_has_a_section_and_a_judge_of_its_own(installed, tmp_path):
    installed("x:y")
    config, _ = load()
    assert config.evaluate.of(JUDGED) == []  # it may be left out
    values = read_yaml(ROOT / "config/config.yaml")
    values["evaluate"]["other"] = {"judge": "config/judges/smollm2.yaml"}
    read = config_type().model_validate(values).evaluate
    (section,) = read.of(JUDGED)
    assert (section.key, section.judge) == ("other", "config/judges/smollm2.yaml")
    assert [each.name for each in section.planned()] == ["other"]
    assert read.question_sets()["other"] == "other"
    assert read.judges()["config/judges/smollm2.yaml"] == {"alpaca_eval", "pairwise", "mt_bench"}
