"""A flag that has no effect beside the others is refused; a whole section, as the workflow gives it, may hold one."""

import itertools
import json
import shlex
from pathlib import Path

import pytest

from helpers.commands import words_of
from helpers.scores import SETTINGS, write_variants
from srt import cli
from srt.experiment.config import load
from srt.selection.registry import method_named, methods, selecting
from srt.settings import EXECUTION_FLAGS, SelectionConfig
from srt.settings.flags import as_flags
from srt.storage.files import read_records
from srt.storage.records import VARIANTS, LedgerEntry
from srt.storage.shipped import locate

FIXED = [method.name for method in methods() if method.fixed == method.name]
pytestmark = pytest.mark.usefixtures("any_path")
FLAGS = {
    "ifd_below": ["--ifd-below", "1"],
    "r_ifd_below": ["--r-ifd-below", "1"],
    "perplexity_prefers": ["--perplexity-prefers", "higher"],
    "proxy_sample": ["--proxy-sample", "9"],
    "seed": ["--seed", "0"],
    "coherence": ["--coherence", "original=c.jsonl"],
}
SCORED = {
    "selection": ["RUN_DIR"],
    "rescore": ["OUT", "--model", "M"],
    "agreement": ["OUT", "--model", "M"],
}


def test_the_issues_own_example(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pairs, scores = write_variants(tmp_path)
    rows = [json.loads(line) for line in scores["original"].read_text().splitlines()]
    scores["original"].write_text("".join(json.dumps(row | {"ifd": 1.7}) + "\n" for row in rows))
    words = ["selection", tmp_path / "run", "--pairs", f"original={pairs['original']}"]
    words += ["--scores", f"original={scores['original']}", "--method", "original", "--ratio", "0.1"]
    assert cli.main([*map(str, words), "--ifd-below", "1"]) == 2
    assert capsys.readouterr().err == "srt: --ifd-below: has no effect with --method original\n"
    assert not (tmp_path / "run").exists()
    assert cli.main([*map(str, words)]) == 0
    assert len(read_records(tmp_path / "run" / "ledger.jsonl", LedgerEntry)) == 3


@pytest.mark.parametrize("setting", FLAGS)
def test_a_setting_that_the_method_does_not_read_is_refused(called, capsys, setting):
    for command, method in itertools.product(SCORED, selecting()):
        words = [
            command,
            *SCORED[command],
            "--pairs",
            f"{method_named(method).variants[0]}=p.jsonl",
            "--method",
            method,
        ]
        used = method_named(method).uses | ({"proxy_sample"} if command == "agreement" else set())
        code = cli.main([*words, "--ratio", "0.5", *FLAGS[setting]])
        assert code == (0 if setting in used else 2), (command, method)
        said = capsys.readouterr().err
        assert said.startswith(f"srt: {FLAGS[setting][0]}: has no effect ") == (code == 2), (command, method)


@pytest.mark.parametrize("method", selecting())
def test_the_settings_that_a_method_reads_can_be_given(called, method):
    flags = [word for name in sorted(method_named(method).uses & FLAGS.keys()) for word in FLAGS[name]]
    pairs = f"{method_named(method).variants[0]}=p.jsonl"
    words = ["selection", "RUN_DIR", "--pairs", pairs, "--method", method, "--ratio", "0.5", *flags]
    assert cli.main(words) == 0
    assert called[SelectionConfig].ifd_below == SETTINGS.ifd_below


@pytest.mark.parametrize("command", SCORED)
@pytest.mark.parametrize("method", FIXED)
@pytest.mark.parametrize("flag", ["--pairs", "--scores"])
def test_a_file_of_a_variant_that_the_method_does_not_read_is_refused(called, capsys, command, method, flag):
    words = [command, *SCORED[command], "--method", method, "--ratio", "0.5"]
    words += [word for name in ("--pairs", "--scores") for word in (name, f"{method}=f.jsonl")]
    assert cli.main(words) == 0
    capsys.readouterr()
    other = next(variant for variant in VARIANTS if variant != method)
    assert cli.main([*words, flag, f"{other}=f.jsonl"]) == 2
    expected = f"srt: {flag} {other}=...: has no effect with --method {method}: expected {method}\n"
    assert capsys.readouterr().err == expected


OPENAI = ["--backend", "openai", "--base-url", "http://a/v1"]
IDLE = [
    ("reflect", ["--base-url", "http://a/v1"], "--base-url"),
    ("reflect", ["--backend", "vllm", "--base-url", "http://a/v1"], "--base-url"),
    ("reflect", [*OPENAI, "--dtype", "float32"], "--dtype"),
    ("reflect", [*OPENAI, "--revision", "main"], "--revision"),
    ("reflect", [*OPENAI, "--max-total-tokens", "99"], "--max-total-tokens"),
    ("reflect", [*OPENAI, "--device", "cpu"], "--device"),
    ("reflect", [*OPENAI, "--generation-batch", "3"], "--generation-batch"),
    ("reflect", [*OPENAI, "--server-memory-gb", "3"], "--server-memory-gb"),
    ("reflect", ["--backend", "transformers", "--server-memory-gb", "3"], "--server-memory-gb"),
    ("reflect", ["--backend", "transformers", "--batch", "100"], "--batch"),
    ("reflect", ["--backend", "auto", "--batch", "100"], "--batch"),
    ("reflect", ["--backend", "vllm", "--concurrency", "3"], "--concurrency"),
    ("reflect", ["--backend", "vllm", "--generation-batch", "3"], "--generation-batch"),
    ("reflect", [*OPENAI, "--endpoint", "t=http://b/v1"], "--endpoint"),
    ("reflect", ["--backend", "vllm", "--endpoint", "t=http://b/v1"], "--endpoint"),
    ("evaluate mt-bench", ["--endpoint", "smollm2=http://b/v1"], "--endpoint"),
    ("evaluate pairwise", ["--endpoint", "smollm2=http://b/v1"], "--endpoint"),
    ("generate", ["--temperature", "0", "--top-p", "0.5"], "--top-p"),
    ("generate", ["--temperature", "0", "--seed", "3"], "--seed"),
    ("generate", ["--backend", "vllm", "--generation-batch", "3"], "--generation-batch"),
    ("generate", ["--backend", "transformers", "--server-memory-gb", "3"], "--server-memory-gb"),
    ("score", ["--precision", "exact"], "--precision"),
    ("finetune", ["--lora-rank", "8"], "--lora-rank: has no effect with --adapter none"),
    ("evaluate open-llm", ["--concurrency", "3"], "--concurrency"),
    ("evaluate open-llm", ["--backend", "transformers", "--server-memory-gb", "3"], "--server-memory-gb"),
    ("evaluate mt-bench", ["--evaluation-batch", "3"], "--evaluation-batch"),
    ("evaluate pairwise", ["--evaluation-batch", "3"], "--evaluation-batch"),
    ("evaluate mt-bench", ["--judge", "config/judges/gpt4.yaml", "--device", "cpu"], "--device"),
    ("evaluate alpaca-eval", ["--section", "alpaca_eval_2"], "--section"),
    ("evaluate alpaca-eval", ["--outputs", "o.json"], "--outputs"),
]


@pytest.mark.parametrize(("command", "flags", "named"), IDLE)
def test_a_flag_without_effect_is_refused(called, capsys, command, flags, named):
    assert cli.main([*words_of(command), *flags]) == 2
    line = capsys.readouterr().err
    assert line.startswith("srt: ")
    assert named in line
    assert line.count("\n") == 1
    assert not called


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("reflect", OPENAI),
        ("reflect", [*OPENAI, "--batch", "100", "--concurrency", "3", "--budget", "3 requests"]),
        ("reflect", ["--backend", "transformers", "--batch", "null", "--generation-batch", "3", "--device", "cpu"]),
        ("reflect", ["--backend", "vllm-server", "--server-memory-gb", "3", "--concurrency", "3"]),
        ("reflect", ["--temperature", "0", "--top-p", "0.5"]),  # a second try is drawn by chance
        ("reflect", ["--temperature", "0.5", "--top-p", "0.5"]),
        ("generate", ["--temperature", "0", "--top-p", "1", "--seed", "0"]),
        ("generate", ["--seed", "3", "--generation-batch", "3"]),
        ("score", ["--precision", "plain"]),
        ("rescore", ["--precision", "exact"]),
        ("evaluate open-llm", ["--evaluation-batch", "3"]),
        ("evaluate mt-bench", ["--concurrency", "3", "--device", "cpu"]),
    ],
)
def test_a_flag_with_an_effect_passes(called, command, flags):
    assert cli.main([*words_of(command), *flags]) == 0
    assert called


