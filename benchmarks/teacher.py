"""The teacher's window beside batches of ten with a barrier, and beside what greedy scheduling of the latencies takes.

A local OpenAI-compatible server (tests/helpers/fake_teacher.py, a process of its own) answers with heavy-tailed
latencies (log-normal, sigma 1, the same for all by their place). Ours and the barrier ask it over real HTTP with the
same client and the same journal, in turn; greedy is simulated: the next request goes to the slot that is free first.
`--memory` requests more are asked without latency, in a process of their own, for its peak memory. The last line is
JSON.

    python benchmarks/teacher.py
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from common import greedy

from srt.experiment.config import load
from srt.llm.asking import Teacher
from srt.llm.endpoint import EndpointBackend
from srt.llm.requests import Request, Sampling
from srt.llm.servers import OpenServer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from helpers.fake_teacher import KEY, MODEL, Running, latency

BATCH = 10


def barrier(latencies: Sequence[float]) -> float:
    """The same in batches that wait for their slowest."""
    return sum(max(latencies[start : start + BATCH]) for start in range(0, len(latencies), BATCH))


def requests(count: int) -> list[Request]:
    """Different requests of a usual length."""
    sampling = Sampling(0.0, 1.0, 1.0, 0)
    return [Request((("user", f"Case {i}. " + "Tell me more about it. " * 60),), 256, sampling) for i in range(count)]


def asked(base_url: str, slots: int, ask: Callable[[Teacher], Any]) -> float:
    """Seconds that `ask` takes with a teacher on that server, its first connections included."""
    execution = load()[0].execution.model_copy(update={"concurrency": slots})
    with tempfile.TemporaryDirectory() as folder:
        server = OpenServer(base_url, KEY, MODEL)
        with Teacher("t", lambda _: EndpointBackend(server, execution), Path(folder), "job") as teacher:
            start = time.monotonic()
            ask(teacher)
            return time.monotonic() - start


def measured(args: argparse.Namespace, slots: int, ask: Callable[[Teacher], Any]) -> float:
    """The same against a fresh server: the latencies begin anew."""
    with Running(median=args.median) as server:
        return asked(server.base_url, slots, ask)


def in_batches(teacher: Teacher, found: Sequence[Request]) -> None:
    """Ten at a time, and the next ten when the slowest is there."""
    for start in range(0, len(found), BATCH):
        teacher.ask(found[start : start + BATCH], "barrier")


def memory(count: int, slots: int) -> dict[str, float]:
    """Peak memory of this process after `count` requests, and its requests a second."""
    with Running() as server:
        seconds = asked(server.base_url, slots, lambda teacher: teacher.ask(requests(count), "memory"))
    return {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "per_second": count / seconds}


def main() -> None:
    """Print the three times, the two ratios and the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--median", type=float, default=0.2, help="seconds of a request at the median")
    parser.add_argument("--memory", type=int, default=10_000, help="requests of the memory's measurement")
    parser.add_argument("--only-memory", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only_memory:
        print(json.dumps(memory(args.memory, args.slots)))
        return
    latencies = [latency(args.median, place) for place in range(args.requests)]
    found = requests(args.requests)
    ours = measured(args, args.slots, lambda teacher: teacher.ask(found, "ours"))
    print(f"ours: {ours:.1f} s; greedy in simulation: {greedy(latencies, args.slots):.1f} s", flush=True)
    batches = measured(args, BATCH, lambda teacher: in_batches(teacher, found))
    print(f"batches of {BATCH}: {batches:.1f} s; in simulation {barrier(latencies):.1f} s", flush=True)
    child = [sys.executable, __file__, "--only-memory", "--memory", str(args.memory), "--slots", str(args.slots)]
    used = json.loads(subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1])
    print(f"{args.memory} requests: {used['peak_mb']:.0f} MB at most, {used['per_second']:.0f} a second", flush=True)
    result = {
        "ratio": round(batches / ours, 2),
        "over_greedy": round(ours / greedy(latencies, args.slots) - 1, 4),
        "ours_s": round(ours, 2),
        "barrier_s": round(batches, 2),
        "longest_latency_s": round(max(latencies), 2),
        **{name: round(value, 1) for name, value in used.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
