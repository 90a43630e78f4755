"""The teacher over a backend that a test steers: the window, the journal, the budget; and over real HTTP, kills."""

import dataclasses
import json
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpers.fake_teacher import KEY, Running
from helpers.reflecting import command, environment, pairs
from helpers.steered import Steered
from srt.llm.asking import Teacher
from srt.llm.requests import Completion, Request, Sampling
from srt.llm.servers import ServerError
from srt.llm.spending import BudgetError
from srt.llm.terms import Terms
from srt.settings import Limits, Price
from srt.storage.files import read_records
from srt.storage.records import ReflectedPair

GREEDY = Sampling(0.0, 1.0, 1.0, 0)


class Twice:
    """A talk of two requests, the second of which follows from the first answer."""

    turn = "twice"

    def __init__(self, name: str) -> None:
        self.name, self.heard = name, []

    def request(self) -> Request | None:
        return None if len(self.heard) == 2 else question(f"{self.name} {''.join(self.heard)}")

    def receive(self, completion: Completion) -> None:
        self.heard.append(completion.text)


def question(text: str) -> Request:
    return Request((("user", text),), 40, GREEDY)


def teacher(folder: Path, backend: Any = None, name: str = "job", **more: Any) -> Teacher:
    return Teacher("t", lambda _: backend, folder, name, Terms(**more))


def test_a_talk_goes_on_while_others_wait_and_the_window_stays_full(tmp_path: Path) -> None:
    backend, talks = Steered(), [Twice(str(i)) for i in range(20)]
    with teacher(tmp_path, backend) as asked:
        asked.converse(talks, "x")
    assert all(talk.heard == [f"to {talk.name} ", f"to {talk.name} to {talk.name} "] for talk in talks)
    assert (backend.asked, backend.most) == (40, 4)


def test_equal_requests_are_asked_once_and_never_again(tmp_path: Path) -> None:
    backend = Steered()
    with teacher(tmp_path, backend) as asked:
        assert [c.text for c in asked.ask([question("a"), question("a"), question("b")], "x")] == [
            "to a",
            "to a",
            "to b",
        ]
    with teacher(tmp_path, None) as again:  # nothing is opened
        assert [c.text for c in again.ask([question("b"), question("a")], "x")] == ["to b", "to a"]
        assert (again.received, again.reused) == (0, 2)
    changed = dataclasses.replace(question("a"), max_new_tokens=41)
    with teacher(tmp_path, backend) as asked:
        asked.ask([changed], "x")
    assert backend.asked == 3


def test_the_journal_keeps_the_raw_answer_with_its_usage_and_price(tmp_path: Path) -> None:
    with teacher(tmp_path, Steered(), price=Price(prompt=1.0, completion=10.0, batch=0.5)) as asked:
        asked.ask([question("a")], "x")
    (path,) = tmp_path.rglob("*.jsonl")
    value = json.loads(path.read_text())["value"]
    assert (value["text"], value["finish_reason"], value["model"]) == ("to a", "stop", "m")
    assert (value["prompt_tokens"], value["tokens"], value["cost"]) == (100, 10, pytest.approx(200 / 1e6))


@pytest.mark.parametrize(
    ("budget", "answers"),
    [
        ("7 requests", 7),
        # 110 a request; the next one is reserved with 40 new tokens and a prompt as long as the measured ones.
        ("1000 tokens", 8),
        ("0.0010 USD", 3),
    ],
)
def test_a_budget_is_never_passed_and_a_larger_one_goes_on(tmp_path: Path, budget: str, answers: int) -> None:
    backend = Steered()
    backend.capacity = 1
    price = Price(prompt=1.0, completion=10.0, batch=0.5)
    questions = [question(f"{i:02}" * 50) for i in range(20)]
    with teacher(tmp_path, backend, price=price, budget=budget) as asked, pytest.raises(BudgetError, match="go on"):
        asked.ask(questions, "x")
    assert backend.asked == answers
    with teacher(tmp_path, backend, price=price, budget="1000 USD") as asked:
        asked.ask(questions, "x")
    assert backend.asked == 20


