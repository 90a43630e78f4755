"""Models that refuse the system role: in process by their template, at an endpoint by the words of its 400."""

import json
from pathlib import Path

import pytest

from helpers.asking import completed
from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge
from srt.experiment.config import load
from srt.llm import loading
from srt.llm._rendering import token_ids
from srt.llm.asking import Teacher
from srt.llm.opening import open_backend
from srt.llm.requests import Backend, Message, Request, Sampling, Speaker
from srt.llm.spending import completion_of
from srt.llm.system_role import MOVED, REFUSES, moved
from srt.storage.errors import InputError

CONFIG, _ = load()
GREEDY = Sampling(0.0, 1.0, 1.0, 0)
CHAT: tuple[Message, ...] = (("system", "Be short."), ("user", "Hi"), ("assistant", "Ho"), ("user", "Why?"))
WITHOUT: tuple[Message, ...] = (("user", "Be short.\n\nHi"), ("assistant", "Ho"), ("user", "Why?"))
REFUSAL = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
TURNS = "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] }}{% endfor %}"


@pytest.fixture
def refusing(tiny_llamas: dict[str, Path], tmp_path: Path) -> Path:
    """A model whose template refuses the system role, as Gemma's."""
    folder = tmp_path / "refusing"
    folder.mkdir()
    for file in tiny_llamas["plain"].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "chat_template.jinja").write_text(REFUSAL + TURNS)
    return folder


def speaker(model: Path) -> Speaker:
    return Speaker("transformers", str(model), None, "float32", 128)


def asked_of(backend: Backend, *chats: tuple[Message, ...]) -> dict[int, object]:
    return dict(completed(backend, [Request(chat, 4, GREEDY) for chat in chats]))


def test_the_text_goes_before_the_first_user_turn() -> None:
    assert moved(CHAT) == WITHOUT
    assert moved(CHAT[1:]) == CHAT[1:]
    assert moved((("system", "One."), ("system", "Two."))) == (("user", "One.\n\nTwo."),)


@pytest.mark.slow
def test_a_template_that_refuses_the_role_is_asked_without_it(
    refusing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backend = open_backend(speaker(refusing), CONFIG.execution, Path())
    answers = asked_of(backend, CHAT, WITHOUT, CHAT)
    assert answers[0].text == answers[1].text == answers[2].text
    assert [answers[i].moved for i in range(3)] == [MOVED, None, MOVED]
    said = capsys.readouterr().err
    assert said.count("refuses the system role") == 1
    assert "System role not supported" in said


@pytest.mark.slow
def test_a_model_that_takes_the_role_is_asked_as_before(
    tiny_llamas: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    backend = open_backend(speaker(tiny_llamas["plain"]), CONFIG.execution, Path())
    assert asked_of(backend, CHAT)[0].moved is None
    assert "system role" not in capsys.readouterr().err
    tokenizer = loading.load_tokenizer(str(tiny_llamas["plain"]), None)
    messages = [{"role": role, "content": text} for role, text in CHAT]
    assert (
        token_ids(tokenizer, CHAT)
        == tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('Only on Sundays') }}", "Only on Sundays"),
        ("{{ messages[0]['content'] + 1 }}", "can only concatenate"),
        ("{{ nothing.at.all }}", "'nothing' is undefined"),
        ("{% if %}", "Expected an expression"),
    ],
)
def test_a_template_that_refuses_anything_else_is_one_line(
    tiny_llamas: dict[str, Path], template: str, words: str
) -> None:
    tokenizer = loading.load_tokenizer(str(tiny_llamas["plain"]), None)
    tokenizer.chat_template = template
    for chat in (CHAT, WITHOUT):
        with pytest.raises(InputError, match=f"its chat template refuses the chat: .*{words}"):
            token_ids(tokenizer, chat)


def test_the_words_of_templates_and_servers_are_known() -> None:
    for words in (
        "HTTP 400: System role not supported",
        "HTTP 400: Conversation roles must alternate user/assistant/user/assistant/...",
        "HTTP 400: Only user and assistant roles are supported!",
        "HTTP 400: Developer instruction is not enabled for models/gemma-3-27b-it",
        "HTTP 400: Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "HTTP 422: Unexpected role 'system'",
        "HTTP 400: system messages are not allowed for this model",
    ):
        assert REFUSES.search(words), words
    for words in ("HTTP 400: the prompt is too long", "HTTP 400: the file system is full", "HTTP 400: bad role 'user'"):
        assert not REFUSES.search(words), words


def test_a_server_that_refuses_the_role_is_asked_without_it_and_the_journal_keeps_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(body: dict, count: int) -> object:
        refused = {"error": {"message": "System role not supported", "code": 400}}
        return (400, refused) if body["messages"][0]["role"] == "system" else "fine"

    asked = [Request((("system", "Be short."), ("user", str(i))), 4, GREEDY) for i in range(12)]
    with FakeJudge(answer) as server:
        served = Speaker("openai", "m", None, "auto", 100)

        def teacher() -> Teacher:
            def opened(folder):
                return open_backend(served, CONFIG.execution, folder, server.endpoint)

            return Teacher(served.identity(), opened, tmp_path, "j")

        with teacher() as first:
            answers = first.ask(asked, "x")
            assert [(said.text, said.moved) for said in answers] == [("fine", MOVED)] * 12
            assert first.moved == 12
            assert all(first.key(request) in first.entries for request in asked)
        with teacher() as second:
            second.ask(asked, "x")
            assert (second.received, second.moved) == (0, 12)
    sent = [body["messages"] for body in server.requests]
    assert [{"role": "user", "content": "Be short.\n\n11"}] in sent
    assert capsys.readouterr().err.count("refuses the system role") == 1


def test_an_old_entry_says_nothing_of_it() -> None:
    assert completion_of({"text": "a", "tokens": 1, "finish_reason": "stop"}).moved is None
    assert completion_of(json.loads(json.dumps({"finish_reason": "stop", "moved": MOVED}))).moved == MOVED


@pytest.mark.slow
def test_fault_11_of_the_collection(shared_data: Path, tiny_llamas: dict[str, Path]) -> None:
    tokenizer = loading.load_tokenizer(str(tiny_llamas["plain"]), None)
    tokenizer.chat_template = json.loads((shared_data / "faults/11_system_template.txt").read_text(), strict=False)
    with pytest.raises(InputError, match="System role not supported"):
        token_ids(tokenizer, CHAT)
    assert "Be short" in tokenizer.decode(token_ids(tokenizer, moved(CHAT)))
