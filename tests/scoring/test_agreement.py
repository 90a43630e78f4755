"""A proxy beside the student that it scores for, both tiny and random."""

import json
import random
from pathlib import Path

import pytest

from helpers.scores import choice
from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.scoring.agreement import agreement
from srt.scoring.score import score
from srt.settings.job import Job
from srt.storage.files import write_records
from srt.storage.records import Pair

pytestmark = pytest.mark.slow

CONFIG, _ = load()
VARIANTS = ("original", "instruction", "response", "both")
SELECTION = CONFIG.selection.model_copy(update={"proxy_sample": 12, "ifd_below": 9.0, "r_ifd_below": 9.0})


@pytest.fixture
def pairs(tmp_path: Path) -> dict[str, Path]:
    chance = random.Random(1)
    words = ["sun", "moon", "star", "sea", "hill", "road", "bird", "tree"]
    paths = {variant: tmp_path / f"{variant}.jsonl" for variant in VARIANTS}
    for variant, path in paths.items():
        texts = [" ".join(chance.choices(words, k=chance.randint(3, 20))) for _ in range(30)]
        write_records(path, [Pair(id=f"{n:02}", instruction=f"{variant} {n}", output=t) for n, t in enumerate(texts)])
    return paths


def compared(pairs: dict[str, Path], tmp_path: Path, proxy: Path, student: Path) -> dict:
    scores = {variant: tmp_path / "proxy" / f"{variant}.jsonl" for variant in VARIANTS}
    for variant, path in pairs.items():
        score(path, ModelRef(str(proxy)), CONFIG.score, Job(scores[variant], tmp_path / "cache", CONFIG.execution))
    out = tmp_path / "proxy.json"
    by = choice("all_outcomes", 0.5, settings=SELECTION, pairs=pairs, scores=scores)
    agreement(by, ModelRef(str(student)), CONFIG.score, Job(out, tmp_path / "cache", CONFIG.execution))
    return json.loads(out.read_text())


def test_a_model_agrees_with_itself(pairs: dict[str, Path], tmp_path: Path, tiny_llamas: dict[str, Path]) -> None:
    found = compared(pairs, tmp_path, tiny_llamas["plain"], tiny_llamas["plain"])
    assert found["records"] == 12
    for variant in VARIANTS:
        assert found["spearman"][variant] == {"ifd": pytest.approx(1), "r_ifd": pytest.approx(1)}
    assert set(found["decisions"].values()) == {1.0}
    assert not list((tmp_path / "cache").glob("tmp*"))


def test_another_model_agrees_less_and_that_is_told(
    pairs: dict[str, Path], tmp_path: Path, tiny_llamas: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared(pairs, tmp_path, tiny_llamas["bos"], tiny_llamas["plain"])
    values = [value for ratios in found["spearman"].values() for value in ratios.values()]
    assert min(values) < 0.999
    assert found["proxy"] == str(tiny_llamas["bos"])
    told = capsys.readouterr().err
    assert "in place of" in told
    assert f"ifd {found['spearman']['both']['ifd']:.3f}" in told
    assert f"phase 1 {found['decisions']['phase 1']:.3f}" in told
