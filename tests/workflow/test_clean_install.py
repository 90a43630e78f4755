"""What an ordinary machine's first command does, from the real package index (`make test-more`)."""

import importlib.util
import json
import subprocess
import sys

import pytest
from packaging.utils import canonicalize_name

from helpers import ROOT

pytestmark = pytest.mark.more


@pytest.fixture(scope="module")
def clean():
    """The environment without pip's configuration, as the locks are resolved."""
    spec = importlib.util.spec_from_file_location("lock", ROOT / "requirements" / "lock.py")
    lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lock)
    return lock.clean_environment()


def test_make_installs_into_an_empty_folder(clean, tmp_path):
    checkout = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
    shown = subprocess.run(
        ["make", "-C", str(checkout), ".venv/.installed"], env=clean, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    assert "install: torch 2." in shown
    doctor = subprocess.run([checkout / ".venv/bin/srt", "doctor"], env=clean, check=False)
    assert doctor.returncode in (0, 2)  # 2 where there is a GPU, which this environment does not use
    subprocess.run([checkout / ".venv/bin/snakemake", "-n", "--quiet"], cwd=checkout, env=clean, check=True)


@pytest.mark.parametrize("locks", [("gpu.txt",), ("gpu.txt", "slurm.txt")])
def test_the_gpu_lock_resolves_to_itself(clean, tmp_path, locks):
    """What pip would install is the lock, whole: nothing is missing, nothing is asked for in another version."""
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += [
        "--report",
        str(report),
        *(text for name in locks for text in ("-r", str(ROOT / "requirements" / name))),
    ]
    subprocess.run(command, env=clean, check=True)
    metadata = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    found = {f"{canonicalize_name(each['name'])}=={each['version']}" for each in metadata}
    lines = [line for name in locks for line in (ROOT / "requirements" / name).read_text().splitlines()]
    assert found == {line for line in lines if not line.startswith("#")}
