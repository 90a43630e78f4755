"""The batch API's replies in shapes that it should not have: a counted failure or one line, and nothing paid twice."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from helpers.fake_judge import execution_config
from helpers.odd_server import DEEP, MANY_DIGITS, good
from srt.llm import _batch_states as batch_states
from srt.llm import batch_api
from srt.llm.asking import Teacher
from srt.llm.requests import Completion, Request, Sampling
from srt.llm.servers import OpenServer, ServerError
from srt.storage.errors import InputError

REQUESTS = [Request((("user", str(i)),), 20, Sampling(0.0, 1.0, 1.0, 0)) for i in range(3)]
Reply = tuple[int, object]


class Api:
    """A batch API whose reply to one kind of call is `odd`: a status with a body, or a function of the good body."""

    def __init__(self, **odd: Reply | Callable[[dict | list], object]) -> None:
        self.odd, self.calls, self.ids, self.token = odd, Counter(), [], None
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.answer(self, b"")

            def do_POST(self) -> None:
                api.answer(self, self.rfile.read(int(self.headers["Content-Length"])))

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.at = OpenServer(f"http://127.0.0.1:{self.server.server_port}/v1", "key-of-the-test", "m")

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        kind, reply = self.good(handler.command, handler.path.partition("?")[0], body)
        self.calls[kind] += 1
        made = self.odd.get(kind)
        status, reply = made if isinstance(made, tuple) else (200, made(reply) if made else reply)
        data = reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def good(self, method: str, path: str, body: bytes) -> tuple[str, object]:
        if path.endswith("/files"):
            lines = [line for line in body.splitlines() if line.startswith(b'{"custom_id"')]
            self.ids = [json.loads(line)["custom_id"] for line in lines]
            return "upload", {"id": "file-1"}
        if path.endswith("/content"):
            rows = [{"custom_id": key, "response": {"status_code": 200, "body": good(key)}} for key in self.ids]
            return "content", "\n".join(map(json.dumps, rows))
        if method == "POST":
            self.token = json.loads(body)["metadata"]["srt"]
            return "create", self.told("in_progress")
        if path.endswith("/batches"):
            return "list", {"data": [self.told("in_progress")], "has_more": False}
        return "retrieve", self.told("completed") | {"output_file_id": "out"}

    def told(self, status: str) -> dict:
        return {"id": "batch-1", "status": status, "metadata": {"srt": self.token}, "request_counts": {"total": 3}}

    def ask(self, folder: Path) -> list[Completion]:
        execution = execution_config(patience_seconds=0.2)
        with Teacher("t", lambda own: batch_api.BatchBackend(self.at, execution, own), folder, "job") as teacher:
            return teacher.ask(REQUESTS, "x")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_api, "POLL_SECONDS", 0.01)
    monkeypatch.setattr("srt.llm.sending.BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr("srt.llm.sending.TRIES", 2)


@pytest.fixture
def api() -> Iterator[Callable[..., Api]]:
    made: list[Api] = []

    def start(**odd: object) -> Api:
        made.append(Api(**odd))
        return made[-1]

    yield start
    for each in made:
        each.server.shutdown()
        each.server.server_close()


REFUSAL = (400, {"error": {"message": "Billing hard limit has been reached", "code": "billing"}})


@pytest.mark.parametrize("kind", ["upload", "create"])
def test_a_refusal_is_one_line_with_the_servers_words_and_nothing_is_submitted_twice(
    tmp_path: Path, api: Callable[..., Api], kind: str
) -> None:
    server = api(**{kind: REFUSAL})
    with pytest.raises(ServerError, match="HTTP 400: Billing hard limit has been reached"):
        server.ask(tmp_path)
    assert server.calls[kind] == 1
    states = [json.loads(state.read_text()) for state in tmp_path.rglob(batch_states.STATE)]
    assert states == ([[]] if kind == "create" else [])
    server.odd = {}
    server.calls.clear()
    assert [answer.text for answer in server.ask(tmp_path)] == server.ids
    assert (server.calls["create"], server.calls["list"]) == (1, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["upload", "create", "retrieve", "list"])
@pytest.mark.parametrize(
    "reply",
    ["<html>busy</html>", "", "[]", "null", "{}", DEEP, '{"id": ' + MANY_DIGITS + "}", '{"id": [], "status": {}}'],
    ids=["html", "empty", "list", "null", "nothing", "deep", "digits", "types"],
)
def test_a_reply_of_another_shape_is_one_line(tmp_path: Path, api: Callable[..., Api], kind: str, reply: str) -> None:
    server = api(**{kind: (200, reply), **({"create": (503, {})} if kind == "list" else {})})
    if kind == "create":  # the batch is there all the same, and found by its token
        assert [answer.text for answer in server.ask(tmp_path)] == server.ids
    else:
        with pytest.raises((ServerError, InputError)):
            server.ask(tmp_path)
    assert server.calls["create"] <= 1


ODD_BATCHES = {
    "metadata": lambda told: {**told, "metadata": [1]},
    "counts": lambda told: {**told, "request_counts": "three"},
    "errors": lambda told: {**told, "status": "failed", "errors": {"data": [{"message": None}, "no room", 5]}},
    "no words": lambda told: {**told, "status": "failed", "errors": 7, "output_file_id": None},
    "files": lambda told: {**told, "output_file_id": {"id": "out"}, "error_file_id": "out"},
}


@pytest.mark.parametrize("name", ODD_BATCHES)
def test_odd_fields_of_a_batch_do_no_harm(tmp_path: Path, api: Callable[..., Api], name: str) -> None:
    server = api(retrieve=ODD_BATCHES[name])
    if name == "no words":
        with pytest.raises(ServerError, match="batch batch-1 failed: 7"):
            server.ask(tmp_path)
    else:
        assert [answer.text for answer in server.ask(tmp_path)] == server.ids
    assert server.calls["create"] == 1


def test_odd_lines_of_an_output_file_are_counted(
    tmp_path: Path, api: Callable[..., Api], capsys: pytest.CaptureFixture[str]
) -> None:
    def spoiled(content: str) -> str:
        rows = content.split("\n")
        refused = json.loads(rows[0]) | {"response": {"status_code": 400, "body": {}}}
        other = json.loads(rows[0]) | {"custom_id": "somebody else's"}
        odd = ["<html>", "[1]", '{"custom_id": 7}', "{" * 100_000, MANY_DIGITS, "", json.dumps(other)]
        return "\n".join([*odd, rows[0], rows[0], json.dumps(refused), rows[1], json.dumps(refused), rows[2]])

    server = api(content=spoiled)
    assert [answer.text for answer in server.ask(tmp_path)] == server.ids
    said = capsys.readouterr().err
    assert "5 lines of batch batch-1: that cannot be read" in said
    assert "1 lines of batch batch-1: with an id that was not asked for" in said
    assert "3 lines of batch batch-1: of a request that has an answer already" in said
    (journal,) = tmp_path.rglob("*.jsonl")
    assert "somebody" not in journal.read_text()


@pytest.mark.parametrize("text", ["{}", "[1]", '[{"token": "t"}]', '[{"token": "t", "id": 5, "keys": []}]'])
def test_an_odd_state_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / batch_states.STATE).write_text(text)
    with pytest.raises(InputError, match=r"batches\.json: expected a list of batches"):
        batch_states.refuse_open_batches(tmp_path)
