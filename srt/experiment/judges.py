"""A judge's file."""

from __future__ import annotations

from srt.settings import JudgeConfig
from srt.settings.values import validated
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml


def read_judge(name: str) -> JudgeConfig:
    """A judge from its file; InputError with file and key where it does not fit."""
    path = locate(name)
    return validated(JudgeConfig, read_yaml(path), str(path))
