"""The scorer over architectures: what it gives for a batch is each record's own, or it refuses the model."""

from array import array

import pytest
import torch

from helpers.architectures import tiny
from helpers.naive_scorer import mean_nll
from srt.scoring.nll import Scorer
from srt.scoring.sequences import Target
from srt.storage.errors import InputError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]
WORDS = 96
KINDS = ("llama", "mistral", "gpt2", "bloom", "mpt", "falcon", "gpt_neo", "rwkv", "qwen3_5_text", "bamba", "lfm2")


def targets():
    lengths = (3, 20, 11, 7)
    return [Target(array("i", [(5 * n + 3 * i) % WORDS for i in range(n)]), 1 + n % 3, False) for n in lengths]


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_what_each_record_gives_alone(kind):
    model, wanted = tiny(kind, WORDS), targets()
    found = {id(target): nll for batch in Scorer(model, 4096).nlls(wanted) for target, nll in batch}
    for target in wanted:
        assert found[id(target)] == pytest.approx(mean_nll(model, list(target.ids), target.start), abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("granite", "granite: changes its logits behind the head"),
        ("recurrent_gemma", "recurrent_gemma: changes its logits behind the head"),
        ("bert", "bert: its score of a record is not that of the record alone: a token sees later tokens"),
        ("llama4_text", "llama4_text: its score of a record is not that of the record alone: it fails with"),
    ],
)
def test_what_it_would_get_wrong_is_refused(kind, why):
    """Also where the logits of a random model are so small that hardly a digit differs."""
    with pytest.raises(InputError, match=why):
        Scorer(tiny(kind, WORDS, scale=0.1), 4096)


def test_a_model_that_sees_later_tokens_is_refused(monkeypatch):
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama, "create_causal_mask", lambda *_, **__: None)
    model = tiny("llama", WORDS)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    with pytest.raises(InputError, match="a token sees later tokens"):
        Scorer(model, 4096)
    assert all(weight.grad is None for weight in model.parameters())
    assert torch.is_grad_enabled()
