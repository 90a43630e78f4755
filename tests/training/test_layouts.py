"""Which layouts a model honours is tried, not known by its name: tiny random models of many architectures."""

import json

import pytest
import torch

from helpers.architectures import RIGHT, WRONG, tiny
from helpers.training import execution, losses, pairs, recipe, run, tiny_tokenizer, trainer_of
from srt.storage.errors import InputError
from srt.training.examples import IGNORED
from srt.training.trainer import load_weights

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]
LAYOUTS = ("padded", "grouped", "padding_free")


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """The folder of a tiny model of an architecture, made when first asked for."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp(kind)
            tiny(kind, len(tiny_tokenizer())).save_pretrained(made[kind])
        return made[kind]

    return folder


def first_loss(folder, layout, where, **changes):
    """The loss of the first step before any update, what the same records have one by one, and the trainer."""
    settings = recipe(batches=layout, max_steps=1, global_batch=4, **changes)
    model = load_weights(str(folder), None, settings)
    trainer, examples = trainer_of(pairs(4), settings, 4, where, model)
    expected = one_by_one(load_weights(str(folder), None, recipe(batches="padded")), examples.rows)
    trainer.train()
    return next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry), expected, trainer


def one_by_one(model, rows):
    total, tokens = 0.0, 0
    for row in rows:
        labels = torch.tensor(row["labels"])[1:]
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([row["input_ids"]]), use_cache=False).logits[0, :-1]
        total += float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum"))
        tokens += int((labels != IGNORED).sum())
    return total / tokens


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", RIGHT)
def test_an_architecture_that_honours_every_layout_has_the_same_loss_in_all(folder_of, tmp_path, kind, layout):
    loss, expected, trainer = first_loss(folder_of(kind), layout, tmp_path)
    assert loss == pytest.approx(expected, abs=1e-4)
    assert trainer.layout == (layout, None)


@pytest.mark.parametrize("kind", WRONG)
def test_an_architecture_that_does_not_is_trained_in_padded_batches(folder_of, tmp_path, capsys, kind):
    loss, expected, trainer = first_loss(folder_of(kind), "padding_free", tmp_path)
    assert loss == pytest.approx(expected, abs=2e-4)
    assert trainer.layout.name == trainer.sampler.layout == "grouped"
    assert "does not keep records apart in padding_free batches: " in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["grouped", "padding_free"])
@pytest.mark.parametrize(("kind", "why"), [("bert", "sees later tokens"), ("llama4_text", "fails with AttributeError")])
def test_an_architecture_that_no_layout_is_right_for_is_refused(folder_of, tmp_path, kind, why, layout):
    with pytest.raises(InputError, match=rf"finetune: batches: .*does not train on each record alone .*{why}"):
        first_loss(folder_of(kind), layout, tmp_path)


def settled(model, where, layout="padding_free", **changes):
    trainer, _ = trainer_of(pairs(4), recipe(batches=layout, **changes), 4, where, model)
    return trainer.layout


def words():
    return len(tiny_tokenizer())


def test_what_does_not_flow_yet_is_seen(tmp_path):
    """A projection that is all zeros hides its layer until the first update has moved it."""
    model = tiny("qwen3_5_text", words())
    for name, weight in model.named_parameters():
        if name.endswith(("out_proj.weight", "o_proj.weight")):
            weight.data.zero_()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    assert settled(model, tmp_path).name == "grouped"
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize(("kind", "expected"), [("llama", "padding_free"), ("qwen3_5_text", "grouped")])
def test_below_a_fresh_adapter_it_is_the_same(tmp_path, kind, expected):
    lora = {"adapter": "lora", "lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.5}
    model = tiny(kind, words())
    assert settled(model, tmp_path, **lora).name == expected
    fresh = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    assert fresh
    assert not any(weight.any() for weight in fresh)


@pytest.mark.parametrize("kind", ["lfm2", "bloom", "qwen3_5_text"])
def test_an_effect_far_below_rounding_is_seen(tmp_path, kind):
    assert settled(tiny(kind, words(), scale=1e-3), tmp_path).name == "grouped"


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral"])
def test_neither_dropout_nor_low_precision_is_taken_for_a_difference(tmp_path, kind):
    model = tiny(kind, words())
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
        if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
            module.attention_dropout = 0.5
    assert settled(model.train(), tmp_path / "dropout") == ("padding_free", None)
    low = {"weights": "bfloat16", "dtype": "bfloat16"}
    assert settled(tiny(kind, words()).bfloat16(), tmp_path / "low", **low) == ("padding_free", None)


def test_chunks_that_are_longer_than_the_probe_are_reached(tmp_path, monkeypatch):
    """Llama 4's chunks are counted from the start of a row, not of a record."""
    from transformers import Llama4ForCausalLM

    monkeypatch.setattr(Llama4ForCausalLM, "base_model_prefix", "model")  # where TRL looks for the layers
    model = tiny("llama4_text", words(), attention_chunk_size=8192, router_aux_loss_coef=0.0)
    layout = settled(model, tmp_path)
    assert layout == ("grouped", "a token weighs the other tokens of its record in another way than alone")
    assert model.config.attention_chunk_size == 8192


