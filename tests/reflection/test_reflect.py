"""Reflection with a fake model (its logic), and with the real one (that it reflects)."""

import contextlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.cases import teacher
from helpers.scores import score
from srt.experiment.config import load
from srt.llm.requests import Completion, Request
from srt.llm.servers import ServerError
from srt.reflection.reflect import Service, _finished_key, conversations, reflect, speaker_of, unreflected
from srt.settings import Endpoint
from srt.settings.job import Job
from srt.storage.files import read_records, write_records
from srt.storage.readers import read_json
from srt.storage.records import Pair, ReflectedPair
from srt.storage.shipped import locate

CONFIG, _ = load()
SETTINGS = teacher(CONFIG.teachers["smollm2"], prompts="config/prompts/tags.yaml", backend="openai")
SERVER = Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env=None)
PAIRS = [Pair(id=f"r{i}", instruction=f"Say {i}.", input="loud" if i else "", output=f"{i}") for i in range(3)]


class FakeModel:
    """Stands for a model that cannot run in a fast test; answers with a function of the request."""

    def __init__(self, answer: Callable[[str], Completion]) -> None:
        self.answer = answer
        self.asked: list[Request] = []
        self.waiting: list[tuple[str, Request]] = []

    capacity = 8

    def submit(self, ticket: str, request: Request) -> None:
        self.asked.append(request)
        self.waiting.append((ticket, request))

    def collect(self) -> list[tuple[str, Completion]]:
        ticket, request = self.waiting.pop()  # answers arrive in any order
        return [(ticket, self.answer(request.chat[-1][1]))]

    def settled(self) -> None:
        pass

    def close(self) -> None:
        pass


def good(prompt: str) -> Completion:
    number = re.findall(r"Say (\d)|New (\d)", prompt)[0]
    n = number[0] or number[1]
    if "[Better Answer]" in prompt:
        return Completion(f"Short.\n[Better Answer]A better {n}[End]", 9, "stop")
    return Completion(f"Vague.\n[New Instruction]New {n}[End][New Answer]It is {n}[End]", 9, "stop")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[list[ReflectedPair], FakeModel]]:
    write_records(tmp_path / "original.jsonl", PAIRS)

    def call(answer: Callable[[str], Completion], variant: str = "instruction", **more: object):
        model = FakeModel(answer)
        monkeypatch.setattr("srt.llm.opening.open_backend", lambda *_: model)
        source = tmp_path / ("instruction.jsonl" if variant == "both" else "original.jsonl")
        out = tmp_path / f"{variant}.jsonl"
        service = Service(SERVER, journals=tmp_path / "journal")
        reflect(source, variant, SETTINGS, Job(out, tmp_path, CONFIG.execution), service, **more)
        return read_records(out, ReflectedPair), model

    return call


def test_instruction_reflection_replaces_the_pair_and_drops_the_input(run) -> None:
    results, model = run(good)
    assert [(r.id, r.instruction, r.input, r.output, r.status) for r in results][1] == (
        "r1",
        "New 1",
        "",
        "It is 1",
        "reflected",
    )
    assert results[1].critique == "Vague."
    assert any("Say 1.\nloud" in request.chat[-1][1] for request in model.asked)


def test_response_reflection_keeps_instruction_and_input(run) -> None:
    results, _ = run(good, "response")
    assert (results[1].instruction, results[1].input, results[1].output) == ("Say 1.", "loud", "A better 1")


def test_both_is_made_from_the_instruction_reflected_pairs(run) -> None:
    run(lambda p: Completion("?", 1, "stop") if "Say 2" in p else good(p))
    results, model = run(good, "both")
    assert (results[0].instruction, results[0].output) == ("New 0", "A better 0")
    assert (results[2].status, results[2].instruction) == ("failed", "Say 2.")
    assert str(results[2].reason).startswith("its instruction reflection failed")
    assert len(model.asked) == 2


