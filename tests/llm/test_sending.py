"""Sending over real HTTP to a server with faults (helpers/fake_teacher.py), and the parts that decide what to do."""

import asyncio
import time
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_judge import KEY as JUDGE_KEY
from helpers.fake_judge import KEY_VARIABLE, FakeJudge, execution_config
from helpers.fake_teacher import FAULTS, KEY, MODEL, Running
from srt.llm.failures import PassingError, asked_wait, printable, words_of
from srt.llm.refusals import without_ids
from srt.llm.sending import Answered, Breaker, Refusal, Sender, Window
from srt.llm.servers import OpenServer, ServerError, key_in
from srt.storage.errors import InputError


async def _ask(prompt: str, model: str, client: Any) -> Any:
    return await client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}])


def outcomes(server: OpenServer, prompts: list[str], **execution: Any) -> dict[str, Answered | Refusal]:
    sender = Sender(server, execution_config(**{"request_seconds": 2.0, "patience_seconds": 20.0, **execution}))
    try:
        found: dict[str, Answered | Refusal] = {}
        waiting = list(prompts)
        under_way = 0
        while waiting or under_way:
            while waiting and under_way < sender.capacity:
                prompt = waiting.pop(0)
                sender.submit(prompt, partial(_ask, prompt, server.model))
                under_way += 1
            new = sender.collect()
            under_way -= len(new)
            found |= dict(new)
        return found
    finally:
        sender.close()


@pytest.mark.slow
def test_every_fault_passes(tmp_path: Path) -> None:
    with Running(log=tmp_path / "log", faults=0.5) as running:
        found = outcomes(OpenServer(running.base_url, KEY, MODEL), [f"p{i}" for i in range(60)], concurrency=30)
        seen = {line["event"] for line in running.lines()}
    answered = sum(isinstance(outcome, Answered) for outcome in found.values())
    assert (len(found), answered) == (60, 60)
    assert set(FAULTS) <= seen


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "key", "model", "said"),
    [
        ({}, "sk-wrong-key-of-somebody", MODEL, "HTTP 401: .*Incorrect API key provided: Bearer .key."),
        ({"refusal": 403}, "sk-wrong-key-of-somebody", MODEL, "HTTP 403"),
        ({}, KEY, "unknown-model", "HTTP 404: .*unknown-model does not exist"),
    ],
)
def test_what_is_wrong_for_all_stops_at_once(
    tmp_path: Path, options: dict[str, Any], key: str, model: str, said: str
) -> None:
    with Running(log=tmp_path / "log", **options) as running:
        with pytest.raises(InputError, match=said) as raised:
            outcomes(OpenServer(running.base_url, key, model), [f"p{i}" for i in range(500)], concurrency=4)
        assert len(running.lines()) <= 4
    assert key not in str(raised.value)


def _collect_all(sender: Sender, found: dict[str, Answered | Refusal]) -> None:
    while True:
        found.update(sender.collect())


