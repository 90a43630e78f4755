"""The installed versions of packages, which stand beside every artefact."""

from __future__ import annotations

import importlib.metadata


def versions(*packages: str) -> dict[str, str]:
    """Installed versions by distribution name; a package that is not installed is left out."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