@pytest.mark.parametrize("benchmark", ["alpaca-eval --annotations a.json", "pairwise --judgments j.jsonl"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--judge", "config/judges/smollm2.yaml"],
        ["--missing-share", "0.5"],
        ["--concurrency", "3"],
        ["--endpoint", "x=http://a/v1"],
        ["--cache", "elsewhere"],
    ],
)
def test_a_replay_asks_nobody(capsys, benchmark, flags):
    assert cli.main(["evaluate", *benchmark.split(), "out.json", *flags]) == 2
    assert f"{flags[0]}: has no effect with --" in capsys.readouterr().err


def test_a_section_has_no_effect_on_judgments_that_are_there(capsys):
    words = ["evaluate", "alpaca-eval", "--annotations", "a.json", "out.json", "--section", "alpaca_eval_2"]
    assert cli.main(words) == 2
    assert "--section: has no effect with --annotations" in capsys.readouterr().err


def test_questions_have_no_effect_on_judgments_that_are_there(capsys):
    assert cli.main(["evaluate", "pairwise", "--judgments", "j.jsonl", "out.json", "--questions", "q.json"]) == 2
    assert "--questions: has no effect with --judgments" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--split", "test"], ["--revision", "main"]])
def test_a_file_has_no_split_and_no_revision(called, capsys, tmp_path, flags):
    (tmp_path / "s.json").write_text("[]")
    assert cli.main(["prepare", str(tmp_path / "s.json"), str(tmp_path / "out.jsonl"), *flags]) == 2
    assert f"{flags[0]}: has no effect on a file" in capsys.readouterr().err
    assert cli.main(["prepare", "owner/name", str(tmp_path / "out.jsonl"), *flags]) == 0


def test_rescored_scores_have_no_effect_without_scores(called, capsys):
    words = ["selection", "RUN_DIR", "--pairs", "original=p.jsonl", "--method", "original", "--ratio", "1"]
    assert cli.main([*words, "--rescored", "r.jsonl"]) == 2
    assert "--rescored: has no effect without --scores" in capsys.readouterr().err


def test_winners_of_phase_1_are_reflected_after_it(called, capsys):
    words = ["reflect", "P", "R", "--variant", "instruction", "--model", "M", "--scores", "original=s.jsonl"]
    assert cli.main(words) == 2
    assert "--scores: has no effect with --variant instruction" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config/config.yaml", "config/paper.yaml"])
def test_a_whole_section_as_the_workflow_gives_it_may_hold_what_has_no_effect(called, name):
    config, _ = load(locate(name))
    teacher = next(iter(config.teachers.values()))
    words = [*words_of("reflect"), *shlex.split(as_flags(teacher))]
    words += shlex.split(as_flags(config.execution, only=EXECUTION_FLAGS["reflect"]))
    assert cli.main([*words, "--endpoint", "x=http://a/v1"]) == 0
    assert called[type(teacher)] == teacher