def test_an_unreadable_answer_is_asked_for_once_more_and_then_failed(run) -> None:
    results, model = run(lambda p: Completion("no tags", 2, "stop") if "Say 1" in p else good(p))
    assert [r.status for r in results] == ["reflected", "failed", "reflected"]
    assert (results[1].instruction, results[1].output) == ("Say 1.", "1")
    assert "no [New Instruction] in the answer" in str(results[1].reason)
    assert len([q for q in model.asked if "Say 1" in q.chat[-1][1]]) == 2


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("[New Instruction]Say {n}. \n LOUD[End][New Answer]x[End]", "unchanged"),
        ("[New Instruction]Write a new and complete answer[End][New Answer]x[End]", "prompt's own words"),
        ("[New Instruction]All the same[End][New Answer]x[End]", "another record's"),
        ("[New Instruction]Q {n}[End][New Answer]{n}[End]", "repeats what was there"),
    ],
)
def test_useless_reflections_fail_with_their_reason(run, answer: str, reason: str) -> None:
    def reply(prompt: str) -> Completion:
        n = re.findall(r"Say (\d)", prompt)[0]
        return Completion(answer.replace("{n}", n), 9, "stop")

    results, _ = run(reply)
    assert reason in str(results[2].reason)


def test_no_received_answer_is_asked_for_again(run) -> None:
    first, _ = run(good)
    again, model = run(good)
    assert model.asked == []
    assert again == first


def test_a_kill_in_the_middle_loses_no_answer(run) -> None:
    seen = []

    def dies(prompt: str) -> Completion:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(prompt)
        return good(prompt)

    with pytest.raises(KeyboardInterrupt):
        run(dies)
    _, model = run(good)
    assert len(model.asked) == 1


def test_running_again_asks_for_the_failed_records_alone(run) -> None:
    def sometimes(prompt: str) -> Completion:
        return Completion("no tags", 2, "stop") if "Say 1" in prompt else good(prompt)

    first, _ = run(sometimes)
    again, model = run(sometimes)
    assert again == first
    assert len(model.asked) == 2  # as many tries as before, with other seeds
    assert len({request.sampling.seed for request in model.asked}) == 2
    at_last, model = run(good)
    assert [r.status for r in at_last] == ["reflected"] * 3
    assert len(model.asked) == 1


