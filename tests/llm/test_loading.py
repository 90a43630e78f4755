"""What tells a local model from another in its place, without reading all of it."""

import time
from pathlib import Path

from srt.llm.loading import SAMPLE_BYTES, fingerprint


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
