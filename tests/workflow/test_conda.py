"""Snakemake's --sdm conda: the environment of the rules is made, gets the lock and the checkout, and is the one used.

`conda` is a stand-in, since its channels are out of reach here: it makes the folder that Snakemake asks for, with a
`python` and an `srt` that write down what they are called with. All else is Snakemake's own.
"""

import os
import stat

import pytest

from helpers.tree import copy_of_tree, snakemake

pytestmark = pytest.mark.slow

CONDA = """#!/bin/sh
case "$1" in
  --version) echo "conda 24.9.2" ;;
  info) echo '{"conda_prefix": "PREFIX", "platform": "linux-64"}' ;;
  config) echo '{"get": {"channel_priority": "strict"}}' ;;
  env)
    for prefix; do :; done
    mkdir -p "$prefix/bin"
    cp "PREFIX/python" "$prefix/bin/python"
    ;;
esac
"""
PYTHON = """#!/bin/sh
echo "$*" >> "$NOTED"
cp "PREFIX/srt" "$(dirname "$0")/srt"
"""
SRT = """#!/bin/sh
echo "srt in $0: $*" >> "$NOTED"
mkdir -p "$(dirname "$3")"
touch "$3" "${3%.jsonl}.meta.json"
"""


def stand_in(folder):
    """A conda installation of three scripts."""
    scripts = {"bin/conda": CONDA, "bin/activate": 'export PATH="$1/bin:$PATH"\n', "python": PYTHON, "srt": SRT}
    for name, text in scripts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("PREFIX", str(folder)))
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder / "bin"


def test_the_environment_of_the_rules_gets_the_lock_and_the_checkout(tmp_path):
    tree, noted = copy_of_tree(tmp_path / "tree"), tmp_path / "noted"
    env = {"PATH": f"{stand_in(tmp_path / 'conda')}{os.pathsep}{os.environ['PATH']}", "NOTED": str(noted)}
    code, out, err = snakemake(tree, "results/data/demo/original.jsonl", "--cores", "1", "--sdm", "conda", env=env)
    assert code == 0, out + err
    lock, checkout, step = noted.read_text().splitlines()
    assert lock == f"-m pip install -r {tree}/requirements/gpu.txt"
    assert checkout == f"-m pip install --no-deps --no-build-isolation --editable {tree}"
    assert f"srt in {tree}/.snakemake/conda/" in step
    assert ": prepare config/demo/records.json" in step
