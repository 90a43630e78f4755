"""A server with odd replies: every shape under a name of its own, chosen by the words `case NAME` in the prompt.

`READ` are answers in another form. `EMPTY` are answers without a usable text. `PASSING` are replies that are no answer.
`REFUSED` concern one request, `FATAL` every one.
"""

import gzip
import json
import re
import threading
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from helpers.fake_teacher import MODEL, answer_to

MANY_DIGITS = "9" * 5000
DEEP = '{"a":' * 100_000 + "1" + "}" * 100_000
LOGPROBS = [{"token": name, "bytes": [1], "logprob": value} for name, value in (("m", -0.1), ("M", -2.4))]


def good(text, **message):
    """A chat completion in OpenAI's form."""
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, **message}}
    choice["logprobs"] = {"content": [{**LOGPROBS[0], "top_logprobs": LOGPROBS}]}
    usage = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": MODEL}
    return {**head, "choices": [choice], "usage": usage}


def content(made):
    """The content is what `made` makes of the text."""
    return lambda text: good(made(text))


def message(made):
    return lambda text: _with(good(text), lambda reply: reply["choices"][0].update(message=made(text)))


def said(**fields):
    """More fields of the message, or others."""
    return lambda text: good(text, **fields)


def choice(**fields):
    return lambda text: _with(good(text), lambda reply: reply["choices"][0].update(fields))


def usage(value):
    return lambda text: {**good(text), "usage": value}


def without(name, place=lambda reply: reply):
    return lambda text: _with(good(text), lambda reply: place(reply).pop(name))


def whole(value):
    """The reply is this, whatever was asked."""
    return lambda text: value


def status(code, body, **headers):
    return lambda text: (code, body, headers)


def digits(field):
    """An integer of 5,000 digits, which Python's JSON does not write."""
    return lambda text: (200, json.dumps(good(text)).replace(field, field + MANY_DIGITS).encode(), {})


def packed(pack, **headers):
    return lambda text: (200, pack(json.dumps(good(text)).encode()), headers)


def stream(*chunks, end="data: [DONE]\n\n", kind="text/event-stream"):
    """Chunks as a function of the text; strings stand as they are."""

    def reply(text):
        parts = [part if isinstance(part, str) else part(text) for part in chunks]
        lines = [part if isinstance(part, str) else f"data: {json.dumps(part)}\n\n" for part in parts]
        return 200, ("".join(lines) + end).encode(), {"Content-Type": kind}

    return reply


def delta(made, **more):
    """A chunk with a piece of the text."""

    def chunk(text):
        fields = {"delta": {"content": made(text)}} | more
        return {"object": "chat.completion.chunk", "model": MODEL, "choices": [{"index": 0, **fields}]}

    return chunk


def _with(reply, change):
    change(reply)
    return reply


def _first(reply):
    return reply["choices"][0]


def half(text):
    return len(text) // 2


