"""Settings by hand: what is not given comes from --config or from the defaults, never from the demo, and is said."""

import re
import shlex

import pytest

from helpers.commands import ASKED, FUNCTIONS, help_of, sections_of, words_of
from srt import cli
from srt.experiment.config import load
from srt.selection.registry import method_named
from srt.settings import EXECUTION_FLAGS, ExecutionConfig, OpenLlmConfig
from srt.settings.defaults import defaults, section_name
from srt.settings.flags import as_flags, flag_fields
from srt.settings.training import FullRecipe
from srt.storage.shipped import locate

pytestmark = pytest.mark.usefixtures("any_path")
DEFAULTS = defaults()


@pytest.mark.parametrize("command", FUNCTIONS)
def test_by_hand_nothing_comes_from_the_demo(called, monkeypatch, command):
    def refuse(path=None):
        raise AssertionError(f"a config file was read: {path}")

    monkeypatch.setattr("srt.experiment.config.load", refuse)
    assert cli.main(words_of(command)) == 0
    assert called


def test_by_hand_a_training_is_the_papers_recipe(called):
    assert cli.main(words_of("finetune")) == 0
    paper = load(locate("config/paper.yaml"))[0].recipes["paper"]
    assert called[FullRecipe] == paper.model_copy(update={"sharding": "none"})


def test_by_hand_an_answer_has_the_papers_length_and_the_benchmarks_are_the_benchmarks(called):
    assert cli.main(words_of("generate")) == 0
    assert called[type(load()[0].generate["sampled"])] == load(locate("config/paper.yaml"))[0].generate["paper"]
    assert cli.main(words_of("evaluate open-llm")) == 0
    assert called[OpenLlmConfig] == load(locate("config/paper.yaml"))[0].evaluate.open_llm["v1"]


@pytest.mark.parametrize("command", ASKED)
def test_what_has_no_default_is_asked_for_all_at_once(called, capsys, command):
    assert cli.main(words_of(command, with_asked=False)) == 2
    line = capsys.readouterr().err
    assert f"{', '.join(ASKED[command])}: expected as a flag, or from --config FILE" in line
    assert line.count("\n") == 1
    assert not called


@pytest.mark.parametrize("command", FUNCTIONS)
def test_what_a_step_uses_is_said_first_with_its_source(called, capsys, command):
    config, _ = load()
    section, _ = sections_of(command, config)[0]
    name, value = next(
        (name, value) for name, value in section if name in flag_fields(type(section)) and name != "source"
    )
    flag = f"--{name.replace('_', '-')}"
    words = [
        word if word != "original" else "all_outcomes" for word in words_of(command)
    ]  # which reads the filter's settings
    if flag not in words:
        words += shlex.split(as_flags(section, only=[name]))
    assert cli.main(words) == 0
    said = capsys.readouterr().err
    assert re.search(rf"^\w+ from flags: .*\b{name} ", said, re.MULTILINE)
    given = words[words.index(flag) + 1] if flag in words else value
    assert f"{name} {given}" in said
    others = set(flag_fields(type(section))) - {word[2:].replace("-", "_") for word in words if word[:2] == "--"}
    defaults = " ".join(re.findall(r"^\w+ from srt/settings/defaults.yaml: (.*)$", said, re.MULTILINE))
    others &= method_named("all_outcomes").uses if command == "selection" else others
    assert not [other for other in others - {"source"} if f"{other} " not in defaults]
    for key in EXECUTION_FLAGS.get(command.split()[0], ()):
        assert f"{key} " in said


def test_a_config_file_is_named_as_the_source_and_beats_the_defaults(called, capsys):
    words = ["--config", str(locate("config/config.yaml")), "--use-recipe", "demo", "--max-steps", "7"]
    assert cli.main([*words_of("finetune"), *words]) == 0
    demo = load()[0].recipes["demo"]
    assert called[FullRecipe] == demo.model_copy(update={"max_steps": 7})
    said = capsys.readouterr().err
    assert "finetune from flags: max_steps 7\n" in said
    assert re.search(r"finetune from .*config/config.yaml: .*global_batch 4, ", said)
    assert "defaults.yaml" not in said


def test_other_arguments_are_said_too(called, capsys):
    assert cli.main([*words_of("generate"), "--cache", "elsewhere"]) == 0
    said = capsys.readouterr().err
    assert "arguments from flags: model MODEL, cache elsewhere\n" in said
    assert "arguments by default: prompt vicuna_v1.1\n" in said
    assert cli.main(words_of("finetune")) == 0
    assert "arguments by default: seed 0, cache cache\n" in capsys.readouterr().err


def test_a_selection_says_what_its_method_reads_and_nothing_else(called, capsys):
    words = ["selection", "RUN_DIR", "--pairs", "original=p.jsonl", "--ratio", "0.5", "--method"]
    assert cli.main([*words, "original"]) == 0
    assert "selection from" not in capsys.readouterr().err
    assert cli.main([*words, "length"]) == 0
    said = capsys.readouterr().err
    assert "selection from srt/settings/defaults.yaml: ifd_below 1.0, r_ifd_below 1.0\n" in said
    assert "arguments by default: seed 0\n" in said


def test_what_is_refused_before_it_begins_is_one_line(capsys, tmp_path):
    assert cli.main(["score", str(tmp_path / "absent.json"), str(tmp_path / "out"), "--model", "M"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_name_of_the_config_file_needs_that_file(called, capsys):
    assert cli.main([*words_of("finetune"), "--use-recipe", "demo"]) == 2
    assert "--use-recipe: names a part of --config FILE, which is not given" in capsys.readouterr().err


@pytest.mark.slow
def test_the_plan_of_the_demo_says_that_it_is_the_demos(capsys):
    assert cli.main(["plan", "--json"]) == 0
    assert "no --config: the plan of the demo (config/config.yaml)" in capsys.readouterr().err


def test_the_defaults_are_valid_and_name_nothing_else():
    defaults = DEFAULTS
    sections = [section for command in FUNCTIONS for section, _ in sections_of(command, load()[0])]
    kinds = {section_name(type(section)): type(section) for section in sections}
    kinds["execution"] = ExecutionConfig
    assert set(defaults) <= set(kinds)
    for name, values in defaults.items():
        assert set(values) <= set(flag_fields(kinds[name])), name
    assert set(defaults["execution"]) == set(flag_fields(ExecutionConfig))


@pytest.mark.parametrize("command", FUNCTIONS)
def test_help_names_the_defaults(command):
    flat = re.sub(r"-\s+", "-", " ".join(help_of(command).split()))
    if command == "finetune":
        assert "(default: 2e-05)" in flat
    assert ("(no default: must be given)" in flat) == (command in ASKED)


def test_the_papers_values_and_the_defaults_agree():
    """Where the defaults differ from config/paper.yaml, this list says so."""
    paper, defaults = load(locate("config/paper.yaml"))[0], DEFAULTS
    sections = {
        **{name: getattr(paper, name) for name in ("score", "coherence", "selection")},
        "reflect": paper.teachers["gpt"],
        "finetune": paper.recipes["paper"],
        "generate": paper.generate["paper"],
        "prepare": paper.datasets["alpaca"],
    }
    differ = {
        f"{section}.{key}"
        for section, values in sections.items()
        for key, value in defaults[section].items()
        if key in type(values).model_fields and getattr(values, key) != value  # the paper's teacher is an endpoint
    }
    assert differ == {"score.precision", "reflect.backend", "reflect.pair_tokenizer", "finetune.sharding"}