def test_a_changed_prompt_is_no_finished_reflection(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    style = Path("config/prompts/tags.yaml").read_text()
    (tmp_path / "tags.yaml").write_text(style)
    changed = SETTINGS.model_copy(update={"prompts": str(tmp_path / "tags.yaml")})
    monkeypatch.setitem(globals(), "SETTINGS", changed)
    run(lambda prompt: Completion("no tags", 2, "stop"))
    (tmp_path / "tags.yaml").write_text(style.replace("Be frank", "Be very frank"))
    _, model = run(lambda prompt: Completion("no tags", 2, "stop"))
    assert len(model.asked) == 2 * len(PAIRS)  # two tries of each, and not four
    _, model = run(lambda prompt: Completion("no tags", 2, "stop"))
    assert len(model.asked) == 2 * len(PAIRS)


def test_a_doubled_instruction_is_told_by_the_file_and_asked_for_again(run) -> None:
    def same(prompt: str) -> Completion:
        n = re.findall(r"Say (\d)", prompt)[0]
        new = f"Another {n}" if "Keep exactly" in prompt else "All the same"
        return Completion(f"[New Instruction]{new}[End][New Answer]It is {n}[End]", 9, "stop")

    results, _ = run(same)
    assert [r.instruction for r in results] == ["All the same", "Another 1", "Another 2"]


def test_outcomes_and_repairs_are_told_and_counted(run, tmp_path: Path) -> None:
    def sloppy(prompt: str) -> Completion:
        n = re.findall(r"Say (\d)", prompt)[0]
        texts = {
            "0": "**New Instruction:** New 0\n**New Answer:** Here is a better answer:\nIt is 0",
            "1": "I'm sorry, but I can't assist with that.",
            "2": "[New Instruction]your instruction[End][New Answer]x[End]",
        }
        return Completion(texts[n], 9, "stop")

    results, _ = run(sloppy)
    assert [r.outcome for r in results] == ["repaired", "refusal", "placeholder"]
    assert results[0].output == "It is 0"
    assert set(results[0].repairs) == {"tag's form", "missing [End]", "announcement"}
    meta = json.loads((tmp_path / "instruction.meta.json").read_text())
    assert meta["outcomes"] == {"repaired": 1, "refusal": 1, "placeholder": 1}
    assert meta["repairs"]["announcement"] == 1


def test_what_the_endpoint_refused_fails_at_once_and_is_asked_for_again_in_the_next_run(run) -> None:
    def refuses(prompt: str) -> Completion:
        return Completion("", 0, "refused: HTTP 400: too long") if "Say 1" in prompt else good(prompt)

    results, model = run(refuses)
    assert (results[1].outcome, len(model.asked)) == ("unanswered", 3)
    assert "HTTP 400: too long" in str(results[1].reason)
    _, model = run(good)
    assert len(model.asked) == 1


def test_only_winners_of_phase_one_are_reflected_under_the_plan_selected(run, tmp_path: Path) -> None:
    paths = {}
    for variant, ifds in {"original": (0.9, 0.2, 0.5), "instruction": (0.5, 0.5, 0.5)}.items():
        paths[variant] = tmp_path / f"{variant}.scores.jsonl"
        scores = [score(ifd).model_copy(update={"id": f"r{i}"}) for i, ifd in enumerate(ifds)]
        write_records(paths[variant], scores)
    results, _ = run(good, "response", winners_by=paths)
    assert [r.id for r in results] == ["r0", "r2"]  # r2 is a tie, which keeps the original


@pytest.mark.slow
def test_first_records_that_are_too_long_for_a_model_of_ours_stop_no_run(tmp_path: Path, monkeypatch) -> None:
    """Through a model in process and through vLLM's server of ours alike; only where all are, the run has failed."""
    rows = [Pair(id=f"r{i}", instruction=f"Say {i}.", output=f"{i}") for i in range(10)]
    rows += [Pair(id=f"long{i}", instruction=f"Say {i} too long.", output=f"{i}") for i in range(30)]
    too_long = Completion("", 0, "refused: the prompt has 9999 tokens, at most 512 are allowed")
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    model = FakeModel(lambda prompt: too_long if "long" in prompt else good(prompt))
    monkeypatch.setattr("srt.llm.opening.open_backend", lambda *_: model)
    for backend in ("transformers", "vllm-server"):
        settings = teacher(CONFIG.teachers["smollm2"], prompts="config/prompts/tags.yaml", backend=backend)
        for records, passes in ((rows[::-1], True), (rows[10:], False)):
            write_records(pairs, records)
            with contextlib.nullcontext() if passes else pytest.raises(ServerError, match="refused all of 30 requests"):
                reflect(pairs, "instruction", settings, Job(out, tmp_path / f"{backend} {passes}", CONFIG.execution))
        found = {pair.id: pair.status for pair in read_records(out, ReflectedPair)}
        assert found == {row.id: "failed" if "long" in row.id else "reflected" for row in rows}


def test_an_endpoints_answers_and_finished_reflections_are_known_by_what_they_were() -> None:
    """The keys are of the version in which an endpoint had revision, dtype and max_total_tokens."""
    asked = teacher(load(locate("config/paper.yaml"))[0].teachers["gpt"], pair_tokenizer=None)
    talks = conversations(unreflected([Pair(id="a", instruction="Say so.", output="So.")]), "instruction", asked)
    assert speaker_of(asked).identity() == "openai gpt-4o-mini"
    key = "81344e77e86280007099c3a59db2762a75152fbe1ff922098fe896b381b5632b"
    assert _finished_key("instruction", talks, asked) == key


def test_a_sidecar_says_nothing_of_an_endpoint_that_it_does_not_have(tmp_path: Path, monkeypatch) -> None:
    source = tmp_path / "pairs.jsonl"
    write_records(source, PAIRS)
    monkeypatch.setattr("srt.llm.opening.open_backend", lambda *_: FakeModel(good))
    reflect(source, "instruction", SETTINGS, Job(tmp_path / "out.jsonl", tmp_path, CONFIG.execution), Service(SERVER))
    said = read_json(tmp_path / "out.meta.json")["settings"]
    assert said["backend"] == "openai"
    assert not {"revision", "dtype", "max_total_tokens"} & set(said)
