"""README's commands: each is run, planned, or its flags are read, as the table says, to which a new one is added."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from snakemake.cli import get_argument_parser

from helpers import ROOT
from helpers.fake_judge import FakeJudge
from helpers.fake_teacher import KEY, MODEL, Running
from helpers.fuzz_inputs import ABOUT, PAIR
from helpers.tree import snakemake
from srt import cli
from srt.storage.files import write_json

README = (ROOT / "README.md").read_text()
PROGRAMS = ("make", "srt", "snakemake", "conda", "export", "python", "pip", "accelerate")
PLACEHOLDERS = ("STEP", "TARGET", "FILE", "NAME", "...")
ELSEWHERE = [
    ROOT / "Snakefile",
    ROOT / "environment.yml",
    *sorted((ROOT / "config").rglob("*.yaml")),
    *sorted((ROOT / "profiles").rglob("*.yaml")),
    *sorted((ROOT / "docs").glob("*.md")),
]
RUN, PLANNED, READ = "run", "planned", "read"
# What is done about each command of a block; `read` says why no more.
WHAT = {
    "make demo": (READ, "CI runs it, 10 minutes"),
    "make tables": (READ, "CI runs it; tests/workflow/test_so_far.py runs its rules"),
    "make test": (READ, "this is it"),
    "conda env create -f environment.yml && conda activate srt": (
        READ,
        "gigabytes; tests/workflow/test_conda.py reads the file",
    ),
    "export OPENAI_API_KEY=...": (READ, "a key"),
    "export SRT_TEACHER_API_KEY=...": (READ, "a key"),
    "export SERVER=gpt4_1=https://HOST/v1,OPENAI_API_KEY": (READ, "a key and a host"),
    "snakemake --cores all --configfile config/paper.yaml -n": (PLANNED, ""),
    "snakemake --cores all --configfile config/paper.yaml": (PLANNED, ""),
    "snakemake --cores all --configfile config/released.yaml": (PLANNED, ""),
    "snakemake --cores all results-released/runs/wizardlm-7b-selective/train.jsonl --configfile config/released.yaml": (
        PLANNED,
        "",
    ),
    "snakemake --workflow-profile profiles/slurm --configfile config/paper.yaml": (
        READ,
        "needs Slurm; tests/workflow/test_slurm.py runs it with stand-ins",
    ),
    "srt doctor": (READ, "its exit code is this machine's; tests/planning/test_doctor.py runs it"),
    "srt plan --config config/paper.yaml": (
        READ,
        "needs Llama 2's config from the hub; tests/planning/test_plan.py runs it",
    ),
    "srt plan --config FILE": (READ, "the same"),
    "srt reflect pairs.jsonl instruction.jsonl --variant instruction --backend openai --base-url https://HOST/v1 "
    "--model NAME --prompts config/prompts/tags.yaml --repetition-penalty 1 --max-new-tokens 2048 --concurrency 32 "
    '--journal journal --price 0.15,0.60 --budget "20 USD"': (RUN, ""),
    "srt prepare raw.json pairs.jsonl": (RUN, ""),
    "srt reflect pairs.jsonl instruction.jsonl --variant instruction --model models/smollm2-135m-instruct "
    "--prompts config/prompts/turns.yaml": (READ, "minutes on a CPU; the demo reflects with this model"),
    "srt score pairs.jsonl scores.jsonl --model models/smollm2-135m-instruct": (RUN, ""),
    "srt selection runs/mine --pairs original=pairs.jsonl --scores original=scores.jsonl --method original "
    "--ratio 0.1": (RUN, ""),
    "srt finetune runs/mine/train.jsonl runs/mine/model --model models/smollm2-135m-instruct": (
        READ,
        "the paper's recipe, minutes on a CPU; tests/training/test_finetune.py trains",
    ),
    "srt evaluate alpaca-eval --annotations published.annotations.json --outputs published.outputs.json row.json": (
        RUN,
        "",
    ),
    "srt evaluate calibrate-judge published.annotations.json calibration.json --judge config/judges/gpt4_1.yaml "
    "--endpoint $SERVER": (READ, "three forms of a judge; tests/evaluation/test_calibration.py runs it"),
    "srt evaluate mt-bench answers.jsonl row.json --questions mt.jsonl --judge config/judges/gpt4_1.yaml "
    "--endpoint $SERVER": (RUN, ""),
    "srt evaluate pairwise --judgments scores.jsonl row.json": (RUN, ""),
    "srt evaluate open-llm row.json --model models/smollm2-135m-instruct": (
        READ,
        "the hub; tests/evaluation/test_open_llm.py runs it",
    ),
    "srt explain 3f2a": (RUN, ""),
}


def blocks(text: str) -> list[str]:
    """The commands of the indented blocks, on one line each, without comments."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found = [line[4:].split("  #")[0].strip() for line in lines if line.startswith("    ")]
    return [command for command in found if re.fullmatch(rf"({'|'.join(PROGRAMS)}) [^>|]*", command)]


