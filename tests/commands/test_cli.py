"""The command line: flags and settings are each other's inverse; wrong input is one line and exit code 2."""

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from helpers.cases import changed
from helpers.commands import (
    COMMANDS,
    FUNCTIONS,
    RELEASED,
    flags_of,
    help_of,
    imported,
    sections_of,
    settings_in,
    unfolded,
)
from srt import cli
from srt.commands import flags
from srt.experiment.config import default_config, load
from srt.settings import (
    EXECUTION_FLAGS,
    Endpoint,
    EvaluateConfig,
    ExecutionConfig,
    FinetuneConfig,
    JudgeConfig,
    Price,
    ReflectConfig,
    Settings,
)
from srt.settings.flags import as_flags, flag_fields
from srt.storage.errors import InputError
from srt.storage.files import write_records
from srt.storage.records import Pair, ReflectedPair, Score, pair_id
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

pytestmark = pytest.mark.usefixtures("any_path")  # what the steps refuse; planning/test_check.py has the rest
DEMO = default_config().absolute()
CONFIGS = ("config/config.yaml", "config/alpaca64.yaml", "config/paper.yaml")
HEADER = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\n"


def sections(settings):
    """Every section of a config that can be flags, the entries of its maps and its runs included."""
    for value in settings.__dict__.values():
        for section in value.values() if isinstance(value, dict) else [value]:
            if isinstance(section, EvaluateConfig):
                yield from sections(section)
            elif isinstance(section, Settings):
                yield section


def refuse_to_read(path=None):
    raise AssertionError(f"a config file was read: {path}")


def through_flags(settings, prefix=""):
    """The settings after their way through flags and the parser; no config file may be read."""
    parser = argparse.ArgumentParser()
    flags.add_settings(parser, type(settings), prefix)
    args = parser.parse_args(shlex.split(as_flags(settings, prefix)))
    return flags.resolve(args, type(settings), refuse_to_read, prefix)


# --- Flags and settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*CONFIGS, RELEASED])
def test_every_section_comes_back_from_its_flags(name):
    config, runs = load(locate(name))
    made = imported()
    given = [entry for of in (made.reflections, made.scores) for maps in of.values() for entry in maps.values()]
    tried = [*sections(config), *runs, *given, *made.train.values()]
    assert len({type(section) for section in tried}) >= (13 if name == RELEASED else 18)
    for section in tried:
        assert flags_of(through_flags(section)) == flags_of(section)


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 2e-05, "max_steps": None},
        {"learning_rate": 1e-12, "max_steps": 10**9},
        {"warmup": 0.1 + 0.2, "epochs": 1e22, "weight_decay": 5e-324},
    ],
)
def test_numbers_and_null_come_back_exactly(changed):
    config, _ = load()
    recipe = FinetuneConfig.model_validate({**config.recipes["demo"].model_dump(), **changed})
    assert through_flags(recipe) == recipe


@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("text", ["a b/c's", "ünï/ cödé", '"quoted" $HOME;', "true", "12", "2e-05"])
def test_booleans_and_awkward_texts_come_back_exactly(flag, text):
    config, _ = load()
    teacher = next(iter(config.teachers.values())).model_copy(update={"model": text})
    execution = config.execution.model_copy(update={"keep_models": flag})
    for section in (teacher, execution):
        assert flags_of(through_flags(section)) == flags_of(section)


def words_with_all_flags(command, config):
    """The command with the flag of every setting that it reads from the config, as the workflow gives them."""
    words = [*command.split(), *COMMANDS[command].split()]
    for section, prefix in sections_of(command, config):
        words += shlex.split(as_flags(section, prefix, without=without(command)))
    keys = EXECUTION_FLAGS.get(command.split()[0], ())
    words += shlex.split(as_flags(config.execution, only=keys)) if keys else []
    if "--endpoint" in help_of(command):
        for server, endpoint in config.execution.endpoints.items():
            words += ["--endpoint", f"{server}={endpoint.base_url},{endpoint.api_key_env}"]
    return words + (["--use-teacher", next(iter(config.teachers))] if command == "reflect" else [])


