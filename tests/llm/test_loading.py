"""What tells a model from another: its whole contents, or samples of them; and never how long its training took."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from srt.llm.asking import Known, Teacher
from srt.llm.loading import SAMPLE_BYTES, fingerprint, identity
from srt.llm.requests import Completion, Request, Sampling, Speaker
from srt.storage.journal import content_key
from srt.storage.trainings import CURVE, FORMAT, RECORD

# What the folder of `trained` was known by before records named a format.
OLD = "9fc3dfa7fcaa406f90cfe09325dc449f7ac586bff082e976d981e367c3222116"


def test_a_fingerprint_is_of_names_sizes_and_contents_and_not_of_times(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(bytes(10_000_000))
    seen = {fingerprint(str(folder))}
    with weights.open("r+b") as file:  # more than what lies between two samples
        file.seek(5_000_000)
        file.write(b"x" * 200_000)
    seen.add(fingerprint(str(folder)))
    weights.write_bytes(bytes(10_000_001))
    seen.add(fingerprint(str(folder)))
    weights.rename(folder / "pytorch_model.bin")
    seen.add(fingerprint(str(folder)))
    (folder / "config.json").write_bytes(b"1" * (3 * SAMPLE_BYTES))
    seen.add(fingerprint(str(folder)))
    (folder / "config.json").write_bytes(b"1" * (3 * SAMPLE_BYTES - 1) + b"2")  # a small file is read whole
    seen.add(fingerprint(str(folder)))
    assert len(seen) == 6

    (folder / ".cache").mkdir()
    (folder / ".cache/lock").touch()
    (folder / "config.json").touch()
    (tmp_path / "link").symlink_to(folder)
    assert {fingerprint(str(folder)), fingerprint(str(tmp_path / "link"))} <= seen
    assert fingerprint("owner/name") is None


def test_a_fingerprint_takes_no_longer_for_a_large_model(tmp_path: Path) -> None:
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.truncate(27_000_000_000)  # a sparse file, of which nothing is on disk
    start = time.monotonic()
    assert fingerprint(str(tmp_path))
    assert time.monotonic() - start < 1


def trained(folder: Path, seconds: float, **record: Any) -> str:
    """A model folder as finetuning leaves it, without weights to load."""
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / RECORD).write_text(json.dumps({**record, "seconds": seconds, "loss_curve": [{"loss": seconds}]}))
    for name in CURVE:
        (folder / name).write_text(f"of {seconds}")
    return str(folder)


@pytest.mark.parametrize("known_by", [lambda model: identity(model, None), fingerprint])
def test_two_trainings_to_the_same_weights_are_one_model(tmp_path: Path, known_by: Any) -> None:
    one, two = (trained(tmp_path / name, seconds, format=FORMAT) for name, seconds in (("one", 1.0), ("two", 2.5)))
    assert known_by(one) == known_by(two)
    seen = {known_by(one)}
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / "two" / name).write_bytes(b"other")
        seen.add(known_by(two))
    (tmp_path / "two" / "inside").mkdir()
    (tmp_path / "two" / "inside" / RECORD).write_text("{}")  # of no model that lies here
    assert len(seen | {known_by(two)}) == 5


def test_answers_of_a_model_folder_of_before_are_found(tmp_path: Path) -> None:
    model = trained(tmp_path / "model", 1.0)
    assert identity(model, None) == OLD
    request = Request("Q", 8, Sampling(0.0, 1.0, 1.0, 0))
    folder = tmp_path / "answers" / content_key(f"{OLD} float32")[:16]
    folder.mkdir(parents=True)
    value = Completion("said before", 2, "stop", 1).as_json()
    entry = {"key": content_key(f"{OLD} float32", request.as_json()), "value": value}
    (folder / "job.jsonl").write_text(json.dumps(entry) + "\n")

    def opened(_: Path) -> Any:
        raise AssertionError("asked again")

    known_as = Speaker("transformers", model, None, "float32", 64).identity()
    with Teacher(known_as, opened, tmp_path / "answers", "job") as asked:
        assert [answer.text for answer in asked.ask([request], "test")] == ["said before"]
    assert Known.read(tmp_path / "answers", known_as, None, batch=False).spent.requests == 1


@pytest.mark.parametrize("record", ["{", "[]", "null", '{"seconds": 1e999}'])
def test_a_record_that_cannot_be_read_is_a_file_like_others(tmp_path: Path, record: str) -> None:
    model = trained(tmp_path / "model", 1.0)
    before = identity(model, None)
    (tmp_path / "model" / RECORD).write_text(record)
    assert identity(model, None) != before
