"""A tiny model, a tiny recipe and a run of both: what the tests of finetuning share."""

import json

from helpers import ROOT
from srt.experiment.config import load
from srt.llm.model import ModelRef
from srt.settings import ExecutionConfig, FinetuneConfig
from srt.settings.job import Job
from srt.storage.records import Pair
from srt.storage.trainings import RECORD
from srt.training.examples import tokenize

SMOLLM2 = ROOT / "models" / "smollm2-135m-instruct"
CORPUS = [
    "A chat between a curious user and an artificial intelligence assistant. USER: ASSISTANT: ### Response:",
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    "Name three colours. Write a short poem about rain. Red, green and blue. Rain falls on roofs.",
]


def recipe(**changes):
    values = {
        "prompt": "vicuna_v1.1",
        "learning_rate": 1e-3,
        "epochs": 2.0,
        "max_steps": None,
        "global_batch": 4,
        "max_length": 256,
        "weight_decay": 0.01,
        "warmup": 0.0,
        "schedule": "cosine",
        "dtype": "float32",
        "weights": "float32",
        "optimizer": "adamw",
        "sharding": "none",
        "adapter": "none",
        "batches": "padding_free",
        "gradient_checkpointing": "auto",
    }
    return FinetuneConfig.model_validate({**values, **changes})


def execution(**changes):
    values = {**load()[0].execution.model_dump(), "device": "cpu", "save_steps": 1000}
    return ExecutionConfig(**{**values, **changes})


def pairs(number=8):
    return [
        Pair(
            id=str(index),
            instruction=f"Name colour {index}.",
            input="Red, green and blue." if index % 2 else "",
            output=f"Rain falls on roof {index}." + " Red and blue." * (index % 3),
        )
        for index in range(number)
    ]


def tiny_tokenizer():
    """As Llama-2's: BOS added in front, words begin with the low line, no pad token."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(BPE(unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    letters = ["\n", *(chr(code) for code in range(33, 127))]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<unk>", "<s>", "</s>"], initial_alphabet=letters, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return fast


def tiny_model(tokenizer, settings=None):
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from srt.training.attention import implementation

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    chosen = settings or recipe()
    name = implementation(config, chosen.batches)
    return AutoModelForCausalLM.from_config(config, attn_implementation=name)


def run(train, base, out, settings=None, how=None, seed=3):
    from srt.training import finetune as step

    job = Job(out, out.parent / "cache", how or execution())
    step.finetune(train, ModelRef(str(base)), seed, settings or recipe(), job)
    return json.loads((out / RECORD).read_text())


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def assert_equal_weights(first, second, tolerance):
    import torch

    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=tolerance, rtol=0)


def losses(record):
    return [entry["loss"] for entry in record["loss_curve"]]


def trainer_of(records, settings, device_batch, folder, model=None, tokenizer=None):
    """A trainer over the records, not yet started, and its examples."""
    from srt.training.batches import plan
    from srt.training.trainer import make_trainer, training_arguments

    tokenizer = tokenizer or tiny_tokenizer()
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    examples = tokenize(records, tokenizer, settings, "train.jsonl")
    batches = plan(len(examples.rows), settings, device_batch, 1)
    arguments = training_arguments(0, settings, execution(), batches, folder / "checkpoints", False)
    return make_trainer(
        model or tiny_model(tokenizer, settings), tokenizer, examples, arguments, settings, batches
    ), examples
