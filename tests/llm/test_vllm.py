"""A real vLLM server (CPU build) that a job starts for itself, and vLLM in process, as teachers of real records."""

import json
from pathlib import Path

import psutil
import pytest
import transformers

from helpers.asking import completed
from srt.experiment.config import load
from srt.llm.opening import open_backend
from srt.llm.requests import Request, Sampling, Speaker
from srt.prepare.prepare import prepare
from srt.reflection.reflect import reflect
from srt.settings.job import Job
from srt.storage.files import read_records
from srt.storage.records import ReflectedPair

pytestmark = pytest.mark.slow

CONFIG, _ = load()
RECORDS = 24
EXECUTION = CONFIG.execution.model_copy(update={"concurrency": RECORDS})


def vllm_processes() -> list[int]:
    """Processes of a vLLM server below this one."""
    children = psutil.Process().children(recursive=True)
    return [child.pid for child in children if "vllm" in " ".join(child.cmdline())]


@pytest.mark.usefixtures("vllm_starts")
def test_a_server_of_its_own_serves_both_phases_with_structured_outputs(
    demo_model: Path, shared_data: Path, tmp_path: Path
) -> None:
    source = shared_data / "alpaca" / "cherry_alpaca_5_percent.json"
    prepare(str(source), tmp_path / "pairs.jsonl", CONFIG.datasets["demo"].model_copy(update={"limit": RECORDS}))
    changes = {"model": str(demo_model), "backend": "vllm-server", "prompts": "config/prompts/json.yaml"}
    settings = CONFIG.teachers["smollm2"].model_copy(update={**changes, "max_new_tokens": 128})
    for variant in ("instruction", "response"):
        out = tmp_path / f"{variant}.jsonl"
        reflect(tmp_path / "pairs.jsonl", variant, settings, Job(out, tmp_path / "journal", EXECUTION))
        assert vllm_processes() == []
        assert len(read_records(out, ReflectedPair)) == RECORDS
    answers = [
        json.loads(line)["value"] for path in (tmp_path / "journal").rglob("*.jsonl") for line in path.open("rb")
    ]
    whole = [answer["text"] for answer in answers if answer.get("finish_reason") == "stop"]
    assert len(answers) >= 2 * RECORDS
    assert len(whole) >= RECORDS / 2
    assert all({"critique", "response"} <= set(json.loads(text)) for text in whole)
    logs = [*(tmp_path / "journal").rglob("server.log")]
    assert logs
    assert all(log.stat().st_size for log in logs)


@pytest.mark.usefixtures("vllm_starts")
def test_vllm_in_process_takes_requests_in_while_others_are_answered(demo_model: Path, tmp_path: Path) -> None:
    greedy = Sampling(0.0, 1.0, 1.1, 0)
    asked = [Request((("user", f"Name {i} fruits."),), 8 + i, greedy) for i in range(6)]
    backend = open_backend(Speaker("vllm", str(demo_model), None, "float32", 512), EXECUTION, tmp_path)
    try:
        backend.submit("first", asked[0])
        backend.submit("long", Request((("user", "Tell me a story."),), 60, greedy))
        assert [ticket for ticket, _ in backend.collect()] == ["first"]  # the long one goes on
        backend.submit("later", asked[1])
        assert [ticket for ticket, _ in backend.collect()] == ["later"]
        ((ticket, story),) = backend.collect()
        assert (ticket, story.tokens, story.finish_reason) == ("long", 60, "length")
        answers = dict(completed(backend, asked))
        assert [answers[i].tokens for i in range(6)] == [min(8 + i, answers[i].tokens) for i in range(6)]
        tokenizer = transformers.AutoTokenizer.from_pretrained(demo_model)
        tokenizer_ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": "Name 0 fruits."}], add_generation_prompt=True, return_dict=True
        ).input_ids
        assert answers[0].prompt_tokens == len(tokenizer_ids)  # the template once, no second BOS
    finally:
        backend.close()
