"""Every refusal of the settings: one line that names the file and the key."""

import copy
import re

import pytest
import yaml

from srt.experiment.checks import clash_findings
from srt.experiment.config import default_config, load, parse
from srt.experiment.runs import Run
from srt.experiment.table import read_runs
from srt.settings import FinetuneConfig
from srt.settings.flags import flag_text
from srt.storage.errors import InputError
from srt.storage.findings import lines_of
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

HEADER = "run\tdataset\tteacher\tstudent\tmethod\tratio\trecipe\tseed\n"
BASE = "base\t-\t-\tsmollm2\tnone\t-\t-\t-\n"
ORIGINAL = "original\tdemo\t-\tsmollm2\toriginal\t1.0\tdemo\t0\n"


@pytest.fixture
def values(tmp_path):
    """The shipped config with a run table of its own in the test's folder."""
    values = copy.deepcopy(read_yaml(default_config()))
    values["run_table"] = str(tmp_path / "runs.tsv")
    values["evaluate"]["pairwise"]["opponents"] = ["original"]
    values["report"]["compare"] = {}
    write_runs(values, BASE, ORIGINAL)
    return values


def write_runs(values, *rows):
    with open(values["run_table"], "w", encoding="utf-8") as file:
        file.write(HEADER + "".join(rows))


def at(values, section):
    """The part of a config under these keys."""
    for key in section:
        values = values[key]
    return values


