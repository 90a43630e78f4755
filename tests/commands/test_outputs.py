"""Where commands write: devices, folders and inputs are refused before the work; a full disk names the file."""

import argparse
import contextlib
import os
import re
import resource
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from srt import cli
from srt.commands.outputs import Output
from srt.storage.atomic import leaving_nothing, replacing
from srt.storage.errors import InputError, told, writing
from srt.storage.files import write_json, write_text
from srt.storage.journal import Journal, JournalError

RECORDS = "config/demo/records.json"
PARSER = cli.build_parser()
PREPARE = ["--split", "train", "--revision", "null", "--duplicates", "keep", "--limit", "null"]


@pytest.fixture(autouse=True)
def one_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building the parser takes longer than all that is tested here."""
    monkeypatch.setattr(cli, "build_parser", lambda: PARSER)


def refused(command: list[str], capsys: pytest.CaptureFixture[str], expected: str) -> None:
    """One line that fits, exit code 2."""
    assert cli.main(command) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert re.search(expected, said), said


def node(kind: str, path: Path) -> Path:
    """Something that is no file of its own, made in the folder of a test."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "a folder":
        path.mkdir()
    elif kind == "a pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
            made.bind(path.name)
    else:
        path.symlink_to("/dev/null")
    return path


# Every command with an output that is a file, by what stands before and after it.
FILES = {
    "prepare": (["prepare", RECORDS], PREPARE),
    "reflect": (["reflect", RECORDS], ["--variant", "instruction", "--model", "m"]),
    "score": (["score", RECORDS], ["--model", "m"]),
    "gather": (["gather", RECORDS], [RECORDS]),
    "coherence": (["coherence", RECORDS], ["--model", "m"]),
    "rescore": (
        ["rescore"],
        ["--pairs", f"original={RECORDS}", "--method", "original", "--ratio", "1", "--model", "m"],
    ),
    "agreement": (
        ["agreement"],
        ["--pairs", f"original={RECORDS}", "--method", "original", "--ratio", "1", "--model", "m"],
    ),
    "generate": (["generate", RECORDS], ["--model", "m"]),
    "import reflections": (["import", "reflections", RECORDS, RECORDS], ["--variant", "instruction"]),
    "import scores": (["import", "scores", RECORDS, RECORDS], []),
    "alpaca-eval": (["evaluate", "alpaca-eval", RECORDS], []),
    "open-llm": (["evaluate", "open-llm"], ["--model", "m"]),
    "pairwise": (["evaluate", "pairwise", RECORDS, RECORDS], ["--questions", RECORDS]),
    "mt-bench": (["evaluate", "mt-bench", RECORDS], ["--questions", RECORDS]),
    "calibrate-judge": (["evaluate", "calibrate-judge", RECORDS], ["--judge", "config/judges/gpt4.yaml"]),
}
# And with one that is a folder.
FOLDERS = {
    "selection": (["selection"], ["--pairs", f"original={RECORDS}", "--method", "original", "--ratio", "1"]),
    "finetune": (["finetune", RECORDS], ["--model", "m"]),
    "import train": (["import", "train", RECORDS], []),
    "demo-model": (["demo-model"], []),
    "report tables": (["report", "tables", ".", "--out"], []),
    "report figures": (["report", "figures", ".", "--out"], []),
    "report html": (["report", "html", ".", "--out"], []),
    "report cards": (["report", "cards", ".", "--out"], []),
    "--cache": ([*FILES["score"][0], "/nowhere-near/out", "--model", "m", "--cache"], []),
    "--journal": (["reflect", RECORDS, "out", "--variant", "instruction", "--model", "m", "--journal"], []),
}


@pytest.mark.parametrize("name", FILES)
def test_a_command_never_writes_over_what_is_no_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = FILES[name]
    for kind in ("a folder", "a pipe", "a socket", "a device"):
        path = node(kind, tmp_path / kind)
        mode = path.lstat().st_mode
        refused([*before, str(path), *after], capsys, f"{path}: is {kind}: expected the name of a file")
        assert path.lstat().st_mode == mode
    refused([*before, "/dev/null", *after], capsys, "/dev/null: is a device")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    refused([*before, "", *after], capsys, r"\.: is a folder")
    (tmp_path / "file").write_text("")
    refused([*before, str(tmp_path / "file" / "x" / "y"), *after], capsys, "file is no folder")
    refused([*before, str(tmp_path / ("x" * 250)), *after], capsys, "expected a name of at most 231 bytes")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_to_write_into_is_no_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = FOLDERS[name]
    if name in ("--cache", "--journal"):
        before = [str(tmp_path / "out") if part in ("/nowhere-near/out", "out") else part for part in before]
    (tmp_path / "file").write_text("kept")
    refused([*before, str(tmp_path / "file"), *after], capsys, "is a file: expected a folder")
    refused([*before, str(tmp_path / "file" / "x"), *after], capsys, "file is no folder")
    refused([*before, "/dev/null", *after], capsys, "is a device: expected a folder")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("way", ["itself", "a link", "a hard link", "another spelling"])
