"""The Open-LLM benchmarks by way of lm-eval: a tiny random model for the mechanics, the demo model for the numbers."""

import json
import math
import socket

import pytest
import yaml

from srt.evaluation._items import read_items
from srt.evaluation.open_llm import evaluate, mean_of_means
from srt.evaluation.suites import Suite, load_tasks
from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.settings import OpenLlmConfig
from srt.settings.job import Job
from srt.settings.values import validated
from srt.storage.errors import InputError
from srt.storage.readers import read_json
from srt.storage.records import Evaluation
from srt.storage.shipped import locate
from srt.storage.yaml_files import read_yaml

pytestmark = pytest.mark.slow

EXECUTION = load()[0].execution.model_copy(update={"device": "cpu"})
DEMO_SUITE = "config/tasks/demo.yaml"
DATA = "config/demo/items"


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory):
    """A random Llama of one layer over bytes: milliseconds per request."""
    return _save_tiny_model(tmp_path_factory.mktemp("tiny"), max_length=4096, seed=0)


def _save_tiny_model(folder, max_length, seed):
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(["</s>", *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = dict.fromkeys(("eos_token", "pad_token"), "</s>")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = LlamaConfig(vocab_size=257, max_position_embeddings=max_length, initializer_range=0.5, **sizes)
    LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def run(model, tmp_path, suite=DEMO_SUITE, limit=None):
    out = tmp_path / "open_llm.json"
    how = {"data": DATA, "backend": "transformers", "dtype": "float32"}
    settings = OpenLlmConfig(suite=str(suite), limit=limit, **how)
    evaluate(ModelRef(model), settings, Job(out, tmp_path / "cache", EXECUTION))
    return Evaluation.model_validate(read_json(out))


def demo_suite():
    return read_yaml(locate(DEMO_SUITE))


def write_suite(path, suite):
    path.write_text(yaml.safe_dump(suite))
    return path


def forbid_the_backend(monkeypatch):
    from lm_eval.models.huggingface import HFLM

    def asked(*_, **__):
        raise AssertionError("the model was asked again")

    monkeypatch.setattr(HFLM, "loglikelihood", asked)


def test_writes_four_metrics_and_their_mean_without_network(tiny_model, tmp_path, monkeypatch):
    def connect(*_):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", connect)
    result = run(tiny_model, tmp_path)
    assert [(metric.name, metric.n) for metric in result.metrics] == [
        ("arc", 5),
        ("hellaswag", 5),
        ("mmlu", 5),
        ("truthfulqa", 5),
        ("average", 20),
    ]
    assert result.value("average") == pytest.approx(sum(metric.value for metric in result.metrics[:4]) / 4)
    assert result.missing == {}
    assert result.versions.keys() == {"lm_eval", "transformers", "torch"}
    subjects = [result.task_versions[f"mmlu_{name}"] for name in ("astronomy", "nutrition")]
    assert [subject["n"] for subject in subjects] == [3, 2]
    assert result.value("mmlu") == pytest.approx((subjects[0]["value"] + subjects[1]["value"]) / 2)
    assert str(tmp_path) not in json.dumps(result.task_versions)


def test_values_and_errors_are_lm_evals_own(tiny_model, tmp_path):
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    ours = run(tiny_model, tmp_path, limit=3).task_versions
    tasks, _ = load_tasks(validated(Suite, demo_suite(), DEMO_SUITE), DATA, DEMO_SUITE)
    backend = HFLM(pretrained=tiny_model, dtype="float32", device="cpu", batch_size=8, add_bos_token=False)
    theirs = lm_eval.evaluate(backend, {"tasks": tasks}, limit=3, bootstrap_iters=100)["results"]
    for task, record in ours.items():
        assert record["value"] == pytest.approx(100 * theirs[task][f"{record['metric']},none"], abs=1e-3)
        assert record["se"] == pytest.approx(100 * theirs[task][f"{record['metric']}_stderr,none"], abs=1e-3)


def test_a_finished_evaluation_asks_the_model_nothing(tiny_model, tmp_path, monkeypatch):
    first = run(tiny_model, tmp_path)
    forbid_the_backend(monkeypatch)
    assert run(tiny_model, tmp_path) == first


def test_a_killed_evaluation_asks_only_for_what_is_missing(tiny_model, tmp_path, monkeypatch):
    from lm_eval.models.huggingface import HFLM

    first = run(tiny_model, tmp_path)
    (journal,) = (tmp_path / "cache" / "open_llm").rglob("*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:30]) + lines[30][:20])  # a kill in the middle of line 31
    asked = []
    answer = HFLM.loglikelihood
    monkeypatch.setattr(
        HFLM, "loglikelihood", lambda self, requests, **more: asked.extend(requests) or answer(self, requests, **more)
    )
    assert run(tiny_model, tmp_path) == first
    assert len(asked) == len(lines) - 30


def test_another_model_is_not_answered_from_the_journal(tiny_model, tmp_path):
    run(tiny_model, tmp_path, limit=1)
    run(_save_tiny_model(tmp_path / "other", max_length=4096, seed=1), tmp_path, limit=1)
    assert len(list((tmp_path / "cache" / "open_llm").iterdir())) == 2


def test_limit_is_honoured_and_recorded(tiny_model, tmp_path):
    result = run(tiny_model, tmp_path, limit=2)
    assert [metric.n for metric in result.metrics] == [2, 2, 4, 2, 10]
    assert result.settings["limit"] == 2


def test_prompts_longer_than_the_context_are_counted(tmp_path):
    model = _save_tiny_model(tmp_path / "short", max_length=512, seed=0)
    truncated = {name: record["truncated"] for name, record in run(model, tmp_path).task_versions.items()}
    assert truncated["arc_challenge"] == 0
    assert truncated["truthfulqa_mc2"] == 5


def test_what_makes_the_profile_is_recorded(tiny_model, tmp_path):
    out = tmp_path / "open_llm_tried.json"
    settings = OpenLlmConfig(suite=DEMO_SUITE, data=DATA, backend="auto", dtype="float32", limit=1)
    evaluate(ModelRef(tiny_model), settings, Job(out, tmp_path / "cache", EXECUTION), "tried")
    result = Evaluation.model_validate(read_json(out))
    assert result.benchmark == "open_llm_tried"
    recorded = {key: result.settings[key] for key in ("profile", "reported", "bos", "mean", "backend", "data")}
    assert recorded == {
        "profile": "tried",
        "reported": "open_llm",
        "bos": False,
        "mean": "subjects",
        "backend": "transformers",  # what `auto` was on this machine
        "data": DATA,
    }
    assert result.task_versions["mmlu_nutrition"]["items_from"] == "mmlu_nutrition.jsonl"
    assert result.task_versions["mmlu_nutrition"]["fewshot_from"] == "mmlu_nutrition_fewshot.jsonl"


def test_mmlu_by_items_is_the_mean_over_all_items(tiny_model, tmp_path):
    suite = {**demo_suite(), "mean": "items"}
    result = run(tiny_model, tmp_path, write_suite(tmp_path / "suite.yaml", suite))
    subjects = [result.task_versions[f"mmlu_{name}"] for name in ("astronomy", "nutrition")]
    assert [subject["n"] for subject in subjects] == [3, 2]
    assert result.value("mmlu") == pytest.approx(sum(s["n"] * s["value"] for s in subjects) / 5)
    assert result.value("average") == pytest.approx(sum(metric.value for metric in result.metrics[:4]) / 4)


def test_an_item_without_a_log_likelihood_is_left_out_and_counted(tiny_model, tmp_path, monkeypatch):
    from lm_eval.models.huggingface import HFLM

    whole = run(tiny_model, tmp_path / "whole")
    answer = HFLM.loglikelihood

    def one_nan(self, requests, **more):
        answers = answer(self, requests, **more)
        return [
            (math.nan, False) if "puddle" in request.args[0] and "melted" in request.args[1] else given
            for request, given in zip(requests, answers, strict=True)
        ]

    with monkeypatch.context() as patch:
        patch.setattr(HFLM, "loglikelihood", one_nan)
        result = run(tiny_model, tmp_path)
    assert result.metrics[0].n == 4
    assert result.missing == {"arc: the choices' log-likelihoods are not numbers": 1}
    assert run(tiny_model, tmp_path) == whole  # it was not journaled


def test_an_absent_metric_is_null_and_counted(tiny_model, tmp_path):
    suite = demo_suite()
    suite["benchmarks"]["mmlu"]["metric"] = "acc_norm"
    del suite["benchmarks"]["hellaswag"]
    result = run(tiny_model, tmp_path, write_suite(tmp_path / "suite.yaml", suite))
    assert result.value("mmlu") is None
    assert result.value("hellaswag") is None
    assert result.value("average") is None
    assert result.value("arc") is not None
    assert result.missing == {"mmlu: lm-eval gave no acc_norm": 5, "hellaswag: is not in the suite": 1}


def test_a_missing_model_folder_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match=r"^no/such/model/folder: no such model folder"):
        run("no/such/model/folder", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shots": 3}, r"benchmarks\.arc\.shots: is not a known key"),
        ({"num_fewshot": "2"}, r"benchmarks\.arc\.num_fewshot: .*valid integer"),
        ({"metric": "bleu"}, r"benchmarks\.arc\.metric: "),
        ({"tasks": []}, r"benchmarks\.arc\.tasks: "),
        ({"tasks": ["arc_hard"]}, r"benchmarks\.arc\.tasks: 'arc_hard' is no task of lm-eval in 'arc'"),
        ({"tasks": ["arc_challenge", "arc_challenge"]}, r"benchmarks\.arc\.tasks: 'arc_challenge' occurs twice"),
        ({"fewshot": []}, r"benchmarks\.arc: fewshot: expected names of files"),
        ({"num_fewshot": 0}, r"benchmarks\.arc: fewshot: expected names of files"),
        ({"num_fewshot": 6}, r"expected at least 6 examples, found 5"),
        ({"items": ["none.jsonl"]}, r"no such file, expected none\.jsonl"),
    ],
)
def test_a_bad_suite_is_refused_by_name(tiny_model, tmp_path, change, message):
    suite = demo_suite()
    suite["benchmarks"]["arc"].update(change)
    with pytest.raises(InputError, match=message) as error:
        run(tiny_model, tmp_path, write_suite(tmp_path / "suite.yaml", suite))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "open_llm.json").exists()


