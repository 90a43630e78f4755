"""The four benchmarks of the Open LLM Leaderboard v1, run by lm-eval (EleutherAI/lm-evaluation-harness).

Prompts, choices and the metric of each item are lm-eval's. A suite (config/tasks/*.yaml) says which tasks, how many
few-shot examples, and whether the items come from the hub or from local files of the same shapes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import Field, model_validator

from srt import models
from srt.config import locate, read_yaml, validated
from srt.evaluation.likelihoods import FIXED, VERSIONED, JournaledModel
from srt.evaluation.result import item_id, write_result
from srt.journal import content_key
from srt.records import Evaluation, InputError, Metric, read_lines
from srt.settings import ExecutionConfig, OpenLlmConfig, Settings
from srt.statistics import mean_and_error

FEWSHOT_SEED = 1234  # lm-eval's own default
Benchmark = Literal["arc", "hellaswag", "mmlu", "truthfulqa"]

# Per benchmark: the fields of an item that lm-eval's task reads, and where its choices and right answer stand.
FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "arc": {"question": str, "choices": dict, "answerKey": str},
    "hellaswag": {"activity_label": str, "ctx_a": str, "ctx_b": str, "endings": list, "label": (str, int)},
    "mmlu": {"question": str, "choices": list, "answer": int},
    "truthfulqa": {"question": str, "mc2_targets": dict},
}
CHOICES_AND_ANSWER: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "arc": lambda item: (item["choices"]["text"], item["choices"]["label"].index(item["answerKey"])),
    "hellaswag": lambda item: (item["endings"], int(item["label"])),
    "mmlu": lambda item: (item["choices"], item["answer"]),
    "truthfulqa": lambda item: (item["mc2_targets"]["choices"], item["mc2_targets"]["labels"].index(1)),
}


class SuiteBenchmark(Settings):
    """One benchmark of a suite: lm-eval's tasks whose unweighted mean it is, and where their items come from."""

    folder: str = Field(description="where lm-eval keeps the tasks, below its own tasks folder")
    tasks: list[str] = Field(min_length=1, description="lm-eval's names; several count as their unweighted mean")
    num_fewshot: int = Field(ge=0, description="examples before each question")
    metric: Literal["acc", "acc_norm"] = Field(description="lm-eval's metric of one item")
    items: str | None = Field(description="a local JSONL file per {task}; null for lm-eval's data set on the hub")
    fewshot: str | None = Field(description="the local few-shot examples per {task}; null without local items or shots")

    @model_validator(mode="after")
    def _fewshot_goes_with_items(self) -> SuiteBenchmark:
        needed = self.items is not None and self.num_fewshot > 0
        if needed != (self.fewshot is not None):
            raise ValueError("fewshot: expected a file where items is one and num_fewshot is above 0, null otherwise")
        return self


class Suite(Settings):
    """A suite file. A benchmark that it leaves out is reported as missing."""

    benchmarks: dict[Benchmark, SuiteBenchmark] = Field(min_length=1)


def evaluate(
    model: str, revision: str | None, out: Path, settings: OpenLlmConfig, execution: ExecutionConfig, cache: Path
) -> None:
    """Evaluate a model folder or hub model on the suite, and write one Evaluation with metrics in percent.

    Every log-likelihood is journaled in `cache`, so that a killed evaluation goes on where it was. Raises InputError
    for a missing model, a bad suite or bad items.
    """
    import lm_eval

    models.require(model)
    path = locate(settings.suite)
    suite = validated(Suite, read_yaml(path), str(path))
    tasks = _load_tasks(suite, str(path))
    backend = JournaledModel(model, revision, settings.dtype, execution, cache, str(out))
    with contextlib.closing(backend):
        result = lm_eval.evaluate(backend, {"tasks": tasks}, limit=settings.limit, bootstrap_iters=0, log_samples=True)
    entries = {task: entry for entry in suite.benchmarks.values() for task in entry.tasks}
    scores = {n: _task_score(tasks[n], result["samples"][n], entries[n].metric, backend.was_cut) for n in entries}
    metrics, missing = _summary(suite, scores)
    fixed = {**FIXED, "fewshot_seed": FEWSHOT_SEED, "max_length": backend.max_length}
    evaluation = Evaluation(
        benchmark="open_llm",
        metrics=metrics,
        judge=None,
        task_versions=scores,
        settings={"model": model, "revision": revision, **settings.model_dump(), **fixed},
        versions=models.versions(*VERSIONED),
        missing=dict(missing),
    )
    write_result(out, evaluation, _items(suite, result["samples"]))


