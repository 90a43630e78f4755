"""Suites: which tasks of lm-eval make a leaderboard, under which rules, and the items that they are asked about."""

from __future__ import annotations

import functools
import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from srt.evaluation._items import read_items
from srt.llm.prompts import fill
from srt.settings import Settings
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.findings import did_you_mean
from srt.storage.progress import say
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

FEWSHOT_SEED = 1234  # lm-eval's own default
HUB = "the hub"
LONGEST_NAME = 200  # of an items' file: longer ones are none to a file system
Benchmark = Literal["arc", "hellaswag", "mmlu", "truthfulqa"]


class SuiteBenchmark(Settings):
    """One benchmark of a suite: lm-eval's tasks whose mean it is, and the files of their items in a local folder."""

    folder: str = Field(description="where lm-eval keeps the tasks, below its own tasks folder")
    tasks: list[str] = Field(min_length=1, description="lm-eval's names; several count as their mean")
    num_fewshot: int | None = Field(ge=0, description="examples before each question; null for lm-eval's own number")
    metric: Literal["acc", "acc_norm"] = Field(description="lm-eval's metric of one item")
    items: list[str] = Field(min_length=1, description="names of the items' file, the first that is there counts")
    fewshot: list[str] = Field(description="names of the file of few-shot examples likewise; none without shots")

    @field_validator("items", "fewshot")
    @classmethod
    def _names_lie_in_the_folder(cls, names: list[str]) -> list[str]:
        for name in names:
            parts = Path(name).parts
            if not parts or Path(name).is_absolute() or ".." in parts or len(name) > LONGEST_NAME:
                raise ValueError("expected names of files within the folder of the items")
        return names

    @model_validator(mode="after")
    def _examples_go_with_shots(self) -> SuiteBenchmark:
        if self.num_fewshot is not None and (self.num_fewshot > 0) != bool(self.fewshot):
            raise ValueError("fewshot: expected names of files where num_fewshot is above 0, and none where it is 0")
        return self


class Suite(Settings):
    """A suite file. A benchmark that it leaves out is reported as missing."""

    reported: Literal["open_llm"] | None = Field(description="the block of srt/report/reported.yaml that it reproduces")
    bos: Literal[False, "default"] = Field(description="false: no BOS; default: as lm-eval's backend does by itself")
    mean: Literal["subjects", "items"] = Field(description="several tasks count alike, or by their number of items")
    benchmarks: dict[Benchmark, SuiteBenchmark] = Field(min_length=1)

    def rules(self) -> dict[str, Any]:
        """What a result records of it beside its tasks."""
        return self.model_dump(include={"reported", "bos", "mean"})


def read_suite(name: str) -> tuple[Suite, str]:
    """A suite and its path as found; InputError names the key of what is wrong in it."""
    path = locate(name)
    return validated(Suite, read_yaml(path), str(path)), str(path)