def without(command):
    """Settings that are arguments of this command, not flags."""
    return ("source",) if command in ("prepare", "import train") else ()


@pytest.fixture(scope="module")
def configs():
    return [load(locate(name))[0] for name in CONFIGS]


@pytest.mark.parametrize("command", FUNCTIONS)
def test_with_all_flags_given_no_config_file_is_read(configs, monkeypatch, command):
    called = []
    monkeypatch.setattr("srt.experiment.config.load", refuse_to_read)
    monkeypatch.setattr(FUNCTIONS[command], lambda *args, **more: called.extend(unfolded(*args, *more.values())))
    for config in configs:
        called.clear()
        assert cli.main(words_with_all_flags(command, config)) == 0
        got = settings_in(called)
        for section, _ in sections_of(command, config):
            wanted = flags_of(section) | dict.fromkeys(without(command), "SOURCE")
            assert flags_of(got[type(section)]) == wanted
        if keys := EXECUTION_FLAGS.get(command.split()[0], ()):
            assert flags_of(got[ExecutionConfig], keys) == flags_of(config.execution, keys)


def test_a_flag_overrides_the_config_file(monkeypatch):
    called = []
    monkeypatch.setattr("srt.scoring.score.score", lambda *args: called.extend(unfolded(*args)))
    config, _ = load()
    words = ["--max-length", "77", "--device", "cpu", "--config", str(default_config())]
    assert cli.main(["score", "P", "S", "--model", "M", *words]) == 0
    assert config.score.model_copy(update={"max_length": 77}) in called
    assert config.execution.model_copy(update={"device": "cpu"}) in called


REFLECT = ["reflect", "P", "R", "--variant", "response", "--backend", "openai", "--model", "m"]


@pytest.mark.parametrize(
    ("words", "endpoint", "price"),
    [
        (["--base-url", "http://a/v1", "--price", "1,2"], ("http://a/v1", None), (1.0, 2.0, 1.0)),
        (["--endpoint", "x=http://x/v1", "--endpoint", "t=http://t/v1,KEY"], ("http://t/v1", "KEY"), None),
        (["--base-url", "http://a/v1", "--price", "x=9,9", "--price", "t=1,2,0.5"], ("http://a/v1", None), (1, 2, 0.5)),
    ],
)
def test_where_a_teacher_answers_and_what_it_costs(monkeypatch, words, endpoint, price):
    called = []
    monkeypatch.setattr("srt.reflection.reflect.reflect", lambda *args: called.extend(unfolded(*args)))
    monkeypatch.setattr("srt.commands.flags.named", lambda args, flag: lambda config: config.teachers["smollm2"])
    assert cli.main([*REFLECT, "--use-teacher", "t", "--journal", "J", *words]) == 0
    assert Path("J") in called
    assert Endpoint(base_url=endpoint[0], api_key_env=endpoint[1]) in called
    given = None if price is None else Price(prompt=price[0], completion=price[1], batch=price[2])
    assert [value for value in called if isinstance(value, Price)] == ([given] if given else [])


