"""The step as a whole: the folder it leaves, its schedule, what it refuses."""

import hashlib
import importlib.util
import json

import pytest

from helpers.training import assert_equal_weights, execution, losses, pairs, recipe, run, tiny_tokenizer, weights
from srt.experiment import layout
from srt.experiment.runs import Run
from srt.report.tables.rows import setup_cells
from srt.storage.errors import InputError
from srt.storage.files import write_records
from srt.storage.records import Pair
from srt.storage.trainings import RECORD
from srt.training.trainer import PACKAGES

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def test_accumulation_changes_nothing(train_file, tiny_base, tmp_path):
    whole = run(train_file, tiny_base, tmp_path / "whole")
    parts = run(train_file, tiny_base, tmp_path / "parts", how=execution(device_batch=1))
    assert (whole["accumulation"], parts["accumulation"]) == (1, 4)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    assert_equal_weights(tmp_path / "whole", tmp_path / "parts", 1e-5)


def test_model_folder(train_file, tiny_base, tmp_path, capsys):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    out = tmp_path / "run" / "model"
    record = run(train_file, tiny_base, out, recipe(epochs=15.0))
    assert losses(record)[-1] < losses(record)[0] - 0.1
    assert [entry["step"] for entry in record["loss_curve"]] == list(range(1, 31))
    assert record["steps"] == 30
    assert record["settings"] == recipe(epochs=15.0).model_dump()
    assert (record["seed"], record["base_model"], record["device"]) == (3, str(tiny_base), "cpu")
    assert record["data"]["sha256"] == hashlib.sha256(train_file.read_bytes()).hexdigest()
    assert (record["data"]["records"], record["data"]["trained_on"]) == (8, 8)
    assert 0 < record["data"]["loss_tokens"] < record["data"]["tokens"]
    assert {"torch", "transformers", "trl"} <= record["versions"].keys()
    assert "step 30 of 30: loss" in capsys.readouterr().err

    assert not (out / "training_args.bin").exists()
    assert (out / "loss_curve.png").stat().st_size > 5000
    assert (out / "loss_curve.pdf").is_file()
    assert sorted(path.name for path in out.parent.iterdir()) == ["cache", "model"]
    assert not [
        path for path in (out.parent / "cache").rglob("*") if not path.name.endswith(".lock") and path.is_file()
    ]
    for path in out.glob("*.json"):
        told = path.read_text().replace(str(tiny_base), "") if path.name == RECORD else path.read_text()
        assert str(tmp_path.parent) not in told, path.name

    assert AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).config.vocab_size == len(tiny_tokenizer())
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    assert tokenizer.pad_token == tokenizer.eos_token == "</s>"  # noqa: S105
    assert tokenizer("Red")["input_ids"] == tiny_tokenizer()("Red")["input_ids"]
    generation = GenerationConfig.from_pretrained(out)
    assert (generation.temperature, generation.do_sample) == (0.9, True)
    assert generation.eos_token_id in (tokenizer.eos_token_id, [tokenizer.eos_token_id])


def test_the_schedule_is_the_recipes(train_file, tiny_base, tmp_path):
    record = run(train_file, tiny_base, tmp_path / "out", recipe(epochs=5.0, warmup=0.2, schedule="linear"))
    expected = [0, 5e-4, 1e-3, *(1e-3 * left / 8 for left in range(7, 0, -1))]
    assert [entry["learning_rate"] for entry in record["loss_curve"]] == pytest.approx(expected)
    record = run(train_file, tiny_base, tmp_path / "flat", recipe(epochs=2.0, schedule="constant"))
    assert [entry["learning_rate"] for entry in record["loss_curve"]] == [1e-3] * 4


def test_the_seed_decides_the_order_and_nothing_else_does(train_file, tiny_base, tmp_path):
    first, again = run(train_file, tiny_base, tmp_path / "a"), run(train_file, tiny_base, tmp_path / "b")
    other = run(train_file, tiny_base, tmp_path / "c", seed=4)
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)


def test_bfloat16_trains_float32_weights_and_saves_bfloat16(train_file, tiny_base, tmp_path):
    import torch

    record = run(
        train_file, tiny_base, tmp_path / "out", recipe(dtype="bfloat16", learning_rate=2e-5, schedule="constant")
    )
    after, before = weights(tmp_path / "out"), weights(tiny_base)
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    float32 = run(train_file, tiny_base, tmp_path / "full", recipe(learning_rate=2e-5, schedule="constant"))
    assert losses(record) == pytest.approx(losses(float32), abs=0.03)
    exact = weights(tmp_path / "full")
    moved = [(exact[name] != before[name]).float().mean() for name in exact if "embed" not in name]
    assert min(moved) > 0.9


def test_checkpointing_of_activations_changes_nothing(train_file, tiny_base, tmp_path):
    plain = run(train_file, tiny_base, tmp_path / "a")
    saved = run(train_file, tiny_base, tmp_path / "b", recipe(gradient_checkpointing="on"))
    assert losses(saved) == pytest.approx(losses(plain), abs=1e-5)
    assert (plain["gradient_checkpointing"], saved["gradient_checkpointing"]) == (False, True)