@pytest.mark.parametrize(("status", "error"), [(401, InputError), (402, ServerError)])
def test_what_is_on_the_wire_when_a_run_ends_is_paid_for_and_waited_for(
    status: int, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(body: dict[str, Any], count: int) -> str | int:
        name = body["messages"][0]["content"]
        time.sleep(0.1 if name == "bad" else 1.0 if name == "fails" else 0.6)
        return {"bad": status, "fails": 500}.get(name, "fine")

    with FakeJudge(answer) as fake:
        sender = Sender(OpenServer(fake.endpoint.base_url, JUDGE_KEY, MODEL), execution_config(concurrency=4))
        for prompt in ("bad", "slow1", "slow2", "fails", *(f"later{i}" for i in range(20))):
            sender.submit(prompt, partial(_ask, prompt, MODEL))
        found: dict[str, Answered | Refusal] = {}
        with pytest.raises(error, match=f"status {status}"):
            _collect_all(sender, found)
        sender.close()
    assert set(found) >= {"slow1", "slow2"}
    assert len(found) == len(fake.requests) - 2  # all but the refused one and the one that failed
    assert len(found) <= 4


def test_a_record_that_always_gets_a_429_is_given_up_while_others_are_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("srt.llm.sending.LIMITED_TRIES", 3)
    monkeypatch.setattr("srt.llm.sending.BACKOFF_SECONDS", 0.01)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with FakeJudge(lambda body, count: 429 if body["messages"][0]["content"] == "p3" else "fine") as fake:
        found = outcomes(OpenServer(fake.endpoint.base_url, JUDGE_KEY, MODEL), [f"p{i}" for i in range(50)])
    assert [prompt for prompt, outcome in found.items() if isinstance(outcome, Refusal)] == ["p3"]


def test_the_last_records_end_though_the_server_always_fails_at_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is left that could be answered meanwhile: the patience ends them, and not the run."""
    monkeypatch.setattr("srt.llm.sending.BACKOFF_SECONDS", 0.01)
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with FakeJudge(lambda body, count: 500) as fake:
        found = outcomes(OpenServer(fake.endpoint.base_url, JUDGE_KEY, MODEL), ["a", "b"], patience_seconds=0.5)
    assert {outcome.why for outcome in found.values()} == {"gave up after several tries: HTTP 500: status 500"}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"object": "error", "message": {"detail": [{"loc": ["body", "seed"]}]}}, '[{"loc": ["body", "seed"]}]'),
        ({"error": {"message": "no", "param": "max_tokens"}}, "no"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"error": "rate limited"}, "rate limited"),
        ({"code": 500, "msg": "busy"}, "busy"),
        ([{"error": 1}], '[{"error": 1}]'),
        ("<html>", "<html>"),
    ],
)
def test_the_words_of_a_server_whatever_field_they_stand_in(body: Any, words: str) -> None:
    assert words_of(body) == words


def test_a_call_that_is_refused_for_good_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """By which the batch mode tells a batch that its server knows no more (404)."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with FakeJudge(lambda body, count: 404) as fake:
        sender = Sender(OpenServer(fake.endpoint.base_url, JUDGE_KEY, MODEL), execution_config())
        with pytest.raises(InputError, match="HTTP 404: status 404"):
            sender.once(partial(_ask, "p", MODEL))
        sender.close()


def test_a_request_that_cannot_be_written_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with FakeJudge(lambda body, count: "fine") as fake:
        found = outcomes(OpenServer(fake.endpoint.base_url, JUDGE_KEY, MODEL), ["good", "half \ud83d"])
    assert isinstance(found["good"], Answered)
    assert found["half \ud83d"] == Refusal(
        "the request has half a character in it (a lone surrogate), which no server takes", lasting=True
    )


def test_refusals_differ_by_more_than_a_requests_own_id() -> None:
    one, other = (f"HTTP 403: blocked (request req_{name}, 2148 tokens)" for name in ("011CQabc9", "7f3e2d1c0"))
    assert without_ids(one) == without_ids(other) == "HTTP 403: blocked (request #, 2148 tokens)"
    assert without_ids(one) != without_ids(one.replace("2148", "300"))


@pytest.mark.slow
def test_an_outage_shorter_than_the_patience_costs_no_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srt.llm.sending.TRIES", 2)
    with Running(log=tmp_path / "log", outage=2.0) as running:
        found = outcomes(OpenServer(running.base_url, KEY, MODEL), [f"p{i}" for i in range(20)], concurrency=10)
        assert sum(line["event"] == "outage" for line in running.lines()) > 20
    assert all(isinstance(outcome, Answered) for outcome in found.values())


def test_a_request_that_fails_alone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srt.llm.sending.TRIES", 2)
    monkeypatch.setattr("srt.llm.sending.BACKOFF_SECONDS", 0.01)
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(body: dict[str, Any], count: int) -> str | int:
        return 500 if body["messages"][0]["content"] == "p3" else "fine"

    with FakeJudge(answer) as fake:
        found = outcomes(OpenServer(fake.endpoint.base_url, JUDGE_KEY, MODEL), [f"p{i}" for i in range(50)])
    refused = {prompt: outcome for prompt, outcome in found.items() if isinstance(outcome, Refusal)}
    assert list(refused) == ["p3"]
    assert not refused["p3"].lasting


def test_a_server_that_is_down_stops_the_run_within_its_patience() -> None:
    start = time.monotonic()
    with pytest.raises(ServerError, match=r"has answered nothing for .* connection failed: .*run again to go on"):
        outcomes(OpenServer("http://127.0.0.1:9/v1", KEY, MODEL), ["p"] * 3, patience_seconds=1.0)
    assert time.monotonic() - start < 30


def test_patience_begins_anew_with_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("srt.llm.sending.time.monotonic", lambda: now)
    breaker = Breaker("server", 10)
    breaker.failed(PassingError("HTTP 500"))
    now += 9
    breaker.failed(PassingError("HTTP 500"))
    breaker.answered()
    now += 9
    breaker.failed(PassingError("HTTP 500"))
    now += 50
    breaker.failed(PassingError("slow down", limited=True))  # it lives: ten times the patience
    with pytest.raises(ServerError, match="answered nothing for 50 s"):
        breaker.failed(PassingError("HTTP 500"))
    with pytest.raises(ServerError, match="asks to wait 3600 s"):
        breaker.failed(PassingError("tomorrow", wait=3600.0, limited=True))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_asks_for(headers: dict[str, str], expected: float | None) -> None:
    found = asked_wait(headers)
    assert found == (None if expected is None else pytest.approx(expected, abs=2.0))


@pytest.mark.parametrize(("ahead", "expected"), [(60, 60.0), (-60, 0.0)])
def test_a_server_may_ask_by_a_date(ahead: int, expected: float) -> None:
    date = formatdate(time.time() + ahead, usegmt=True)
    assert asked_wait({"retry-after": date}) == pytest.approx(expected, abs=2.0)


def test_the_window_narrows_on_429_and_grows_again() -> None:
    async def run() -> list[float]:
        window, limits = Window(16), []

        async def once(error: Exception | None) -> None:
            try:
                async with window:
                    if error:
                        raise error
            except PassingError:
                pass
            limits.append(window.limit)

        for error in (PassingError("429", limited=True), PassingError("429", limited=True), PassingError("HTTP 500")):
            await once(error)
        for _ in range(200):
            await once(None)
        return limits

    limits = asyncio.run(run())
    assert limits[:3] == [8.0, 8.0, 8.0]  # one moment's 429s narrow it once, other faults do not
    assert limits[3] == pytest.approx(8 + 1 / 8)
    assert limits[-1] == 16


def test_never_more_than_the_window_on_the_wire_and_a_retry_after_closes_it() -> None:
    async def run() -> tuple[int, float]:
        window, most, start = Window(3), 0, time.monotonic()

        async def once(error: Exception | None = None) -> None:
            nonlocal most
            try:
                async with window:
                    most = max(most, window.on_wire)
                    await asyncio.sleep(0.01)
                    if error:
                        raise error
            except PassingError:
                pass

        await once(PassingError("429", wait=0.3, limited=True))
        await asyncio.gather(*(once() for _ in range(20)))
        return most, time.monotonic() - start

    most, seconds = asyncio.run(run())
    assert 1 <= most <= 3
    assert seconds >= 0.3


def test_who_waits_for_room_waits_for_the_retry_after_too() -> None:
    async def run() -> list[float]:
        window, entered, start = Window(1), [], time.monotonic()

        async def first() -> None:
            async with window:
                await asyncio.sleep(0.05)
                raise PassingError("429", wait=0.4, limited=True)

        async def later() -> None:
            async with window:
                entered.append(time.monotonic() - start)

        await asyncio.gather(first(), later(), later(), return_exceptions=True)
        return entered

    assert min(asyncio.run(run())) >= 0.4


@pytest.mark.parametrize("key", ["sk-secret\r", "sk-s\u00e9cret", "it's\\secret"])
def test_no_form_of_a_key_is_printed(key: str) -> None:
    for form in (key, repr(key), f"Illegal header value {('Bearer ' + key).encode('utf-8')!r}"):
        if key.encode().isascii():
            assert key not in printable(ValueError(form), key)
            assert repr(key)[1:-1] not in printable(ValueError(form), key)


def test_a_short_key_leaves_a_servers_words_alone() -> None:
    assert printable(ValueError("unknown token for key k"), "k") == "unknown token for key (key)"
    assert printable(ValueError("xsk-0123456789y"), "sk-0123456789") == "x(key)y"


def test_a_key_with_a_line_end_loses_it_and_what_is_no_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret\r\n")
    assert key_in("UNSET_KEY", "SOME_KEY") == "sk-secret"
    for wrong in ("sk-s\u00e9cret", "sk-a\nsk-b"):
        monkeypatch.setenv("SOME_KEY", wrong)
        with pytest.raises(InputError, match="SOME_KEY: holds no API key") as raised:
            key_in("SOME_KEY")
        assert wrong not in str(raised.value)