@pytest.mark.parametrize("capacity", [1, 32, 10**9])
def test_a_budget_is_used_whatever_is_reserved_meanwhile(tmp_path: Path, capacity: int) -> None:
    backend = Steered()
    backend.capacity = capacity
    questions = [Request((("user", f"{i}"),), 2048, GREEDY) for i in range(400)]
    with teacher(tmp_path, backend, budget="20000 tokens") as asked, pytest.raises(BudgetError):
        asked.ask(questions, "x")
    assert 17_000 < backend.asked * 110 <= 20_000


def test_what_a_server_does_not_say_of_its_usage_is_estimated_and_counted(tmp_path: Path) -> None:
    class Silent(Steered):
        def collect(self) -> list[tuple[str, Completion]]:
            ticket, _ = self.waiting.pop()
            return [(ticket, Completion("x" * 40, 0, "stop"))]

    backend = Silent()
    with teacher(tmp_path, backend, budget="1000 tokens") as asked, pytest.raises(BudgetError):
        asked.ask([question(f"{i:02}" * 50) for i in range(99)], "x")
    assert backend.asked < 30
    with teacher(tmp_path, price=Price(prompt=1.0, completion=10.0, batch=0.5)) as again:  # a price that came later
        assert again.spent.money == pytest.approx(backend.asked * (25 * 1 + 10 * 10) / 1e6)


LIMITS = Limits(at_start=8, percent=20, window=100)


def test_a_teacher_that_refuses_everything_ends_the_run_unless_it_has_answered_before(tmp_path: Path) -> None:
    class Refusing(Steered):
        def collect(self) -> list[tuple[str, Completion]]:
            ticket, request = self.waiting.pop(0)
            good = "good" in request.chat[0][1]
            return [(ticket, Completion("fine" if good else "", 1, "stop" if good else "refused: HTTP 400: no", 1))]

    backend, bad = Refusing(), [question(f"bad {i}") for i in range(100)]
    with (
        teacher(tmp_path, backend, limits=LIMITS) as asked,
        pytest.raises(
            ServerError, match="t: answered nothing and refused 8 requests with the same words: HTTP 400: no"
        ),
    ):
        asked.ask(bad, "x")
    assert backend.asked < 20
    with teacher(tmp_path, Refusing(), limits=LIMITS) as asked:
        answers = asked.ask([question("good"), *bad[:20]], "x")
    assert [answer.refused for answer in answers] == [False] + [True] * 20


def test_refused_records_alone_end_as_an_error_and_a_share_of_them_ends_the_run(tmp_path: Path) -> None:
    class Refusing(Steered):
        def collect(self) -> list[tuple[str, Completion]]:
            ticket, request = self.waiting.pop(0)
            text = request.chat[0][1]
            return [
                (ticket, Completion("fine", 1, "stop", 1) if "good" in text else Completion("", 0, f"refused: {text}"))
            ]

    with (
        teacher(tmp_path / "3", Refusing(), limits=LIMITS) as asked,
        pytest.raises(ServerError, match="t: refused all of 3 requests, most often so: bad"),
    ):
        asked.ask([question(f"bad {i}") for i in range(3)], "x")
    backend, asked_in, said = Refusing(), [], []
    questions = [question(f"good {i}") for i in range(100)] + [question(f"bad {i}") for i in range(100)]
    while True:  # every run goes further, and what is refused for good stops none for good
        with teacher(tmp_path / "share", backend, limits=LIMITS) as asked:
            try:
                answers = asked.ask(questions, "x")
                break
            except ServerError as error:
                asked_in.append(backend.asked)
                said.append(str(error))
    assert asked_in[0] <= 100 + 21 + backend.capacity
    assert 3 <= len(asked_in) <= 5
    assert all("21 of the last " in line and "more than execution.failure_percent 20" in line for line in said)
    assert [answer.refused for answer in answers] == [False] * 100 + [True] * 100


class Scripted(Steered):
    """One request at a time; `answer(text, number)` makes a request's finish reason."""

    capacity = 1

    def __init__(self, answer: Callable[[str, int], str]) -> None:
        super().__init__()
        self.answer = answer

    def collect(self) -> list[tuple[str, Completion]]:
        ticket, request = self.waiting.pop()
        finish = self.answer(str(request.chat[0][1]), self.asked)
        return [(ticket, Completion("" if finish.startswith("refused") else "fine", 1, finish, 1))]