MISSPELT = [
    ("reflect --use-teacher smollm2", "--endpoint smolm2=http://b/v1", "smollm2", "'smolm2'"),
    ("reflect --use-teacher smollm2", "--price smolm2=1,2", "smollm2", "'smolm2'"),
    ("reflect", "--price smolm2=1,2 --price other=1,2", "smollm2", "'smolm2', 'other'"),
    ("evaluate mt-bench --judge JUDGE", "--endpoint jugde=http://b/v1", "judge", "'jugde'"),
    ("evaluate pairwise --judge JUDGE", "--endpoint jugde=http://b/v1", "judge", "'jugde'"),
    ("evaluate alpaca-eval --judge JUDGE", "--endpoint jugde=http://b/v1", "judge", "'jugde'"),
]


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Calls a command with a config in which the teacher and the judge have servers; the endpoints that it asks."""
    endpoints: list[Endpoint | None] = []
    values = read_yaml(locate("config/config.yaml"))
    values["teachers"]["smollm2"] = changed(values["teachers"]["smollm2"], ReflectConfig, backend="openai", model="m")
    for name in ("smollm2", "judge"):
        values["execution"]["endpoints"][name] = {"base_url": f"http://{name}/v1", "api_key_env": None}
    values["execution"]["prices"] = {"smollm2": {"prompt": 1.0, "completion": 2.0, "batch": 0.5}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    judge = changed(read_yaml(locate("config/judges/smollm2.yaml")), JudgeConfig, serve=False)
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(judge))

    def note(*args, **more):
        endpoints.extend(value for value in unfolded(*args, *more.values()) if isinstance(value, Endpoint))

    def call(command, *flags):
        name = next(name for name in FUNCTIONS if command.startswith(name))
        monkeypatch.setattr(FUNCTIONS[name], note)
        words = [*name.split(), *COMMANDS[name].split(), *command.removeprefix(name).split(), *flags]
        return cli.main([word.replace("JUDGE", str(tmp_path / "judge.yaml")) for word in words]), endpoints

    return call, tmp_path / "c.yaml"


@pytest.mark.parametrize(("command", "flags", "name", "found"), MISSPELT)
def test_a_misspelt_name_of_a_server_or_price_asks_nobody_else(asked, capsys, command, flags, name, found):
    call, config = asked
    assert call(command, "--config", str(config), *flags.split()) == (2, [])
    line = f"srt: {flags.split()[0]}: expected NAME {name!r}, found {found}"
    assert capsys.readouterr().err.splitlines()[-1] == line
    right = f"{flags} {flags.split()[0]} {name}={flags.split()[1].partition('=')[2]}"  # others beside it are allowed
    code, endpoints = call(command, "--config", str(config), *right.split())
    assert (code, len(endpoints)) == (0, 1)


@pytest.mark.parametrize("command", ["reflect --use-teacher smollm2", "evaluate mt-bench --judge JUDGE"])
def test_all_servers_of_a_config_as_the_workflow_gives_them_may_lack_the_wanted_one(asked, command):
    call, config = asked
    execution = load(config)[0].execution
    whole = shlex.split(as_flags(execution, only=EXECUTION_FLAGS[command.split()[0]]))
    code, endpoints = call(command, "--config", str(config), *whole, "--endpoint", "other=http://b/v1")
    assert (code, len(endpoints)) == (0, 1)


def test_a_price_of_somebody_needs_the_name_of_the_teacher(refused):
    line = refused(*REFLECT, "--base-url", "http://a/v1", "--price", "t=1,2")
    assert "--price: expected --use-teacher with its NAME, found 't'" in line


def test_an_endpoint_is_the_same_as_a_flag_and_in_the_config():
    for parameters in ({}, {"seed": None, "max_tokens": "max_completion_tokens"}):
        for key in (None, "KEY"):
            known = Endpoint(base_url="http://a/v1", api_key_env=key, parameters=parameters)
            assert flags._endpoint(known.as_flag(), "--endpoint") == known
    for wrong in ("seed=a b", "model=x", "messages=", "=x", "s;x="):
        with pytest.raises(InputError, match="--endpoint: parameters: expected names of parameters"):
            flags._endpoint(f"http://a/v1,{wrong}", "--endpoint")


def test_the_only_teacher_of_a_config_brings_its_server_and_price(monkeypatch, tmp_path):
    called = []
    values = read_yaml(locate("config/config.yaml"))
    values["teachers"]["smollm2"] = changed(values["teachers"]["smollm2"], ReflectConfig, backend="openai", model="m")
    values["execution"]["endpoints"] = {"smollm2": {"base_url": "http://a/v1", "api_key_env": None}}
    values["execution"]["prices"] = {"smollm2": {"prompt": 1.0, "completion": 2.0, "batch": 0.5}}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr("srt.reflection.reflect.reflect", lambda *args: called.extend(unfolded(*args)))
    assert cli.main(["reflect", "P", "R", "--variant", "both", "--config", str(tmp_path / "c.yaml")]) == 0
    assert Endpoint(base_url="http://a/v1", api_key_env=None) in called
    assert Price(prompt=1.0, completion=2.0, batch=0.5) in called


def test_a_full_or_closed_disk_is_one_line_and_code_1(monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device", "results/x.jsonl")

    monkeypatch.setattr("srt.reflection.reflect.reflect", full)
    assert cli.main(["reflect", "P", "R", "--variant", "both", "--model", "M"]) == 1
    advice = "make room there and run again: what was finished before is kept"
    assert capsys.readouterr().err == f"srt: results/x.jsonl: No space left on device: {advice}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--base-url", "localhost:8000"], "--base-url: expected an address as http"),
        (["--base-url", "http://a/v1", "--price", "cheap"], "--price: expected [NAME=]PROMPT,COMPLETION[,BATCH]"),
        (
            ["--base-url", "http://a/v1", "--price=1,-2"],
            "--price: completion: Input should be greater than or equal to 0",
        ),
        (["--base-url", "http://a/v1", "--budget", "lots"], "budget: expected as '20 USD'"),
        (["--base-url", "http://a/v1", "--budget", "5 USD"], "budget: in USD needs the teacher's price"),
        ([], "backend openai needs a server: expected --base-url"),
    ],
)
def test_a_teacher_that_cannot_be_asked_is_refused(refused, tmp_path, words, message):
    (tmp_path / "pairs.json").write_text('[{"instruction": "Name a fruit.", "output": "An apple."}]')
    place = [str(tmp_path / "pairs.json"), str(tmp_path / "out.jsonl")]
    journal = ["--journal", str(tmp_path / "journal"), "--prompts", "config/prompts/tags.yaml"]
    assert message in refused("reflect", *place, *REFLECT[3:], *journal, *words)
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--learning-rate", "fast"], "--learning-rate: Input should be a valid number"),
        (["--learning-rate", "0"], "recipe|learning_rate: Input should be greater than 0"),
        (["--global-batch", "8.5"], "--global-batch: Input should be a valid integer"),
        (["--dtype", "float64"], "--dtype: Input should be 'float32'"),
        (["--epochs", "null"], "epochs: Input should be a valid number"),
        (["--use-recipe", "none", "--config", str(DEMO)], "--use-recipe: expected one of ['demo'], found"),
        (["--use-recipe", "demo"], "--use-recipe: names a part of --config FILE, which is not given"),
    ],
)
def test_a_bad_value_of_a_flag_is_refused_by_name(refused, flags, message):
    line = refused("finetune", "TRAIN", "DIR", "--model", "M", *flags)
    assert message.split("|")[-1] in line


# --- Help ---------------------------------------------------------------------------------------------------------


def test_help_names_every_subcommand(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^\s+{command.split()[0]}\s", printed, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_subcommand_has_help_that_names_its_settings(capsys, command):
    with pytest.raises(SystemExit) as end:
        cli.main([*command.split(), "--help"])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    flat = re.sub(r"-\s+", "-", " ".join(printed.split()))  # argparse breaks lines after hyphens as well
    expected = sections_of(command, load()[0]) if command in FUNCTIONS else []
    for section, prefix in expected:
        for name, field in flag_fields(type(section)).items():
            if name == "source":  # an argument of `prepare`, not a flag
                continue
            assert f"--{prefix}{name.replace('_', '-')} " in printed
            assert field.description
            assert field.description[:40] in flat
    for name in EXECUTION_FLAGS.get(command.split()[0], ()):
        assert f"--{name.replace('_', '-')} " in printed


def test_the_help_of_every_subcommand_was_looked_at():
    parser = cli.build_parser()
    [choices] = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    assert {command.split()[0] for command in COMMANDS} == set(choices)


# --- Broken input -------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run a command that must be refused: exit code 2, one line on standard error, no file made or changed."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
        assert cli.main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1, err
        assert err.startswith("srt: ")
        assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before
        return err

    return run


@pytest.fixture
def usage_refused(capsys):
    """Run a command that the parser must refuse: exit code 2; the last line says why."""

    def run(*words):
        with pytest.raises(SystemExit) as end:
            cli.main([str(word) for word in words])
        assert end.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        return err.splitlines()[-1]

    return run


def reading(step, path):
    """The command line of a step that reads pairs, questions or answers from a file."""
    return {
        "prepare": ["prepare", path, "out.jsonl"],
        "reflect": ["reflect", path, "out.jsonl", "--variant", "response", "--model", "./model"],
        "score": ["score", path, "out.jsonl", "--model", "./model"],
        "coherence": ["coherence", path, "out.jsonl", "--model", "./model"],
        "selection": ["selection", "run", "--pairs", f"original={path}", "--method", "original", "--ratio", "1"],
        "finetune": ["finetune", path, "model-out", "--model", "./model"],
        "generate": ["generate", path, "out.jsonl", "--model", "./model"],
    }[step]


BROKEN = {
    "bad JSON": ('{"id": "a", "instruction": "x", "output": "y"}\n{"id": ', "line 2: is not JSON: "),
    "a missing field": ('{"id": "a", "instruction": "x"}\n', "output: is missing"),
    "a number where text is wanted": ('{"id": "a", "instruction": 7, "output": "y"}\n', "instruction: "),
    "an empty file": ("", "expected at least one"),
    "no object": ("7\n", "line 1: "),
}
QUESTIONS = BROKEN | {"a missing field": ('{"id": "a", "output": "x"}\n', "instruction: is missing")}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("step", ["prepare", "reflect", "score", "coherence", "selection", "finetune", "generate"])
def test_broken_records_are_refused(refused, tmp_path, step, kind):
    text, message = (QUESTIONS if step == "generate" else BROKEN)[kind]
    (tmp_path / "in.jsonl").write_text(text)
    line = refused(*reading(step, "in.jsonl"))
    assert line.startswith("srt: in.jsonl: "), line
    assert message in line, line
    if kind != "an empty file":
        assert re.match(r"srt: in\.jsonl: (line|record) \d+: ", line), line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"instruction": "x"}]', "in.json: record 0: output: is missing"),
        ('[{"instruction": "x", "output": 3}]', "in.json: record 0: output: expected text, found 3"),
        ('[{"instruction": "x", "output": "y"},]', "in.json: line 1: is not JSON: "),
        ('{"records": [{"instruction": "x", "output": "y"}]}', "in.json: expected a JSON list of records, found dict"),
        ("", "in.json: is empty, expected a JSON list of records"),
        ("[]", "in.json: no usable record among 0, expected at least one pair"),
    ],
)
def test_a_broken_json_list_is_refused(refused, tmp_path, text, message):
    (tmp_path / "in.json").write_text(text)
    assert message in refused("prepare", "in.json", "out.jsonl")


@pytest.mark.parametrize("step", ["prepare", "reflect", "score", "coherence", "selection", "finetune", "generate"])
def test_a_missing_input_file_is_refused(refused, step):
    line = refused(*reading(step, "none.jsonl"))
    assert line.startswith("srt: none.jsonl: ")
    assert "o such file" in line


@pytest.mark.slow
@pytest.mark.parametrize("model", ["./none", "none", "models/7b/none", "{}/none"])
@pytest.mark.parametrize("step", ["score", "coherence", "reflect", "finetune", "generate", "open-llm", "alpaca-eval"])
def test_a_missing_model_folder_is_refused(refused, tmp_path, step, model):
    write_records(tmp_path / "in.jsonl", [Pair(id="a", instruction="What is it?", output="It is this.")])
    model = model.format(tmp_path)
    if step == "open-llm":
        words = ["evaluate", "open-llm", "out.json", "--model", model]
    elif step == "alpaca-eval":
        question = {"id": "a", "question": "What is it?", "answer": "It.", "tokens": 1, "finish_reason": "stop"}
        (tmp_path / "answers.jsonl").write_text(json.dumps(question) + "\n")
        (tmp_path / "in.json").write_text('[{"id": "a", "instruction": "What is it?", "output": "It is this."}]')
        judge = read_yaml(locate("config/judges/smollm2.yaml")) | {"model": model}
        (tmp_path / "judge.yaml").write_text(yaml.safe_dump(judge))
        words = [
            "evaluate",
            "alpaca-eval",
            "answers.jsonl",
            "out.json",
            "--judge",
            "judge.yaml",
            "--reference",
            "in.json",
        ]
    else:
        words = reading(step, "in.jsonl")
        words[words.index("--model") + 1] = model
    line = refused(*words)
    assert line.startswith(f"srt: {model}: no such model folder")


@pytest.mark.slow
@pytest.mark.parametrize("step", ["score", "coherence", "reflect", "finetune", "generate"])
def test_a_name_that_is_neither_a_folder_nor_on_the_hub_is_refused(refused, tmp_path, monkeypatch, step):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # where no folder `models` is, this is a hub name, and the hub is away
    write_records(tmp_path / "in.jsonl", [Pair(id="a", instruction="What is it?", output="It is this.")])
    words = reading(step, "in.jsonl")
    words[words.index("--model") + 1] = "models/none"
    assert refused(*words).startswith("srt: models/none: ")


def test_a_folder_that_is_no_model_is_refused(refused, tmp_path):
    write_records(tmp_path / "in.jsonl", [Pair(id="a", instruction="What is it?", output="It is this.")])
    (tmp_path / "empty").mkdir()
    line = refused("score", "in.jsonl", "out.jsonl", "--model", "./empty")
    assert line == "srt: ./empty: is not a model folder: config.json is missing\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda values: values["score"].update(max_len=1),
            "mine.yaml: score.max_len: is not a known key",
        ),
        (lambda values: values.update(colour="red"), "mine.yaml: colour: is not a known key"),
        (lambda values: values["score"].pop("max_length"), "mine.yaml: score.max_length: is missing"),
        (lambda values: values.pop("generate"), "mine.yaml: generate: is missing"),
        (lambda values: values.update(run_table="none.tsv"), "run_table: none.tsv: no such file"),
    ],
)
def test_a_broken_config_is_refused(refused, tmp_path, change, message):
    values = read_yaml(default_config())
    change(values)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    assert message in refused("score", "P", "S", "--model", "M", "--config", "mine.yaml")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x\tdemo\tsmollm2\tsmollm2\tbest\t1\tdemo\t0\n", "runs.tsv: run 'x': method: Input should be 'none', "),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\t0\tdemo\t0\n", "runs.tsv: run 'x': ratio: Input should be greater than 0"),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\t2\tdemo\t0\n", "runs.tsv: run 'x': ratio: Input should be less than or eq"),
    ],
)
@pytest.mark.parametrize("command", ["score P S --model M --config mine.yaml", "report tables R --config mine.yaml"])
def test_a_broken_run_table_is_refused(refused, tmp_path, command, row, message):
    (tmp_path / "runs.tsv").write_text(HEADER + row)
    (tmp_path / "R").mkdir()
    values = {**read_yaml(default_config()), "run_table": "runs.tsv"}
    values["evaluate"]["pairwise"], values["report"]["compare"] = None, {}  # which name other runs
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    assert message in refused(*command.split())


@pytest.mark.parametrize("ratio", ["0", "2", "-1", "nan", "1.0001"])
def test_a_ratio_outside_of_0_to_1_is_refused(refused, ratio):
    words = ["selection", "run", "--pairs", "original=P", "--method", "original", f"--ratio={ratio}"]
    assert f"--ratio: expected a number above 0 and at most 1, found {ratio}" in refused(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("selection R --pairs original=P --method best --ratio 1", "argument --method: invalid choice: 'best' (choose"),
        ("selection R --pairs original=P --method none --ratio 1", "argument --method: invalid choice: 'none' (choose"),
        ("selection R --pairs original=P --method ifd --ratio half", "argument --ratio: invalid float value: 'half'"),
        ("selection R --pairs original=P --method ifd", "the following arguments are required: --ratio"),
        ("reflect P R --variant best", "argument --variant: invalid choice: 'best' (choose"),
        ("score P S --model M --max-len 5", "unrecognized arguments: --max-len 5"),
        ("finetune T D --model M --learning 1", "unrecognized arguments: --learning 1"),
        ("score P S", "the following arguments are required: --model"),
        ("scores P S", "invalid choice: 'scores' (choose from"),
        ("", "the following arguments are required: STEP"),
    ],
)
def test_wrong_usage_is_refused(usage_refused, words, message):
    line = usage_refused(*words.split())
    assert line.startswith("srt")
    assert message in line


@pytest.mark.parametrize("flag", ["--pairs", "--scores"])
@pytest.mark.parametrize("items", [["best=P"], ["original"], ["original="], ["original=P", "original=Q"]])
def test_files_without_a_variant_are_refused(refused, flag, items):
    words = ["selection", "run", "--pairs", "both=P"] if flag == "--scores" else ["selection", "run"]
    words += [word for item in items for word in (flag, item)]
    assert f"{flag}: expected VARIANT=FILE once per variant" in refused(*words, "--method", "original", "--ratio", "1")


# --- One record's story -------------------------------------------------------------------------------------------


def scored(record, ifd, r_ifd):
    names = ("instruction", "response", "instruction_given_response", "response_given_instruction")
    values = {f"nll_{name}": 1.0 for name in names} | {f"tokens_{name}": 9 for name in names}
    return Score(id=record, **values, ifd=ifd, r_ifd=r_ifd, truncated=[], status="scored", reason=None)


@pytest.fixture
def results(tmp_path, monkeypatch, capsys):
    """Two records through reflection, scores and selection; the second one's reflections failed."""
    monkeypatch.chdir(tmp_path)
    pairs = [Pair(id="abc1", instruction="Do it.", output="Done."), Pair(id="abc2", instruction="Go.", output="Gone.")]
    write_records(tmp_path / "results/data/demo/original.jsonl", pairs)
    words = ["selection", "results/runs/recycled", "--method", "selective", "--ratio", "1"]
    for variant, ifd in (("original", 0.5), ("instruction", 0.6), ("response", 0.8), ("both", 0.9)):
        data = "results/data/demo/" + ("original.jsonl" if variant == "original" else f"teacher/{variant}.jsonl")
        scores = data.replace("data", "scores/student", 1)
        if variant != "original":
            told = {
                "status": "reflected",
                "outcome": "clean",
                "repairs": [],
                "reason": None,
                "critique": f"The {variant} is vague.",
            }
            better = ReflectedPair(id="abc1", instruction=f"{variant}: do it.", output=f"{variant}: done.", **told)
            failed = {"status": "failed", "outcome": "cut_off", "reason": "the answer is cut off"}
            failed |= {"repairs": [], "critique": None}
            write_records(tmp_path / data, [better, ReflectedPair(**pairs[1].model_dump(), **failed)])
        write_records(tmp_path / scores, [scored("abc1", ifd, 1 - ifd), scored("abc2", ifd, 1 - ifd)])
        words += ["--pairs", f"{variant}={data}", "--scores", f"{variant}={scores}"]
    assert cli.main(words) == 0
    capsys.readouterr()
    return tmp_path / "results"


