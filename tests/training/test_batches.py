"""The loss of a step, proven: it is the mean over the response tokens of its records, in every layout.

Real records beside the project where they are; the model is tiny.
"""

import copy
import math

import pytest
import torch

from helpers.training import pairs, recipe, tiny_model, tiny_tokenizer, trainer_of
from srt.prepare.sources import read_pairs
from srt.storage.errors import InputError
from srt.training.attention import NAME
from srt.training.batches import StepSampler, plan
from srt.training.examples import IGNORED

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
LAYOUTS = ("padded", "grouped", "padding_free")


@pytest.mark.parametrize(
    ("device_batch", "world", "expected"),
    [
        (4, 1, (4, 2, 1, 4, 12)),
        (1, 1, (1, 8, 1, 4, 12)),
        (64, 1, (8, 1, 1, 4, 12)),
        (2, 2, (2, 2, 2, 4, 12)),
        (4, 8, (1, 1, 8, 4, 12)),
    ],
)
def test_plan_divides_the_global_batch(device_batch, world, expected):
    assert plan(30, recipe(global_batch=8, epochs=3.0), device_batch, world) == expected


def test_max_steps_only_ever_shortens():
    assert plan(24, recipe(global_batch=8, epochs=3.0, max_steps=4), 4, 1).steps == 4
    assert plan(24, recipe(global_batch=8, epochs=3.0, max_steps=40), 4, 1).steps == 9


@pytest.mark.parametrize(("device_batch", "world", "name"), [(3, 1, "device_batch"), (4, 3, "global_batch")])
def test_a_batch_that_does_not_divide_is_refused(device_batch, world, name):
    with pytest.raises(InputError, match=name):
        plan(24, recipe(global_batch=8), device_batch, world)


def test_an_epoch_of_two_percent_of_the_papers_records_has_eight_steps():
    batches = plan(926, recipe(global_batch=128, epochs=3.0), 4, 8)
    assert (batches.accumulation, batches.steps_per_epoch, batches.steps) == (4, math.ceil(926 / 128), 24)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("device_batch", "world"), [(1, 1), (8, 1), (2, 2)])
def test_a_step_has_the_same_records_however_it_is_laid_out(layout, device_batch, world):
    lengths = [(7 * row) % 50 + 1 for row in range(21)]
    sampler = StepSampler(lengths, plan(21, recipe(global_batch=8), device_batch, world), layout, 3)
    other = StepSampler(lengths, plan(21, recipe(global_batch=8), 4, 1), "padded", 3)
    for epoch in range(2):
        sampler.epoch = epoch
        rows = list(sampler)
        assert len(rows) == len(sampler) == 24
        steps = [rows[start : start + 8] for start in range(0, 24, 8)]
        assert [sorted(step) for step in steps] == [
            sorted([*other.records(epoch, step), *[21] * (8 - len(other.records(epoch, step)))]) for step in range(3)
        ]
        assert sorted(row for row in rows if row < 21) == list(range(21))  # each record once an epoch
    assert other.records(0, 0) != other.records(1, 0)
    dealt = [
        row
        for m in range(8 // device_batch // world)
        for rank in range(world)
        for row in sampler.of_process(4, rank, m)
    ]
    assert sorted(dealt) == sorted(sampler.records(1, 1))


def test_padding_free_batches_have_about_as_many_tokens_each():
    lengths = [(37 * row) % 400 + 20 for row in range(128)]
    sampler = StepSampler(lengths, plan(128, recipe(global_batch=128), 8, 2), "padding_free", 0)
    sums = [sum(lengths[row] for row in batch) for batch in sampler.micro_batches(0, 0)]
    assert max(sums) < 1.1 * min(sums)


def test_a_trainer_with_other_steps_an_epoch_is_stopped(tmp_path):
    trainer, _ = trainer_of(pairs(11), recipe(global_batch=8), 4, tmp_path)
    trainer.sampler.batches = trainer.sampler.batches._replace(steps_per_epoch=3)
    trainer._get_train_sampler = lambda *_, **__: range(16)
    with pytest.raises(RuntimeError, match="expected 3 steps an epoch, found 2"):
        trainer.train()


def first_step(records, settings, device_batch, folder, model=None):
    """Loss and gradients of the first optimizer step, before the optimizer has them."""
    from transformers import TrainerCallback

    kept = {}

    class Look(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **_):
            kept.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

    trainer, examples = trainer_of(records, settings, device_batch, folder, copy.deepcopy(model))
    trainer.add_callback(Look())
    trainer.args.max_grad_norm = 1e9
    trainer.train()
    return next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry), kept, trainer, examples


