"""Several processes: what is started, with which GPUs, and that two of them train as one does."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from helpers.training import assert_equal_weights, execution, losses, recipe, run
from srt.llm.model import ModelRef
from srt.settings import EXECUTION_FLAGS
from srt.settings.job import Job
from srt.storage.errors import InputError
from srt.storage.trainings import RECORD
from srt.training import launch

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """Programs of this test alone, first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def program(name, text):
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)

    return program


def test_two_processes_train_as_one_does(train_file, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    settings = recipe(global_batch=8, epochs=2.0)
    alone = run(train_file, tiny_base, tmp_path / "alone", settings, execution(device_batch=8))
    several = run(train_file, tiny_base, tmp_path / "several", settings, execution(device_batch=4, finetune_gpus=2))
    assert (several["world_size"], several["device_batch"], several["accumulation"]) == (2, 4, 1)
    single = run(train_file, tiny_base, tmp_path / "single", settings, execution(device_batch=1))
    assert losses(several) == pytest.approx(losses(alone), abs=1e-4)
    assert losses(single) == pytest.approx(losses(alone), abs=1e-4)
    norms = [[point["grad_norm"] for point in record["loss_curve"]] for record in (alone, several, single)]
    assert norms[1] == pytest.approx(norms[0], abs=1e-4)
    assert norms[2] == pytest.approx(norms[0], abs=1e-4)
    assert_equal_weights(tmp_path / "several", tmp_path / "alone", 1e-4)


def test_two_processes_that_share_the_model_out_train_as_one_does(train_file, tiny_base, tmp_path, root):
    """FSDP2 over gloo: sharded weights, gradients and moments, a checkpoint of them, and the whole model at the end."""
    settings = recipe(global_batch=8, epochs=4.0, learning_rate=1e-3)
    alone = run(train_file, tiny_base, tmp_path / "alone", settings, execution(device_batch=8))
    out = tmp_path / "sharded"
    shared, how = settings.model_copy(update={"sharding": "fsdp2"}), execution(device_batch=4, save_steps=2)
    told = [str(train_file), str(out), str(tiny_base), shared.model_dump(), how.model_dump(), str(tmp_path / "cache")]
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    child = [str(root / "tests" / "helpers" / "sharded.py"), json.dumps(told)]
    done = subprocess.run([*start, *child], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((out / RECORD).read_text())
    assert (record["world_size"], record["settings"]["sharding"]) == (2, "fsdp2")
    assert losses(record) == pytest.approx(losses(alone), abs=1e-4)
    assert_equal_weights(out, tmp_path / "alone", 1e-4)


def test_a_process_that_fails_ends_the_job_with_its_line(train_file, tiny_base, tmp_path, capfd):
    settings = recipe(learning_rate=1e30, epochs=5.0, warmup=0.5)
    with pytest.raises(launch.LaunchError, match="exit code 1"):
        run(train_file, tiny_base, tmp_path / "model", settings, execution(device_batch=2, finetune_gpus=2))
    assert "srt: finetune: step " in capfd.readouterr().err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("sharding", ["none", "fsdp2"])
def test_accelerate_reads_the_shipped_settings(sharding, root, monkeypatch):
    from accelerate.commands.config.config_args import load_config_from_file

    path = root / launch.PROFILES / f"{sharding}.yaml"
    kind = {"none": "MULTI_GPU", "fsdp2": "FSDP"}[sharding]
    assert load_config_from_file(str(path)).distributed_type == kind
    assert yaml.safe_load(path.read_text())["mixed_precision"] == "no"
    words = launch.command(recipe(sharding=sharding), execution(finetune_gpus=8), "cuda", True)
    assert words[words.index("--config_file") + 1] == str(path.relative_to(root))
    assert words[words.index("--num_processes") + 1] == "8"
    assert words[-2:] == ["-m", "srt.cli"]
    assert ("--fsdp_activation_checkpointing" in words) == (sharding == "fsdp2")


def test_the_gpus_are_held_and_handed_to_the_launcher(cards, tmp_path, monkeypatch):
    cards(3)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    look = "import os, json; from srt.machine import gpus; seen = [os.environ[gpus.VISIBLE], gpus.hold(1)]"
    look += "; print(json.dumps([*seen, os.environ['OMP_NUM_THREADS']]))"
    start = (
        "from srt.training import launch\nimport sys\n"
        "launch.command = lambda *_: [sys.executable, '-c', sys.argv[1]]\n"
        "class E: finetune_gpus, finetune_nodes = 2, 1\n"
        "launch.run(None, E, 'cuda', False, [])\n"
    )
    done = subprocess.run([sys.executable, "-c", start, look], capture_output=True, text=True, check=True)
    # The child sees both and waits for neither; the job's seven cores are three for each of the two.
    assert json.loads(done.stdout) == ["0,1", ["0", "1"], "3"]


def test_several_machines_are_started_by_srun(bin_folder, monkeypatch):
    bin_folder("scontrol", "echo node7; echo node8")
    bin_folder("srun", 'while [ "$1" != bash ]; do echo "srun $1"; shift; done; SLURM_PROCID=1 exec "$@"')
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node[7-8]")
    monkeypatch.setattr(sys, "executable", "echo")
    how = execution(finetune_gpus=8, finetune_nodes=2)
    words = launch.command(recipe(sharding="fsdp2"), how, "cuda", False)
    shown = subprocess.run([*words, "finetune", "a b"], capture_output=True, text=True, check=True).stdout
    *places, line = shown.splitlines()
    asked = ["--overlap", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--gpus-per-node=8", "--cpu-bind=none"]
    assert places == [f"srun {option}" for option in asked]
    assert "--num_machines 2 --num_processes 16" in line
    assert "--machine_rank 1 --main_process_ip node7 --main_process_port 20123" in line
    assert line.endswith("-m srt.cli finetune a b")
    monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(InputError, match="need a Slurm job"):
        launch.command(recipe(), how, "cuda", False)


def test_the_processes_are_called_with_everything(tmp_path):
    from srt import cli
    from srt.commands import flags

    how = execution(finetune_gpus=2)
    words = launch.arguments(
        tmp_path / "a b.jsonl", ModelRef("M"), 3, recipe(), Job(tmp_path / "m", tmp_path / "c", how)
    )
    args = cli.build_parser().parse_args(words)
    assert flags.given_settings(args, type(recipe())) == recipe().model_dump()
    assert flags.execution(args).model_dump() == how.model_dump(include=set(EXECUTION_FLAGS["finetune"]))
    assert (str(args.train), args.seed, args.revision) == (str(tmp_path / "a b.jsonl"), 3, "null")


def test_a_recipe_that_was_started_in_another_way_is_refused(monkeypatch):
    for name in ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "FSDP_ACTIVATION_CHECKPOINTING"):
        monkeypatch.delenv(name, raising=False)
    launch.require_sharding(recipe(), False)
    with pytest.raises(InputError, match="the recipe says fsdp2, this process has none"):
        launch.require_sharding(recipe(sharding="fsdp2"), False)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    launch.require_sharding(recipe(sharding="fsdp2"), False)
    with pytest.raises(InputError, match="the recipe says none, this process has fsdp2"):
        launch.require_sharding(recipe(), False)
    with pytest.raises(InputError, match="--fsdp_activation_checkpointing true"):
        launch.require_sharding(recipe(sharding="fsdp2"), True)
    monkeypatch.delenv("ACCELERATE_USE_FSDP")
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(InputError, match="the recipe says none, this process has DeepSpeed"):
        launch.require_sharding(recipe(), False)
