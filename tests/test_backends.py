"""Backends: transformers on a tiny Llama, an endpoint on a fake server (a paid one cannot run here)."""

from pathlib import Path

import pytest
from fake_judge import KEY, KEY_VARIABLE, FakeJudge

from srt.backends import Request, Sampling, TransformersBackend, open_backend, token_ids
from srt.config import load
from srt.endpoint import EndpointBackend
from srt.records import InputError
from srt.settings import Endpoint

CONFIG, _ = load()
GREEDY = Sampling(0.0, 1.0, 1.0, 0)


def requests(*prompts: str, new: int = 6, sampling: Sampling = GREEDY) -> list[Request]:
    return [Request((("user", prompt),), new, sampling) for prompt in prompts]


@pytest.fixture
def tiny(tiny_llamas: dict[str, Path]) -> TransformersBackend:
    return TransformersBackend(str(tiny_llamas["plain"]), None, "float32", 64, CONFIG.execution)


def test_batching_and_order_change_no_greedy_answer(tiny: TransformersBackend) -> None:
    prompts = ["Hi", "A much longer question about nothing in particular?", "Why is that so?"]
    together = dict(tiny.complete(requests(*prompts)))
    for i, prompt in enumerate(prompts):
        assert dict(tiny.complete(requests(prompt)))[0] == together[i]


def test_a_greedy_answer_is_transformers_own(tiny: TransformersBackend) -> None:
    import torch

    ids = torch.tensor([token_ids(tiny.tokenizer, (("user", "Hi"),))])
    expected = tiny.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
    answer = dict(tiny.complete(requests("Hi")))[0]
    assert answer.text == tiny.tokenizer.decode(expected[0, ids.shape[1] :], skip_special_tokens=True)
    assert (answer.tokens, answer.finish_reason) == (6, "length")


def test_sampling_is_seeded(tiny: TransformersBackend) -> None:
    def drawn(seed: int) -> str:
        return dict(tiny.complete(requests("Hi", sampling=Sampling(1.0, 1.0, 1.0, seed))))[0].text

    assert drawn(1) == drawn(1) != drawn(2)


def test_a_prompt_over_the_limit_is_refused_and_a_long_one_gets_the_room_that_is_left(
    tiny: TransformersBackend,
) -> None:
    answers = dict(tiny.complete(requests("word " * 80, "word " * 15, new=500)))
    assert answers[0].finish_reason.startswith("refused: the prompt has")
    assert answers[1].tokens == 64 - len(token_ids(tiny.tokenizer, (("user", "word " * 15),)))


def test_a_plain_prompt_gets_exactly_the_bos_that_the_tokenizer_adds(tiny_llamas: dict[str, Path]) -> None:
    from srt.models import load_tokenizer

    tokenizer = load_tokenizer(str(tiny_llamas["bos"]), None)
    ids = token_ids(tokenizer, "Hi")
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(InputError, match="models/none: no such model folder"):
        open_backend("transformers", "./models/none", None, "float32", 64, CONFIG.execution)


def test_an_endpoint_needs_an_address_and_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_KEY", raising=False)
    with pytest.raises(InputError, match=r"execution\.endpoints"):
        EndpointBackend("m", None, CONFIG.execution)
    with pytest.raises(InputError, match="environment variable NO_KEY is not set"):
        EndpointBackend("m", Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env="NO_KEY"), CONFIG.execution)


def test_an_endpoint_answers_refuses_and_stops_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    def answer(body: dict, count: int) -> str | int:
        return 400 if "bad" in body["messages"][0]["content"] else "fine"

    with FakeJudge(answer) as server:
        backend = EndpointBackend("m", server.endpoint, CONFIG.execution)
        answers = dict(backend.complete(requests("good", "bad")))
        assert answers[0].text == "fine"
        assert answers[1].finish_reason.startswith("refused: ")
        sent = server.requests[0]
        assert (sent["max_tokens"], sent["temperature"], sent["model"]) == (6, 0.0, "m")
        monkeypatch.setenv(KEY_VARIABLE, "wrong")
        with pytest.raises(InputError, match=r"m: the endpoint failed: .*wrong key") as raised:
            list(EndpointBackend("m", server.endpoint, CONFIG.execution).complete(requests("good")))
        assert KEY not in str(raised.value)


def test_a_schema_is_sent_to_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with FakeJudge(lambda body, count: "{}") as server:
        backend = EndpointBackend("m", server.endpoint, CONFIG.execution)
        list(backend.complete([Request((("user", "q"),), 5, GREEDY, schema={"type": "object"})]))
        assert server.requests[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
