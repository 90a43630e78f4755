"""tests/data/golden.yaml: for each step its version, the hash of its inputs, and the hash of each output."""

import tempfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from helpers import ROOT, TESTS
from helpers.golden.digests import PICTURES, digest, near_edges
from helpers.golden.steps import IN, MODEL, OUT, STEPS, run_step
from srt.settings.step_versions import STEP_VERSIONS
from srt.storage.yaml_files import read_yaml

STORED = TESTS / "data" / "golden.yaml"
VERSIONS = "srt/settings/step_versions.py"
WRITE = "python tests/golden.py --write"
HEAD = f"""\
# What each step writes for the inputs of tests/helpers/golden/steps.py, as hashes, under its version.
# Written by `{WRITE}`, which refuses other outputs under the same version.
"""

Entry = dict[str, Any]


def found(step: str) -> Entry:
    """What a step's golden run comes to now.

    Raises:
        AssertionError: the step failed, or one of its numbers may be rounded to another digit elsewhere.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_step(step, folder)
        inputs = sha256(repr([(str(path), text) for path, text in _inputs(folder)]).encode()).hexdigest()
        of_model = STEPS[step].of_model
        outputs = {path: digest(folder / OUT / path, of_model) for path in _files(folder / OUT, PICTURES)}
        return {"version": STEP_VERSIONS[step], "inputs": inputs, "outputs": outputs, "near": _near(folder, step)}


def _inputs(folder: Path) -> list[tuple[str, str]]:
    """What a step reads, by name; of the model its specification alone: transformers writes its version beside it."""
    paths = [path for path in _files(folder / IN) if (IN / path).parts[:2] != MODEL.parts]
    return [(path, sha256((folder / IN / path).read_bytes()).hexdigest()) for path in paths]


def _files(folder: Path, without: Iterable[str] = ()) -> list[str]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.suffix not in without)
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _near(folder: Path, step: str) -> list[float]:
    paths = [folder / OUT / path for path in _files(folder / OUT)]
    return [n for path in paths if STEPS[step].of_model and "json" in path.suffix for n in near_edges(path)]


def complaint(step: str, stored: Entry | None, now: Entry) -> str | None:
    """What is wrong with a step's entry, and what to do; None where it is as stored."""
    if stored is None:
        return f"{step}: is not in {STORED.relative_to(ROOT)}: run `{WRITE}`"
    if stored["version"] != now["version"]:
        versions = f"version {now['version']} in {VERSIONS}, {stored['version']} in {STORED.relative_to(ROOT)}"
        return f"{step}: {versions}: run `{WRITE}`"
    if stored["inputs"] != now["inputs"]:
        return f"{step}: its golden inputs or its defaults are others than those stored: run `{WRITE}`"
    names = sorted({*stored["outputs"], *now["outputs"]})
    others = [name for name in names if stored["outputs"].get(name) != now["outputs"].get(name)]
    if not others:
        return None
    told = f"{', '.join(others[:3])}{' and others' if len(others) > 3 else ''}"
    return (
        f"{step}: writes something else for the same inputs under the same version ({told}): raise "
        f"STEP_VERSIONS['{step}'] in {VERSIONS}, then run `{WRITE}`; or take the change back"
    )


def is_refused(stored: Entry | None, now: Entry) -> bool:
    """Whether an entry must not be stored: other outputs, and neither version nor inputs say why."""
    same = stored is not None and all(stored[key] == now[key] for key in ("version", "inputs"))
    return same and stored["outputs"] != now["outputs"]


def read() -> dict[str, Entry]:
    return read_yaml(STORED) if STORED.exists() else {}


def write(entries: dict[str, Entry]) -> None:
    ordered = {step: entries[step] for step in STEP_VERSIONS if step in entries}
    STORED.write_text(HEAD + yaml.safe_dump(ordered, sort_keys=False), encoding="utf-8")
