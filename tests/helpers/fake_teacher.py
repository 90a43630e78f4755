"""A teacher's endpoint, faked: an OpenAI-compatible server with latencies and faults, in a process of its own.

Run as a program it prints its port and writes a line for every request to a file; benchmarks/teacher.py uses it too.
Answers, latencies and faults follow from a seed and the request's content, so that two runs meet the same server.
"""

import argparse
import asyncio
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import NormalDist

KEY = "sk-secret-of-the-test-teacher"
MODEL = "fake-teacher"
# Over real HTTP, each in its own way not the answer that was asked for.
FAULTS = (
    *("429", "429 with Retry-After", "500", "503", "reset", "stalled", "empty", "invalid JSON", "truncated"),
    "error inside 200",
)


def drawn(*parts):
    """A number between 0 and 1 that follows from the parts."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8]) / 2**64


def latency(median, place):
    """Seconds, log-normal with sigma 1: the place's quantile of the distribution, in a fixed random order."""
    return median * math.exp(NormalDist().inv_cdf(min(max(drawn("latency", place), 1e-9), 1 - 1e-9)))


def answer_to(prompt):
    """What a good teacher writes: different for every prompt, in the tags that are asked for; a judge's scores."""
    name = hashlib.sha256(prompt.encode()).hexdigest()[:10]
    if "the two scores and nothing else" in prompt:
        return f"{1 + int(name, 16) % 10} {1 + int(name[::-1], 16) % 10}\nSo it seems."
    if "[Better Answer]" in prompt:
        return f"It is short.\n[Better Answer]\nA fuller answer, number {name}.\n[End]"
    return f"It is vague.\n[New Instruction]\nExplain case {name}.\n[End]\n[New Answer]\nCase {name} is simple.\n[End]"


