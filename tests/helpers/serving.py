"""A server in a thread that has one reply for all."""

import json
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from helpers.fake_judge import execution_config
from srt.llm.endpoint import chat
from srt.llm.sending import Sender
from srt.llm.servers import OpenServer

MOST = 1_000_000


def reply(size: int) -> bytes:
    """A chat completion, padded to about that size."""
    message = {"role": "assistant", "content": "a" * size}
    return json.dumps({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}).encode()


class Serving:
    """A server in a thread with one reply for all; `asked` are the paths that were asked for."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        asked = self.asked = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append(self.path)
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def __enter__(self) -> "Serving":
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def outcome(self, **more: Any) -> Any:
        """What a request to it comes to."""
        key = more.pop("key", "k")
        settings = {"reply_mb": MOST // 10**6, "request_seconds": 20.0, "patience_seconds": 1.0, **more}
        sender = Sender(OpenServer(f"http://127.0.0.1:{self.port}/v1", key, "m"), execution_config(**settings))
        try:
            sender.submit("t", partial(chat, {"model": "m", "messages": []}))
            return dict(sender.collect())["t"]
        finally:
            sender.close()