def test_a_model_without_a_causal_mask_is_refused_in_every_layout(tmp_path, monkeypatch):
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama, "create_causal_mask", lambda *_, **__: None)
    for layout in LAYOUTS:
        model = tiny("llama", words())
        for layer in model.model.layers:
            layer.self_attn.is_causal = False
        with pytest.raises(InputError, match="a token sees later tokens"):
            settled(model, tmp_path / layout, layout)


def test_what_was_done_is_recorded(folder_of, tmp_path, train_file, capsys):
    folder = folder_of("bloom")
    tiny_tokenizer().save_pretrained(folder)
    record = run(train_file, folder, tmp_path / "model")
    assert (record["layout"], record["attention"]) == ("grouped", "eager")
    assert record["layout_reason"] == "its attention cannot be replaced"
    assert record["settings"]["batches"] == "padding_free"
    assert json.loads((tmp_path / "model" / "srt_finetune.json").read_text()) == record
    said = capsys.readouterr().err
    told = "finetune: batches: BloomForCausalLM does not keep records apart in padding_free batches: "
    assert said.count(told) == 1
    right = run(train_file, folder_of("bloom"), tmp_path / "right", recipe(batches="grouped"))
    assert losses(right) == losses(record)
    assert (right["layout"], right["layout_reason"]) == ("grouped", None)


@pytest.mark.parametrize("kind", ["rwkv", "mpt"])
def test_a_model_without_attention_or_positions_is_trained_from_its_folder(folder_of, tmp_path, train_file, kind):
    from transformers import AutoModelForCausalLM

    tiny_tokenizer().save_pretrained(folder_of(kind))
    record = run(train_file, folder_of(kind), tmp_path / "model")
    assert record["layout"] == "grouped"
    assert losses(record)[-1] < losses(record)[0]
    AutoModelForCausalLM.from_pretrained(tmp_path / "model")


def test_a_checkpoint_of_the_layout_that_is_not_honoured_is_not_gone_on_with(tmp_path):
    trainer, _ = trainer_of(pairs(4), recipe(), 4, tmp_path, tiny("bloom", words()))
    assert trainer.args.output_dir == str(tmp_path / "checkpoints" / "grouped")
    trainer, _ = trainer_of(pairs(4), recipe(), 4, tmp_path, tiny("llama", words()))
    assert trainer.args.output_dir == str(tmp_path / "checkpoints")


def test_several_processes_take_the_same_layout(folder_of, tmp_path, train_file):
    folder = folder_of("bloom")
    tiny_tokenizer().save_pretrained(folder)
    alone = run(train_file, folder, tmp_path / "one")
    several = run(train_file, folder, tmp_path / "two", how=execution(device_batch=2, finetune_gpus=2))
    assert (several["world_size"], several["layout"]) == (2, "grouped")
    assert losses(several) == pytest.approx(losses(alone), abs=1e-5)
