"""Look whether a step writes something else under the same version; `--write` stores what a raised one writes.

python tests/golden.py [--write] [STEP ...]
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.golden import store
from helpers.golden.steps import STEPS


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("steps", nargs="*", metavar="STEP", help="all where none is given")
    parser.add_argument("--write", action="store_true", help="store versions and hashes where the version says so")
    args = parser.parse_args()
    entries, lines = store.read(), []
    for step in args.steps or STEPS:
        now = store.found(step)
        near = now.pop("near")
        line = store.complaint(step, entries.get(step), now)
        if line and args.write and near:
            line = f"{step}: {near} may be rounded to another digit on another CPU: choose other inputs"
        elif line and args.write and not store.is_refused(entries.get(step), now):
            entries[step], line = now, None
        lines += [line] if line else []
    if args.write:
        store.write(entries)
    print("\n".join(lines) or "every step writes what is stored under its version")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
