"""A judge's paid endpoint, faked: an OpenAI-compatible server in a thread, whose answers a test decides."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from helpers.cases import changed
from srt.evaluation.judging import Judging
from srt.experiment.config import load
from srt.experiment.judges import read_judge
from srt.settings import Endpoint, ExecutionConfig, JudgeConfig

KEY_VARIABLE = "SRT_TEST_JUDGE_KEY"
KEY = "secret-of-the-test"


class FakeJudge:
    """`answer(request, count)` gives the text, fields of the choice, or an HTTP status, also with a body.

    `count`: of equal requests.
    """

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, reply = outer._reply(self.headers.get("Authorization"), body)
                data = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def _reply(self, authorization, body):
        if authorization != f"Bearer {KEY}":
            return 401, {"error": {"message": "wrong key"}}
        with self._lock:
            self.requests.append(body)
            count = self.requests.count(body)
        answer = self.answer(body, count)
        if isinstance(answer, int):
            return answer, {"error": {"message": f"status {answer}"}}
        if isinstance(answer, tuple):
            return answer
        message = {"role": "assistant", "content": answer if isinstance(answer, str) else ""}
        choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": None}
        choice.update(answer if isinstance(answer, dict) else {})
        reply = {"id": "x", "object": "chat.completion", "created": 0, "model": "judge-0613", "choices": [choice]}
        return 200, reply

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()

    @property
    def endpoint(self):
        return Endpoint(base_url=f"http://127.0.0.1:{self.server.server_port}/v1", api_key_env=KEY_VARIABLE)


def judge_config(**changes):
    """The shipped judge's prompts, and an endpoint's model."""
    values = read_judge("config/judges/smollm2.yaml").model_dump()
    more = {"model": "judge", "serve": False, "max_model_len": None, **changes}
    return JudgeConfig.model_validate(changed(values, JudgeConfig, **more))


def execution_config(**changes):
    values = {**load()[0].execution.model_dump(), "device": "cpu", "concurrency": 4, "server_memory_gb": 0.5}
    return ExecutionConfig(**{**values, **changes})


def judging(cache: Path, endpoint: Endpoint | None = None, concurrency: int | None = None, **changes) -> Judging:
    """A judge, its replies kept in `cache`; `changes` are of its file."""
    execution = execution_config() if concurrency is None else execution_config(concurrency=concurrency)
    return Judging(judge_config(**changes), endpoint, execution, cache)