def test_an_older_model_is_replaced_and_a_foreign_folder_is_not(train_file, tiny_base, tmp_path):
    out = tmp_path / "model"
    run(train_file, tiny_base, out)
    (tmp_path / ".model.partial").mkdir()
    (tmp_path / ".model.partial" / "junk").write_text("left by a kill")
    assert run(train_file, tiny_base, out, seed=4)["seed"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "model", "train.jsonl"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not written by finetune"):
        run(train_file, tiny_base, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 8}, "max_length 8"),
        ({"dtype": "float16"}, "dtype"),
        ({"global_batch": 6}, "device_batch"),
    ],
)
def test_settings_that_cannot_work_are_refused(train_file, tiny_base, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        run(train_file, tiny_base, tmp_path / "model", recipe(**settings))
    assert not (tmp_path / "model").exists()


def test_bad_input_is_refused(train_file, tiny_base, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(InputError, match=r"empty\.jsonl: holds no pair"):
        run(empty, tiny_base, tmp_path / "model")
    with pytest.raises(InputError, match="nowhere"):
        run(train_file, tmp_path / "nowhere", tmp_path / "model")
    blank = tmp_path / "blank.jsonl"
    write_records(blank, [Pair(id="a", instruction="Name it.", output="")])
    with pytest.raises(InputError, match="1 x empty response"):
        run(blank, tiny_base, tmp_path / "model")


def test_weights_that_exploded_stop_the_training_before_they_are_saved(train_file, tiny_base, tmp_path):
    with pytest.raises(FloatingPointError, match=r"step 2: the gradient's norm is nan on the records \d, \d, \d, \d$"):
        run(train_file, tiny_base, tmp_path / "model", recipe(learning_rate=1e30, epochs=5.0), execution(save_steps=1))
    kept = [path.name for path in (tmp_path / "cache" / "finetune").glob("*/checkpoint-*")]
    assert kept == ["checkpoint-1"]
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("layout", ["padding_free", "grouped"])
def test_a_loss_that_is_not_finite_names_the_records_of_its_batch(train_file, tiny_base, tmp_path, layout):
    import torch
    from transformers import AutoModelForCausalLM

    tokenizer = tiny_tokenizer()
    poison = tokenizer.convert_tokens_to_ids("~")
    model = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    model.get_input_embeddings().weight.data[poison] = float("nan")
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "broken").mkdir(exist_ok=True)
        (tmp_path / "broken" / name).write_bytes((tiny_base / name).read_bytes())
    model.generation_config.do_sample = True
    model.save_pretrained(tmp_path / "broken")
    write_records(train_file, [*pairs(7), Pair(id="bad", instruction="Name it.", output="Blue ~ and red.")])
    settings = recipe(batches=layout, epochs=1.0)
    with pytest.raises(FloatingPointError, match=r"finetune: step [12]: the loss is nan on the records ") as stop:
        run(train_file, tmp_path / "broken", tmp_path / "model", settings, execution(device_batch=2))
    named = str(stop.value).rpartition("records ")[2].split(", ")
    assert "bad" in named
    assert len(named) == 2


def test_an_adapter_is_merged_and_kept_beside(train_file, tiny_base, tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    lora = {"adapter": "lora", "lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.1, "learning_rate": 1e-2}
    settings = recipe(**lora, epochs=10.0)
    record = run(train_file, tiny_base, tmp_path / "model", settings)
    assert losses(record)[-1] < losses(record)[0] - 0.05
    assert run(train_file, tiny_base, tmp_path / "again", settings)["loss_curve"] == record["loss_curve"]
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32)
    before = base.model.layers[0].mlp.up_proj.weight.clone()
    assert torch.equal(merged.get_input_embeddings().weight, base.get_input_embeddings().weight)
    assert not torch.equal(merged.model.layers[0].mlp.up_proj.weight, before)
    apart = PeftModel.from_pretrained(base, tmp_path / "model" / "adapter")
    ids = torch.tensor([[1, 20, 30, 40]])
    with torch.inference_mode():
        torch.testing.assert_close(merged(ids).logits, apart(ids).logits, atol=1e-5, rtol=1e-5)
    assert not list((tmp_path / "model").rglob("training_args.bin"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adamw_8bit"}, "optimizer: adamw_8bit needs the package bitsandbytes: pip install bitsandbytes"),
        (
            {"adapter": "qlora", "lora_rank": 4, "lora_alpha": 8.0, "lora_dropout": 0.0}
            | {"weights": "bfloat16", "dtype": "bfloat16"},
            "adapter: qlora needs the package bitsandbytes",
        ),
        ({"sharding": "fsdp2"}, "sharding: the recipe says fsdp2, this process has none"),
    ],
)
def test_what_is_not_installed_is_asked_for_before_anything_is_loaded(
    train_file, tiny_base, tmp_path, monkeypatch, settings, message
):
    optional, find = {module for module, _ in PACKAGES.values()}, importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in optional else find(name))
    with pytest.raises(InputError, match=message):
        run(train_file, tiny_base, tmp_path / "model", recipe(**settings))
    assert not (tmp_path / "model").exists()


def test_a_table_shows_how_a_run_was_trained(train_file, tiny_base, tmp_path):
    folder = tmp_path / layout.MODEL.format(run="mine")
    folder.parent.mkdir(parents=True)
    record = run(train_file, tiny_base, folder)
    row = {"dataset": "d", "teacher": None, "student": "s", "method": "original", "ratio": 1.0}
    found = vars(setup_cells(tmp_path, Run(run="mine", recipe="r", seed=0, **row)))
    settings = record["settings"]
    assert (found["steps"], found["global_batch"]) == (record["steps"], settings["global_batch"])
    assert found["optimizer"] == settings["optimizer"] == "adamw"
