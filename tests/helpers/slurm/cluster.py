"""A real Slurm on one machine, from the distribution's packages: `apt-get install slurm-wlm munge`.

    python tests/helpers/slurm/cluster.py start FOLDER   # prints the line that lets sbatch, squeue and scancel find it
    python tests/helpers/slurm/cluster.py stop FOLDER

Two nodes with made-up GPUs and one without, each a slurmd of its own. Everything lies in FOLDER: configuration, keys,
sockets, logs, state, and the number of every daemon that was started, by which it is ended. There are no accounts (no
slurmdbd: who asks for a job's state asks squeue) and no cgroups (nothing keeps a job to its CPUs and memory).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo")
NODES = {"gpu1": "gpu", "gpu2": "gpu", "cpu1": "cpu"}  # its partition
GPUS = 2  # of a node in the partition `gpu`
WAIT_SECONDS = 60
CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
GresTypes=gpu
ReturnToService=2
MinJobAge=3600
KillWait=15
{nodes}
PartitionName=cpu Nodes=cpu1 Default=YES State=UP
PartitionName=gpu Nodes=gpu1,gpu2 State=UP
"""


def missing() -> str:
    """Which of Slurm's programs this machine lacks, as one line; empty where a cluster can be started."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"no {', '.join(absent)} here: apt-get install slurm-wlm munge" if absent else ""


def environment(folder: Path) -> dict[str, str]:
    """What a process needs besides to find the cluster."""
    here = folder.absolute()
    return {"SLURM_CONF": str(here / "slurm.conf"), "PATH": os.pathsep.join([str(here / "bin"), _path()])}


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def start(folder: Path) -> None:
    """Configure the cluster in an empty or new folder, start its daemons, and wait until all nodes are idle.

    Raises:
        RuntimeError: a program is missing, a daemon does not start, or a node does not come up.
    """
    if missing():
        raise RuntimeError(missing())
    configure(folder)
    env = {**os.environ, **environment(folder)}
    for command in (_munged(folder), ["slurmctld"], *(["slurmd", "-N", node] for node in NODES)):
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr.strip()}")
    deadline = time.monotonic() + WAIT_SECONDS
    while (states := _states(env)) != dict.fromkeys(NODES, "idle"):
        if time.monotonic() > deadline:
            raise RuntimeError(f"expected idle nodes, found {states}: see {folder}/*.log")
        time.sleep(0.5)


def configure(folder: Path) -> None:
    """Write the configuration, munge's key, and files that stand for the GPUs."""
    for name in ("state", "spool", "gpus", "bin"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    for number in range(GPUS):
        (folder / "gpus" / str(number)).touch()
    names = ",".join(node for node, partition in NODES.items() if partition == "gpu")
    gpus = f"NodeName={names} Name=gpu File={folder.absolute()}/gpus/[0-{GPUS - 1}]\n"
    (folder / "gres.conf").write_text(gpus, encoding="utf-8")
    ports = _free_ports(1 + len(NODES))
    nodes = [_node(*item, port) for item, port in zip(NODES.items(), ports[1:], strict=True)]
    # Snakemake's executor calls srun without SLURM_CONF, as the configuration lies in /etc elsewhere.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder.absolute()}/slurm.conf exec {shutil.which("srun")} "$@"\n')
    srun.chmod(0o755)
    facts = {"host": socket.gethostname(), "port": ports[0], "user": _user(), "folder": folder.absolute()}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**facts, nodes="\n".join(nodes)), encoding="utf-8")


def _node(name: str, partition: str, port: int) -> str:
    """A node by what it says of itself: 16 CPUs, 256 GB and its GPUs, whatever the machine has."""
    place = f"NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port}"
    gpus = f" Gres=gpu:{GPUS}" if partition == "gpu" else ""
    return f"NodeName={name} {place} CPUs=16 RealMemory=256000{gpus} State=UNKNOWN"


def _munged(folder: Path) -> list[str]:
    here = folder.absolute()
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
    # Forced: it wants a folder that everybody may enter, and a test's is its user's alone, as all that asks it is.
    return ["munged", "--force", *(f"--{option}={here / name}" for option, name in files.items())]


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _states(env: dict[str, str]) -> dict[str, str]:
    shown = subprocess.run(["sinfo", "-hN", "-o", "%N %t"], env=env, capture_output=True, text=True, check=False).stdout
    return dict(map(str.split, shown.splitlines()))


def stop(folder: Path) -> None:
    """End every job, then every daemon whose number the folder holds, and wait until it is gone."""
    env = {**os.environ, **environment(folder)}
    deadline = time.monotonic() + WAIT_SECONDS
    subprocess.run(["scancel", "--user", _user()], env=env, capture_output=True, check=False, timeout=WAIT_SECONDS)
    squeue = ["squeue", "--noheader"]
    while subprocess.run(squeue, env=env, capture_output=True, check=False).stdout and time.monotonic() < deadline:
        time.sleep(0.5)
    for file in (*sorted(folder.glob("slurm*.pid")), folder / "munged.pid"):
        if file.exists():
            _end(int(file.read_text().strip()))
            file.unlink(missing_ok=True)


def _end(pid: int) -> None:
    """SIGTERM, after ten seconds SIGKILL."""
    for number, seconds in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + seconds
        while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
            time.sleep(0.1)


def main() -> int:
    """`start FOLDER` or `stop FOLDER`."""
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.argv[2])
    if sys.argv[1] == "stop":
        stop(folder)
        return 0
    try:
        start(folder)
    except RuntimeError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    print(f"export SLURM_CONF={folder.absolute()}/slurm.conf PATH={folder.absolute()}/bin:$PATH")
    return 0


if __name__ == "__main__":
    sys.exit(main())