def runs_of(
    folder: Path, backend: Steered, questions: list[Request], runs: int = 20
) -> tuple[list[str], list[Completion]]:
    """Asks until a run ends well: what each run before that ended with, and the answers of the last one."""
    said: list[str] = []
    while len(said) < runs:
        try:
            with teacher(folder, backend, limits=LIMITS) as asked:
                return said, asked.ask(questions, "x")
        except ServerError as error:
            said.append(str(error))
    return said, []


SIXTY = [question(f"{i}") for i in range(60)]


def test_first_records_that_are_always_refused_hold_up_one_run_and_not_every_run(tmp_path: Path) -> None:
    backend = Scripted(lambda text, _: "refused: HTTP 400: content policy" if int(text) < 10 else "stop")
    said, answers = runs_of(tmp_path, backend, SIXTY)
    assert [answer.refused for answer in answers] == [True] * 10 + [False] * 50
    (line,) = said
    assert "answered nothing and refused 8 requests with the same words: HTTP 400: content policy" in line
    assert "execution.refusals_at_start 8" in line


def test_a_server_that_refuses_everything_ends_every_run_whatever_its_words(tmp_path: Path) -> None:
    backend = Scripted(lambda _, number: f"refused: HTTP 400: {'no' if number % 2 else 'never'}")
    said, _ = runs_of(tmp_path, backend, SIXTY, runs=8)
    assert len(said) == 8
    assert "refused all of 60 requests" in said[-1]


def test_a_key_that_is_blocked_after_one_answer_ends_no_run_well_that_found_new_refusals(tmp_path: Path) -> None:
    backend = Scripted(lambda _, number: "stop" if number == 1 else "refused: HTTP 403: blocked")
    said, answers = runs_of(tmp_path, backend, SIXTY)
    assert ["of the last " in line for line in said] == [True, True, False]
    assert "t: refused all of 59 requests, most often so: HTTP 403: blocked" in said[-1]
    assert len(answers) == 60  # by then all are noted: refused records alone


def test_a_server_whose_every_answer_has_an_unknown_end_is_not_paid_for_them_all(tmp_path: Path) -> None:
    backend = Scripted(lambda *_: "done")
    said, answers = runs_of(tmp_path, backend, SIXTY)
    assert len(said) == 8
    assert all("t: every answer ended by 'done', which is no known end of an answer" in line for line in said)
    assert all("execution.refusals_at_start 8" in line for line in said[:-1])
    assert (backend.asked, len(answers)) == (60, 60)  # each was asked for once: what was paid for is kept


@pytest.mark.parametrize("capacity", [1, 4])
def test_some_answers_with_an_unknown_end_never_stop_every_run(tmp_path: Path, capacity: int) -> None:
    backend = Scripted(lambda text, _: "done" if int(text) < 20 else "stop")
    backend.capacity = capacity
    said, answers = runs_of(tmp_path, backend, SIXTY)
    assert 1 <= len(said) <= 2
    assert [answer.finish_reason for answer in answers] == ["done"] * 20 + ["stop"] * 40
    backend = Scripted(lambda text, _: "stop" if int(text) < 1 else "done")
    said, answers = runs_of(tmp_path / "known", backend, SIXTY)
    assert (said, len(answers)) == ([], 60)


def test_what_is_under_way_is_kept_when_refusals_end_the_run(tmp_path: Path) -> None:
    class Mixed(Steered):
        capacity = 12

        def collect(self) -> list[tuple[str, Completion]]:
            """Refusals first, then the answer that took longer."""
            ticket, request = self.waiting.pop()
            good = "good" in request.chat[0][1]
            return [
                (ticket, Completion("paid for", 1, "stop", 1) if good else Completion("", 0, "refused: HTTP 403: no"))
            ]

    with teacher(tmp_path, Mixed(), limits=LIMITS) as asked, pytest.raises(ServerError, match="HTTP 403: no"):
        asked.ask([question("first"), question("good"), *[question(f"bad {i}") for i in range(50)]], "x")
    assert "paid for" in next(tmp_path.rglob("*.jsonl")).read_text()


def test_a_budget_counts_what_jobs_beside_this_one_have_spent(tmp_path: Path) -> None:
    backend = Steered()
    with teacher(tmp_path, backend, name="one") as one, teacher(tmp_path, backend, "two", budget="5 requests") as two:
        one.ask([question(f"one {i}") for i in range(3)], "x")
        with pytest.raises(BudgetError):
            two.ask([question(f"two {i}") for i in range(9)], "x")
    assert backend.asked == 5


