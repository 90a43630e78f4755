"""Tiny random models of many architectures, made from their configs without a hub."""

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 256,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_n_groups": 1}
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"],
}
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "router_aux_loss_coef": 0.0,
}
# Those that honour `padding_free`.
RIGHT = {
    "llama": SIZES,
    "qwen2": SIZES,
    "qwen3": SIZES,
    "phi": SIZES,
    "gemma": SIZES,
    "mistral": {**SIZES, "sliding_window": 4},
    "gpt_neox": SIZES,
    "granite": {**SIZES, "logits_scaling": 8.0},
    "gpt2": GPT2,
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "word_embed_proj_dim": 32,
        "max_position_embeddings": 256,
    },
    "mixtral": {**SIZES, "num_local_experts": 4, "router_aux_loss_coef": 0.0},
}
# Those that do not: by no causal mask, by a state, by an attention of their own, or by an error.
WRONG = {
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "codegen": {**GPT2, "rotary_dim": 4},
    "xglm": {"d_model": 32, "ffn_dim": 64, "num_layers": 2, "attention_heads": 4},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "context_length": 256},
    "openai-gpt": GPT2,
    "qwen3_5_text": {**SIZES, **LINEAR},
    "qwen3_next": {**SIZES, **LINEAR, **EXPERTS},
    "granitemoehybrid": {
        **SIZES,
        **MAMBA,
        "num_local_experts": 0,
        "num_experts_per_tok": 0,
        "router_aux_loss_coef": 0.0,
        "shared_intermediate_size": 32,
        "layer_types": ["mamba", "attention"],
    },
    "bamba": {**SIZES, **MAMBA, "attn_layer_indices": [1]},
    "recurrent_gemma": {
        **SIZES,
        "num_hidden_layers": 3,
        "attention_window_size": 256,
        "lru_width": 32,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    "lfm2": {**SIZES, "layer_types": ["conv", "full_attention"], "block_multiple_of": 8},
    "falcon_h1": {**SIZES, **MAMBA, "mamba_d_ssm": 64},
    "gptj": {**GPT2, "rotary_dim": 4},
    "gpt_neo": {
        "hidden_size": 32,
        "num_layers": 2,
        "num_heads": 4,
        "attention_types": [[["global", "local"], 1]],
        "window_size": 4,
    },
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 256},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "stablelm": SIZES,
}
# Those that no layout is right for: the head that TRL takes is not theirs, or they see later tokens.
REFUSED = {
    "llama4_text": {
        **SIZES,
        "intermediate_size_mlp": 64,
        "num_local_experts": 4,
        "attention_chunk_size": 16,
        "layer_types": ["chunked_attention", "full_attention"],
        "no_rope_layers": [1, 0],
    },
    "bert": {k: v for k, v in SIZES.items() if k not in ("num_key_value_heads", "head_dim")},
}
ALL = {**RIGHT, **WRONG, **REFUSED}


def tiny(kind, vocab_size, bos=1, eos=2, pad=0, scale=2.0, **changes):
    """A random model in eval mode without dropout; enlarged matrices make attention no small part of the outcome."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    tokens = {"bos_token_id": bos, "eos_token_id": eos, "pad_token_id": pad}
    config = AutoConfig.for_model(kind, vocab_size=vocab_size, **tokens, **{**ALL[kind], **changes})
    for name in [name for name in vars(config) if "drop" in name and isinstance(getattr(config, name), float)]:
        setattr(config, name, 0.0)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(scale)
    return model