def in_text(text: str) -> list[str]:
    """The commands between backticks, and those that are a comment's whole line."""
    programs = "|".join(PROGRAMS)
    spans = re.findall(rf"`((?:{programs})\s[^`]*)`", text)
    return [" ".join(span.split()) for span in spans] + re.findall(rf"^\s*# ((?:{programs}) -.*)$", text, re.MULTILINE)


COMMANDS = blocks(README)
SPANS = [(path, span) for path in [ROOT / "README.md", *ELSEWHERE] for span in in_text(path.read_text())]


def test_every_command_is_known_and_none_is_left_over() -> None:
    assert sorted(set(COMMANDS)) == sorted(WHAT)
    assert all(why for how, why in WHAT.values() if how == READ)


def check_flags(command: str) -> None:
    """What a program makes of a command's words, without doing anything; AssertionError where it does not know them."""
    program, *words = shlex.split(command.split(" && ", maxsplit=1)[0])
    if program == "snakemake" and not set(words) & {"--keep-going", "-np"}:
        args = get_argument_parser().parse_args(words)
        assert len(args.configfile or []) <= 1, "a target behind --configfile is taken for a config file"
    elif program == "srt" and not any(word in PLACEHOLDERS for word in words[:2]):
        _check_srt(words)
    elif program == "make":
        targets = (ROOT / "Makefile").read_text()
        assert all(re.search(rf"^{word}:", targets, re.MULTILINE) for word in words if "=" not in word)
    elif program == "python":
        script = ROOT / words[0].replace("NAME", "score")
        assert all(f'"{word}"' in script.read_text() for word in words if word.startswith("--"))
    elif program == "pip":
        assert all((ROOT / word).exists() for word in words if word.startswith("requirements/"))


def _check_srt(words: list[str]) -> None:
    steps = [word for word in words[:2] if not word.startswith("-")]
    if len(words) <= 2 and "--help" not in words:  # a name of a step, without what it needs
        words = [*steps, "--help"]
    words = [word for word in words if word != "..."]
    code = 0
    try:
        cli.build_parser().parse_args(words)
    except SystemExit as error:
        code = error.code
    assert code == 0, words


@pytest.mark.parametrize("command", COMMANDS)
def test_the_flags_of_every_command_are_known(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    check_flags(command)


@pytest.mark.parametrize(("path", "command"), SPANS, ids=[f"{p.name}: {s}" for p, s in SPANS])
def test_so_are_those_in_texts_and_comments(path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "..." not in command:
        check_flags(command)


def test_a_target_behind_the_config_file_is_found() -> None:
    with pytest.raises(AssertionError, match="taken for a config file"):
        check_flags("snakemake --cores all --configfile config/released.yaml results/report.html")


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted({c.removesuffix(" -n") for c in COMMANDS if WHAT[c][0] == PLANNED}))
def test_the_workflows_commands_can_be_planned(command: str) -> None:
    code, out, err = snakemake(ROOT, *shlex.split(command)[1:], "-n", "--nolock")
    assert "Traceback" not in out + err
    assert code == 0 or ("paper" in command and err.splitlines()[-1].startswith("srt: ")), err[-500:]
    assert code != 0 or "This was a dry-run" in out + err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--configfile", "config/released.yaml", "config/config.yaml"],
            r"srt: --configfile: .* found also .*config\.yaml: a target stands before the flags",
        ),
        (["--config", "results=x"], r"srt: --config: expected every setting in the file of .* found also results\n"),
    ],
)
def test_settings_that_stand_in_no_one_file_are_refused(words: list[str], message: str) -> None:
    code, out, err = snakemake(ROOT, "-n", "--nolock", *words)
    assert code == 2, out + err
    assert re.search(message, err)
    assert "Traceback" not in err


