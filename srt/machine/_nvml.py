"""NVIDIA's driver and its cards as NVML tells them: without torch, and without touching CUDA."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

NOT_LOADED = "Driver Not Loaded"  # the library alone, as on a cluster's login node


@dataclass(frozen=True)
class Card:
    """One GPU, or one of its MIG instances: memory in GB (1e9 bytes), the driver's name for it, its compute capability.

    Memory is None where the card shares the machine's, capability where NVML does not say, uuid where the card is
    lost. `instances` is None unless the card is in MIG mode, in which only its instances can be used.
    """

    name: str
    memory_gb: float | None
    free_gb: float | None
    capability: tuple[int, int] | None
    uuid: str | None = None
    instances: tuple[Card, ...] | None = None


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver: its version, the newest CUDA (major, minor) that it runs, and the cards it shows."""

    version: str
    cuda: tuple[int, int]
    cards: tuple[Card, ...]


def read() -> Driver | str | None:
    """The driver and its cards; None where there is no driver, NVML's complaint where it does not work."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return None
    except pynvml.NVMLError_DriverNotLoaded:
        return NOT_LOADED
    except pynvml.NVMLError as error:
        return str(error)
    try:
        cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        cards = tuple(_card(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount()))
        return Driver(_text(pynvml.nvmlSystemGetDriverVersion()), (cuda // 1000, cuda % 1000 // 10), cards)
    except pynvml.NVMLError as error:
        return str(error)
    finally:
        pynvml.nvmlShutdown()


def _card(pynvml: Any, index: int) -> Card:
    """The card of this number; one that is lost does not hide the others."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    except pynvml.NVMLError:
        return Card(f"card {index}, of which NVML says nothing", None, None, None)
    return _described(pynvml, handle, f"card {index}", _instances(pynvml, handle))


def _instances(pynvml: Any, handle: Any) -> tuple[Card, ...] | None:
    """The MIG instances of a card; None where it is not in MIG mode, or knows none."""
    try:
        if pynvml.nvmlDeviceGetMigMode(handle)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return None
        places = range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle))
    except pynvml.NVMLError:
        return None
    found = []
    for place in places:
        with contextlib.suppress(pynvml.NVMLError):  # a place without an instance
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
            found.append(_described(pynvml, instance, f"MIG instance {place}", None))
    return tuple(found)


def _described(pynvml: Any, handle: Any, name: str, instances: tuple[Card, ...] | None) -> Card:
    """What NVML tells of a card or an instance; each thing that it does not tell is left out alone."""
    uuid, memory_gb, free_gb, capability = None, None, None, None
    with contextlib.suppress(pynvml.NVMLError):
        uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
    with contextlib.suppress(pynvml.NVMLError):
        name = _text(pynvml.nvmlDeviceGetName(handle))
    with contextlib.suppress(pynvml.NVMLError):
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        capability = (major, minor)
    with contextlib.suppress(pynvml.NVMLError):
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        memory_gb, free_gb = memory.total / 1e9, memory.free / 1e9
    return Card(name, memory_gb, free_gb, capability, uuid, instances)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # older bindings give bytes
