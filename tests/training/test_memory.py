"""The estimate of memory against what autograd really keeps, and what follows from it."""

import json

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from helpers.training import execution, recipe, run, tiny_model, tiny_tokenizer
from srt.settings import FinetuneConfig
from srt.storage.errors import InputError
from srt.training import cost, memory
from srt.training import finetune as step

pytestmark = pytest.mark.slow

LORA = {"adapter": "lora", "lora_rank": 64, "lora_alpha": 128.0, "lora_dropout": 0.05, "dtype": "bfloat16"}
QLORA = {**LORA, "adapter": "qlora", "weights": "bfloat16", "optimizer": "paged_adamw_8bit"}
PURE = {"dtype": "bfloat16", "weights": "bfloat16", "optimizer": "paged_adamw_8bit"}
LENGTHS = [2048] * 128


def llama2(size: str) -> memory.Shape:
    layers, hidden, intermediate, heads = {"7b": (32, 4096, 11008, 32), "13b": (40, 5120, 13824, 40)}[size]
    config = LlamaConfig(
        vocab_size=32000,
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
    )
    with torch.device("meta"):
        return memory.Shape.of_model(LlamaForCausalLM(config))


def kept(weights: str, dtype: str, layers: int, tokens: int, adapter: bool = False, checkpointing: bool = False) -> int:
    """Bytes that autograd keeps of a forward pass over the body, parameters left out."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=128,
        intermediate_size=344,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=1,
    )
    model = LlamaForCausalLM(config).to(getattr(torch, dtype if adapter else weights)).train()
    if adapter:
        from peft import LoraConfig, get_peft_model

        lora = LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", r=4, lora_alpha=8, lora_dropout=0.05)
        model = get_peft_model(model, lora)
    if checkpointing:
        model.gradient_checkpointing_enable()
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            found.setdefault(storage.data_ptr(), (storage.nbytes(), tensor))  # kept alive: an address is not used twice
        return tensor

    body = model.get_base_model().model if adapter else model.model
    with (
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"),
    ):
        body(input_ids=torch.randint(0, 64, (1, tokens)), use_cache=False)
    return sum(size for size, _ in found.values())


@pytest.mark.parametrize(("weights", "dtype"), [("float32", "float32"), ("float32", "bfloat16"), ("bfloat16",) * 2])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_activations_are_what_autograd_keeps(weights, dtype, checkpointing):
    tokens = 512
    of_layers = kept(weights, dtype, 3, tokens, checkpointing=checkpointing) - kept(
        weights, dtype, 1, tokens, checkpointing=checkpointing
    )
    settings = recipe(weights=weights, dtype=dtype)
    shapes = [
        memory.Shape(0, 2 * (2 * 128 * 128 + 2 * 128 * 32 + 3 * 128 * 344), 0, layers, 128, 32, 344, 64)
        for layers in (3, 1)
    ]
    estimated = [memory._activations(shape, settings, tokens, checkpointing) for shape in shapes]
    copies = shapes[0].linear * 2 if weights != dtype and not checkpointing else 0  # counted with the weights
    assert estimated[0] - estimated[1] + copies == pytest.approx(of_layers, rel=0.02)


def test_an_adapters_activations_are_about_what_autograd_keeps():
    of_layers = kept("float32", "bfloat16", 3, 512, adapter=True) - kept("float32", "bfloat16", 1, 512, adapter=True)
    settings = recipe(**LORA)
    shapes = [memory.Shape(0, 0, 0, layers, 128, 32, 344, 64) for layers in (3, 1)]
    estimated = [memory._activations(shape, settings, 512, False) for shape in shapes]
    assert estimated[0] - estimated[1] == pytest.approx(of_layers, rel=0.1)


def test_llama_2_7b_needs_the_issues_112_gb_before_activations():
    shape = llama2("7b")
    assert shape.parameters == 6_738_415_616
    found = memory.estimate(shape, recipe(dtype="bfloat16"), 1, 2048, checkpointing=True)
    states = 16 * shape.parameters
    assert states == pytest.approx(108e9, rel=0.01)  # 112 with 7e9 parameters
    assert found.weights + found.gradients + found.optimizer > states


@pytest.mark.parametrize(
    ("size", "changes", "devices", "card", "device_batch"),
    [
        ("7b", {"sharding": "fsdp2"}, 8, 80, 4),
        ("13b", {"sharding": "fsdp2"}, 8, 80, 4),
        ("7b", PURE, 1, 80, 4),
        ("7b", LORA, 1, 24, 1),
        ("13b", QLORA, 1, 24, 1),
    ],
)
def test_the_shipped_recipes_fit_where_they_say(size, changes, devices, card, device_batch):
    settings = recipe(**{"dtype": "bfloat16", **changes})
    chosen = memory.choose(llama2(size), settings, devices, LENGTHS, device_batch, card)
    assert chosen.footprint.gb <= card


def test_the_papers_recipe_does_not_fit_on_one_card_and_what_would_is_said():
    with pytest.raises(InputError) as refusal:
        memory.choose(llama2("7b"), recipe(dtype="bfloat16"), 1, LENGTHS, 4, 80)
    line = str(refusal.value)
    assert line.startswith("finetune: does not fit: needs about ")
    assert "found 80.0 GB; would fit: sharding: fsdp2, finetune_gpus: 2" in line
    assert "optimizer: paged_adamw_8bit, weights: bfloat16" in line
    assert "adapter: lora" in line
    with pytest.raises(InputError, match="adapter: qlora"):
        memory.choose(llama2("13b"), recipe(**LORA, gradient_checkpointing="off"), 1, LENGTHS, 4, 24)


def test_every_way_out_that_is_named_is_a_recipe_that_loads_and_fits():
    shape, settings = llama2("7b"), recipe(dtype="bfloat16")
    ways = list(memory._ways_out(shape, settings, 1, LENGTHS, 4, 80))
    assert len(ways) >= 3
    for changes in (LORA, QLORA, PURE, {"sharding": "fsdp2", "dtype": "bfloat16"}):
        FinetuneConfig.model_validate({**settings.model_dump(), **changes})


def test_activations_are_computed_twice_only_where_memory_asks_for_it():
    shape, settings = llama2("7b"), recipe(**LORA)
    assert not memory.choose(shape, settings, 1, LENGTHS, 1, 80).checkpointing
    assert memory.choose(shape, settings, 1, LENGTHS, 1, 24).checkpointing
    with pytest.raises(InputError, match="gradient_checkpointing: auto"):
        memory.choose(shape, recipe(**LORA, gradient_checkpointing="off"), 1, LENGTHS, 1, 24)


def test_the_job_refuses_before_it_loads_the_model(train_file, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "load_weights", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(
        InputError, match=r"does not fit: needs about 1\.0 GB .* on each of 1 device\(s\), found 0\.5 GB"
    ):
        run(train_file, tiny_base, tmp_path / "model", how=execution(card_gb=0.5))
    assert not (tmp_path / "model").exists()


def test_a_cpus_memory_is_asked_and_shared():
    import psutil

    whole = psutil.virtual_memory().total / 1e9
    assert memory.limit_gb(execution(), "cpu", 1) == pytest.approx(whole)
    assert memory.limit_gb(execution(), "cpu", 2) == pytest.approx(whole / 2)
    assert memory.limit_gb(execution(card_gb=24.0), "cuda", 8) == 24


def test_disk_is_what_is_written(train_file, tiny_base, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    shape = memory.Shape.of_model(tiny_model(tiny_tokenizer()))
    run(train_file, tiny_base, tmp_path / "model", recipe(dtype="bfloat16"))
    assert (tmp_path / "model" / "model.safetensors").stat().st_size / 1e9 == pytest.approx(
        cost.model_gb(shape, recipe(dtype="bfloat16")), rel=0.2
    )
    monkeypatch.setattr(step, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(train_file, tiny_base, tmp_path / "other")
    (checkpoint,) = (tmp_path / "cache" / "finetune").glob("*/checkpoint-*")
    sizes = json.loads((checkpoint / "complete.json").read_text())
    written = sum(size for name, size in sizes.items() if name in ("model.safetensors", "optimizer.pt"))
    assert written / 1e9 == pytest.approx(cost.checkpoint_gb(shape, recipe()), rel=0.2)


def test_hours_are_six_operations_a_weight_and_token():
    shape = llama2("7b")
    found = cost.hours(shape, recipe(), 1e9, 0, False, 300)
    assert found == pytest.approx(6 * 6.738e9 * 1e9 / 300e12 / 3600, rel=0.001)
    assert cost.hours(shape, recipe(), 1e9, 0, True, 300) == pytest.approx(found * 4 / 3)
    assert cost.hours(shape, recipe(**LORA), 1e9, 0, False, 300) == pytest.approx(found * 2 / 3)
