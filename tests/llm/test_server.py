import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import ROOT, TESTS
from helpers.fake_judge import KEY, KEY_VARIABLE, execution_config, judge_config
from helpers.judge_server import FAKE_SERVER
from srt.llm import _pool as pool
from srt.llm import loading, server, servers
from srt.machine import processes
from srt.settings import Endpoint
from srt.storage.errors import InputError

ENDPOINT = Endpoint(base_url="https://judge.invalid/v1", api_key_env=KEY_VARIABLE)
JOB = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from helpers.fake_judge import execution_config, judge_config
from srt.llm.server import serving
judge = judge_config(model=sys.argv[1], serve=True, max_model_len=512)
with serving(judge, execution_config(), None, Path(sys.argv[2])):
    time.sleep(600)
"""


def open_server(log, *, endpoint=None, model="judge", serve=True):
    return server.serving(judge_config(model=model, serve=serve), execution_config(), endpoint, log)


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A model folder, and a command in vLLM's place whose code and answered model name a test chooses."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")

    def use(code, name):
        monkeypatch.setattr(server, "_command", lambda *_: [sys.executable, "-c", code, name])
        return str(tmp_path / "model")

    return use


def test_endpoint_with_its_key(monkeypatch, tmp_path):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with open_server(tmp_path / "log", endpoint=ENDPOINT, serve=False) as opened:
        assert (opened.base_url, opened.api_key, opened.model) == (ENDPOINT.base_url, KEY, "judge")
        assert KEY not in repr(opened)


def test_endpoint_without_its_key_names_the_variable(monkeypatch, tmp_path):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(InputError, match=KEY_VARIABLE), open_server(tmp_path / "log", endpoint=ENDPOINT, serve=False):
        pass


def test_missing_endpoint_names_the_config_key(tmp_path):
    with pytest.raises(InputError, match=r"execution\.endpoints"), open_server(tmp_path / "log", serve=False):
        pass


def test_missing_model_folder(tmp_path):
    with pytest.raises(InputError, match="no such model folder"), open_server(tmp_path / "log", model="./nowhere"):
        pass


@pytest.mark.slow
def test_server_is_up_inside_and_gone_after(tmp_path, served):
    model = served(FAKE_SERVER, str(tmp_path / "model"))
    with open_server(tmp_path / "log", model=model) as opened:
        port = int(opened.base_url.split(":")[2].split("/")[0])
        assert pool._get(port, "/v1/models", opened.api_key) is not None
        assert pool._get(port, "/v1/models", "another key") is None
    assert pool._get(port, "/health", opened.api_key) is None


@pytest.mark.slow
def test_another_server_on_the_port_is_noticed(tmp_path, served):
    model = served(FAKE_SERVER, "somebody else's model")
    with pytest.raises(servers.ServerError, match="another server answers"), open_server(tmp_path / "log", model=model):
        pass


@pytest.mark.slow
def test_death_names_the_log_and_its_last_line(tmp_path, served):
    model = served("import sys; sys.exit('out of memory')", "")
    with (
        pytest.raises(servers.ServerError, match=r"the\.log: .* ended .* out of memory"),
        open_server(tmp_path / "the.log", model=model),
    ):
        pass


@pytest.mark.slow
def test_silence_names_the_log(tmp_path, served, monkeypatch):
    monkeypatch.setattr(pool, "START_SECONDS", 0.5)
    model = served("import time; time.sleep(60)", "")
    with (
        pytest.raises(servers.ServerError, match=r"the\.log: .* did not answer in .* nothing"),
        open_server(tmp_path / "the.log", model=model),
    ):
        pass


def test_command_and_environment():
    judge = judge_config(model="m", revision="r", serve=True, max_model_len=99)
    command = server._command(judge, execution_config(), 1)
    for flags in (["--host", "127.0.0.1"], ["--max-model-len", "99"], ["--revision", "r"]):
        assert " ".join(flags) in " ".join(command)
    assert server._environment(execution_config(server_memory_gb=1.5))["VLLM_CPU_KVCACHE_SPACE"] == "2"


def test_a_model_is_laid_out_over_gpus_with_a_share_of_their_memory(monkeypatch):
    monkeypatch.setattr("srt.llm.devices.kind", lambda name: "cuda")
    command = " ".join(server._command(judge_config(serve=True), execution_config(gpu_memory_share=0.8), 4))
    assert "--tensor-parallel-size 4 --gpu-memory-utilization 0.8" in command
    assert "--enforce-eager" not in command


@pytest.mark.slow
def test_a_number_of_gpus_that_does_not_divide_the_heads_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama", "num_attention_heads": 32}')
    with pytest.raises(InputError, match="cannot be laid out over 3 GPUs: expected a divisor of its 32 heads"):
        loading.require_divisible(str(tmp_path), None, 3)
    loading.require_divisible(str(tmp_path), None, 8)


@pytest.mark.slow
@pytest.mark.usefixtures("vllm_starts")
def test_vllm_answers_with_logprobs_and_is_gone_after_the_context(demo_model: Path, tmp_path: Path):
    from openai import OpenAI

    judge, log = judge_config(model=str(demo_model), serve=True, max_model_len=512), tmp_path / "server.log"
    with server.serving(judge, execution_config(), None, log) as opened:
        client = OpenAI(base_url=opened.base_url, api_key=opened.api_key)
        choice = client.chat.completions.create(
            model=opened.model,
            messages=[{"role": "user", "content": "Which is better, m or M? Reply with m or M."}],
            max_tokens=1,
            logprobs=True,
            top_logprobs=5,
            extra_body={"structured_outputs": {"choice": ["m", "M"]}},
        ).choices[0]
        port = int(opened.base_url.split(":")[2].split("/")[0])
        assert pool._get(port, "/v1/models", "another key") is None
    top = {token.token: token.logprob for token in choice.logprobs.content[0].top_logprobs}
    assert choice.message.content in ("m", "M")
    assert sum(2.718281828 ** top[name] for name in ("m", "M")) == pytest.approx(1, abs=1e-3)
    assert pool._get(port, "/health", opened.api_key) is None
    assert opened.api_key not in log.read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("vllm_starts")
def test_vllm_dies_with_a_killed_job(demo_model: Path, tmp_path: Path):
    command = [sys.executable, "-c", JOB, str(demo_model), str(tmp_path / "server.log"), str(TESTS)]
    job = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
    try:
        session = _wait_for_engine(job.pid)
    finally:
        os.killpg(job.pid, signal.SIGKILL)
        job.wait()
    deadline = time.monotonic() + 20
    while processes.session_members(session):
        assert time.monotonic() < deadline, processes.session_members(session)
        time.sleep(0.1)


def _wait_for_engine(job):
    """The server's session, as soon as its engine's process runs in it: lifeline, API server, tracker, engine."""
    import psutil

    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        for child in psutil.Process(job).children(recursive=True):
            if len(processes.session_members(child.pid)) >= 4:
                return child.pid
        time.sleep(0.2)
    raise AssertionError("vLLM's engine did not start")
