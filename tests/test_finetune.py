import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from srt import finetune as step
from srt.checkpoints import MARKER, alone, newest_checkpoint
from srt.config import load
from srt.prompts import fill, training_prompt
from srt.records import InputError, Pair, write_records
from srt.settings import ExecutionConfig, FinetuneConfig

@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A tiny random Llama whose generation config names a temperature without do_sample, as Vicuna's does."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = tiny_tokenizer()
    tiny_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    generation = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps({**generation, "temperature": 0.9}))
    return folder


@pytest.fixture(autouse=True)
def one_thread():
    """A model this small runs fastest on one thread, and other work on the machine does not slow it down."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def train(tmp_path):
    path = tmp_path / "train.jsonl"
    write_records(path, pairs())
    return path


@pytest.mark.parametrize("name", ["smollm2", "llama"])
@pytest.mark.parametrize("prompt", ["vicuna_v1.1", "alpaca"])
def test_loss_is_on_the_response_and_one_eos_in_the_trainers_own_batches(name, prompt, tmp_path):
    if name == "smollm2" and not SMOLLM2.is_dir():
        pytest.skip("the demo's model is not there: make demo fetches it")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(SMOLLM2) if name == "smollm2" else tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    hostile = Pair(id="x", instruction="Name it.", output=f"Blue {tokenizer.eos_token} and red.")
    records = [*pairs(7), hostile]
    settings = recipe(prompt=prompt, max_length=512)
    examples = step.tokenize(records, tokenizer, settings, "train.jsonl")
    batches = step.plan(len(records), settings, 4, 1)
    arguments = step.training_arguments(0, settings, execution(), batches, tmp_path / "checkpoints")
    trainer = step.make_trainer(tiny_model(tokenizer), tokenizer, examples, arguments)
    separator = " " if prompt == "vicuna_v1.1" else ""
    whole = {}
    for record in records:
        asked = f"{record.instruction}\n{record.input}" if record.input else record.instruction
        whole[separator + record.output] = fill(training_prompt(prompt), {"instruction": asked})
    seen = []
    for batch in trainer.get_train_dataloader():
        for ids, labels, mask in zip(batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True):
            length = int(mask.sum())
            learnt = (labels != -100).nonzero().flatten().tolist()
            assert learnt == list(range(learnt[0], length))  # one run, to the end; prompt and padding are masked
            assert (labels[learnt] == ids[learnt]).all()
            assert ids[length - 1] == tokenizer.eos_token_id
            assert ids[:length].tolist().count(tokenizer.eos_token_id) == 1
            if name == "llama":
                assert ids[0] == tokenizer.bos_token_id
                assert ids.tolist().count(tokenizer.bos_token_id) == 1
            text = tokenizer.decode(ids[: length - 1], skip_special_tokens=True)
            context = tokenizer.decode(ids[: learnt[0]], skip_special_tokens=True)
            response = separator + tokenizer.decode(ids[learnt[:-1]]).removeprefix(" ")
            assert text == context + response
            assert whole[response] == context
            seen.append(text)
    assert len(set(seen)) == len(records)
    assert examples.counts["loss_tokens"] == sum(len(r["labels"]) - r["labels"].count(-100) for r in examples.rows)


def test_the_first_response_token_is_never_masked():
    tokenizer = tiny_tokenizer()
    row = step.tokenize([Pair(id="a", instruction="Name it.", output="Red")], tokenizer, recipe(), "t").rows[0]
    learnt = [token for token in row["labels"] if token != -100]
    assert tokenizer.convert_tokens_to_string(tokenizer.convert_ids_to_tokens(learnt[:-1])).strip() == "Red"
    assert learnt[-1] == tokenizer.eos_token_id


def test_truncation_and_what_it_drops_are_counted():
    tokenizer = tiny_tokenizer()
    prompt = "Name it."
    short = Pair(id="a", instruction=prompt, output="Red")
    long = Pair(id="b", instruction=prompt, output="Red " * 500)
    lost = Pair(id="c", instruction="Name three colours. " * 200, output="Red")
    empty = Pair(id="d", instruction=prompt, output="  ")
    examples = step.tokenize([short, long, lost, empty], tokenizer, recipe(), "train.jsonl")
    assert [len(row["input_ids"]) for row in examples.rows][1] == 256
    assert examples.rows[1]["labels"][-1] not in (-100, tokenizer.eos_token_id)  # cut off, so no end is taught
    assert examples.counts["trained_on"] == 2
    assert examples.counts["truncated"] == 1
    assert examples.counts["dropped"] == {"empty response": 1, "no response token within max_length": 1}


@pytest.mark.parametrize(
    ("device_batch", "world", "expected"),
    [
        (4, 1, (4, 2, 1, 12)),
        (1, 1, (1, 8, 1, 12)),
        (64, 1, (8, 1, 1, 12)),
        (2, 2, (2, 2, 2, 12)),
        (4, 8, (1, 1, 8, 12)),
    ],
)
def test_plan_divides_the_global_batch(device_batch, world, expected):
    assert step.plan(30, recipe(global_batch=8, epochs=3.0), device_batch, world) == expected


def test_max_steps_only_ever_shortens():
    assert step.plan(24, recipe(global_batch=8, epochs=3.0, max_steps=4), 4, 1).steps == 4
    assert step.plan(24, recipe(global_batch=8, epochs=3.0, max_steps=40), 4, 1).steps == 9


@pytest.mark.parametrize(("device_batch", "world", "name"), [(3, 1, "device_batch"), (4, 3, "global_batch")])
def test_a_batch_that_does_not_divide_is_refused(device_batch, world, name):
    with pytest.raises(InputError, match=name):
        step.plan(24, recipe(global_batch=8), device_batch, world)


def test_accumulation_changes_nothing(train, base, tmp_path):
    whole = run(train, base, tmp_path / "whole")
    parts = run(train, base, tmp_path / "parts", how=execution(device_batch=1))
    assert (whole["accumulation"], parts["accumulation"]) == (1, 4)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    assert_equal_weights(tmp_path / "whole", tmp_path / "parts", 1e-5)


def test_model_folder(train, base, tmp_path, capsys):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    out = tmp_path / "run" / "model"
    record = run(train, base, out, recipe(epochs=15.0))
    assert losses(record)[-1] < losses(record)[0] - 0.1
    assert [entry["step"] for entry in record["loss_curve"]] == list(range(1, 31))
    assert record["steps"] == 30
    assert record["settings"] == recipe(epochs=15.0).model_dump()
    assert (record["seed"], record["base_model"], record["device"]) == (3, str(base), "cpu")
    assert record["data"]["sha256"] == hashlib.sha256(train.read_bytes()).hexdigest()
    assert (record["data"]["records"], record["data"]["trained_on"]) == (8, 8)
    assert 0 < record["data"]["loss_tokens"] < record["data"]["tokens"]
    assert {"torch", "transformers", "trl"} <= record["versions"].keys()
    assert "step 30 of 30: loss" in capsys.readouterr().err

    assert not (out / "training_args.bin").exists()
    assert sorted(path.name for path in out.parent.iterdir()) == ["cache", "model"]
    assert not [
        path for path in (out.parent / "cache").rglob("*") if not path.name.endswith(".lock") and path.is_file()
    ]
    for path in out.glob("*.json"):
        told = path.read_text().replace(str(base), "") if path.name == step.RECORD else path.read_text()
        assert str(tmp_path.parent) not in told, path.name

    assert AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).config.vocab_size == len(tiny_tokenizer())
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    assert tokenizer.pad_token == tokenizer.eos_token == "</s>"  # noqa: S105
    assert tokenizer("Red")["input_ids"] == tiny_tokenizer()("Red")["input_ids"]
    generation = GenerationConfig.from_pretrained(out)
    assert (generation.temperature, generation.do_sample) == (0.9, True)
    assert generation.eos_token_id in (tokenizer.eos_token_id, [tokenizer.eos_token_id])


def test_the_padding_token_of_a_model_that_has_one_is_kept():
    if not SMOLLM2.is_dir():
        pytest.skip("the demo's model is not there: make demo fetches it")
    assert step.load_tokenizer(str(SMOLLM2), None).pad_token == "<|im_end|>"  # noqa: S105


def test_the_schedule_is_the_recipes(train, base, tmp_path):
    record = run(train, base, tmp_path / "out", recipe(epochs=5.0, warmup=0.2, schedule="linear"))
    expected = [0, 5e-4, 1e-3, *(1e-3 * left / 8 for left in range(7, 0, -1))]
    assert [entry["learning_rate"] for entry in record["loss_curve"]] == pytest.approx(expected)
    record = run(train, base, tmp_path / "flat", recipe(epochs=2.0, schedule="constant"))
    assert [entry["learning_rate"] for entry in record["loss_curve"]] == [1e-3] * 4


def test_the_seed_decides_the_order_and_nothing_else_does(train, base, tmp_path):
    first, again = run(train, base, tmp_path / "a"), run(train, base, tmp_path / "b")
    other = run(train, base, tmp_path / "c", seed=4)
    assert losses(first) == losses(again)
    assert losses(first) != losses(other)


def test_bfloat16_trains_float32_weights_and_saves_bfloat16(train, base, tmp_path):
    import torch

    record = run(train, base, tmp_path / "out", recipe(dtype="bfloat16", learning_rate=2e-5, schedule="constant"))
    after, before = weights(tmp_path / "out"), weights(base)
    assert {tensor.dtype for tensor in after.values()} == {torch.bfloat16}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    float32 = run(train, base, tmp_path / "full", recipe(learning_rate=2e-5, schedule="constant"))
    assert losses(record) == pytest.approx(losses(float32), abs=0.03)
    exact = weights(tmp_path / "full")
    moved = [(exact[name] != before[name]).float().mean() for name in exact if "embed" not in name]
    assert min(moved) > 0.9


def test_checkpointing_of_activations_changes_nothing(train, base, tmp_path):
    plain = run(train, base, tmp_path / "a")
    saved = run(train, base, tmp_path / "b", how=execution(gradient_checkpointing=True))
    assert losses(saved) == pytest.approx(losses(plain), abs=1e-5)


def test_sigkill_then_rerun_equals_an_uninterrupted_run(train, base, tmp_path, capsys):
    settings, how = recipe(epochs=30.0), execution(save_steps=2)
    straight = run(train, base, tmp_path / "straight" / "model", settings, how)
    out, cache = tmp_path / "killed" / "model", tmp_path / "killed" / "cache"
    told = [str(train), str(out), str(base), settings.model_dump(), how.model_dump(), str(cache)]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps(told)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 240
    while not list(cache.glob(f"finetune/*/checkpoint-*/{MARKER}")):
        assert child.poll() is None, "the training ended before its first checkpoint was seen"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    (folder,) = (path for path in (cache / "finetune").iterdir() if path.is_dir())
    newest = newest_checkpoint(folder)
    assert newest is not None
    reached = int(newest.name.removeprefix("checkpoint-"))
    assert 2 <= reached < 60
    assert not out.exists()
    torn = folder / "checkpoint-58"  # as a kill in the middle of a save leaves it: files, no marker
    torn.mkdir(exist_ok=True)
    (torn / "model.safetensors").write_bytes(b"torn")
    capsys.readouterr()

    step.finetune(train, out, str(base), None, 3, settings, how, cache)
    told_after = capsys.readouterr().err
    assert f"going on from checkpoint-{reached} of 60" in told_after
    assert f"step {reached + 1} of 60" in told_after
    assert f"step {reached} of 60" not in told_after  # what was done is not done again
    resumed = json.loads((out / step.RECORD).read_text())
    assert [entry["step"] for entry in resumed["loss_curve"]] == list(range(1, 61))
    assert losses(resumed) == pytest.approx(losses(straight), abs=1e-6)
    assert_equal_weights(out, tmp_path / "straight" / "model", 1e-6)
    assert not folder.exists()


def test_only_complete_checkpoints_count_and_others_go(tmp_path):
    for number in (2, 10, 12, 14):
        folder = tmp_path / f"checkpoint-{number}"
        folder.mkdir()
        (folder / "weights").write_text("1234")
        (folder / MARKER).write_text(json.dumps({"weights": 4}))
    (tmp_path / "checkpoint-12" / "weights").write_text("12")  # shorter than the marker says
    (tmp_path / "checkpoint-14" / MARKER).unlink()
    assert newest_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-2"]


def test_at_most_two_checkpoints_are_kept_and_each_is_marked(train, base, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        run(train, base, tmp_path / "model", recipe(epochs=3.0), execution(save_steps=1))
    kept = list((tmp_path / "cache" / "finetune").glob("*/checkpoint-*"))
    assert sorted(path.name for path in kept) == ["checkpoint-5", "checkpoint-6"]
    assert all((path / MARKER).is_file() for path in kept)
    assert not (tmp_path / "model").exists()
    monkeypatch.undo()
    record = run(train, base, tmp_path / "model", recipe(epochs=3.0), execution(save_steps=1))  # only saves
    assert [entry["step"] for entry in record["loss_curve"]] == [1, 2, 3, 4, 5, 6]


def test_two_equal_trainings_do_not_share_a_folder_at_a_time(tmp_path):
    folder = tmp_path / "finetune" / "key"
    with alone(folder), (tmp_path / "finetune" / "key.lock").open("w") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_older_model_is_replaced_and_a_foreign_folder_is_not(train, base, tmp_path):
    out = tmp_path / "model"
    run(train, base, out)
    (tmp_path / ".model.partial").mkdir()
    (tmp_path / ".model.partial" / "junk").write_text("left by a kill")
    assert run(train, base, out, seed=4)["seed"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "model", "train.jsonl"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(InputError, match="not written by finetune"):
        run(train, base, tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_length": 8}, "max_length 8"),
        ({"dtype": "float16"}, "dtype"),
        ({"global_batch": 6}, "device_batch"),
    ],
)
def test_settings_that_cannot_work_are_refused(train, base, tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        run(train, base, tmp_path / "model", recipe(**settings))
    assert not (tmp_path / "model").exists()


def test_bad_input_is_refused(train, base, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(InputError, match=r"empty\.jsonl: holds no pair"):
        run(empty, base, tmp_path / "model")
    with pytest.raises(InputError, match="nowhere"):
        run(train, tmp_path / "nowhere", tmp_path / "model")
    blank = tmp_path / "blank.jsonl"
    write_records(blank, [Pair(id="a", instruction="Name it.", output="")])
    with pytest.raises(InputError, match="1 x empty response"):
        run(blank, base, tmp_path / "model")


def test_a_loss_that_is_not_finite_stops_the_training(train, base, tmp_path):
    with pytest.raises(FloatingPointError, match="the loss is"):
        run(train, base, tmp_path / "model", recipe(learning_rate=1e30, epochs=5.0))
    assert not (tmp_path / "model").exists()
