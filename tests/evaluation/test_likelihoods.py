"""Log-likelihoods: a BOS as the profile says, the two backends beside each other, real items and a real kill."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from srt.evaluation._likelihoods import JournaledModel
from srt.evaluation.open_llm import evaluate
from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.settings import EXECUTION_FLAGS, OpenLlmConfig
from srt.settings.flags import as_flags
from srt.settings.job import Job
from srt.storage.files import read_records
from srt.storage.journal import entries_of
from srt.storage.readers import read_json
from srt.storage.records import Evaluation, ItemValue
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

pytestmark = pytest.mark.slow

EXECUTION = load()[0].execution.model_copy(update={"device": "cpu"})
ASKED = [("Question: What melts?\nAnswer:", f" {choice}") for choice in ("ice", "a very old stone", "iron")]
ASKED += [("word " * 300, "and"), ("<|im_start|>Q: Who?\nA:", " Nobody.")]  # the last one brings its own BOS
REQUESTS = [SimpleNamespace(args=pair) for pair in ASKED]
KEPT = 32  # requests of a chunk: four batches of eight


def how(backend="transformers", suite="none", data=None):
    return OpenLlmConfig(suite=str(suite), data=data, backend=backend, dtype="float32", limit=None)


def asked(model, folder, backend, bos):
    """(token ids of a prompt, log-likelihoods of the requests) under a profile's BOS."""
    found = JournaledModel(ModelRef(str(model)), bos, how(backend), Job(Path("job"), folder, EXECUTION))
    try:
        answers = [log_likelihood for log_likelihood, _ in found.loglikelihood(REQUESTS)]
        return found._backend.tok_encode("Question:"), answers
    finally:
        found.close()


def test_a_bos_is_added_as_the_profile_says_and_never_twice(tiny_llamas, tmp_path):
    """The two models differ by nothing but their tokenizer's BOS."""
    ids, without = asked(tiny_llamas["bos"], tmp_path, "transformers", False)
    assert ids == asked(tiny_llamas["plain"], tmp_path, "transformers", False)[0]
    assert without == asked(tiny_llamas["plain"], tmp_path, "transformers", "default")[1]
    bos_ids, with_bos = asked(tiny_llamas["bos"], tmp_path, "transformers", "default")
    assert bos_ids == [1, *ids]
    assert [a == b for a, b in zip(without, with_bos, strict=True)] == [False] * 4 + [True]
    assert len(list((tmp_path / "open_llm").iterdir())) == 4  # a journal for each model and BOS


