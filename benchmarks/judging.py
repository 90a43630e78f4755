"""A pairwise evaluation beside what greedy scheduling of its judge's latencies takes: is judging limited by the judge?

A local OpenAI-compatible server (tests/helpers/fake_teacher.py, a process of its own) gives scores with heavy-tailed
latencies (log-normal, sigma 1). `srt.evaluation.pairwise.evaluate` asks about every pair in both orders, in its window;
greedy is simulated. Everything counts that the evaluation does: reading, prompts, journal, parsing, statistics, the
result. The last line is a JSON object; `ratio` is ours over greedy.

    python benchmarks/judging.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from common import ROOT, greedy

from srt.evaluation.judging import Judging
from srt.evaluation.pairwise import evaluate
from srt.evaluation.questions import read_questions
from srt.experiment.config import load
from srt.experiment.judges import read_judge
from srt.settings import Endpoint, PairwiseConfig
from srt.storage.files import write_json, write_records
from srt.storage.readers import read_json
from srt.storage.records import Answer

sys.path.insert(0, str(ROOT / "tests"))
from helpers.fake_teacher import KEY, MODEL, Running, latency

KEY_VARIABLE = "SRT_BENCHMARK_KEY"
JUDGE = "config/judges/gpt4.yaml"


def written(folder: Path, pairs: int) -> None:
    """Questions, and two models' answers of a usual length."""
    write_json(folder / "questions.json", [{"instruction": f"Question {i}: tell me more."} for i in range(pairs)])
    for name in ("ours", "theirs"):
        answers = [
            Answer(id=q.id, question=q.question, answer=f"{name}, at length. " * 60, tokens=300, finish_reason="stop")
            for q in read_questions(str(folder / "questions.json"))
        ]
        write_records(folder / f"{name}.jsonl", answers)


def measured(folder: Path, slots: int, median: float) -> float:
    """Seconds of the whole evaluation against a fresh server."""
    execution = load()[0].execution.model_copy(update={"concurrency": slots})
    settings = PairwiseConfig(questions=["benchmark"], judge=JUDGE, missing_share=0.0, opponents=[])
    judge = read_judge(JUDGE).model_copy(update={"model": MODEL})
    files = (folder / "ours.jsonl", folder / "theirs.jsonl", folder / "out.json", str(folder / "questions.json"))
    with Running(median=median) as server:
        start = time.monotonic()
        endpoint = Endpoint(base_url=server.base_url, api_key_env=KEY_VARIABLE)
        evaluate(*files, settings, Judging(judge, endpoint, execution, folder / "cache"))
        return time.monotonic() - start


def main() -> None:
    """Print both times and one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=805)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--median", type=float, default=0.2, help="seconds of a request at the median")
    args = parser.parse_args()
    os.environ[KEY_VARIABLE] = KEY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        written(folder, args.pairs)
        ours = measured(folder, args.slots, args.median)
        n = read_json(folder / "out.json")["metrics"][0]["n"]
    least = greedy([latency(args.median, place) for place in range(2 * args.pairs)], args.slots)
    print(f"{2 * args.pairs} verdicts of {n} pairs: {ours:.1f} s; greedy in simulation {least:.1f} s", flush=True)
    print(json.dumps({"ratio": round(ours / least, 3), "ours_s": round(ours, 2), "greedy_s": round(least, 2), "n": n}))


if __name__ == "__main__":
    main()