def _items(suite: Suite, samples: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, float]]:
    """(benchmark/task/item, its value in percent) of every usable item."""
    for benchmark, entry in suite.benchmarks.items():
        for task in entry.tasks:
            for sample in samples[task]:
                if _why_unusable(sample, entry.metric) is None:
                    yield item_id(benchmark, task, sample["doc_id"]), 100 * float(sample[entry.metric])


def _load_tasks(suite: Suite, where: str) -> dict[str, Any]:
    """lm-eval's task objects by name, with the suite's shots and items in place of the stock ones."""
    import lm_eval.tasks

    stock = Path(lm_eval.tasks.__file__).parent
    folders = sorted({str(stock / entry.folder) for entry in suite.benchmarks.values()})
    manager = lm_eval.tasks.TaskManager(include_path=folders, include_defaults=False)
    members: dict[str, dict[str, Any]] = {}
    for benchmark, entry in suite.benchmarks.items():
        for task in entry.tasks:
            if task in members or task not in manager.all_subtasks:
                problem = "occurs twice" if task in members else f"is no task of lm-eval in {entry.folder!r}"
                raise InputError(f"{where}: benchmarks.{benchmark}.tasks: {task!r} {problem}")
            local = _local_dataset(benchmark, entry, task) if entry.items else {}
            members[task] = {"task": task, "num_fewshot": entry.num_fewshot, **local}
    logging.getLogger("lm_eval.api.task").setLevel(logging.ERROR)  # it warns of every local data set
    try:
        loaded = manager.load({"group": "open_llm", "task": list(members.values())})["tasks"]
    except OSError as error:  # of a hub data set: no network, or no such name
        raise InputError(f"{where}: a data set cannot be loaded from the hub: {str(error).splitlines()[0]}") from None
    for task in loaded.values():
        task.set_fewshot_seed(FEWSHOT_SEED)
    return cast("dict[str, Any]", loaded)


def _local_dataset(benchmark: str, entry: SuiteBenchmark, task: str) -> dict[str, Any]:
    """The settings that make an lm-eval task read local files; they are read and checked here."""
    splits = {}
    for split, pattern in (("test", entry.items), ("fewshot", entry.fewshot)):
        if pattern is not None:
            splits[split] = read_items(locate(pattern.format(task=task)), benchmark)
    if len(splits.get("fewshot", [])) < entry.num_fewshot:
        found = len(splits.get("fewshot", []))
        raise InputError(f"{entry.fewshot}: {task}: expected at least {entry.num_fewshot} examples, found {found}")

    def dataset(**_: Any) -> Any:
        from datasets import Dataset, DatasetDict

        return DatasetDict({split: Dataset.from_list(rows) for split, rows in splits.items()})

    stock = dict.fromkeys(("dataset_name", "training_split", "validation_split", "fewshot_split"))
    return {**stock, **{f"{split}_split": split for split in splits}, "custom_dataset": dataset}


def read_items(path: Path, benchmark: str) -> list[dict[str, Any]]:
    """A benchmark's items from a JSONL file, in the shape of its hub data set; InputError names line and field."""
    items = []
    for number, item in read_lines(path):
        place = f"{path}: line {number}"
        for field, kind in FIELDS[benchmark].items():
            if not isinstance(item, dict) or not isinstance(item.get(field), kind):
                raise InputError(f"{place}: {field}: expected an item of {benchmark} with {list(FIELDS[benchmark])}")
        try:
            choices, answer = CHOICES_AND_ANSWER[benchmark](item)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{place}: expected choices and the right one among them: {error!r}") from None
        texts = isinstance(choices, list) and all(isinstance(choice, str) and choice for choice in choices)
        if not texts or len(choices) < 2 or not 0 <= answer < len(choices):
            raise InputError(f"{place}: expected two or more choices and the right one's place, found {answer!r}")
        items.append({field: item[field] for field in FIELDS[benchmark]})
    if not items:
        raise InputError(f"{path}: has no items, expected at least one line")
    return items


