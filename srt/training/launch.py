"""One finetuning over several devices: accelerate's launcher with the GPUs that this process holds for it.

On a CPU it is torchrun, whose processes talk by gloo. `srt finetune` starts its own processes, one a GPU, each of
which is `srt finetune` again; so does a process on every node of a Slurm job. Who starts them by hand
(`accelerate launch -m srt.cli finetune ...`) may.
"""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

from srt.llm import devices
from srt.llm.model import ModelRef
from srt.machine import gpus
from srt.machine.ports import free_port
from srt.machine.processes import OWNER_VARIABLE
from srt.settings import EXECUTION_FLAGS, ExecutionConfig, FinetuneConfig
from srt.settings.flags import as_flags, flag_text
from srt.settings.job import Job
from srt.storage.errors import InputError
from srt.storage.shipped import locate

LOCAL_RANK = "LOCAL_RANK"  # set for every process of a launcher
STARTED = "SRT_LAUNCHED"  # set for every process that was started here
THREADS = "OMP_NUM_THREADS"
PROFILES = "profiles/accelerate"
# Ports of a job that others on the cluster do not take: by the number of the Slurm job.
FIRST_PORT, PORTS = 20000, 20000


class LaunchError(Exception):
    """A process of several ended in an error; the log says in which."""


def is_needed(execution: ExecutionConfig) -> bool:
    """Whether this process has to start others: it is asked for several devices, and is none of a launcher's.

    LaunchError in a process that was started for that, and was not told which of several it is.
    """
    needed = execution.finetune_gpus * execution.finetune_nodes > 1 and LOCAL_RANK not in os.environ
    if needed and STARTED in os.environ:
        raise LaunchError("finetune: the launcher started one process in place of several")
    return needed


def processes(execution: ExecutionConfig) -> int:
    """How many processes train: as many as the launcher started, or as will be."""
    return int(os.environ.get("WORLD_SIZE", str(execution.finetune_gpus * execution.finetune_nodes)))


def is_first() -> bool:
    """Whether this process is the first of those that train, or the only one, or the one that starts them."""
    return os.environ.get("RANK", "0") == "0"


def device(execution: ExecutionConfig) -> str:
    """`cpu` or `cuda`, told without touching CUDA; InputError as `models.kind`."""
    return devices.kind(execution.device)


def require_sharding(settings: FinetuneConfig, checkpointing: bool) -> None:
    """InputError where the recipe shares the model out in another way than this process was started for."""

    def is_on(name: str) -> bool:
        return os.environ.get(name, "false").lower() == "true"

    found = "fsdp2" if is_on("ACCELERATE_USE_FSDP") else "DeepSpeed" if is_on("ACCELERATE_USE_DEEPSPEED") else "none"
    if found != settings.sharding:
        hint = (
            f"set execution.finetune_gpus, or use accelerate launch --config_file {PROFILES}/{settings.sharding}.yaml"
        )
        raise InputError(f"finetune: sharding: the recipe says {settings.sharding}, this process has {found}: {hint}")
    if found == "fsdp2" and is_on("FSDP_ACTIVATION_CHECKPOINTING") != checkpointing:
        expected = f"expected --fsdp_activation_checkpointing {str(checkpointing).lower()}"
        raise InputError(f"finetune: gradient_checkpointing: {expected}, which the launcher was not given")


def arguments(train: Path, model: ModelRef, seed: int, settings: FinetuneConfig, job: Job) -> list[str]:
    """What `srt` is called with for this training."""
    flags = f"{as_flags(settings)} {as_flags(job.execution, only=EXECUTION_FLAGS['finetune'])}"
    named = ["--model", model.name, "--revision", flag_text(model.revision), "--seed", str(seed)]
    return ["finetune", str(train), str(job.out), *named, "--cache", str(job.cache), *shlex.split(flags)]


def command(settings: FinetuneConfig, execution: ExecutionConfig, device: str, checkpointing: bool) -> list[str]:
    """The launcher, up to the arguments of `srt`; on several nodes it is started on each of them by srun."""
    nodes, target = execution.finetune_nodes, ["-m", "srt.cli"]
    if device == "cpu":  # accelerate starts several processes on a CPU by MPI only
        if nodes > 1:
            raise InputError("finetune: finetune_nodes: expected 1 on a CPU, found more")
        here = ["--standalone", "--nproc_per_node", str(execution.finetune_gpus)]
        return [sys.executable, "-m", "torch.distributed.run", *here, *target]
    config = locate(f"{PROFILES}/{settings.sharding}.yaml")
    start = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(config)]
    start += ["--num_machines", str(nodes), "--num_processes", str(execution.finetune_gpus * nodes)]
    if settings.sharding == "fsdp2":
        start += ["--fsdp_activation_checkpointing", str(checkpointing).lower()]
    if nodes == 1:
        return [*start, "--main_process_port", str(free_port()), *target]
    if "SLURM_JOB_ID" not in os.environ:
        raise InputError("finetune: finetune_nodes: several machines need a Slurm job, found none: see profiles/slurm")
    port = FIRST_PORT + int(os.environ["SLURM_JOB_ID"]) % PORTS
    master = '"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"'
    on_node = f"{shlex.join(start)} --machine_rank $SLURM_PROCID --main_process_ip {master} --main_process_port {port}"
    # Said aloud: by itself a step may get one GPU on the second machine, and its task is bound to one CPU.
    places = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    places += [f"--gpus-per-node={execution.finetune_gpus}", "--cpu-bind=none"]
    return ["srun", "--overlap", *places, "bash", "-c", f'exec {on_node} {shlex.join(target)} "$@"', "srt"]


def node_resources(execution: ExecutionConfig) -> dict[str, int | str]:
    """What Snakemake's Slurm executor has to ask for besides GPUs, where a training takes several machines."""
    nodes = execution.finetune_nodes
    if nodes == 1:
        return {}
    return {"nodes": nodes, "tasks": nodes, "mpi": "srun", "slurm_extra": f"--gpus-per-node={execution.finetune_gpus}"}


def run(
    settings: FinetuneConfig, execution: ExecutionConfig, device: str, checkpointing: bool, arguments: list[str]
) -> None:
    """Hold the GPUs, start the processes and wait for them; they end when this one does, however it ends.

    Raises:
        InputError: fewer GPUs than asked for, or several nodes without Slurm.
        LaunchError: the processes ended in an error.
    """
    started = command(settings, execution, device, checkpointing)
    env = {**os.environ, OWNER_VARIABLE: f"{os.getpid()}@{socket.gethostname()}", STARTED: "1"}
    if device == "cuda" and execution.finetune_nodes == 1:
        gpus.hold(execution.finetune_gpus)
        env |= {gpus.VISIBLE: os.environ.get(gpus.VISIBLE, ""), gpus.HELD: str(os.getpid())}
    if env.get(THREADS, "").isdecimal():  # for the whole job, as Snakemake sets it: each process gets its share
        env[THREADS] = str(max(1, int(env[THREADS]) // (execution.finetune_gpus * execution.finetune_nodes)))
    code = subprocess.run([*started, *arguments], env=env, check=False).returncode
    if code:
        raise LaunchError(f"finetune: its processes ended with exit code {code}; what they said stands above")