def test_the_mean_of_means_and_its_error_by_hand():
    assert mean_of_means([(60.0, 3.0), (20.0, 4.0)], [1, 1]) == (40.0, 2.5)
    assert mean_of_means([(60.0, 4.0), (20.0, 4.0)], [3, 1]) == (50.0, pytest.approx(10**0.5))
    assert mean_of_means([(60.0, None), (20.0, 4.0)], [1, 1]) == (40.0, None)
    assert mean_of_means([(None, None), (20.0, 4.0)], [0, 2]) == (None, None)


def test_arc_equals_plain_log_likelihoods(demo_model, tmp_path):
    """ARC's normalised accuracy on the demo's items, recomputed without lm-eval."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    suite = demo_suite()
    suite["benchmarks"] = {"arc": {**suite["benchmarks"]["arc"], "num_fewshot": 0, "fewshot": []}}
    result = run(str(demo_model), tmp_path, write_suite(tmp_path / "suite.yaml", suite))
    tokenizer = AutoTokenizer.from_pretrained(demo_model)
    model = AutoModelForCausalLM.from_pretrained(demo_model, dtype=torch.float32)

    def per_character(question, choice):
        prompt = tokenizer(f"Question: {question}\nAnswer:", add_special_tokens=False).input_ids
        text = tokenizer(f"Question: {question}\nAnswer: {choice}", add_special_tokens=False).input_ids
        assert text[: len(prompt)] == prompt
        with torch.no_grad():
            log_probabilities = model(torch.tensor([text])).logits[0].log_softmax(-1)
        scored = range(len(prompt), len(text))
        return sum(log_probabilities[i - 1, text[i]].item() for i in scored) / len(choice)

    right = 0
    for item in read_items(locate("config/demo/items/arc_challenge.jsonl"), "arc"):
        scores = [per_character(item["question"], choice) for choice in item["choices"]["text"]]
        right += item["choices"]["label"][scores.index(max(scores))] == item["answerKey"]
    assert result.value("arc") == pytest.approx(100 * right / 5)
