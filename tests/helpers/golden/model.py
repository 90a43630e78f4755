"""A tiny model whose weights are the same on every machine and under every version of PyTorch."""

import json
import random
from pathlib import Path

# The generator of `random.random` is fixed for good; PyTorch's normal numbers differ between processors and versions.
SPEC = {
    "seed": 3,
    "spread": 1.6,
    "sizes": {
        "vocab_size": 257,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 2048,
    },
}
END = "</s>"


def write_model(folder: Path) -> None:
    """A Llama over bytes (every byte is a token), and `SPEC` beside it, by which its inputs are told apart."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    _tokenizer().save_pretrained(folder)
    config = LlamaConfig(**SPEC["sizes"], bos_token_id=None, eos_token_id=0, pad_token_id=0)
    model = LlamaForCausalLM(config)
    drawn = random.Random(SPEC["seed"])
    with torch.no_grad():
        for name, weights in sorted(model.named_parameters()):
            if "norm" in name:
                weights.fill_(1.0)
                continue
            numbers = [SPEC["spread"] * (drawn.random() - 0.5) for _ in range(weights.numel())]
            weights.copy_(torch.tensor(numbers).view_as(weights))
    model.save_pretrained(folder)
    folder.with_suffix(".json").write_text(json.dumps(SPEC))


def _tokenizer():
    """Letters by their bytes, without any merge, so that nothing is trained."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate([END, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=END)
