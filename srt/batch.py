"""The batch API of OpenAI's protocol: half the price, answers within a day, and a job that may end in between."""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from srt.backends import REFUSED, Completion, Request
from srt.endpoint import chat_arguments, chat_completion, extra_arguments
from srt.progress import say
from srt.records import read_json, write_json
from srt.sending import Sender, printable
from srt.server import OpenServer, ServerError
from srt.settings import ExecutionConfig

POLL_SECONDS = 30.0
MOST_REQUESTS = 50_000  # OpenAI's limits for one batch: requests, and 200 MB; half of that is enough
MOST_BYTES = 100_000_000
TRIES = 3  # of a request that came back unanswered from a batch (expired, or a fault of the server)
OPEN = ("validating", "in_progress", "finalizing", "cancelling")
PATH = "/v1/chat/completions"


class BatchBackend:
    """Requests in batches that outlive this process: what was submitted is written down before, and collected after.

    A batch is marked with a token of ours before it is created, so that one whose id was lost in a kill is found
    again among the account's batches. It is forgotten only when its answers have been taken over.

    Args:
        server: an endpoint with `/files` and `/batches`.
        execution: as for any endpoint.
        folder: this job's own; holds `batches.json`.
    """

    def __init__(self, server: OpenServer, execution: ExecutionConfig, folder: Path) -> None:
        self.server = server
        self._sender = Sender(server, execution)
        self._state = folder / "batches.json"
        self._batches: list[dict[str, Any]] = read_json(self._state) if self._state.exists() else []
        self._waiting: dict[str, Request] = {}
        self._tries: Counter[str] = Counter()
        self._taken: list[str] = []
        self._shown: dict[str, str] = {}
        self._find_lost()

    @property
    def capacity(self) -> int:
        """See `Backend`: all that there is to ask, at once."""
        return 10**9

    def submit(self, ticket: str, request: Request) -> None:
        """See `Backend`."""
        self._waiting[ticket] = request

    def collect(self) -> list[tuple[str, Completion]]:
        """See `Backend`. Waits for the first batch that ends."""
        self._forget_taken()
        self._create()
        while True:
            for entry in self._batches:
                batch = self._sender.once(partial(_retrieved, entry["id"]))
                self._show(batch)
                if batch.status not in OPEN:
                    return self._results(entry, batch) or self.collect()
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """See `Backend`. Batches that are not done go on at the server; the next run collects them."""
        self._forget_taken()
        self._sender.close()

    def _save(self) -> None:
        write_json(self._state, self._batches)

    def _forget_taken(self) -> None:
        """The caller has journalled what the last `collect` returned."""
        if self._taken:
            self._batches = [entry for entry in self._batches if entry["token"] not in self._taken]
            self._taken.clear()
            self._save()

    def _find_lost(self) -> None:
        """Batches that were written down but whose id never came back: ours, if they were created at all."""
        if all(entry["id"] for entry in self._batches):
            return
        known = self._sender.once(_all_batches)
        by_token = {(batch.metadata or {}).get("srt"): batch.id for batch in known}
        for entry in self._batches:
            entry["id"] = entry["id"] or by_token.get(entry["token"])
        self._batches = [entry for entry in self._batches if entry["id"]]
        self._save()

    def _create(self) -> None:
        """Submit all that waits and is in no batch yet."""
        underway = {key for entry in self._batches for key in entry["keys"]}
        lines: list[bytes] = []
        keys: list[str] = []
        for key, request in self._waiting.items():
            if key in underway:
                continue
            line = self._line(key, request)
            if lines and (len(lines) >= MOST_REQUESTS or sum(map(len, lines)) + len(line) > MOST_BYTES):
                self._create_one(keys, lines)
                lines, keys = [], []
            lines.append(line)
            keys.append(key)
        if lines:
            self._create_one(keys, lines)

    def _line(self, key: str, request: Request) -> bytes:
        body = chat_arguments(self.server, request) | extra_arguments(self.server, request)
        return json.dumps({"custom_id": key, "method": "POST", "url": PATH, "body": body}).encode() + b"\n"

    def _create_one(self, keys: list[str], lines: list[bytes]) -> None:
        entry: dict[str, Any] = {"token": secrets.token_hex(16), "id": None, "keys": keys}
        self._batches.append(entry)
        self._save()  # before it exists, so that it cannot be paid for twice
        content = b"".join(lines)
        file = self._sender.once(lambda client: client.files.create(file=("requests.jsonl", content), purpose="batch"))
        batch = self._sender.once(
            lambda client: client.batches.create(
                input_file_id=file.id, endpoint=PATH, completion_window="24h", metadata={"srt": entry["token"]}
            )
        )
        entry["id"] = batch.id
        self._save()
        say(f"batch {batch.id}: {len(keys)} requests submitted; this job may be ended and run again to collect them")

    def _show(self, batch: Any) -> None:
        counts = batch.request_counts
        told = f"{batch.status}, {counts.completed} of {counts.total} answered" if counts else batch.status
        if self._shown.get(batch.id) != told:
            self._shown[batch.id] = told
            say(f"batch {batch.id}: {told}")

    def _results(self, entry: dict[str, Any], batch: Any) -> list[tuple[str, Completion]]:
        """The answers of a batch that ended, and what was refused; the rest goes into the next batch."""
        found: dict[str, Completion] = {}
        for name in (batch.output_file_id, batch.error_file_id):
            if name:
                text = self._sender.once(partial(_content, name)).text
                rows = [json.loads(line) for line in text.splitlines() if line.strip()]
                found |= {row["custom_id"]: told for row in rows if (told := _read(row)) is not None}
        self._taken.append(entry["token"])
        if not found and batch.status in ("failed", "cancelled"):
            self._forget_taken()
            errors = batch.errors.data if batch.errors and batch.errors.data else []
            why = printable(ValueError("; ".join(e.message or "" for e in errors)), self.server.api_key)
            raise ServerError(
                f"{self.server.base_url}: batch {batch.id} {batch.status}: {why}; run again to submit anew"
            )
        for key in entry["keys"]:
            self._tries[key] += 1
            if key not in found and self._tries[key] >= TRIES and key in self._waiting:
                found[key] = Completion("", 0, f"{REFUSED}unanswered by {TRIES} batches")
        for key in found:
            self._waiting.pop(key, None)
        return list(found.items())


async def _retrieved(batch: str, client: Any) -> Any:
    return await client.batches.retrieve(batch)


async def _content(file: str, client: Any) -> Any:
    return await client.files.content(file)


async def _all_batches(client: Any) -> list[Any]:
    return [batch async for batch in client.batches.list()]


def _read(row: dict[str, Any]) -> Completion | None:
    """One line of a batch's output; None for what is to be asked again."""
    from openai.types.chat import ChatCompletion

    response = row.get("response") or {}
    status, body = response.get("status_code"), response.get("body") or {}
    if status == 200 and body.get("choices"):
        return chat_completion(ChatCompletion.construct(**body), None)
    if status is not None and 400 <= status < 500 and status not in (408, 409, 429):
        message = (body.get("error") or {}).get("message", "no message")
        return Completion("", 0, f"{REFUSED}HTTP {status}: {' '.join(str(message).split())[:300]}")
    return None
