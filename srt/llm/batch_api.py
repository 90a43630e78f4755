"""The batch API of OpenAI's protocol: half the price, answers within a day, and a job that may end in between."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from srt.llm import _batch_files as batch_files
from srt.llm._batch_replies import Batch, all_batches, create, retrieve, upload
from srt.llm._batch_states import STATE, alone, others_states, read_state
from srt.llm._bounded import MB
from srt.llm.endpoint import arguments_of, completion
from srt.llm.failures import PassingError, RefusedError, meaning_of, printable
from srt.llm.requests import REFUSED, Completion, Request
from srt.llm.sending import Sender
from srt.llm.servers import OpenServer, ServerError
from srt.llm.wire import count, received_value
from srt.settings import ExecutionConfig
from srt.storage.errors import InputError, writing
from srt.storage.files import write_json
from srt.storage.progress import say, say_counts

POLL_SECONDS = 30.0
MOST_REQUESTS = 50_000  # OpenAI's limits for one batch: requests, and 200 MB; half of that is enough
MOST_BYTES = 100_000_000
TRIES = 3  # of a request that came back unanswered from a batch (expired, or a fault of the server)
ENDED = ("completed", "failed", "expired", "cancelled")  # any other status, also one that nobody knows, may go on
PATH = "/v1/chat/completions"


class BatchBackend:
    """Requests in batches that outlive this process: what was submitted is written down before, and collected after.

    A batch is marked with a token of ours before it is created, so that one whose id was lost (a kill, a reply that
    did not come) is found again among the account's batches. It is forgotten once its answers are journalled.

    Args:
        server: an endpoint with `/files` and `/batches`.
        execution: as for any endpoint; `batch` is the most requests of one.
        folder: this job's own; holds the state.
    """

    def __init__(self, server: OpenServer, execution: ExecutionConfig, folder: Path) -> None:
        self.server = server
        self._size = min(execution.batch or MOST_REQUESTS, MOST_REQUESTS)
        self._longest = execution.reply_mb * MB
        self._sender = Sender(server, execution)
        self._state = folder / STATE
        folder.mkdir(parents=True, exist_ok=True)
        self._batches = read_state(self._state)
        self._waiting: dict[str, Request] = {}
        self._tries: Counter[str] = Counter()
        self._collected: list[str] = []
        self._failure: str | None = None
        self._fatal: InputError | ServerError | None = None
        self._cancelled = False
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
        """See `Backend`. Waits for the first batch that ends.

        Raises:
            InputError: the server knows a batch of ours no more, or not the key or model.
            ServerError: a batch failed or was cancelled and no other is open, or its creation was not confirmed.
        """
        while True:
            self._create()
            for entry in list(self._batches):
                batch = self._known(entry, partial(retrieve, entry["id"]))
                self._show(batch)
                if batch.status in ENDED:
                    answers = self._results(entry, batch)
                    if answers:
                        return answers
                    self.settled()
                    break
            else:
                if self._failure is not None and not self._batches:
                    raise ServerError(f"{self._failure}; run again to submit anew what is not answered")
                time.sleep(POLL_SECONDS)

    def settled(self) -> None:
        """See `Backend`. InputError or ServerError where a row says what stops every request."""
        if self._collected:
            self._batches = [entry for entry in self._batches if entry["token"] not in self._collected]
            self._collected.clear()
            self._save()
        if self._fatal is not None:
            raise self._fatal

    def close(self) -> None:
        """See `Backend`. Batches that are not done go on at the server; the next run collects them."""
        self._sender.close()

    def _save(self) -> None:
        with alone(self._state):
            write_json(self._state, self._batches)

    def _adopt(self) -> None:
        """Take over batches of other jobs that hold what waits here.

        Whoever waits for a request has claimed it, so that the job which submitted it has ended, or has no more use for
        it. Should both look at such a batch for a while, it is collected twice and paid for once.
        """
        for state in others_states(self._state.parent):
            with alone(state):
                theirs = read_state(state)
                found = [entry for entry in theirs if not self._waiting.keys().isdisjoint(entry["keys"])]
                known = {entry["token"] for entry in self._batches}
                self._batches += [entry for entry in found if entry["token"] not in known]
                if found:
                    write_json(self._state, self._batches)
                    write_json(state, [entry for entry in theirs if entry not in found])
                    say(f"{state}: {len(found)} batches of a job that has ended are collected here")
        self._find_lost()

    def _known(self, entry: dict[str, Any], call: Callable[[Any], Any]) -> Any:
        try:
            return self._sender.once(call)
        except InputError as error:
            raise InputError(
                f"{self._state}: batch {entry['id']}: {error}; where it belongs to another account or server, or has "
                "expired there, delete this file to give it up"
            ) from None

    def _find_lost(self) -> None:
        """Batches that were written down but whose id never came back: ours, if they were created at all."""
        if all(entry["id"] for entry in self._batches):
            return
        by_token = {batch.token: batch.id for batch in self._sender.once(all_batches)}
        for entry in self._batches:
            entry["id"] = entry["id"] or by_token.get(entry["token"])
        self._batches = [entry for entry in self._batches if entry["id"]]
        self._save()

    def _create(self) -> None:
        """Submit all that waits and is in no batch yet; nothing while the last batch that ended has failed."""
        if self._failure is not None:
            return
        underway = self._underway()
        if self._waiting.keys() - underway:
            self._adopt()
            underway = self._underway()
        chunk: dict[str, bytes] = {}
        size = 0
        for key, request in self._waiting.items():
            if key in underway:
                continue
            line = self._line(key, request)
            if chunk and (len(chunk) >= self._size or size + len(line) > MOST_BYTES):
                self._create_one(chunk)
                chunk, size = {}, 0
            chunk[key] = line
            size += len(line)
        if chunk:
            self._create_one(chunk)

    def _underway(self) -> set[str]:
        return {key for entry in self._batches for key in entry["keys"]}

    def _line(self, key: str, request: Request) -> bytes:
        body = arguments_of(self.server, request)
        body |= body.pop("extra_body")
        return json.dumps({"custom_id": key, "method": "POST", "url": PATH, "body": body}).encode() + b"\n"

    def _create_one(self, lines: dict[str, bytes]) -> None:
        content = b"".join(lines.values())
        file = self._sender.once(partial(upload, content), refused=ServerError)
        entry: dict[str, Any] = {"token": secrets.token_hex(16), "id": None, "keys": list(lines)}
        self._batches.append(entry)
        self._save()  # before it exists, so that it cannot be paid for twice
        try:
            entry["id"] = self._created(file.id, entry["token"])
        except (InputError, RefusedError, ServerError) as error:
            if not isinstance(error, _UnconfirmedError):  # the server has said that there is none
                self._batches.remove(entry)
                self._save()
            if isinstance(error, RefusedError):
                raise ServerError(f"{self.server.base_url}: a batch is refused: {error}; it was not created") from None
            raise
        self._save()
        say(f"batch {entry['id']}: {len(lines)} requests submitted; a job that is ended collects them when run again")

    def _created(self, file: str, token: str) -> str:
        """The id of a new batch. It is asked for once: a batch whose reply was lost may be there, and is looked for."""
        about = {"input_file_id": file, "endpoint": PATH, "completion_window": "24h", "metadata": {"srt": token}}
        try:
            return str(self._sender.once(partial(create, about), again=False).id)
        except PassingError as error:
            for _ in range(2):
                time.sleep(POLL_SECONDS)
                for batch in self._sender.once(all_batches):
                    if batch.token == token:
                        return str(batch.id)
            raise _UnconfirmedError(
                f"{self.server.base_url}: a batch was not confirmed: {error}; run again: it is looked for first"
            ) from None

    def _show(self, batch: Batch) -> None:
        told = batch.status + batch.counts
        if self._shown.get(batch.id) != told:
            self._shown[batch.id] = told
            say(f"batch {batch.id}: {told}")

    def _answers(self, entry: dict[str, Any], batch: Batch) -> dict[str, Completion]:
        """What a batch's files say of its requests, each once, an answer before a refusal; odd lines are counted."""
        found: dict[str, Completion] = {}
        odd: Counter[str] = Counter()
        asked = set(entry["keys"])
        for line in filter(bytes.strip, chain.from_iterable(self._lines(entry, name) for name in batch.files)):
            row = batch_files.row(line, self._longest)
            if row is None or row["custom_id"] not in asked:
                odd["that cannot be read" if row is None else "with an id that was not asked for"] += 1
                continue
            try:
                answer = _read(row, self.server)
            except (InputError, ServerError) as error:  # after the others, which are paid for
                self._fatal = error
                continue
            known = found.get(row["custom_id"])
            if answer is not None and (known is None or known.refused):
                found[row["custom_id"]] = answer
            elif known is not None:
                odd["of a request that has an answer already"] += 1
        say_counts(odd, f"lines of batch {batch.id}")
        return found

    def _lines(self, entry: dict[str, Any], name: str) -> Iterator[bytes]:
        """The lines of a batch's file, which is never in memory as a whole."""
        with tempfile.TemporaryFile(dir=self._state.parent) as file:
            with writing(self._state.with_name(f"{name}.jsonl")):
                self._known(entry, partial(batch_files.content, name, file))
                file.seek(0)
            yield from batch_files.whole_or_begun(file, self._longest)

    def _results(self, entry: dict[str, Any], batch: Batch) -> list[tuple[str, Completion]]:
        """The answers of a batch that ended, and what was refused; the rest goes into the next batch."""
        found = self._answers(entry, batch)
        self._collected.append(entry["token"])
        if batch.status in ("failed", "cancelled"):
            why = printable(ValueError(batch.errors or "it does not say why"), self.server.api_key)
            self._failure = f"{self.server.base_url}: batch {batch.id} {batch.status}: {why}"
            self._cancelled |= batch.status == "cancelled"
        elif not self._cancelled:
            self._failure = None  # one that failed for want of room in the account's queue may have it now
        for key in entry["keys"]:
            self._tries[key] += 1
            if key not in found and self._tries[key] >= TRIES and key in self._waiting:
                found[key] = Completion("", 0, f"{REFUSED}unanswered by {TRIES} batches")
        for key in found:
            self._waiting.pop(key, None)
        return list(found.items())


class _UnconfirmedError(ServerError):
    """A batch may have been created or not: it is looked for by the next run."""


def _read(row: dict[str, Any], server: OpenServer) -> Completion | None:
    """The answer of one row; None for what is to be asked again.

    Raises:
        InputError, ServerError: it is the key, the model or the account, and so every row.
    """
    response = row["response"] if isinstance(row.get("response"), dict) else {}
    status, body = count(response.get("status_code")), response.get("body")
    try:
        if status == 200:
            return completion(received_value(body), None)
        if status is not None:
            raise meaning_of(status, body, f"{server.base_url}: {server.model}", server.api_key)
    except (InputError, ServerError) as error:
        raise type(error)(printable(error, server.api_key)) from None
    except PassingError:
        return None
    except RefusedError as error:
        return Completion("", 0, REFUSED + str(error))
    return None