def load_tasks(suite: Suite, data: str | None, where: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """lm-eval's task objects by name, with the suite's shots and items, and where the items of each came from.

    Args:
        suite: the suite.
        data: the folder of the items' files; None for lm-eval's data sets on the hub.
        where: the suite's path, for complaints.

    Raises:
        InputError: lm-eval has no such task, a file is missing or malformed, or the hub cannot be reached.
    """
    import lm_eval.tasks

    stock = Path(lm_eval.tasks.__file__).parent
    folders = sorted({str(stock / entry.folder) for entry in suite.benchmarks.values()})
    manager = lm_eval.tasks.TaskManager(include_path=folders, include_defaults=False)
    members: dict[str, dict[str, Any]] = {}
    sources: dict[str, dict[str, Any]] = {}
    for benchmark, entry in suite.benchmarks.items():
        for task in entry.tasks:
            if task in members or task not in manager.all_subtasks:
                problem = "occurs twice" if task in members else f"is no task of lm-eval in {entry.folder!r}"
                raise InputError(f"{where}: benchmarks.{benchmark}.tasks: {task!r} {problem}")
            local, sources[task] = _local(benchmark, entry, task, data) if data else ({}, {"items_from": HUB})
            shots = {} if entry.num_fewshot is None else {"num_fewshot": entry.num_fewshot}
            members[task] = {"task": task, **shots, **local}
    logging.getLogger("lm_eval.api.task").setLevel(logging.ERROR)  # it warns of every local data set
    _compile_templates_once()
    try:
        loaded = manager.load({"group": "open_llm", "task": list(members.values())})["tasks"]
    except OSError as error:  # of a hub data set: no network, or no such name
        raise InputError(f"{where}: a data set cannot be loaded from the hub: {str(error).splitlines()[0]}") from None
    for name, task in loaded.items():
        task.set_fewshot_seed(FEWSHOT_SEED)
        _check_examples(name, task.config.num_fewshot or 0, sources[name])
    return cast("dict[str, Any]", loaded), sources


def _compile_templates_once() -> None:
    """Have lm-eval keep its compiled templates: it compiles one anew for every text, 51 times for a 25-shot prompt."""
    from lm_eval.utils import env

    if not hasattr(env.from_string, "cache_info"):
        env.from_string = functools.cache(env.from_string)


def _local(benchmark: str, entry: SuiteBenchmark, task: str, data: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that make an lm-eval task read local files, which are read and checked here, and their names.

    Where the examples' file is the items' own, lm-eval leaves the item itself out of those that it draws.
    """
    folder = locate(data)
    path = _first_there(folder, entry.items, task)
    splits = {"test": read_items(path, benchmark)}
    source: dict[str, Any] = {"items_from": path.relative_to(folder).as_posix()}
    settings: dict[str, Any] = dict.fromkeys(
        ("dataset_name", "training_split", "validation_split", "fewshot_split"), None
    )
    if entry.fewshot:
        examples = _first_there(folder, entry.fewshot, task)
        own = examples == path
        settings["fewshot_split"] = "test" if own else "fewshot"
        splits |= {} if own else {"fewshot": read_items(examples, benchmark)}
        # Of the items' own file one is always the item itself.
        number = len(splits[settings["fewshot_split"]]) - own
        source |= {"fewshot_from": examples.relative_to(folder).as_posix(), "fewshot_examples": number}
        if own:
            say(
                f"{task}: {data} has no examples of their own: they are drawn from {path.name}, without the item itself"
            )

    def dataset(**_: Any) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict({split: Dataset.from_list(rows) for split, rows in splits.items()})

    return {**settings, "test_split": "test", "custom_dataset": dataset}, source


def _first_there(folder: Path, names: list[str], task: str) -> Path:
    """The first of the names, {task} and {subject} filled in and * as the shell has it, that a file has."""
    known = {"task": task, "subject": task.removeprefix("mmlu_")}
    filled = [fill(name, known) for name in names]
    for name in filled:
        found = sorted(folder.glob(name))
        if len(found) > 1:
            raise InputError(f"{folder}: {task}: expected one file {name}, found {[path.name for path in found]}")
        if found:
            return found[0]
    raise InputError(f"{folder}: {task}: no such file, expected {' or '.join(filled)}")


def require_tasks(suite: Suite, where: str) -> None:
    """InputError where a folder of lm-eval's tasks that a suite names is not there; lm-eval is not imported."""
    spec = find_spec("lm_eval")
    stock = Path(spec.origin).parent / "tasks" if spec and spec.origin else None
    for benchmark, entry in suite.benchmarks.items() if stock else ():
        if stock and not (stock / entry.folder).is_dir():
            near = did_you_mean(entry.folder, [path.name for path in stock.iterdir()])
            found = f"expected a folder of lm-eval's tasks, found {entry.folder!r}{near}"
            raise InputError(f"{where}: benchmarks.{benchmark}.folder: {found}")


def require_items(suite: Suite, data: str) -> None:
    """InputError where a folder lacks a file of items or examples that a suite names."""
    for entry in suite.benchmarks.values():
        for task in entry.tasks:
            for names in filter(None, (entry.items, entry.fewshot)):
                _first_there(locate(data), names, task)


def _check_examples(task: str, shots: int, source: dict[str, Any]) -> None:
    """InputError where a local file has fewer examples than shots."""
    found = source.get("fewshot_examples", 0)
    if source["items_from"] != HUB and found < shots:
        place = source.get("fewshot_from", "no file")
        raise InputError(f"{place}: {task}: expected at least {shots} examples, found {found}")