def _task_score(task: Any, samples: list[dict[str, Any]], metric: str, was_cut: Callable[..., bool]) -> dict[str, Any]:
    """What is reported of one lm-eval task: its percentage over the usable items, and what exactly was run."""
    reasons = [_why_unusable(sample, metric) for sample in samples]
    usable = [float(sample[metric]) for sample, reason in zip(samples, reasons, strict=True) if reason is None]
    value, se = mean_and_error([100 * share for share in usable])
    return {
        "version": str(task.VERSION),
        "num_fewshot": task.config.num_fewshot,
        "metric": metric,
        "value": value,
        "se": se,
        "n": len(usable),
        "missing": dict(Counter(reason for reason in reasons if reason is not None)),
        "truncated": sum(any(was_cut(pair) for pair in sample["arguments"]) for sample in samples),
        "config_sha256": content_key(_plain(task.config)),
        "items_sha256": content_key([[s["doc_hash"], s["prompt_hash"], s["target_hash"]] for s in samples]),
    }


def _why_unusable(sample: dict[str, Any], metric: str) -> str | None:
    log_likelihoods = [response[0] for response in sample["filtered_resps"]]
    if any(map(math.isnan, log_likelihoods)) or all(map(math.isinf, log_likelihoods)):
        return "the choices' log-likelihoods are not numbers"
    if metric not in sample:
        return f"lm-eval gave no {metric}"
    return None if math.isfinite(sample[metric]) else f"{metric} is not a number"


def _plain(value: Any) -> Any:
    """A task's config as JSON that is the same on every machine: functions by their source, no data, no paths."""
    if isinstance(value, dict) or dataclasses.is_dataclass(value):
        items = value if type(value) is dict else vars(value)
        hidden = ("custom_dataset", "config_source")
        return {str(key): _plain(item) for key, item in items.items() if key not in hidden and item is not None}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if callable(value):
        return inspect.getsource(value)
    return value


def unweighted_mean(parts: Iterable[tuple[Any, Any]]) -> tuple[float | None, float | None]:
    """The unweighted mean of k independent (value, standard error), null if one value is.

    Its standard error is sqrt(se_1^2 + ... + se_k^2) / k, that of a mean of independent means; null if one of them
    is. It takes the subjects (or benchmarks) as given and only their items as sampled.
    """
    values, errors = zip(*parts, strict=True)
    if any(value is None for value in values):
        return None, None
    squares = None if any(error is None for error in errors) else sum(error**2 for error in errors)
    return sum(values) / len(values), None if squares is None else math.sqrt(squares) / len(values)


def _summary(suite: Suite, scores: dict[str, Any]) -> tuple[list[Metric], Counter[str]]:
    """The four metrics and their average (null if one of them is), and the items without a value by reason."""
    metrics = []
    missing: Counter[str] = Counter()
    for benchmark in get_args(Benchmark):
        if benchmark not in suite.benchmarks:
            missing[f"{benchmark}: is not in the suite"] += 1
            metrics.append(Metric(name=benchmark, value=None, se=None, n=0))
            continue
        parts = [scores[task] for task in suite.benchmarks[benchmark].tasks]
        value, se = unweighted_mean((part["value"], part["se"]) for part in parts)
        metrics.append(Metric(name=benchmark, value=value, se=se, n=sum(part["n"] for part in parts)))
        for part in parts:
            missing.update({f"{benchmark}: {reason}": count for reason, count in part["missing"].items()})
    value, se = unweighted_mean((metric.value, metric.se) for metric in metrics)
    metrics.append(Metric(name="average", value=value, se=se, n=sum(metric.n for metric in metrics)))
    return metrics, missing