def refusal(values, tmp_path):
    """The one line with which a config file of these values is refused."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError) as error:
        load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


GONE = "recipes.demo.{}: is no longer a key, leave it out: {} is always taken"


def test_the_shipped_config_is_accepted():
    config, runs = load()
    assert {run.student for run in runs} <= config.students.keys()


def test_the_fixture_is_accepted(values, tmp_path):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    _, runs = load(tmp_path / "config.yaml")
    assert [run.run for run in runs] == ["base", "original"]


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ((), "colour", "red", "colour: is not a known key"),
        (("score",), "max_len", 5, "score.max_len: is not a known key, did you mean 'max_length'?"),
        (("recipes", "demo"), "lr", 1.0, "recipes.demo.lr: is not a known key"),
        (("recipes", "demo"), "attention", "sdpa", GONE.format("attention", "PyTorch's own attention (sdpa)")),
        (
            ("recipes", "demo"),
            "kernels",
            "x",
            GONE.format("kernels", "PyTorch's own kernels (with TRL's chunked loss)"),
        ),
        (("evaluate", "open_llm", "demo"), "shots", 5, "evaluate.open_llm.demo.shots: is not a known key"),
    ],
)
def test_an_unknown_key_is_refused_by_name(values, tmp_path, section, key, value, message):
    at(values, section)[key] = value
    assert refusal(values, tmp_path) == f"{tmp_path / 'config.yaml'}: {message}"


@pytest.mark.parametrize(
    ("section", "key"),
    [((), "score"), ((), "execution"), (("generate", "sampled"), "seed"), (("recipes", "demo"), "learning_rate")],
)
def test_a_missing_key_is_refused_by_name(values, tmp_path, section, key):
    del at(values, section)[key]
    name = ".".join((*section, key))
    assert refusal(values, tmp_path) == f"{tmp_path / 'config.yaml'}: {name}: is missing"


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (("recipes", "demo"), "learning_rate", "0.00002"),
        (("recipes", "demo"), "learning_rate", "2e-5 "),
        (("recipes", "demo"), "learning_rate", float("inf")),
        (("recipes", "demo"), "global_batch", 8.5),
        (("recipes", "demo"), "dtype", "float64"),
        (("teachers", "smollm2"), "model", 7),
        (("evaluate", "calibration"), "sample", "many"),
        (("generate", "sampled"), "top_p", 0.0),
        (("score",), "max_length", True),
        (("evaluate", "open_llm", "demo"), "limit", 0),
        (("execution",), "device", "tpu"),
        (("execution",), "budget", "20 dollars"),
    ],
)
def test_a_mistyped_value_is_refused_by_name(values, tmp_path, section, key, value):
    at(values, section)[key] = value
    message = refusal(values, tmp_path)
    assert message.startswith(f"{tmp_path / 'config.yaml'}: {'.'.join((*section, key))}: ")
    assert re.search(rf"found {re.escape(repr(value))}(, did you mean '.*'\?)?$", message)


@pytest.mark.parametrize(("text", "number"), [("2e-5", 2e-5), ("1e3", 1000.0), (".5E+1", 5.0), ("2.e-5", 2e-5)])
def test_an_exponent_is_a_number_as_in_yaml_1_2(values, tmp_path, text, number):
    path = tmp_path / "config.yaml"
    whole = yaml.safe_dump(values)
    assert "learning_rate: 2.0e-05" in whole
    path.write_text(whole.replace("learning_rate: 2.0e-05", f"learning_rate: {text}"))
    of_file, _ = load(path)
    assert of_file.recipes["demo"].learning_rate == number
    of_snakemake, _ = parse(yaml.safe_load(path.read_text()), "config.yaml")  # its loader has PyYAML's texts
    assert of_snakemake == of_file


def test_a_text_that_looks_like_a_number_stays_one(values, tmp_path):
    values["students"]["smollm2"]["revision"] = "12e4567"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values).replace("12e4567", "'12e4567'"))
    assert load(tmp_path / "config.yaml")[0].students["smollm2"].revision == "12e4567"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", r"line [13]: is not YAML: key 'a' occurs twice"),
        ("a:\n  b: 1\n  b: 2\n", r"line [23]: is not YAML: key 'b' occurs twice"),
        ("a: [1, 2\nb: 3\n", r"line 2: is not YAML: "),
    ],
)
def test_malformed_yaml_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"^{path}: {message}"):
        load(path)


@pytest.mark.parametrize("text", ["null", "just text", "- 1\n- 2\n"])
def test_a_config_that_is_no_mapping_is_refused(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config\.yaml: expected keys with their values, found "):
        load(path)


def test_a_missing_config_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: no such file"):
        load(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x\tdemo\tsmollm2\tsmollm2\tbest\t1.0\tdemo\t0\n", "method: Input should be 'none', "),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\t0\tdemo\t0\n", "ratio: Input should be greater than 0, found 0.0"),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\t2\tdemo\t0\n", "ratio: Input should be less than or equal to 1, found 2.0"),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\thalf\tdemo\t0\n", "ratio: Input should be a valid number, found 'half'"),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\tnan\tdemo\t0\n", "ratio: "),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\t1.0\tdemo\t0.5\n", "seed: Input should be a valid integer, found '0.5'"),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\t1.0\tdemo\t-1\n", "seed: "),
        ("x\tdemo\tsmollm2\tsmollm2\tifd\t-\tdemo\t0\n", "method ifd needs a value in the column ratio"),
        ("x\tdemo\t-\tsmollm2\tifd\t1.0\tdemo\t0\n", "method ifd needs a value in the column teacher"),
        ("x\t-\t-\tsmollm2\toriginal\t1.0\tdemo\t0\n", "method original needs a value in the column dataset"),
        ("x\t-\tsmollm2\tsmollm2\tnone\t-\t-\t-\n", "expected '-' in the column teacher"),
        ("x\t-\t-\tsmollm2\tnone\t0.5\t-\t-\n", "expected '-' in the column ratio"),
        ("x\t-\t-\t-\tnone\t-\t-\t-\n", "student: "),
    ],
)
def test_a_bad_run_is_refused_by_row_and_column(values, tmp_path, row, message):
    write_runs(values, BASE, ORIGINAL, row)
    line = refusal(values, tmp_path)
    assert line.startswith(f"{values['run_table']}: run 'x': ")
    assert message in line


@pytest.mark.parametrize("name", ["a/b", "../up", "-x", "two words", ""])
def test_a_run_name_that_is_no_file_name_is_refused(values, tmp_path, name):
    write_runs(values, BASE, ORIGINAL, f"{name}\t-\t-\tsmollm2\tnone\t-\t-\t-\n")
    assert f"{values['run_table']}: run {name!r}: run: " in refusal(values, tmp_path)


@pytest.mark.parametrize("column", ["dataset", "teacher", "student", "recipe"])
def test_an_unknown_name_in_a_run_is_refused(values, tmp_path, column):
    row = {"run": "x", "dataset": "demo", "teacher": "smollm2", "student": "smollm2", "method": "ifd"}
    row |= {"ratio": "1.0", "recipe": "demo", "seed": "0"}
    write_runs(values, BASE, ORIGINAL, "\t".join({**row, column: "nobody"}.values()) + "\n")
    line = refusal(values, tmp_path)
    assert line.startswith(f"{values['run_table']}: run 'x': {column}: expected one of [")
    assert line.endswith("found 'nobody'")


def test_the_selected_plan_refuses_a_method_that_it_cannot_serve(values, tmp_path):
    values["responses"] = "selected"
    write_runs(values, BASE, ORIGINAL, "x\tdemo\tsmollm2\tsmollm2\tr_ifd\t1.0\tdemo\t0\n")
    line = refusal(values, tmp_path)
    assert line.startswith(f"{values['run_table']}: run 'x': method: responses 'selected' serves ")
    assert line.endswith("found 'r_ifd'")


def test_the_selected_plan_refuses_precision_that_looks_at_whole_selections(values, tmp_path):
    values["responses"] = "selected"
    values["score"].update(dtype="bfloat16", precision="exact")
    assert "score.precision: responses 'selected' decides early" in refusal(values, tmp_path)


def test_two_runs_of_one_name_are_refused(values, tmp_path):
    write_runs(values, BASE, ORIGINAL, BASE)
    assert refusal(values, tmp_path) == f"{values['run_table']}: run 'base' occurs twice, expected unique names"


def test_an_empty_run_table_is_refused(values, tmp_path):
    write_runs(values)
    message = "has no runs, expected at least one row under the header"
    assert refusal(values, tmp_path) == f"{values['run_table']}: {message}"


def test_a_missing_run_table_is_refused(values, tmp_path):
    values["run_table"] = str(tmp_path / "elsewhere")
    told = f"{tmp_path / 'config.yaml'}: run_table: {tmp_path / 'elsewhere'}: no such file"
    assert refusal(values, tmp_path).startswith(told)


def test_a_run_table_without_a_column_is_refused(tmp_path):
    path = tmp_path / "runs.tsv"
    path.write_text("run\tstudent\nbase\tsmollm2\n")
    with pytest.raises(InputError, match=r"runs\.tsv: run 'base': dataset: is missing"):
        read_runs(path)


def test_comments_in_a_run_table_are_skipped(tmp_path):
    path = tmp_path / "runs.tsv"
    path.write_text(f"# why\n{HEADER}# a row\n{BASE}")
    assert [run.run for run in read_runs(path)] == ["base"]


@pytest.mark.parametrize("benchmark", ["alpaca_eval", "pairwise"])
def test_an_unknown_judge_is_refused(values, tmp_path, benchmark):
    values["evaluate"][benchmark]["judge"] = "config/judges/nobody.yaml"
    assert f"evaluate.{benchmark}.judge: config/judges/nobody.yaml: no such file" in refusal(values, tmp_path)


def test_a_judge_without_the_form_of_its_benchmark_is_refused(values, tmp_path):
    judge = read_yaml(locate("config/judges/smollm2.yaml")) | {"pairwise": None}
    (tmp_path / "j.yaml").write_text(yaml.safe_dump(judge))
    values["evaluate"]["pairwise"]["judge"] = str(tmp_path / "j.yaml")
    assert "j.yaml is asked in the form pairwise, which is null there" in refusal(values, tmp_path)


def test_questions_that_a_benchmark_needs_must_be_there(values, tmp_path):
    values["evaluate"]["pairwise"]["questions"] = ["koala"]
    assert "questions: evaluate.pairwise needs 'koala': expected one of ['alpaca_eval', " in refusal(values, tmp_path)
    values["evaluate"]["pairwise"]["questions"] = ["alpaca_eval"]
    del values["questions"]["mt_bench"]
    assert "questions: evaluate.mt_bench needs 'mt_bench'" in refusal(values, tmp_path)


def test_a_decoding_that_is_none_is_refused(values, tmp_path):
    values["questions"]["mt_bench"]["decoding"] = "beam"
    assert "questions.mt_bench.decoding: expected one of ['sampled'], found 'beam'" in refusal(values, tmp_path)


def test_conversations_are_not_compared_pair_by_pair(values, tmp_path):
    values["evaluate"]["pairwise"]["questions"] = ["mt_bench"]
    assert "evaluate.pairwise.questions: expected questions of one turn" in refusal(values, tmp_path)


def test_a_calibration_needs_annotations(values, tmp_path):
    values["evaluate"]["calibration"]["annotations"] = []
    assert "evaluate.calibration.annotations: expected at least one file" in refusal(values, tmp_path)


def test_two_judges_of_one_name_are_refused(values, tmp_path):
    (tmp_path / "smollm2.yaml").write_text(locate("config/judges/smollm2.yaml").read_text())
    values["evaluate"]["pairwise"]["judge"] = str(tmp_path / "smollm2.yaml")
    assert "expected judges' files of different names" in refusal(values, tmp_path)


def test_names_of_questions_are_names_of_files(values, tmp_path):
    values["questions"]["my set"] = values["questions"]["mt_bench"]
    line = refusal(values, tmp_path)
    assert line.startswith(f"{tmp_path / 'config.yaml'}: questions: expected at most 80 of the letters ")
    assert line.endswith("found 'my set'")


def test_two_evaluations_of_one_name_are_refused():
    config, _ = load()
    run = {"dataset": "demo", "teacher": None, "student": "smollm2", "method": "original", "ratio": 1.0}
    runs = [Run(run=name, recipe="demo", seed=0, **run) for name in ("a", "r", "x_r")]
    pairwise = config.evaluate.pairwise.model_copy(update={"questions": ["w", "w_x"], "opponents": ["r", "x_r"]})
    evaluate = config.evaluate.model_copy(update={"pairwise": pairwise})
    lines = lines_of(clash_findings(config.model_copy(update={"evaluate": evaluate}), runs))
    assert "config/demo.tsv: run 'a': two evaluations are called 'pairwise_w_x_r': rename questions or runs" in lines


def test_an_opponent_that_is_no_run_is_refused(values, tmp_path):
    values["evaluate"]["pairwise"]["opponents"] = ["nobody"]
    assert "evaluate.pairwise.opponents: expected a run of " in refusal(values, tmp_path)


def test_a_compared_run_that_is_no_run_is_refused(values, tmp_path):
    values["report"]["compare"] = {"nobody": "Alpaca 7B"}
    line = refusal(values, tmp_path)
    assert line.startswith(f"{tmp_path / 'config.yaml'}: report.compare: ")
    assert line.endswith("found 'nobody'")


def test_values_as_snakemake_gives_them_are_parsed_alike(values):
    config, _ = parse(values, "the config")
    assert isinstance(config.recipes["demo"], FinetuneConfig)
    del values["score"]
    with pytest.raises(InputError, match=r"^the config: score: is missing$"):
        parse(values, "the config")


def test_shipped_files_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert locate("config/config.yaml").is_file()
    assert not locate("config/none.yaml").exists()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("mine")
    assert locate("config/config.yaml").read_text() == "mine"


def test_flags_write_null_and_booleans_as_yaml_does():
    assert [flag_text(value) for value in (None, True, False, 2e-5, "a b")] == ["null", "true", "false", "2e-05", "a b"]


@pytest.mark.slow
def test_importing_the_settings_imports_no_torch():
    import subprocess
    import sys

    code = "import sys, srt.experiment.config; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
