"""Smoke: load, score, generate through vLLM, train two steps, save and load again, on this machine's device.

Every step is a process of its own, as in the workflow, with the demo's model and records; what failed is told in its
own last words, and what depends on it is skipped. It says that the parts work together here, and nothing of quality.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from srt.prepare.demo_model import FILES, FOLDER
from srt.storage.errors import InputError
from srt.storage.files import read_records
from srt.storage.records import Score
from srt.storage.shipped import locate

STEP_SECONDS = 300.0  # what one step may take before it counts as failed; the whole takes about two minutes on a GPU
SETTINGS = "config/config.yaml"  # the demo's, for what the flags below leave out
RECORDS = "4"
LOAD = """
import sys
from srt.llm.devices import device
from srt.llm.loading import load_model
model, dtype, name = sys.argv[1:]
load_model(model, None, dtype, device(name))
"""
# In this order; what a step needs stands before it.
NEEDS = {
    "load": (),
    "score": ("load",),
    "generate": ("load",),
    "train": ("load",),
    "save": ("train",),
    "reload": ("save",),
}


@dataclass(frozen=True)
class Outcome:
    """What became of a step: its seconds, and why it failed or was skipped."""

    step: str
    state: Literal["passed", "failed", "skipped"]
    seconds: float = 0.0
    why: str = ""

    def told(self) -> str:
        """One line."""
        time_taken = f"{self.seconds:5.0f} s" if self.state != "skipped" else " " * 7
        return f"{self.step:10}{self.state:9}{time_taken}  {self.why}".rstrip()


def smoke(device: str, model: Path | None = None) -> Iterator[Outcome]:
    """The outcomes, each as soon as it is there.

    Args:
        device: `cuda` or `cpu`.
        model: the model folder; the demo's where it is not given, fetched if it is not there.
    """
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory(prefix="srt-smoke-") as scratch:
        for step, call in _steps(device, model, Path(scratch)).items():
            failed = [name for name in NEEDS[step] if outcomes[name].state != "passed"]
            outcomes[step] = Outcome(step, "skipped", why=f"needs: {failed[0]}") if failed else _timed(step, call)
            yield outcomes[step]


def _timed(step: str, call: Callable[[], None]) -> Outcome:
    start = time.monotonic()
    try:
        call()
    except InputError as error:
        return Outcome(step, "failed", time.monotonic() - start, str(error))
    return Outcome(step, "passed", time.monotonic() - start)


def _steps(device: str, given: Path | None, scratch: Path) -> dict[str, Callable[[], None]]:
    """The steps' calls; each raises InputError with what went wrong."""
    model, trained, pairs = given or Path(FOLDER), scratch / "model", scratch / "pairs.jsonl"
    dtype = "bfloat16" if device == "cuda" else "float32"  # a CPU without bfloat16 of its own takes minutes over it
    common = [
        "--config",
        str(locate(SETTINGS)),
        "--cache",
        str(scratch / "cache"),
        "--device",
        device,
        "--dtype",
        dtype,
    ]

    def load() -> None:
        if given is None and not all((model / name).is_file() for name in FILES):
            _srt("demo-model", str(model))
        _run("-c", LOAD, str(model), dtype, device)
        _srt("prepare", str(locate("config/demo/records.json")), str(pairs), "--limit", RECORDS, *common[:2])

    def score(folder: Path = model, name: str = "scores") -> None:
        out = scratch / f"{name}.jsonl"
        plain = ["--precision", "plain", "--score-compile", "off"]
        _srt("score", str(pairs), str(out), "--model", str(folder), *plain, *common)
        scores = read_records(out, Score)
        if not scores or not all(each.ifd for each in scores):
            raise InputError(f"expected {RECORDS} records with an IFD, found {scores}")

    def generate() -> None:
        questions, answers = str(locate("config/demo/questions.json")), str(scratch / "answers.jsonl")
        short = ["--backend", "vllm", "--max-new-tokens", "16"]
        _srt("generate", questions, answers, "--model", str(model), *short, *common)

    def train() -> None:
        two = ["--max-steps", "2", "--global-batch", "2", "--device-batch", "2"]
        _srt("finetune", str(pairs), str(trained), "--model", str(model), *two, *common)

    def save() -> None:
        missing = [name for name in ("config.json", "tokenizer.json") if not (trained / name).is_file()]
        if missing or not list(trained.glob("*.safetensors")):
            raise InputError(f"the saved model lacks {', '.join(missing) or 'its weights'}")

    return {
        "load": load,
        "score": score,
        "generate": generate,
        "train": train,
        "save": save,
        "reload": lambda: score(trained, "scores-of-the-trained"),
    }


def _srt(*arguments: str) -> None:
    """A subcommand, as the workflow's rules call it."""
    _run("-m", "srt.cli", *arguments)


def _run(*arguments: str) -> None:
    """A Python process of its own; InputError with its error where it fails: the first one, which caused the others."""
    try:
        done = subprocess.run(
            [sys.executable, *arguments], capture_output=True, text=True, timeout=STEP_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise InputError(f"no end after {STEP_SECONDS:.0f} s") from None
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"\b\w+(?:Error|Exception): ", line)]
        raise InputError((errors or lines[-1:] or [f"exit code {done.returncode}"])[0])
