"""The files that ship with the package: configs, prompts, profiles."""

from __future__ import annotations

import os
from pathlib import Path


def locate(name: str) -> Path:
    """A path as given or, for `config/...` and `profiles/...` where it does not exist, what ships with the package."""
    path = Path(name)
    if os.path.exists(path) or path.is_absolute() or path.parts[:1] not in (("config",), ("profiles",)):
        return path
    package = Path(__file__).resolve().parents[1]
    for root in (package / "shipped", package.parent):  # in a wheel; in a checkout
        if os.path.exists(root / path):
            return root / path
    return path
