"""The four benchmarks of the Open LLM Leaderboard v1, run by lm-eval (EleutherAI/lm-evaluation-harness).

Prompts, choices and the metric of each item are lm-eval's. A profile is a suite (config/tasks/*.yaml), which says
which tasks under which rules, and how it is run: where the items are, the backend, the arithmetic.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

from srt.evaluation._likelihoods import SOFTMAX_DTYPE, JournaledModel
from srt.evaluation.request import Request, given
from srt.evaluation.result import item_id, write_result
from srt.evaluation.statistics import mean_and_error
from srt.evaluation.suites import FEWSHOT_SEED, Benchmark, Suite, load_tasks, read_suite
from srt.llm import loading
from srt.llm.model import ModelRef
from srt.settings import OpenLlmConfig
from srt.settings.benchmarks import OPEN_LLM
from srt.settings.job import Job
from srt.storage.journal import content_key
from srt.storage.records import Evaluation, Metric


def evaluate(model: ModelRef, settings: OpenLlmConfig, job: Job, profile: str | None = None) -> None:
    """Evaluate a model folder or hub model on the suite, and write one Evaluation with metrics in percent.

    Every log-likelihood is journaled in the job's cache, so that a killed evaluation goes on where it was.

    Args:
        model: what is evaluated.
        settings: the profile's.
        job: where the evaluation's JSON goes (the items' values go beside it), and how it runs.
        profile: the profile's name in the config; None where it has none.

    Raises:
        InputError: the model is missing, the suite is bad, items are missing or malformed.
    """
    import lm_eval

    loading.require(model.name)
    suite, where = read_suite(settings.suite)
    tasks, sources = load_tasks(suite, settings.data, where)
    backend = JournaledModel(model, suite.bos, settings, job)
    with contextlib.closing(backend):
        result = lm_eval.evaluate(backend, {"tasks": tasks}, limit=settings.limit, bootstrap_iters=0, log_samples=True)
    samples = result["samples"]
    entries = {task: entry for entry in suite.benchmarks.values() for task in entry.tasks}
    scores = {
        name: {**_task_score(tasks[name], samples[name], entry.metric, backend.was_cut), **sources[name]}
        for name, entry in entries.items()
    }
    metrics, missing = _summary(suite, scores)
    fixed = {"fewshot_seed": FEWSHOT_SEED, "softmax_dtype": SOFTMAX_DTYPE, "max_length": backend.max_length}
    used = {**settings.model_dump(), "backend": backend.kind, **suite.rules(), **fixed}
    evaluation = Evaluation(
        benchmark=OPEN_LLM.key if profile is None else OPEN_LLM.pattern.format(profile=profile),
        metrics=metrics,
        judge=None,
        task_versions=scores,
        settings={"model": model.name, "revision": model.revision, "profile": profile, **used},
        versions=backend.versions,
        missing=dict(missing),
    )
    write_result(job.out, evaluation, _items(suite, samples))


def requested(request: Request[OpenLlmConfig]) -> None:
    """The same, as a benchmark is called."""
    evaluate(given(request.model, "--model"), request.settings, request.job, request.profile)


def _items(suite: Suite, samples: dict[str, list[dict[str, Any]]]) -> Iterator[tuple[str, float]]:
    """(benchmark/task/item, its value in percent) of every usable item."""
    for benchmark, entry in suite.benchmarks.items():
        for task in entry.tasks:
            for sample in samples[task]:
                if _why_unusable(sample, entry.metric) is None:
                    yield item_id(benchmark, task, sample["doc_id"]), 100 * float(sample[entry.metric])


def _task_score(task: Any, samples: list[dict[str, Any]], metric: str, was_cut: Callable[..., bool]) -> dict[str, Any]:
    """What is reported of one lm-eval task: its percentage over the usable items, and what exactly was run."""
    reasons = [_why_unusable(sample, metric) for sample in samples]
    usable = [float(sample[metric]) for sample, reason in zip(samples, reasons, strict=True) if reason is None]
    value, se = mean_and_error([100 * share for share in usable])
    return {
        "version": str(task.VERSION),
        "num_fewshot": task.config.num_fewshot or 0,
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


def mean_of_means(
    parts: Sequence[tuple[float | None, float | None]], weights: Sequence[float]
) -> tuple[float | None, float | None]:
    """The weighted mean of independent (value, standard error), null if one value is.

    With w_i the share of a weight in their sum it is sum w_i x_i, and its standard error sqrt(sum (w_i se_i)^2), null
    if one of them is. It takes the subjects (or benchmarks) as given and only their items as sampled.
    """
    values, errors = zip(*parts, strict=True)
    if any(value is None for value in values):
        return None, None
    shares = [weight / sum(weights) for weight in weights]
    mean = math.fsum(share * value for share, value in zip(shares, values, strict=True))
    if any(error is None for error in errors):
        return mean, None
    return mean, math.hypot(*(share * error for share, error in zip(shares, errors, strict=True)))


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
        weights = [part["n"] if suite.mean == "items" else 1 for part in parts]
        value, se = mean_of_means([(part["value"], part["se"]) for part in parts], weights)
        metrics.append(Metric(name=benchmark, value=value, se=se, n=sum(part["n"] for part in parts)))
        for part in parts:
            missing.update({f"{benchmark}: {reason}": count for reason, count in part["missing"].items()})
    value, se = mean_of_means([(metric.value, metric.se) for metric in metrics], [1] * len(metrics))
    metrics.append(Metric(name="average", value=value, se=se, n=sum(metric.n for metric in metrics)))
    return metrics, missing