@pytest.fixture
def at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_llamas: dict[str, Path]) -> Path:
    """A folder with what README's commands read."""
    monkeypatch.chdir(tmp_path)
    for name in ("config",):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "smollm2-135m-instruct").symlink_to(tiny_llamas["plain"])
    write_json(tmp_path / "raw.json", [{**PAIR, "output": f"{PAIR['output']} {number}"} for number in range(10)])
    judged = {"instruction": "x", "output_1": "a", "output_2": "b", "preference": 2, **ABOUT}
    write_json(tmp_path / "published.annotations.json", [judged])
    write_json(tmp_path / "published.outputs.json", [{"instruction": "x", "output": "b"}])
    (tmp_path / "mt.jsonl").write_text(json.dumps({"question_id": 1, "category": "c", "turns": ["a", "b"]}) + "\n")
    turns = ((1, "a"), (2, "b"))
    answers = [
        {"id": f"1/{turn}", "question": text, "answer": "x", "tokens": 1, "finish_reason": "stop"}
        for turn, text in turns
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(answer) + "\n" for answer in answers))
    (tmp_path / "results" / "data" / "toy").mkdir(parents=True)
    (tmp_path / "results" / "data" / "toy" / "original.jsonl").write_text(json.dumps({"id": "3f2a01", **PAIR}) + "\n")
    (tmp_path / "judgments.jsonl").write_text(json.dumps({"id": 1, "a_first": [8, 7], "b_first": [6, 8]}) + "\n")
    return tmp_path


def run(command: str, **replaced: str) -> None:
    """A command of README in this folder, in process."""
    assert WHAT[command][0] == RUN
    for old, new in replaced.items():
        assert old in command
        command = command.replace(old, new)
    assert cli.main(shlex.split(command)[1:]) == 0, command


def starting(words: str) -> str:
    (found,) = (command for command in WHAT if command.startswith(words) and WHAT[command][0] == RUN)
    return found


@pytest.mark.slow
def test_from_raw_data_to_a_train_file(at: Path) -> None:
    for step in ("srt prepare", "srt score", "srt selection"):
        run(starting(step))
    assert len((at / "runs/mine/train.jsonl").read_text().splitlines()) == 1
    run(starting("srt explain"))


@pytest.mark.slow
def test_recomputed_rows(at: Path) -> None:
    run(starting("srt evaluate alpaca-eval"))
    run(starting("srt evaluate pairwise"), **{"scores.jsonl": "judgments.jsonl"})
    assert json.loads((at / "row.json").read_text())["benchmark"] == "pairwise"


@pytest.mark.slow
def test_what_an_endpoint_answers(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRT_TEACHER_API_KEY", KEY)
    run(starting("srt prepare"))
    with Running() as teacher:
        run(starting("srt reflect"), **{"https://HOST/v1": teacher.base_url, "NAME": MODEL})
    assert len((at / "instruction.jsonl").read_text().splitlines()) == 10
    with FakeJudge(lambda request, count: "7") as judge:
        monkeypatch.setenv("OPENAI_API_KEY", "secret-of-the-test")
        server = f"gpt4_1={judge.endpoint.base_url},OPENAI_API_KEY"
        run(starting("srt evaluate mt-bench"), **{"$SERVER": server})
    assert json.loads((at / "row.json").read_text())["metrics"][0]["value"] == 7