@pytest.fixture(scope="module")
def wider(tiny_llamas, tmp_path_factory):
    """A tiny Llama whose heads are wide enough for vLLM's CPU build; its tokenizer adds a BOS."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("wider")
    AutoTokenizer.from_pretrained(tiny_llamas["bos"]).save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig.from_pretrained(tiny_llamas["bos"], head_dim=64)).save_pretrained(folder)
    return folder


@pytest.mark.usefixtures("vllm_starts")
@pytest.mark.parametrize("bos", [False, "default"])
def test_vllm_gives_the_log_likelihoods_of_transformers(wider, tmp_path, bos):
    """In float32 to 1e-4 nats: a second BOS would move them by a thousand times as much."""
    ids, transformers = asked(wider, tmp_path, "transformers", bos)
    vllm_ids, vllm = asked(wider, tmp_path, "vllm", bos)
    assert vllm_ids == ids
    assert vllm == pytest.approx(transformers, abs=1e-4)
    assert len(list((tmp_path / "open_llm").iterdir())) == 2  # the backend is part of what answers are known by


# --- Real items ------------------------------------------------------------------------------------------------------


@pytest.fixture
def real(shared_data, tmp_path):
    """(suite, data) of ten real items of each benchmark, v1's rules with one shot.

    Two subjects of MMLU with five items each; of TruthfulQA items with at most four choices, as each costs a prompt.
    With the leaderboard's 25 and 10 shots the same takes many times as long on a CPU.
    """
    source, data = shared_data / "open_llm", tmp_path / "data"
    for name in ("mmlu/dev", "mmlu/test"):
        (data / name).mkdir(parents=True)
    for name in ("arc_challenge_test.jsonl", "arc_challenge_train.jsonl", "hellaswag_val_1000.jsonl"):
        with (source / name).open() as lines:
            (data / name).write_text("".join(itertools.islice(lines, 10)))
    few = [q for q in json.loads((source / "truthfulqa_mc.json").read_text()) if len(q["mc2_targets"]) <= 4]
    (data / "truthfulqa_mc.json").write_text(json.dumps(few[:10]))
    for split in ("dev", "test"):
        for subject in ("anatomy", "high_school_geography"):
            lines = (source / "mmlu" / split / f"{subject}_{split}.csv").read_text().splitlines(keepends=True)
            (data / "mmlu" / split / f"{subject}_{split}.csv").write_text("".join(lines[:6]))
    suite = read_yaml(locate("config/tasks/open_llm_v1.yaml"))
    for name in ("arc", "hellaswag", "mmlu"):
        suite["benchmarks"][name]["num_fewshot"] = 1
    suite["benchmarks"]["mmlu"]["tasks"] = ["mmlu_anatomy", "mmlu_high_school_geography"]
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    return tmp_path / "suite.yaml", str(data)


def killed_in_the_middle(root, model, real, out, cache):
    """Start an evaluation as a user would, and SIGKILL it once it has something in its journal; what it has kept."""
    suite, data = real
    execution = EXECUTION.model_copy(update={"evaluation_batch": KEPT // 4})
    flags = [as_flags(how(suite=suite, data=data)), as_flags(execution, only=EXECUTION_FLAGS["evaluate"])]
    words = " ".join(["evaluate open-llm", str(out), "--model", str(model), "--cache", str(cache), *flags]).split()
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "srt.cli", *words], cwd=root, env=environment)
    try:
        kept = {}
        while not kept:
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.1)
            kept = {key: value for folder in cache.glob("open_llm/*") for key, value in entries_of(folder).items()}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return {key: value for folder in cache.glob("open_llm/*") for key, value in entries_of(folder).items()}


def test_a_kill_and_another_batch_size_change_nothing(root, demo_model, real, tmp_path, monkeypatch):
    """One run is killed in the middle and goes on in batches of eight; the other goes through in batches of three.

    Padding changes the order of float32's sums: log-likelihoods of some tens of nats agree to 1e-3, shares of right
    answers exactly, and TruthfulQA's shares of probability to 0.1 points.
    """
    from lm_eval.models.huggingface import HFLM

    suite, data = real
    cache, out = tmp_path / "cache", tmp_path / "killed.json"
    kept = killed_in_the_middle(root, demo_model, real, out, cache)
    assert len(kept) >= KEPT
    assert not out.exists()
    asked_again = []
    answer = HFLM.loglikelihood
    monkeypatch.setattr(
        HFLM, "loglikelihood", lambda self, some, **more: asked_again.extend(some) or answer(self, some, **more)
    )
    evaluate(ModelRef(str(demo_model)), how(suite=suite, data=data), Job(out, cache, EXECUTION))
    (folder,) = cache.glob("open_llm/*")
    whole = entries_of(folder)
    assert len(asked_again) == len(whole) - len(kept)
    assert {key: whole[key] for key in kept} == kept

    other, execution = tmp_path / "other.json", EXECUTION.model_copy(update={"evaluation_batch": 3})
    evaluate(ModelRef(str(demo_model)), how(suite=suite, data=data), Job(other, tmp_path / "other", execution))
    (folder,) = (tmp_path / "other").glob("open_llm/*")
    through = entries_of(folder)
    assert through.keys() == whole.keys()
    assert [through[key][0] for key in whole] == pytest.approx([whole[key][0] for key in whole], abs=1e-3)
    first, second = (Evaluation.model_validate(read_json(path)) for path in (out, other))
    assert [(metric.name, metric.n) for metric in first.metrics] == [
        *((name, 10) for name in ("arc", "hellaswag", "mmlu", "truthfulqa")),
        ("average", 40),
    ]
    assert first.missing == second.missing == {}
    values = [{v.id: v.value for v in read_records(p.with_suffix(".items.jsonl"), ItemValue)} for p in (out, other)]
    assert values[0] == pytest.approx(values[1], abs=0.1)
    assert {key: v for key, v in values[0].items() if "truthfulqa" not in key} == {
        key: v for key, v in values[1].items() if "truthfulqa" not in key
    }
