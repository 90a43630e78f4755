"""A release beside its prepared originals, the import commands on it, and what a refusal looks like."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from helpers import release as released
from helpers.preparing import PREPARE
from srt import cli
from srt.prepare.prepare import prepare
from srt.settings import PrepareConfig

VARIANTS = tuple(released.SPLITS)


class Import:
    """A release, its prepared originals, and the import commands with their flags."""

    def __init__(self, folder: Path, rows: released.Rows, **changes: Any) -> None:
        self.folder, self.release = folder, released.release(folder / "release", rows)
        source = self.release["texts/original"]
        prepare(str(source), folder / "original.jsonl", PrepareConfig(**{**PREPARE, **changes}))
        self.original = folder / "original.jsonl"

    def pairs(self, variant: str) -> Path:
        return self.original if variant == "original" else self.folder / f"{variant}.jsonl"

    def scores(self, variant: str) -> Path:
        return self.folder / f"{variant}.scores.jsonl"

    def reflections(self, variant: str, source: Path | None = None, allowed: int = 0, beside: bool = True) -> int:
        names = (["original"] + ["instruction"] * (variant == "both")) if beside else []
        words = [word for n in names for word in ("--beside", f"{n}={self.release[f'texts/{n}']}")]
        words += [word for name, column in released.TEXTS.items() for word in (f"--{name}", column)]
        place = [source or self.release[f"texts/{variant}"], self.original, self.pairs(variant)]
        words += ["--variant", variant, "--allowed-mismatches", str(allowed)]
        return cli.main(["import", "reflections", *map(str, place), *words])

    def import_scores(self, variant: str, source: Path | None = None, allowed: int = 0, beside: str = "") -> int:
        words = [word for name, column in released.COLUMNS.items() for word in (f"--{name}", column)]
        words += ["--teacher", "authors", "--allowed-mismatches", str(allowed), "--use-student", "llama"]
        words += ["--original", str(self.original)]
        words += (
            ["--pairs", f"{beside}={self.pairs(beside)}", "--scores", f"{beside}={self.scores(beside)}"]
            if beside
            else []
        )
        place = [source or self.release[f"scores/{variant}"], self.pairs(variant), self.scores(variant)]
        return cli.main(["import", "scores", *map(str, place), *words])

    def train(self, source: Path, *, records: str = "null", matched: bool = True) -> int:
        words = [word for name, column in released.TEXTS.items() for word in (f"--{name}", column)]
        words += [word for v in VARIANTS if matched for word in ("--pairs", f"{v}={self.pairs(v)}")]
        return cli.main(["import", "train", str(source), str(self.folder / "run"), *words, "--records", records])

    def all(self) -> None:
        for variant in VARIANTS[1:]:
            assert self.reflections(variant) == 0
        for variant, beside in zip(VARIANTS, ("", "original", "original", "instruction"), strict=True):
            assert self.import_scores(variant, beside=beside) == 0


@pytest.fixture
def given(tmp_path: Path) -> Import:
    return Import(tmp_path, released.some_records())


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a refused command says: one line, and no file."""

    def told(code: int, out: Path) -> str:
        err = capsys.readouterr().err
        assert code == 2, err
        *progress, last = err.splitlines()
        assert last.startswith("srt: "), err
        assert not any(said.startswith(("srt: ", "Traceback")) for said in progress), err
        assert not out.exists()
        assert not Path(str(out).replace(".jsonl", ".meta.json")).exists()
        return last.removeprefix("srt: ")

    return told


def changed(given: Import, name: str, change: Any) -> Path:
    """A copy of a file of the release after `change(rows)`."""
    from pyarrow import parquet

    rows = [row["data"] for row in parquet.read_table(given.release[name]).to_pylist()]
    return released.write(given.folder / "changed" / f"{name.replace('/', '-')}.parquet", change(rows) or rows)


def shuffle(rows: released.Rows) -> None:
    random.Random(1).shuffle(rows)