def reference(model, rows):
    """Plain PyTorch, one record at a time: the mean NLL of all response tokens, and its gradients."""
    model = copy.deepcopy(model).train()
    model.set_attn_implementation("eager")
    total, tokens = 0.0, 0
    for row in rows:
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor(row["labels"])
        logits = model(input_ids=ids).logits[0]
        total = total + torch.nn.functional.cross_entropy(
            logits[:-1], labels[1:], ignore_index=IGNORED, reduction="sum"
        )
        tokens += int((labels[1:] != IGNORED).sum())
    (total / tokens).backward()
    return float(total.detach()) / tokens, {name: p.grad for name, p in model.named_parameters()}


@pytest.fixture
def real_pairs(shared_data):
    found = read_pairs(shared_data / "alpaca" / "cherry_alpaca_5_percent.json")
    return found[:: len(found) // 140][:140]


@pytest.mark.parametrize(("layout", "device_batch"), [("padding_free", 16), ("padding_free", 128), ("grouped", 32)])
def test_the_loss_of_128_real_records_is_that_of_ten_lines_of_pytorch(real_pairs, tmp_path, layout, device_batch):
    settings = recipe(global_batch=128, max_steps=1, batches=layout)
    model = tiny_model(tiny_tokenizer(), settings)
    loss, gradients, trainer, examples = first_step(real_pairs, settings, device_batch, tmp_path, model)
    rows = [examples.rows[row] for row in trainer.sampler.records(0, 0)]
    assert len(rows) == 128
    expected, of_reference = reference(model, rows)
    assert loss == pytest.approx(expected, abs=1e-5)
    assert gradients.keys() == of_reference.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, of_reference[name], atol=1e-5, rtol=1e-4)


def test_every_layout_gives_the_same_loss_and_gradients(tmp_path):
    found = {}
    for layout in LAYOUTS:
        for device_batch in (1, 8):
            settings = recipe(global_batch=8, max_steps=2, batches=layout)
            found[layout, device_batch] = first_step(
                pairs(11), settings, device_batch, tmp_path / f"{layout}-{device_batch}"
            )
    loss, gradients, *_ = found["padded", 8]
    for other, of_other, trainer, _ in found.values():
        assert other == pytest.approx(loss, abs=1e-4)
        curve = [e["loss"] for e in trainer.state.log_history if "loss" in e]
        assert curve == pytest.approx(
            [e["loss"] for e in found["padded", 8][2].state.log_history if "loss" in e], abs=1e-4
        )
        for name, gradient in of_other.items():
            torch.testing.assert_close(gradient, gradients[name], atol=1e-5, rtol=1e-4)
    assert found["padding_free", 8][2].model.config._attn_implementation == NAME


def test_no_token_sees_another_record():
    model = tiny_model(tiny_tokenizer(), recipe()).eval()
    first, other, second = ([5, 6, 7], [8, 9, 10], [11, 12, 13, 14])
    positions = torch.tensor([[0, 1, 2, 0, 1, 2, 3]])

    def last(ids):
        with torch.inference_mode():
            return model(input_ids=torch.tensor([ids]), position_ids=positions, record_lengths=[3, 4]).logits[0, 3:]

    with torch.inference_mode():
        alone = model(input_ids=torch.tensor([second]), record_lengths=[4]).logits[0]
    assert torch.equal(last(first + second), last(other + second))
    torch.testing.assert_close(last(first + second), alone)


def test_a_row_without_its_records_lengths_is_refused():
    model = tiny_model(tiny_tokenizer(), recipe())
    with pytest.raises(ValueError, match="batches: grouped"):
        model(input_ids=torch.tensor([[5, 6, 7]]), position_ids=torch.tensor([[0, 1, 0]]))


def test_a_model_with_windows_keeps_transformers_own_mask():
    from transformers import LlamaConfig, MistralConfig

    from srt.training.attention import implementation

    assert implementation(MistralConfig(sliding_window=64), "padding_free") == "sdpa"
    assert implementation(MistralConfig(sliding_window=None), "padding_free") == NAME
    assert implementation(LlamaConfig(), "grouped") == "sdpa"
