"""Backends: transformers on a tiny Llama, an endpoint on a fake server (a paid one cannot run here)."""

from pathlib import Path

import pytest

from helpers.asking import completed
from helpers.fake_judge import KEY, KEY_VARIABLE, FakeJudge
from srt.experiment.config import load
from srt.llm._rendering import token_ids
from srt.llm.endpoint import EndpointBackend, chat_arguments, extra_arguments, server_of
from srt.llm.inprocess import TransformersBackend
from srt.llm.opening import open_backend
from srt.llm.requests import Request, Sampling, Speaker
from srt.llm.servers import OpenServer
from srt.settings import Endpoint
from srt.storage.errors import InputError

CONFIG, _ = load()
GREEDY = Sampling(0.0, 1.0, 1.0, 0)


def requests(*prompts: str, new: int = 6, sampling: Sampling = GREEDY) -> list[Request]:
    return [Request((("user", prompt),), new, sampling) for prompt in prompts]


@pytest.fixture
def tiny(tiny_llamas: dict[str, Path]) -> TransformersBackend:
    return TransformersBackend(
        Speaker("transformers", str(tiny_llamas["plain"]), None, "float32", 64), CONFIG.execution
    )


@pytest.mark.slow
def test_batching_and_order_change_no_greedy_answer(tiny: TransformersBackend) -> None:
    prompts = ["Hi", "A much longer question about nothing in particular?", "Why is that so?"]
    together = dict(completed(tiny, requests(*prompts)))
    for i, prompt in enumerate(prompts):
        assert dict(completed(tiny, requests(prompt)))[0] == together[i]


@pytest.mark.slow
def test_a_greedy_answer_is_transformers_own(tiny: TransformersBackend) -> None:
    import torch

    ids = torch.tensor([token_ids(tiny.tokenizer, (("user", "Hi"),))])
    expected = tiny.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
    answer = dict(completed(tiny, requests("Hi")))[0]
    assert answer.text == tiny.tokenizer.decode(expected[0, ids.shape[1] :], skip_special_tokens=True)
    assert (answer.tokens, answer.finish_reason) == (6, "length")


@pytest.mark.slow
def test_sampling_is_seeded(tiny: TransformersBackend) -> None:
    def drawn(seed: int) -> str:
        return dict(completed(tiny, requests("Hi", sampling=Sampling(1.0, 1.0, 1.0, seed))))[0].text

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.slow
def test_a_prompt_over_the_limit_is_refused_and_a_long_one_gets_the_room_that_is_left(
    tiny: TransformersBackend,
) -> None:
    answers = dict(completed(tiny, requests("word " * 80, "word " * 15, new=500)))
    assert answers[0].finish_reason.startswith("refused: the prompt has")
    assert answers[1].tokens == 64 - len(token_ids(tiny.tokenizer, (("user", "word " * 15),)))


@pytest.mark.slow
def test_a_long_prompt_shortens_nobody_else_s_answer(tiny: TransformersBackend) -> None:
    prompts = requests("Hi", "word " * 15, "Ho", new=30)
    alone = [dict(completed(tiny, [request]))[0] for request in prompts]
    together = dict(completed(tiny, prompts))
    assert [together[i].tokens for i in range(3)] == [answer.tokens for answer in alone]
    assert together[1].tokens < 30 == together[0].tokens


@pytest.mark.slow
def test_a_plain_prompt_gets_exactly_the_bos_that_the_tokenizer_adds(tiny_llamas: dict[str, Path]) -> None:
    from srt.llm.loading import load_tokenizer

    tokenizer = load_tokenizer(str(tiny_llamas["bos"]), None)
    ids = token_ids(tokenizer, "Hi")
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(InputError, match="models/none: no such model folder"):
        open_backend(Speaker("transformers", "./models/none", None, "float32", 64), CONFIG.execution, Path())


def test_an_endpoint_needs_an_address_and_a_named_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_KEY", "SRT_TEACHER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(InputError, match=r"expected --base-url, or an entry under execution\.endpoints"):
        server_of(None, "m")
    for endpoint in (
        Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env="NO_KEY"),
        Endpoint(base_url="https://api.openai.com/v1", api_key_env=None),
    ):
        with pytest.raises(InputError, match="the API key is missing: expected the environment variable SRT_TEACHER"):
            server_of(endpoint, "m")
    assert server_of(Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env=None), "m").api_key == "none"


@pytest.mark.parametrize(
    ("set_here", "expected"),
    [
        ({"SRT_TEACHER_API_KEY": "a", "NAMED": "b", "OPENAI_API_KEY": "c"}, {"NAMED": "a", None: "a"}),
        ({"NAMED": "b", "OPENAI_API_KEY": "c"}, {"NAMED": "b", None: "c"}),
    ],
)
def test_whose_key_is_taken(
    monkeypatch: pytest.MonkeyPatch, set_here: dict[str, str], expected: dict[str | None, str]
) -> None:
    for name in ("SRT_TEACHER_API_KEY", "NAMED", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, set_here.get(name, ""))
    for variable, key in expected.items():
        assert server_of(Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env=variable), "m").api_key == key


def test_openai_itself_is_asked_in_its_own_words() -> None:
    openai = OpenServer("https://api.openai.com/v1", KEY, "m")
    (request,) = requests("Hi")
    assert chat_arguments(openai, request)["max_completion_tokens"] == 6
    (request,) = requests("Hi", sampling=Sampling(0.0, 1.0, 1.1, 0))
    assert extra_arguments(OpenServer("http://127.0.0.1:9/v1", KEY, "m"), request) == {"repetition_penalty": 1.1}
    with pytest.raises(InputError, match=r"knows no repetition_penalty: expected 1, found 1\.1"):
        extra_arguments(openai, request)


def test_an_endpoint_is_asked_in_its_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(body: dict, count: int) -> str | int:
        return 400 if "bad" in body["messages"][0]["content"] else "fine"

    with FakeJudge(answer) as server:
        backend = EndpointBackend(server_of(server.endpoint, "m"), CONFIG.execution)
        asked = [*requests("good", "bad"), Request((("user", "q"),), 5, GREEDY, schema={"type": "object"})]
        answers = dict(completed(backend, asked))
        backend.close()
    assert answers[0].text == answers[2].text == "fine"
    assert answers[0].model == "judge-0613"
    assert answers[1].refused
    sent = next(body for body in server.requests if body["messages"][0]["content"] == "good")
    assert (sent["max_tokens"], sent["temperature"], sent["model"]) == (6, 0.0, "m")
    assert "response_format" not in sent
    sent = next(body for body in server.requests if body["messages"][0]["content"] == "q")
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_parameter_that_a_server_does_not_take_is_left_out_or_renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(body: dict, count: int) -> str | int:
        return 422 if {"seed", "max_tokens", "repetition_penalty"} & set(body) else "fine"

    (request,) = requests("Hi", sampling=Sampling(0.0, 1.0, 1.1, 0))
    with FakeJudge(answer) as server:
        told = {"seed": None, "max_tokens": "max_length", "repetition_penalty": "penalty", "unknown": "x"}
        backend = EndpointBackend(
            server_of(server.endpoint.model_copy(update={"parameters": told}), "m"), CONFIG.execution
        )
        answers = dict(completed(backend, [request]))
        backend.close()
    assert answers[0].text == "fine"
    (sent,) = server.requests
    assert (sent["max_length"], sent["penalty"], sent["model"], sent["temperature"]) == (6, 1.1, "m", 0.0)
    assert "x" not in sent
