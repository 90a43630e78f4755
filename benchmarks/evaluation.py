"""What an evaluation costs beyond loading its model and asking it: imports, and loading the four benchmarks' tasks.

In a fresh process, without a model: the imports that loading a model needs anyway, then lm-eval's, then the tasks of a
suite from a local data folder, then the whole of `lm_eval.evaluate` with a stand-in for the model that answers at once
(building prompts and scoring; it grows with the items and is told apart). The last line is a JSON object; `ratio` is
imports and tasks over the 5 seconds that they may take.

    python benchmarks/evaluation.py --suite config/tasks/open_llm_v1.yaml --data ../shared/data/open_llm
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from common import ROOT

from srt.storage.shipped import locate

ALLOWED = 5.0  # seconds


class StandIn:
    """A model that finds every continuation equally likely, at once."""

    rank = 0
    world_size = 1

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        """The same answer to every request."""
        return [(-1.0, False)] * len(requests)


def measure(name: str, data: str, limit: int | None) -> dict[str, Any]:
    """Seconds of each stage, in this process, which must be fresh."""
    seconds, start = {}, time.monotonic()

    def lap(stage: str) -> None:
        nonlocal start
        seconds[stage], start = round(time.monotonic() - start, 2), time.monotonic()

    import torch  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401

    lap("a model's own imports")
    import lm_eval
    import lm_eval.evaluator  # noqa: F401
    from lm_eval.models.huggingface import HFLM  # noqa: F401

    import srt.evaluation.open_llm  # noqa: F401
    from srt.evaluation.suites import Suite, load_tasks, read_suite

    lap("imports")
    suite, where = read_suite(name)
    suite = Suite.model_validate(with_subjects_of(suite.model_dump(), Path(data)))
    tasks, _ = load_tasks(suite, data, where)
    lap("tasks")
    found = lm_eval.evaluate(StandIn(), {"tasks": tasks}, limit=limit, bootstrap_iters=0, log_samples=True)
    lap("prompts and scoring")
    items = sum(map(len, found["samples"].values()))
    return {"seconds": seconds, "tasks": len(tasks), "items": items}


def with_subjects_of(suite: dict[str, Any], data: Path) -> dict[str, Any]:
    """The suite with those subjects of MMLU that the folder has."""
    there = {f"mmlu_{path.stem.removesuffix('_test')}" for path in (data / "mmlu" / "test").glob("*_test.csv")}
    tasks = suite["benchmarks"]["mmlu"]["tasks"]
    suite["benchmarks"]["mmlu"]["tasks"] = [task for task in tasks if task in there or not there]
    return suite


def main() -> None:
    """Measure in fresh processes, and print the median of each stage and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="config/tasks/demo.yaml")
    parser.add_argument("--data", default="config/demo/items")
    parser.add_argument("--limit", type=int, default=None, help="items of each task; all where not given")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes; the fastest counts")
    parser.add_argument("--only", action="store_true", help="measure in this process (what a repeat does)")
    args = parser.parse_args()
    data = str(locate(args.data))
    if args.only:
        print(json.dumps(measure(args.suite, data, args.limit)))
        return
    flags = ["--suite", args.suite, "--data", data, "--only"]
    flags += [] if args.limit is None else ["--limit", str(args.limit)]
    found = []
    for _ in range(args.repeats):
        command = [sys.executable, str(Path(__file__).resolve()), *flags]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(found[-1]["seconds"])
    best = min(found, key=lambda one: one["seconds"]["imports"] + one["seconds"]["tasks"])
    overhead = round(best["seconds"]["imports"] + best["seconds"]["tasks"], 2)
    print(json.dumps({**best, "overhead_seconds": overhead, "allowed": ALLOWED, "ratio": round(overhead / ALLOWED, 3)}))


if __name__ == "__main__":
    main()
