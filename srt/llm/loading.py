"""Loading models, local or from the hub, always with a dtype said aloud; and what identifies one."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from srt.storage.errors import InputError
from srt.storage.progress import begin
from srt.storage.trainings import accounts_of

SAMPLES, SAMPLE_BYTES = 64, 4096  # of a file in a fingerprint; a smaller one is read whole

# torch then counts GPUs by NVML: a process in which CUDA was asked anything cannot be forked, as vLLM does.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
# transformers draws its bars into logs as well; in a log they are hundreds of lines.
if not sys.stderr.isatty():
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")


def _is_local(model: str) -> bool:
    """True where a model is named by a folder: it exists, or is written as a path that no hub name looks like."""
    path = Path(model)
    return (
        path.exists()
        or path.is_absolute()
        or model.startswith((".", "~"))
        or model.count("/") != 1
        or _has_parent(path)
    )


def _has_parent(path: Path) -> bool:
    return path.parent != Path() and path.parent.is_dir()


def require(model: str) -> None:
    """InputError unless a locally named model is a folder with a config.json; hub names are left to the hub."""
    if not _is_local(model):
        return
    if not Path(model).is_dir():
        raise InputError(f"{model}: no such model folder; expected a Hugging Face checkpoint or a hub name owner/name")
    if not (Path(model) / "config.json").is_file():
        raise InputError(f"{model}: is not a model folder: config.json is missing")


def identity(model: str, revision: str | None) -> str:
    """What a cache may rely on: the hash of a local folder's contents, or `name@commit` of the hub.

    How long a training took is no part of it (`srt.storage.trainings.accounts_of`).
    """
    require(model)
    if not _is_local(model):
        commit = getattr(load_config(model, revision), "_commit_hash", None)
        return f"{model}@{commit or revision}"
    digest = hashlib.sha256()
    accounts = accounts_of(Path(model))
    for path in sorted(Path(model).rglob("*")):
        name = path.relative_to(model).as_posix()
        if path.is_file() and name not in accounts:
            digest.update(name.encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def folder_files(folder: str) -> list[Path]:
    """All files below a folder in a fixed order, but for hidden ones; empty where there is no such folder."""
    found = (path for path in Path(folder).rglob("*") if path.is_file())
    return sorted(path for path in found if not any(part[0] == "." for part in path.relative_to(folder).parts))


def fingerprint(model: str) -> str | None:
    """What tells a local model from another in its place in a moment, however big it is; None of a hub name.

    It is a hash of names, sizes and samples of the contents, without what only tells of a training. Times are no part
    of it: a link that is turned to another folder, or files that are moved, bring their old times with them.
    """
    if not Path(model).is_dir():
        return None
    digest, accounts = hashlib.sha256(), accounts_of(Path(model))
    for path in folder_files(model):
        name, size = path.relative_to(model).as_posix(), path.stat().st_size
        if name in accounts:
            continue
        digest.update(f"{name} {size}\n".encode())
        places = range(0, size, max(SAMPLE_BYTES, size // SAMPLES))
        with path.open("rb") as file:
            for place in places:
                file.seek(place)
                digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()


def require_divisible(model: str, revision: str | None, count: int) -> None:
    """InputError unless vLLM can lay the model out over so many GPUs: each gets as many of its attention heads."""
    if count == 1:
        return
    heads = getattr(load_config(model, revision).get_text_config(), "num_attention_heads", None)
    if heads is not None and heads % count:
        raise InputError(f"{model}: cannot be laid out over {count} GPUs: expected a divisor of its {heads} heads")


def load_config(model: str, revision: str | None) -> Any:
    """A model's config, of a folder or from the hub; InputError where there is none."""
    from transformers import AutoConfig

    require(model)
    try:
        return AutoConfig.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{model}: no such model folder, and not on the hub as far as it can be reached: {_first_line(error)}"
        ) from None


def load_tokenizer(model: str, revision: str | None) -> Any:
    """The model's tokenizer; InputError where the folder is missing or holds none."""
    from transformers import AutoTokenizer

    require(model)
    try:
        return AutoTokenizer.from_pretrained(model, revision=revision)
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: the tokenizer cannot be loaded: {_first_line(error)}") from None


def load_model(model: str, revision: str | None, dtype: str, device: str | None, spread: int = 1, **more: Any) -> Any:
    """The causal language model in eval mode on the device, in that dtype; InputError where it cannot be loaded.

    With `spread` above 1 its layers are laid out over the visible GPUs. Without a device it stays where `more`,
    other arguments of `from_pretrained`, put it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    require(model)
    begin()
    if device == "cuda":
        _compute_on_gpu()
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            model,
            revision=revision,
            dtype=getattr(torch, dtype),
            **({"device_map": "auto"} if spread > 1 and device == "cuda" else {}),
            **more,
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{model}: the model cannot be loaded: {_first_line(error)}") from None
    return loaded.eval() if device is None or loaded.device.type == device else loaded.to(device).eval()


def _compute_on_gpu() -> None:
    """A first sum on the GPU; InputError where it fails, before weights are read for minutes."""
    import torch

    try:
        torch.ones(8, device="cuda").sum().item()
    except (RuntimeError, AssertionError) as error:  # an AssertionError from a build without CUDA
        raise InputError(f"the GPU cannot be used: {_first_line(error)}: `srt doctor` may say why") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
