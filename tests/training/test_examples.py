"""Labels: they cover exactly the response and its end, in the trainer's own batches and on real records."""

import pytest

from helpers.training import SMOLLM2, pairs, recipe, tiny_tokenizer, trainer_of
from srt.llm.prompts import SEPARATORS, fill, training_prompt
from srt.prepare.sources import read_pairs
from srt.storage.records import Pair
from srt.training.examples import IGNORED, load_tokenizer, tokenize

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


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
    settings = recipe(prompt=prompt, max_length=512, batches="padded")
    trainer, examples = trainer_of(records, settings, 4, tmp_path, tokenizer=tokenizer)
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
    row = tokenize([Pair(id="a", instruction="Name it.", output="Red")], tokenizer, recipe(), "t").rows[0]
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
    examples = tokenize([short, long, lost, empty], tokenizer, recipe(), "train.jsonl")
    assert [len(row["input_ids"]) for row in examples.rows][1] == 256
    assert examples.rows[1]["labels"][-1] not in (-100, tokenizer.eos_token_id)  # cut off, so no end is taught
    assert examples.counts["trained_on"] == 2
    assert examples.counts["truncated"] == 1
    assert examples.counts["dropped"] == {"empty response": 1, "no response token within max_length": 1}


def test_the_padding_token_of_a_model_that_has_one_is_kept():
    if not SMOLLM2.is_dir():
        pytest.skip("the demo's model is not there: make demo fetches it")
    assert load_tokenizer(str(SMOLLM2), None).pad_token == "<|im_end|>"  # noqa: S105


@pytest.mark.parametrize("prompt", ["vicuna_v1.1", "alpaca"])
def test_labels_of_real_records_are_the_response_and_its_end(shared_data, prompt):
    if not SMOLLM2.is_dir():
        pytest.skip("the demo's model is not there: make demo fetches it")
    tokenizer = load_tokenizer(str(SMOLLM2), None)
    found = read_pairs(shared_data / "alpaca" / "cherry_alpaca_5_percent.json")[::15]
    examples = tokenize(found, tokenizer, recipe(prompt=prompt, max_length=300), "alpaca")
    by_id = {pair.id: pair for pair in found}
    cut, with_input = 0, 0
    for row, name in zip(examples.rows, examples.ids, strict=True):
        pair = by_id[name]
        asked = f"{pair.instruction}\n{pair.input}" if pair.input else pair.instruction
        context = fill(training_prompt(prompt), {"instruction": asked})
        start = next(place for place, label in enumerate(row["labels"]) if label != IGNORED)
        assert row["labels"][start:] == row["input_ids"][start:]
        before = tokenizer.decode(row["input_ids"][:start])
        assert context.startswith(before)
        *learnt, last = row["input_ids"][start:]
        # Without a separator the prompt's last character can be in one token with the response's first.
        shared = context[len(before) :]
        assert len(shared) < len(tokenizer.decode([*learnt, last][:1]))
        response = shared + SEPARATORS[prompt] + pair.output
        if len(row["input_ids"]) == 300 and last != tokenizer.eos_token_id:
            cut += 1
            assert response.startswith(tokenizer.decode([*learnt, last]).rstrip("\ufffd"))
        else:
            assert tokenizer.decode(learnt) == response
            assert last == tokenizer.eos_token_id
        with_input += bool(pair.input)
    assert cut == examples.counts["truncated"] > 5
    assert 0 < with_input < len(examples.rows) > 150
