"""How the results were made: config, commit, versions, seeds, what the teachers cost, what each job took, hashes."""

from __future__ import annotations

import hashlib
import math
import platform
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.formats import Column, Part, Row
from srt.report.reported import read_evaluation, training
from srt.storage.errors import InputError
from srt.storage.finite import is_finite
from srt.storage.readers import tab_rows
from srt.storage.sidecars import Sidecar, read_sidecar

COST_COLUMNS = (
    Column("teacher", "Teacher"),
    Column("requests", "Requests", 0),
    Column("prompt_tokens", "Prompt tokens", 0),
    Column("completion_tokens", "Completion tokens", 0),
    Column("usd", "USD", 2),
    Column("source", "Source", path=True),
)
TIME_COLUMNS = (
    Column("step", "Step"),
    Column("jobs", "Jobs", 0),
    Column("seconds", "Wall time (s)", 1),
    Column("longest", "Longest job (s)", 1),
    Column("memory", "Most memory (GB)", 2),
    Column("source", "Source", path=True),
)
VERSION_COLUMNS = (Column("package", "Package"), Column("version", "Version"), Column("files", "Files", 0))
SEED_COLUMNS = (Column("what", "What"), Column("seed", "Seed", 0), Column("source", "Source", path=True))
HASH_COLUMNS = (
    Column("path", "File", path=True),
    Column("size", "Bytes", 0),
    Column("sha256", "SHA-256", path=True),
)
HASHED = ("data", "scores", "coherence", "runs", "judges", "tables")
SUFFIXES = (".jsonl", ".json", ".csv")


def making(results: Path, runs: Sequence[Run]) -> list[Part]:
    """What the results folder says of its own making, as tables."""
    return [
        Part("cost", "What the teachers cost", COST_COLUMNS, _costs(results), "None: no teacher has answered."),
        Part("time", "Wall time per step", TIME_COLUMNS, _times(results, runs), "None: no job was measured."),
        Part("seeds", "Seeds", SEED_COLUMNS, list(_seeds(results, runs)), "None: nothing is drawn."),
        Part("versions", "Versions", VERSION_COLUMNS, _versions(results, runs), "None: nothing was made."),
        Part("hashes", "Hashes of the artefacts", HASH_COLUMNS, list(_hashes(results)), "None: nothing was made."),
    ]


def commit(folder: Path) -> str:
    """The commit of the code in a folder, and whether it was changed since; where git says none, that."""
    try:
        found = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "not known: the code is in no git repository"
    return f"{found}, with changes that are not committed" if changed else found


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    """The Python and the system on which the report was made."""
    return f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def _sidecars(results: Path, folder: str = "") -> Iterator[tuple[str, Sidecar]]:
    for path in sorted((results / folder).rglob("*.meta.json")):
        yield path.relative_to(results).as_posix(), read_sidecar(path, Sidecar)


def _costs(results: Path) -> list[Row]:
    """A teacher's journals in all, from the sidecar that has most of them."""
    most: dict[str, Row] = {}
    for source, sidecar in _sidecars(results, "data"):
        spent = sidecar.teacher_in_all
        if spent is None:
            continue
        teacher = str(sidecar.settings.model)
        row = {"teacher": teacher, "source": source, **spent.model_dump()}
        if teacher not in most or row["requests"] > most[teacher]["requests"]:
            most[teacher] = row
    return list(most.values())


def _times(results: Path, runs: Sequence[Run]) -> list[Row]:
    """Seconds by step, from Snakemake's own measurements; of finetuning, from what stands beside the weights."""
    taken: dict[str, list[tuple[float, float | None]]] = defaultdict(list)
    folder = results / layout.TIMINGS
    for path in sorted(folder.rglob("*.tsv")):
        taken[path.relative_to(folder).parts[0]].append(_measured(path))
    rows = [_time(step, jobs, f"{layout.TIMINGS}{step}/") for step, jobs in taken.items()]
    if "finetune" not in taken:
        known = [(seconds, None) for run in runs if (seconds := training(results, run.run).seconds) is not None]
        if known:
            rows.append(_time("finetune", known, layout.TRAINING.format(run="*")))
    return rows


def _time(step: str, jobs: Sequence[tuple[float, float | None]], source: str) -> Row:
    seconds, memory = [job[0] for job in jobs], [job[1] for job in jobs if job[1] is not None]
    longest = {"seconds": sum(seconds), "longest": max(seconds)}
    return {"step": step, "jobs": len(jobs), **longest, "memory": max(memory, default=None), "source": source}


def _measured(path: Path) -> tuple[float, float | None]:
    """Seconds and gigabytes of a job, as Snakemake's `benchmark:` writes them."""
    row = next((cells for _, cells in tab_rows(path)), {})
    try:
        seconds = float(row["s"])
        text = row.get("max_rss", "-")
        memory = float(text) / 1024 if text not in ("-", "NA", "") else None
    except (KeyError, ValueError):
        seconds, memory = math.nan, None
    if not (is_finite(seconds) and is_finite(memory)):
        raise InputError(f"{path}: expected a benchmark file of Snakemake, with a number in the column s")
    return seconds, memory


def _seeds(results: Path, runs: Sequence[Run]) -> Iterator[Row]:
    for run in runs:
        if run.seed is not None:
            yield {"what": f"selection and finetuning of {run.run}", "seed": run.seed, "source": "the run table"}
    drawn: dict[int, list[str]] = defaultdict(list)
    for source, sidecar in _sidecars(results, "runs"):
        if sidecar.settings.seed is not None:
            drawn[sidecar.settings.seed].append(source)
    for seed, sources in drawn.items():
        yield {"what": f"answers ({len(sources)} files)", "seed": seed, "source": sources[0]}


def _versions(results: Path, runs: Sequence[Run]) -> list[Row]:
    """Every version that any artefact was made with; more than one of a package is worth a look."""
    found: dict[tuple[str, str], int] = defaultdict(int)
    every = [sidecar.versions for _, sidecar in _sidecars(results)]
    every += [training(results, run.run).versions for run in runs]
    every += [read_evaluation(path).versions for path in _evaluations(results, runs)]
    for versions in every:
        for package, version in versions.items():
            found[package, version] += 1
    return [{"package": package, "version": version, "files": n} for (package, version), n in sorted(found.items())]


def _evaluations(results: Path, runs: Sequence[Run]) -> list[Path]:
    pattern = layout.EVALUATION.replace("{benchmark}", "*")
    return sorted(path for run in runs for path in results.glob(pattern.format(run=run.run)))


def _hashes(results: Path) -> Iterator[Row]:
    for folder in HASHED:
        for path in sorted((results / folder).rglob("*")):
            if path.suffix in SUFFIXES and path.is_file() and not path.name.startswith("."):
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                name = path.relative_to(results).as_posix()
                yield {"path": name, "size": path.stat().st_size, "sha256": digest}