def test_an_input_is_never_the_output(way: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read, out = tmp_path / "pairs.json", tmp_path / "out.json"
    read.write_text(Path(RECORDS).read_text())
    kept = read.read_text()
    if way == "a link":
        out.symlink_to(read)
    elif way == "a hard link":
        out.hardlink_to(read)
    else:
        out = read if way == "itself" else tmp_path / ".." / tmp_path.name / "pairs.json"
    refused(
        ["prepare", str(read), str(out), *PREPARE], capsys, "is read as well .source .*pairs.json.: expected another"
    )
    choice = ["--pairs", f"original={read}", "--method", "original", "--ratio", "1"]
    refused(["rescore", str(out), *choice, "--model", "m"], capsys, "is read as well .pairs ")
    assert read.read_text() == kept


def test_the_files_that_a_replay_reads_are_inputs_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.json").write_text("[]")
    command = ["evaluate", "alpaca-eval", str(tmp_path / "x.json"), "--annotations", RECORDS, "--outputs"]
    refused([*command, str(tmp_path / "x.json")], capsys, "x.json: is read as well .outputs ")


def test_what_a_step_puts_into_its_folder_is_none_of_its_inputs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.jsonl").write_text("kept")
    command = ["selection", str(tmp_path), "--pairs", f"original={tmp_path / 'train.jsonl'}"]
    refused([*command, "--method", "original", "--ratio", "1"], capsys, "train.jsonl: is read as well")
    refused(
        ["finetune", str(tmp_path / "train.jsonl"), str(tmp_path), "--model", "m"], capsys, "is replaced as a whole"
    )
    (tmp_path / "ledger.jsonl").symlink_to("/dev/null")
    command = ["selection", str(tmp_path), "--pairs", f"original={RECORDS}", "--method", "original", "--ratio", "1"]
    refused(command, capsys, "ledger.jsonl: is a device")


def test_a_link_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    target, out = tmp_path / "somebody's", tmp_path / "out.jsonl"
    target.write_text("kept")
    for points_to in (target, tmp_path / "nowhere"):
        out.unlink(missing_ok=True)
        out.symlink_to(points_to)
        assert cli.main(["prepare", RECORDS, str(out), *PREPARE]) == 0
        assert not out.is_symlink()
        assert out.stat().st_size > 1000
    assert target.read_text() == "kept"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("folder", [False, True])
def test_a_closed_folder_is_told_before_the_work(folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *arguments: False)  # who runs the tests may be root
    with pytest.raises(InputError, match=r"the folder .* is not writable"):
        Output(folder=folder).check(tmp_path / "x" / "y", {})


def test_what_writes_files_replaces_no_device_either(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a device"):
        write_text(node("a device", tmp_path / "x"), "")


@contextlib.contextmanager
def small_files(most: int) -> Iterator[None]:
    """No file may become larger: EFBIG, in the place of a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_takes_no_more_is_one_line_with_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    with small_files(2000):
        assert cli.main(["prepare", RECORDS, str(out), *PREPARE]) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    expected = "File too large: allow larger files (ulimit -f) and run again: what was finished before is kept"
    assert said == f"srt: {out}: {expected}"
    assert [path.name for path in tmp_path.iterdir()] == ["out.meta.json"]  # which is written first, and is whole


def test_figures_tables_and_journals_name_themselves(tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    from srt.plotting.save import save

    with small_files(100):
        with pytest.raises(OSError, match=r"File too large: '.*/curve\.pdf'"):
            save(Figure(), tmp_path, "curve")
        with pytest.raises(OSError, match=r"File too large: '.*/new/x\.json'"):
            write_json(tmp_path / "new" / "x.json", ["x" * 200])
        journal = Journal(tmp_path / "j" / "j.jsonl")
        with pytest.raises(JournalError, match=r"j\.jsonl: cannot be written: File too large; allow larger files"):
            journal.add("k", "x" * 200)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and "claims" not in str(path)] == ["j.jsonl"]
    assert (tmp_path / "j" / "j.jsonl").stat().st_size == 0


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_what_fails_at_the_end_of_a_write_leaves_nothing(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    write_text(tmp_path / "x", "before")
    monkeypatch.setattr(os, call, fails)
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path}/x'") as raised:
        write_text(tmp_path / "x", "after")
    assert told(raised.value).endswith("x: No space left on device: make room there and run again: what was finished "
                                       "before is kept")  # fmt: skip
    assert (tmp_path / "x").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_libraries_that_write_weights_fail_with_the_name(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    weights = {"w": torch.zeros(100_000)}
    for number, write in enumerate((save_file, torch.save)):
        partial = tmp_path / f"partial{number}"
        partial.mkdir()
        with (
            small_files(10_000),
            pytest.raises(OSError, match=f": '{tmp_path}/model'"),
            leaving_nothing(partial, tmp_path / "model"),
        ):
            write(weights, partial / "weights")
        assert not partial.exists()
    with pytest.raises(ValueError, match="another matter"), writing(tmp_path):
        raise ValueError("another matter")


def test_a_model_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    from srt.training.saving import save

    def save_model(folder: str) -> None:
        Path(folder).mkdir()
        (Path(folder) / "weights").write_bytes(bytes(5000))

    trainer = SimpleNamespace(
        args=SimpleNamespace(main_process_first=lambda desc: contextlib.nullcontext()),
        is_world_process_zero=lambda: True,
        is_fsdp_enabled=True,
        save_model=save_model,
    )
    settings = SimpleNamespace(adapter="none", dtype="float32")
    with small_files(1000), pytest.raises(OSError, match=f"File too large: '{tmp_path}/model'"):
        save(trainer, tmp_path / "model", settings, ("m", None), {"loss_curve": []})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_cannot_print_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prints = SimpleNamespace(parse_args=lambda arguments: argparse.Namespace(call=lambda args: print("x")))
    monkeypatch.setattr(cli, "build_parser", lambda: prints)
    full = Path("/dev/full").open("w")  # noqa: SIM115 (closing it fails as well)
    monkeypatch.setattr(sys, "stdout", full)
    assert cli.main([]) == 1
    assert capsys.readouterr().err.startswith("srt: a file or standard output: No space left on device")
    with contextlib.suppress(OSError):
        full.close()


def test_a_whole_file_is_in_place_when_the_context_ends(tmp_path: Path) -> None:
    with replacing(tmp_path / "a" / "b") as partial:
        partial.write_text("x")
        assert not (tmp_path / "a" / "b").exists()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]
