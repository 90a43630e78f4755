"""Journals through what happens to them: kills, full disks, damage, and a second process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT
from srt.storage.errors import InputError
from srt.storage.journal import Journal

# Appends entries until the file-size limit of this process (as a full disk does) stops it in the middle of one.
FILLS = """
import resource, sys
from pathlib import Path
from srt.storage.journal import Journal, JournalError
journal = Journal(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    for i in range(100):
        journal.add(f"k{i}", "x" * 100)
except JournalError as error:
    print(len(journal.entries), str(error))
"""


def written(path: Path, *keys: str) -> None:
    journal = Journal(path)
    for key in keys:
        journal.add(key, {"text": key})
    journal.close()


def test_a_torn_last_line_is_cut_off_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    written(path, "k1")
    with path.open("a") as file:
        file.write('{"key": "k2", "val')  # a kill in the middle of a write
    written(path, "k3")
    assert [json.loads(line)["key"] for line in path.read_text().splitlines()] == ["k1", "k3"]
    assert "a last line of 18 bytes was torn" in capsys.readouterr().err


def test_a_torn_line_alone_longer_than_a_block_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("x" * 200_000)
    written(tmp_path / "a.jsonl", "k1")
    assert (tmp_path / "a.jsonl").read_text().count("\n") == 1


@pytest.mark.parametrize("damage", [b"\0\0\0\0\n", b"not json\n", b'{"value": 1}\n', b"[1]\n", b"\xff\xfe\n"])
def test_damage_is_skipped_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: bytes) -> None:
    path = tmp_path / "a.jsonl"
    written(path, "k1")
    path.write_bytes(path.read_bytes() + damage)
    written(path, "k2")
    journal = Journal(path)
    assert set(journal.entries) == {"k1", "k2"}
    journal.close()
    assert "1 damaged lines are skipped" in capsys.readouterr().err


@pytest.mark.slow
def test_a_full_disk_loses_the_entry_that_did_not_fit_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    command = [sys.executable, "-c", FILLS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    count, _, message = done.stdout.strip().partition(" ")
    assert "cannot be written" in message
    assert "a.jsonl" in message
    assert path.read_bytes().endswith(b"}\n")
    written(path, "after")
    journal = Journal(path)
    assert list(journal.entries) == [*(f"k{i}" for i in range(int(count))), "after"]
    journal.close()


@pytest.mark.slow
def test_a_second_process_on_one_journal_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.jsonl")
    code = "import sys; from pathlib import Path; from srt.storage.journal import Journal; Journal(Path(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(tmp_path / "a.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "InputError: " in done.stderr
    assert "another process writes this journal" in done.stderr
    with pytest.raises(InputError, match="another process writes this journal"):
        Journal(tmp_path / "a.jsonl")
    journal.close()
    Journal(tmp_path / "a.jsonl").close()  # the lock goes with its process


def test_the_journals_of_a_folder_share_their_entries(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "a.jsonl"), Journal(tmp_path / "b.jsonl")
    first.add("k1", 1)
    assert "k1" not in second
    assert second.refresh() == [1]
    assert second.refresh() == []
    with (tmp_path / "c.jsonl").open("wb") as file:
        file.write(b'{"key": "k2", "value"')  # another process in the middle of a write
        file.flush()
        assert second.refresh() == []
        file.write(b": 2}\n")
        file.flush()
        assert second.refresh() == [2]
    second.add("k3", 3)
    assert second.refresh() == []
    assert os.stat(tmp_path / "b.jsonl").st_size
    for journal in (first, second):
        journal.close()