class Server:
    """One connection handler; `options` as on the command line."""

    def __init__(self, options):
        self.options = options
        self.seen = 0
        self.begun = time.time()
        self.counts = {}
        self.files = {}
        self.batches = {}
        self.log = Path(options.log).open("a") if options.log else None  # noqa: SIM115 (as long as the process)

    def note(self, **line):
        if self.log:
            print(json.dumps(line), file=self.log, flush=True)

    async def handle(self, reader, writer):
        try:
            while request := await self.read(reader):
                if not await self.reply(writer, *request):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def read(self, reader):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines if line)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        return method, path, headers, body

    async def reply(self, writer, method, path, headers, body):
        if headers.get("authorization") != f"Bearer {self.options.key}":
            said = f"Incorrect API key provided: {headers.get('authorization')}"  # as some servers do
            return await self.send(
                writer, self.options.refusal, {"error": {"message": said, "code": "invalid_api_key"}}
            )
        if path.endswith("/chat/completions"):
            return await self.chat(writer, json.loads(body))
        reply = self.batch_api(method, path, headers, body)
        if method == "POST" and path.endswith("/batches"):
            await asyncio.sleep(self.options.slow_batches)  # it is there before anybody hears of it
        return await self.send(writer, *reply)

    async def chat(self, writer, asked):
        prompt = asked["messages"][-1]["content"]
        place, self.seen = self.seen, self.seen + 1
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
        self.counts[key] = self.counts.get(key, 0) + 1
        if time.time() < self.begun + self.options.outage:
            self.note(event="outage", key=key)
            return await self.send(writer, 503, {"error": {"message": "back soon"}})
        if asked["model"] != MODEL:
            self.note(event="model", key=key)
            told = {"message": f"The model {asked['model']} does not exist", "code": "model_not_found"}
            return await self.send(writer, 404, {"error": told})
        self.note(event="asked", key=key, at=time.time())
        fault = self.fault(key)
        if fault is None:
            await asyncio.sleep(latency(self.options.median, place) if self.options.median else 0)
            self.note(event="answered", key=key, at=time.time())
            return await self.send(writer, 200, completion(asked, answer_to(prompt)))
        self.note(event=fault, key=key)
        return await self.fail(writer, fault, completion(asked, answer_to(prompt)))

    def fault(self, key):
        """With the given share, drawn anew for every try of a request."""
        if drawn("fault", key, self.counts[key]) >= self.options.faults:
            return None
        return FAULTS[int(drawn("kind", key, self.counts[key]) * len(FAULTS))]

    async def fail(self, writer, fault, reply):
        if fault.startswith("429"):
            more = "Retry-After: 1\r\n" if fault != "429" else ""
            return await self.send(writer, 429, {"error": {"message": "slow down", "code": "rate_limit"}}, more)
        if fault in ("500", "503"):
            return await self.send(writer, int(fault), {"error": {"message": "an accident"}})
        if fault == "error inside 200":
            return await self.send(writer, 200, {"error": {"message": "overloaded", "code": 529}})
        if fault == "stalled":
            await asyncio.sleep(3600)
        data = json.dumps(reply).encode()
        bodies = {"empty": b"", "invalid JSON": data[: len(data) // 2], "truncated": data}
        if fault in bodies:
            length = len(bodies[fault]) + (500 if fault == "truncated" else 0)
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
            writer.write(head.encode() + bodies[fault])
            await writer.drain()
            return fault != "truncated"
        if writer.transport is not None:
            writer.transport.abort()  # a reset
        return False

    async def send(self, writer, status, reply, more=""):
        data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}Content-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        return True

    def batch_api(self, method, path, headers, body):
        """`/files` and `/batches`: a batch ends when it has been looked at `batch_looks` times."""
        kind, _, rest = path.split("/v1/")[1].partition("/")
        if kind == "files" and method == "POST":
            boundary = headers["content-type"].split("boundary=")[1].encode()
            part = next(p for p in body.split(b"--" + boundary) if b"requests.jsonl" in p)
            name = f"file-{len(self.files)}"
            self.files[name] = part.split(b"\r\n\r\n", 1)[1].strip()
            return 200, {"id": name, "object": "file", "purpose": "batch", "filename": "x", "bytes": 1, "created_at": 0}
        if kind == "files":
            return 200, self.files[rest.split("/")[0]]
        if method == "POST":
            asked = json.loads(body)
            name = f"batch_{len(self.batches)}"
            self.batches[name] = {**asked, "id": name, "looks": 0}
            self.note(event="batch", requests=len(self.files[asked["input_file_id"]].splitlines()))
            if self.options.kill_on_batch:
                os.kill(int(Path(self.options.kill_on_batch).read_text()), signal.SIGKILL)
            return 200, self.batch(name)
        if not rest.partition("?")[0]:
            return 200, {"object": "list", "data": [self.batch(name) for name in self.batches], "has_more": False}
        self.batches[rest]["looks"] += 1
        return 200, self.batch(rest)

    def batch(self, name):
        known = self.batches[name]
        rows = [json.loads(line) for line in self.files[known["input_file_id"]].splitlines()]
        done = known["looks"] >= self.options.batch_looks
        shown = {"id": name, "object": "batch", "endpoint": known["endpoint"], "completion_window": "24h"}
        shown |= {"created_at": 0, "input_file_id": known["input_file_id"], "metadata": known.get("metadata")}
        counts = {"total": len(rows), "completed": len(rows) if done else 0, "failed": 0}
        shown |= {"status": "completed" if done else self.options.batch_status, "request_counts": counts}
        if done:
            shown["output_file_id"] = f"{name}-output"
            self.files[shown["output_file_id"]] = b"\n".join(self.row(row, place) for place, row in enumerate(rows))
        return shown

    def row(self, row, place):
        """One answer of a batch; a share of them are lost, and the first of the first batch is refused."""
        body = row["body"]
        self.note(event="in batch", key=row["custom_id"])
        told = {"custom_id": row["custom_id"], "response": None, "error": None}
        if drawn("lost", row["custom_id"], len(self.batches)) < self.options.faults:
            told["error"] = {"code": "batch_expired", "message": "too late"}
        else:
            # A line separator within a text is no end of a line of JSON.
            reply = completion(body, answer_to(body["messages"][-1]["content"]) + "\u2028")
            told["response"] = {"status_code": 200, "request_id": "r", "body": reply}
        return json.dumps(told, ensure_ascii=False).encode()


def completion(asked, text):
    """A chat completion in OpenAI's form."""
    prompt = sum(len(message["content"]) for message in asked["messages"])
    usage = {"prompt_tokens": prompt // 4, "completion_tokens": len(text) // 4}
    usage["total_tokens"] = sum(usage.values())
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}, "logprobs": None}
    return {"id": "x", "object": "chat.completion", "created": 0, "model": MODEL, "choices": [choice], "usage": usage}


class Running:
    """The server in a process of its own, for as long as the context is open."""

    def __init__(self, log=None, **options):
        self.log = log
        self.command = [sys.executable, __file__]
        for name, value in {**options, **({"log": log} if log else {})}.items():
            self.command += [f"--{name.replace('_', '-')}", str(value)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        self.base_url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/v1"
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def lines(self):
        """What was noted, complete lines only."""
        text = Path(self.log).read_text() if Path(self.log).exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


async def serve(options):
    server = await asyncio.start_server(Server(options).handle, "127.0.0.1", options.port, limit=2**26, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--median", type=float, default=0.0, help="seconds of a request; 0 answers at once")
    parser.add_argument("--faults", type=float, default=0.0, help="share of the tries that fail")
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--refusal", type=int, default=401, help="HTTP status for a wrong key")
    parser.add_argument("--log", default=None)
    parser.add_argument("--outage", type=float, default=0.0, help="seconds from its start in which all fails")
    parser.add_argument("--slow-batches", type=float, default=0.0, help="seconds before a new batch is confirmed")
    parser.add_argument("--batch-looks", type=int, default=2)
    parser.add_argument("--batch-status", default="in_progress", help="of a batch that is not done")
    parser.add_argument("--kill-on-batch", default=None, help="file with the pid to kill when a batch is created")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