def test_explain_tells_the_whole_story(results, capsys):
    assert cli.main(["explain", "abc1"]) == 0
    story, err = capsys.readouterr()
    assert err == ""
    in_order = [
        "record abc1",
        "== data/demo/original.jsonl",
        "instruction: Do it.",
        "== data/demo/teacher/both.jsonl",
        "critique: The both is vague.",
        "output: both: done.",
        "== scores/student/demo/original.jsonl",
        "ifd 0.5000, r_ifd 0.5000",
        "== scores/student/demo/teacher/both.jsonl",
        "ifd 0.9000, r_ifd 0.1000",
        "== run recycled: kept (selected)",
        "chosen: both; instruction reflected, response reflected",
    ]
    places = [story.find(text) for text in in_order]
    assert -1 not in places, in_order[places.index(-1)]
    assert places == sorted(places)
    assert "abc2" not in story
    assert "Gone." not in story


def test_explain_takes_an_id_s_beginning_and_another_folder(results, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path.parent)
    assert cli.main(["explain", "abc2", "--results", str(results)]) == 0
    story = capsys.readouterr().out
    assert "failed: the answer is cut off" in story
    assert "== run recycled: dropped (the response was not reflected)" in story


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ("zzz", "zzz: no record of that id under results/data"),
        ("abc", "abc: is the beginning of 2 ids, expected one of ['abc1', 'abc2']"),
        (pair_id("Do it.", "", "Done."), "no record of that id"),
    ],
)
def test_explain_refuses_an_id_that_is_not_one(results, refused, record, message):
    assert message in refused("explain", record)