def test_what_a_batch_of_an_earlier_run_held_is_kept_though_it_is_asked_for_no_more(tmp_path: Path) -> None:
    class Surprising(Steered):
        def collect(self) -> list[tuple[str, Completion]]:
            return [*super().collect(), ("another key", Completion("paid for", 1, "stop", 1))]

    with teacher(tmp_path, Surprising()) as asked:
        asked.ask([question("a")], "x")
        assert asked.journal["another key"]["text"] == "paid for"


# --- The whole step over real HTTP ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_ten_percent_faults_lose_no_record(tmp_path: Path) -> None:
    pairs(tmp_path, 500)
    with Running(log=tmp_path / "log", faults=0.1) as server:
        subprocess.run(command(tmp_path, server.base_url), env=environment(), check=True, capture_output=True)
        events = Counter(line["event"] for line in server.lines())
    results = read_records(tmp_path / "out.jsonl", ReflectedPair)
    assert [result.id for result in results] == [f"r{i}" for i in range(500)]
    assert sum(result.status == "reflected" for result in results) >= 495
    assert events["answered"] == 500
    assert sum(events.values()) - events["answered"] - events["asked"] > 30


@pytest.mark.slow
def test_twenty_kills_cost_no_more_than_what_was_under_way_and_change_no_byte(tmp_path: Path) -> None:
    window, killed = 16, tmp_path / "killed"
    for name in ("calm", "killed"):
        (tmp_path / name).mkdir()
        pairs(tmp_path / name, 400)
    with Running(median=0.05) as server:
        subprocess.run(command(tmp_path / "calm", server.base_url), env=environment(), check=True, capture_output=True)
    drawn = random.Random(0)
    with Running(log=tmp_path / "log", median=0.3) as server:
        for _ in range(20):
            job = subprocess.Popen(command(killed, server.base_url), env=environment(), stderr=subprocess.DEVNULL)
            before = len(server.lines())
            while len(server.lines()) == before and job.poll() is None:
                time.sleep(0.02)  # the kill comes at a random moment of the asking, not of the imports
            time.sleep(drawn.uniform(0.0, 0.8))
            job.kill()
            job.wait()
        assert not (killed / "out.jsonl").exists()
        subprocess.run(command(killed, server.base_url), env=environment(), check=True, capture_output=True)
        asked = Counter(line["key"] for line in server.lines() if line["event"] == "asked")
    assert (killed / "out.jsonl").read_bytes() == (tmp_path / "calm" / "out.jsonl").read_bytes()
    assert len(asked) == 400
    assert sum(asked.values()) - len(asked) <= 20 * window


@pytest.mark.slow
def test_the_key_is_nowhere_that_the_run_leaves(tmp_path: Path) -> None:
    """In files, on both streams, in the arguments of processes: neither a good key nor one that the server echoes."""
    pairs(tmp_path, 60)
    wrong = "sk-wrong-0123456789-wrong"
    seen: list[str] = []
    with Running(median=0.05, faults=0.1) as server:
        for key in (KEY, wrong):
            job = subprocess.Popen(
                command(
                    tmp_path, server.base_url, journal=str(tmp_path / "journal"), **{"max-new-tokens": str(len(key))}
                ),
                env=environment(key),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            while job.poll() is None:
                for path in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        words = path.read_text(errors="replace")
                    except OSError:
                        continue
                    if "fake_teacher.py" not in words:
                        seen.append(words)
                time.sleep(0.1)
            seen.append(job.stdout.read())
            job.stdout.close()
    assert "Incorrect API key" in seen[-1]
    seen += [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert sum("wrong-0123456789" in text or KEY in text for text in seen) == 0


@pytest.mark.slow
def test_a_spent_budget_ends_with_code_3_and_leaves_no_file(tmp_path: Path) -> None:
    pairs(tmp_path, 40)
    with Running(log=tmp_path / "log") as server:
        done = subprocess.run(
            command(tmp_path, server.base_url, budget="25 requests"),
            env=environment(),
            text=True,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 3
        assert "the budget is spent: 25 of 25 requests; 15 records are not done" in done.stderr
        assert not (tmp_path / "out.jsonl").exists()
        subprocess.run(command(tmp_path, server.base_url), env=environment(), check=True, capture_output=True)
        assert sum(line["event"] == "asked" for line in server.lines()) == 40
