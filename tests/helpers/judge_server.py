"""A judge's server of one's own: what stands in for vLLM's, and one job's time with it."""

import contextlib

from helpers.fake_judge import execution_config, judge_config
from srt.llm import server

# What vLLM's server is to its caller: it answers /health at once and names its model to who knows the key.
FAKE_SERVER = """
import http.server, json, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        allowed = self.path == "/health" or self.headers["Authorization"] == "Bearer " + os.environ["VLLM_API_KEY"]
        body = json.dumps({"data": [{"id": sys.argv[1]}]}).encode()
        self.send_response(200 if allowed else 401)
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[-1])), Handler).serve_forever()
"""


@contextlib.contextmanager
def judged(folder, **changes):
    """One job's time with its judge's server."""
    judge = judge_config(model=str(folder / "model"), serve=True, **changes)
    with server.serving(judge, execution_config(), None, folder / "log") as opened:
        yield opened