READ = {
    "parts": content(lambda text: [{"type": "text", "text": text}]),
    "twoparts": content(lambda t: [{"type": "text", "text": t[: half(t)]}, {"type": "text", "text": t[half(t) :]}]),
    "plainparts": content(lambda text: [text[:5], text[5:]]),
    "outputtext": content(lambda text: [{"type": "output_text", "text": text, "annotations": []}]),
    "valuepart": content(lambda text: [{"type": "text", "text": {"value": text, "annotations": []}}]),
    "onepart": content(lambda text: {"type": "text", "text": text}),
    "emptypart": content(lambda text: [{"type": "text", "text": ""}, {"type": "text", "text": text}]),
    "thoughtpart": content(
        lambda t: [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": t}]
    ),
    "nousage": without("usage"),
    "emptyusage": usage({}),
    "nullusage": usage({"prompt_tokens": None, "completion_tokens": None}),
    "floatusage": usage({"prompt_tokens": 10.0, "completion_tokens": 20.0}),
    "textusage": usage({"prompt_tokens": "10", "completion_tokens": "20"}),
    "wordusage": usage({"prompt_tokens": "ten", "completion_tokens": "twenty"}),
    "mapusage": usage({"prompt_tokens": {"n": 1}, "completion_tokens": [1]}),
    "listusage": usage([10, 20]),
    "stringusage": usage("30 tokens"),
    "minususage": usage({"prompt_tokens": -1, "completion_tokens": -5}),
    "nanusage": usage({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}),
    "truthusage": usage({"prompt_tokens": True, "completion_tokens": False}),
    "halfusage": usage({"prompt_tokens": 10}),
    "hugeusage": usage({"prompt_tokens": 1e300, "completion_tokens": 1e300}),
    "digitsusage": digits('"completion_tokens": '),
    "digitscreated": digits('"created": '),
    "nofinish": without("finish_reason", _first),
    "nullfinish": choice(finish_reason=None),
    "nomodel": without("model"),
    "nullmodel": lambda text: {**good(text), "model": None},
    "numbermodel": lambda text: {**good(text), "model": 4},
    "othermodel": lambda text: {**good(text), "model": "something-else-2024"},
    "noindex": without("index", _first),
    "nologprobs": choice(logprobs=None),
    "textchoice": lambda text: {**good(text), "choices": [{"index": 0, "text": text, "finish_reason": "stop"}]},
    "nullmessage": lambda text: {**good(text), "choices": [{"message": None, "text": text}]},
    "reasoning": said(reasoning_content="long thinking"),
    "otherreasoning": said(reasoning="long thinking", reasoning_details=[{"type": "x"}]),
    "listreasoning": said(reasoning_content=["long", "thinking"]),
    "strangers": lambda text: {**good(text), "citations": [None], "choices": [{**_first(good(text)), "x": {"y": []}}]},
    "gzip": packed(gzip.compress, **{"Content-Encoding": "gzip"}),
    "deflate": packed(zlib.compress, **{"Content-Encoding": "deflate"}),
    "baregzip": packed(gzip.compress),
    "bom": packed(lambda data: b"\xef\xbb\xbf" + data),
    "utf16": packed(lambda data: data.decode().encode("utf-16")),
    "heartbeat": packed(lambda data: b"\n\n  \n" + data + b"\n"),
    "badcharset": packed(bytes, **{"Content-Type": "application/json; charset=bogus"}),
    "plaintype": packed(bytes, **{"Content-Type": "text/plain"}),
    "sse": stream(delta(str)),
    "ssepieces": stream(": ping\n\n", delta(lambda t: t[:9]), delta(lambda t: t[9:]), delta(lambda t: None)),
    "ssefinish": stream(delta(str, finish_reason="stop"), end=""),
    "ssetext": stream(lambda text: {"choices": [{"text": text, "finish_reason": "stop"}]}),
    "ssewhole": stream(good),
    "ssecrlf": lambda text: (200, stream(delta(str))(text)[1].replace(b"\n", b"\r\n"), {}),
    "sseusage": stream(delta(str), whole({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})),
}
EMPTY = {
    "null": content(lambda text: None),
    "empty": content(lambda text: ""),
    "noparts": content(lambda text: []),
    "filter": lambda text: _with(good(""), lambda reply: _first(reply).update(finish_reason="content_filter")),
    "nomessage": without("message", _first),
    "listmessage": message(lambda text: [text]),
    "textmessage": message(lambda text: text),
    "number": content(lambda text: 8),
    "truth": content(lambda text: True),
    "digits": lambda text: (200, json.dumps(good(0)).replace('"content": 0', f'"content": {MANY_DIGITS}').encode(), {}),
    "map": content(lambda text: {"answer": text}),
    "image": content(lambda text: [{"type": "image_url", "image_url": {"url": "data:"}}]),
    "nested": content(lambda text: [[{"type": "text", "text": text}]]),
    "nullpart": content(lambda text: [None]),
    "refusal": lambda text: good(None, refusal="I'm sorry, I can't help with that."),
    "tools": lambda text: good(None, tool_calls=[{"id": "1", "function": {"name": "f", "arguments": "{}"}}]),
    "maptools": lambda text: good(None, tool_calls=[{"function": {"name": "f", "arguments": {"a": 1}}}]),
    "oddtools": lambda text: good(None, tool_calls={"function": [1]}, function_call="f"),
    "thoughtonly": lambda text: good(None, reasoning_content="thinking"),
    "ssenothing": stream(delta(lambda text: None)),
}
TAINTED = {  # a teacher's text cannot be used; what a judge says in it can be read
    "surrogate": content(lambda text: text + " \ud83d"),
    "nul": content(lambda text: text + " \0"),
    "latin1": packed(
        lambda data: data.replace(b"So it seems", b"So it s\xe9ms").replace(b" is simple", b" is s\xefmple")
    ),
}
PASSING = {
    "html": status(200, b"<html>login</html>", **{"Content-Type": "text/html"}),
    "list": lambda text: [good(text)],
    "nullbody": whole(None),
    "numberbody": whole(5),
    "textbody": whole("fine"),
    "nothing": status(200, b""),
    "nocontent": status(204, b""),
    "redirect": status(302, b"", Location="/elsewhere"),
    "redirectnowhere": status(302, b""),
    "badretry": status(503, b"{}", **{"Retry-After": "Mon, 01 Jan 99999 00:00:00 GMT", "retry-after-ms": "nan"}),
    "torn": packed(lambda data: data[: len(data) // 2]),
    "badgzip": status(200, b"\x1f\x8b\x08nonsense"),
    "badencoding": status(200, b"nonsense", **{"Content-Encoding": "gzip"}),
    "nochoices": without("choices"),
    "nullchoices": lambda text: {**good(text), "choices": None},
    "emptychoices": lambda text: {**good(text), "choices": []},
    "mapchoices": lambda text: {**good(text), "choices": {"0": _first(good(text))}},
    "nullchoice": lambda text: {**good(text), "choices": [None]},
    "detail": whole({"detail": "internal problem"}),
    "busy": whole({"code": 500, "msg": "server busy", "success": False}),
    "loading": whole({"object": "error", "message": "model is loading", "code": 50301}),
    "texterror": whole({"error": "rate limited"}),
    "error": whole({"error": {"message": "overloaded", "code": 529}}),
    "choiceerror": choice(error={"code": 502, "message": "provider down"}, finish_reason="error"),
    "ssetorn": stream(delta(str), end=""),
    "sseerror": stream(whole({"error": {"message": "overloaded"}})),
    "ssenumber": stream("data: 5\n\n"),
    "500": status(500, b'{"error": {"message": "an accident"}}'),
    "500empty": status(500, b""),
    "502": status(502, b"<html>Bad Gateway</html>"),
    "503": status(503, b"[1, 2]"),
    "529": status(529, b'{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}'),
    "408": status(408, b"null"),
    "409": status(409, b'"text"'),
    "429": status(429, b'{"error": {"message": "Request too large for this organization"}}'),
}
REFUSED = {
    "400": status(
        400, b'{"error": {"message": "This model\'s maximum context length is 100 tokens.", "param": "messages"}}'
    ),
    "400list": status(400, b'[{"error": {"message": "bad"}}]'),
    "400charset": status(400, b"no", **{"Content-Type": "text/plain; charset=bogus"}),
    "400text": status(400, b"no"),
    "400empty": status(400, b""),
    "400deep": status(400, DEEP.encode()),
    "400digits": status(400, b'{"error": {"message": "no", "code": ' + MANY_DIGITS.encode() + b"}}"),
    "400code": status(400, b'{"error": {"message": ["a", "b"], "code": {"x": 1}, "param": ["model"]}}'),
    "403": status(403, b'{"error": {"message": "Your request was blocked."}}'),
    "404": status(404, b'{"detail": "Not Found"}'),
    "404html": status(404, b"<html>404</html>"),
    "413": status(413, b"too large"),
    "422": status(
        422, b'{"object": "error", "message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra inputs"}]}}'
    ),
    "451": status(451, b"\xff\xfe\x00"),
    "deep": lambda text: (200, json.dumps(good(text))[:-1].encode() + b', "x": ' + DEEP.encode() + b"}", {}),
}
FATAL = {
    "401": status(401, b'{"error": {"message": "Incorrect API key"}}'),
    "402": status(402, b'{"error": {"message": "Insufficient Balance"}}'),
    "quota": status(429, b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'),
    "quotainside": whole({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}),
    "unknownmodel": status(404, b'{"error": {"message": "The model does not exist", "code": "model_not_found"}}'),
}
KINDS = {"read": READ, "empty": EMPTY, "tainted": TAINTED, "passing": PASSING, "refused": REFUSED, "fatal": FATAL}
ODD = {name: reply for kind in KINDS.values() for name, reply in kind.items()}


class OddServer:
    """The server in a thread. `asked` counts requests by the name in their prompt; `healthy` answers all of them."""

    def __init__(self):
        self.asked = Counter()
        self.healthy = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                code, data, headers = outer.reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(code)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                if code != 204:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def reply(self, body):
        prompt = body["messages"][-1]["content"]
        name = re.search(r"case (\w+)", prompt)[1]
        self.asked[name] += 1
        made = (good if self.healthy else ODD.get(name.rpartition("_")[2], good))(answer_to(prompt))
        return made if isinstance(made, tuple) else (200, json.dumps(made).encode(), {})

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()
