"""NVML of made-up cards, for a process that has this folder first on its path: TEST_CARDS says which, as JSON.

A list of cards: {"uuid": ..., "gb": ..., "instances": [{"uuid": ..., "gb": ...}, ...]}; a number is so many of 80 GB;
`null` in the place of a card is one that is lost. Without the variable there is no driver.
"""

import json
import os
from types import SimpleNamespace

NVML_DEVICE_MIG_ENABLE = 1


class NVMLError(Exception):
    """What all of NVML's errors are."""


class NVMLError_LibraryNotFound(NVMLError):
    """There is no driver."""


class NVMLError_DriverNotLoaded(NVMLError):
    """The library is there, and no card."""


def _cards():
    cards = json.loads(os.environ["TEST_CARDS"])
    return [{"uuid": f"GPU-{number:04}"} for number in range(cards)] if isinstance(cards, int) else cards


def nvmlInit():
    if "TEST_CARDS" not in os.environ:
        raise NVMLError_LibraryNotFound("NVML Shared Library Not Found")


def nvmlShutdown():
    pass


def nvmlSystemGetCudaDriverVersion_v2():
    return 13000


def nvmlSystemGetDriverVersion():
    return "580.65.06"


def nvmlDeviceGetCount():
    return len(_cards())


def nvmlDeviceGetHandleByIndex(index):
    card = _cards()[index]
    if card is None:
        raise NVMLError("GPU is lost")
    return card


def nvmlDeviceGetUUID(handle):
    return handle["uuid"]


def nvmlDeviceGetName(handle):
    return "made-up card"


def nvmlDeviceGetMemoryInfo(handle):
    size = handle.get("gb", 80) * 1e9
    return SimpleNamespace(total=size, free=size)


def nvmlDeviceGetCudaComputeCapability(handle):
    return 9, 0


def nvmlDeviceGetMigMode(handle):
    return [int("instances" in handle)] * 2


def nvmlDeviceGetMaxMigDeviceCount(handle):
    return 7


def nvmlDeviceGetMigDeviceHandleByIndex(handle, index):
    if index >= len(handle["instances"]):
        raise NVMLError("Not Found")
    return handle["instances"][index]
