"""The demo through a real Slurm on this machine, to the report, with three interruptions on the way.

    python tests/helpers/slurm/demo.py FOLDER    # an empty or new one; about 20 minutes; needs slurm-wlm and munge

A teacher's job is cancelled (`scancel`), one training is put back into the queue (`scontrol requeue`, as Slurm does to
a preempted job), the other runs into its time limit. Each has to go on from what was there. The profile is the shipped
one; CLUSTER says what is changed in it, CONFIG what in the demo's settings. What happened is printed and written to
FOLDER/transcript.txt.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cluster
import yaml

ROOT = Path(__file__).resolve().parents[3]
COPIED = ("workflow", "config", "profiles", "notebooks", "Snakefile", "models")
# Of this environment, which need not be on the PATH.
COMMAND = (sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--configfile", "demo.yaml")
# What this cluster has not (accounts, patience), and a GPU for every job that runs a model, which here runs on the CPU.
MODEL_RULES = (
    *("reflected", "score_shard", "finetuned", "answers", "alpaca_eval", "mt_bench", "open_llm", "pairwise"),
    *("answers_2", "judge_calibration"),
)
CLUSTER: dict[str, Any] = {
    "slurm-status-command": "squeue",
    "slurm-init-seconds-before-status-checks": 5,
    "jobs": 3,
    "latency-wait": 10,
    "set-threads": dict.fromkeys(MODEL_RULES, 1),  # of this machine's few cores
    "set-resources": {rule: {"gpu": 1} for rule in MODEL_RULES},
}
# More steps than the demo's three, which leave no middle.
RECIPE = {"epochs": 12.0, "max_steps": 18}
CONFIG = {"execution": {"device": "cpu", "save_steps": 2}, "recipes": {"demo": RECIPE}}
MANY = 4  # answers or steps: enough to be in the middle
SHOWN = "JobID:6,Partition:10,NumCPUs:6,tres-per-job:13,MinMemory:11,TimeLimit:11,State:10,RestartCnt:12,Comment:60"
WAIT_SECONDS = 2400.0
POLL_SECONDS = 0.5


class Demo:
    """The running demo: its folder, its environment, and what happened."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.checkout = folder, folder / "srt"
        self.env = {**os.environ, **cluster.environment(folder / "cluster"), "PYTHONUNBUFFERED": "1"}
        self.told: list[str] = []

    def run(self) -> None:
        """Start it, interrupt it three times, and wait for the end; then say what was there to go on from.

        Raises:
            RuntimeError: an interruption found nothing to interrupt, or the demo failed.
        """
        self.prepare()
        started = time.monotonic()
        self.note(f"$ {' '.join(COMMAND)}")
        with (self.folder / "snakemake.log").open("w") as log:
            running = subprocess.Popen(COMMAND, cwd=self.checkout, env=self.env, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.interrupt("rule_reflected_wildcards_demo_smollm2_instruction", self.answers, "scancel {job}")
            self.interrupt("rule_finetuned_wildcards_original", self.steps, "scontrol requeue {job}")
            # Slurm looks at limits twice a minute: the job goes on for a while.
            self.interrupt("rule_finetuned_wildcards_recycled", self.steps, "scontrol update JobId={job} TimeLimit=1")
            code = running.wait(WAIT_SECONDS)
        finally:
            running.kill()  # the cluster's end ends its jobs
            running.wait()
        if code:
            raise RuntimeError(f"snakemake ended with exit code {code}: see {self.folder}/snakemake.log")
        self.note(f"# exit code 0 after {(time.monotonic() - started) / 60:.0f} minutes")
        self.conclude()

    def prepare(self) -> None:
        """A checkout of its own: the shipped workflow, with the cluster's and the demo's changes."""
        self.checkout.mkdir(parents=True)
        for name in COPIED:
            if (ROOT / name).is_file():
                shutil.copy(ROOT / name, self.checkout)
            elif name == "models":
                (self.checkout / name).symlink_to(ROOT / name)
            else:
                shutil.copytree(ROOT / name, self.checkout / name)
        self.change("profiles/slurm/config.yaml", "profiles/slurm/config.yaml", CLUSTER)
        self.change("config/config.yaml", "demo.yaml", CONFIG)

    def change(self, source: str, target: str, changes: dict[str, Any]) -> None:
        """Write a YAML file with these changes."""
        found = yaml.safe_load((self.checkout / source).read_text(encoding="utf-8"))
        (self.checkout / target).write_text(yaml.safe_dump(merged(found, changes), sort_keys=False), encoding="utf-8")

    def interrupt(self, name: str, there: Callable[[str], str], command: str) -> None:
        """Wait until the job of this comment runs and has left something, then say what, and end it."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not ((job := self.running(name)) and (left := there(name))):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name}: no such job came to run and left something")
            time.sleep(POLL_SECONDS)
        self.note(f"# job {job} ({name}): {left}")
        line = command.format(job=job)
        self.note(f"$ {line}")
        subprocess.run(line.split(), env=self.env, check=True)

    def running(self, name: str) -> str:
        """The number of the running job with this comment, or nothing."""
        rows = (row.split("|") for row in self.squeue("--noheader", "--format=%i|%T|%k").splitlines())
        return next((job for job, state, comment in rows if (state, comment) == ("RUNNING", name)), "")

    def squeue(self, *options: str) -> str:
        """All jobs that Slurm knows, one a line."""
        command = ["squeue", "--states=all", "--sort=i", *options]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout

    def answers(self, _: str = "") -> str:
        """How many answers the teachers' journals hold, and whether one was asked for twice."""
        files = (self.checkout / "cache" / "teacher").rglob("*.jsonl")
        lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines(keepends=True)]
        keys = Counter(json.loads(line)["key"] for line in lines if line.endswith("\n"))
        twice = sum(count > 1 for count in keys.values())
        return f"{len(keys)} answers in the journals, {twice} asked for twice" if len(keys) > MANY else ""

    def steps(self, name: str) -> str:
        """The newest whole checkpoint of a run's training, told by the steps that its log names."""
        log = self.checkout / "logs" / "finetune" / f"{name.rpartition('_')[2]}.log"
        found = re.findall(r"finetune: (step (\d+) of \d+)", log.read_text(encoding="utf-8")) if log.exists() else []
        return f"at {found[-1][0]}" if found and MANY < int(found[-1][1]) < RECIPE["max_steps"] - MANY else ""

    def conclude(self) -> None:
        """What every interrupted job found, every job as Slurm saw it, and the last lines of the main command."""
        for run in ("original", "recycled"):
            log = (self.checkout / "logs" / "finetune" / f"{run}.log").read_text(encoding="utf-8")
            found = re.findall(r"finetune: going on .*|finetune: step \d+ of", log)[:2]
            self.note(f"# logs/finetune/{run}.log: {', then '.join(found)}")
            if "going on" not in found[0]:
                raise RuntimeError(f"{run}: expected a training that goes on, found one from its first step")
        self.note(f"# {self.answers()}")
        self.note("$ squeue --states=all")
        self.told += map(str.rstrip, self.squeue(f"--Format={SHOWN}").splitlines())
        self.note(f"$ ls {' '.join(sorted(path.name for path in (self.checkout / 'results').iterdir()))}")

    def note(self, line: str) -> None:
        """Print a line and keep it for the transcript."""
        self.told.append(f"{time.strftime('%H:%M:%S')} {line}")
        print(self.told[-1], flush=True)


def merged(found: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Maps in maps, the changes over what was found."""
    new = dict(found)
    for key, value in changes.items():
        new[key] = merged(found.get(key, {}), value) if isinstance(value, dict) else value
    return new


def main() -> int:
    """Cluster, demo, transcript; the cluster is ended whatever happens."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    demo = Demo(Path(sys.argv[1]).absolute())
    cluster.start(demo.folder / "cluster")
    try:
        demo.run()
    finally:
        cluster.stop(demo.folder / "cluster")
        (demo.folder / "transcript.txt").write_text("\n".join(demo.told) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
