"""A fresh clone's workflow in a folder of its own, and Snakemake in it as a subprocess."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import yaml

from helpers import ROOT
from srt.storage.yaml_files import read_yaml


def copy_of_tree(folder):
    """What Snakemake reads, without results, caches and models: a fresh clone's workflow."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("workflow", "config", "profiles", "notebooks"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy2(ROOT / name, folder / name)
    return folder


def supply(tree):
    """What the shipped configs need and do not bring: data, and a place for the published questions."""
    (tree / "data/questions").mkdir(parents=True)
    shutil.copy2(tree / "config/demo/records.json", tree / "data/alpaca.json")
    shutil.copy2(tree / "config/demo/mt_bench.jsonl", tree / "data/questions")
    for name in ("wizardlm", "vicuna", "koala", "sinstruct", "lima"):
        (tree / f"data/questions/{name}_test_set.jsonl").write_text('{"instruction": "Why?"}\n')
    return tree


def start(tree, *arguments, **more):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "any"}
    environment |= more.pop("env", {})
    command = [sys.executable, "-m", "snakemake", *arguments]
    return subprocess.Popen(command, cwd=tree, env=environment, text=True, start_new_session=True, **more)


def snakemake(tree, *arguments, **more):
    """Run Snakemake in a tree to its end: exit code, standard output, standard error."""
    process = start(tree, *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def planned(tree, *arguments, **more):
    """rule: number of jobs that a dry run would start."""
    code, out, err = snakemake(tree, "-n", *arguments, **more)
    assert code == 0, out + err
    return jobs_in(out + err)


def jobs_in(output):
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:\n")[1].partition("\n\n")[0]
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    assert counts.pop("total") == sum(counts.values())
    return counts


def edited(tree, change, source="config/config.yaml", name="changed.yaml"):
    """A copy of a config file in the tree after `change(values)`; its path."""
    values = read_yaml(tree / source)
    change(values)
    (tree / name).write_text(yaml.safe_dump(values, sort_keys=False))
    return name


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def working_in(folder):
    """Processes whose working directory is the folder and that still run, by any name."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()) == folder.resolve():
                found.append(process.pid)
    return found


def kill_all(folder):
    for pid in working_in(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def unlock(folder):
    command = [sys.executable, "-m", "srt.machine.unlock"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
