"""Remove the lock that a killed Snakemake left in this folder, but only if no Snakemake works here any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil

from srt.storage.progress import say

LOCKS = Path(".snakemake/locks")


def owners(folder: Path) -> list[int]:
    """Process ids of the Snakemakes whose working directory is `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if any(Path(word).name == "snakemake" for word in words[:3]) and Path(process.cwd()) == folder:
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def main() -> int:
    """0 if the folder is free now; 2 with a line that says who works in it."""
    if not LOCKS.is_dir() or not any(LOCKS.iterdir()):
        return 0
    working = owners(Path.cwd())
    if working:
        say(f"srt: Snakemake (process {working[0]}) works in this folder: wait for it, or stop it, and try again")
        return 2
    say("srt: removing the lock of a Snakemake that was killed")
    command = [sys.executable, "-m", "snakemake", "--unlock", "--cores", "1"]
    return subprocess.run(command, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"}).returncode


if __name__ == "__main__":
    sys.exit(main())
