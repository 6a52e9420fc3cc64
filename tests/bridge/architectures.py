"""One tiny random model of each of many architectures, built from its config, and what a plain forward pass says of
it.
"""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from llm_bridge import LoadedModel
from llm_bridge.zoo.pretraining import character_tokenizer

WINDOW = 6
USUAL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 96,
}
GROUPED = USUAL | {"num_key_value_heads": 1, "head_dim": 16}
OLD = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 96}
WINDOWED = GROUPED | {"sliding_window": WINDOW}
MIXED = ["full_attention", "sliding_attention"]
MAMBA = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2}
HEADS = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_n_groups": 1, "mamba_chunk_size": 8}

DYNAMIC_ROPE = {
    "max_position_embeddings": 16,
    "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 100.0},
}

CONFIGS = {
    "llama": ("llama", GROUPED),
    "gpt2": ("gpt2", OLD),
    "gpt_neox": ("gpt_neox", USUAL),
    "gpt_neo": (
        "gpt_neo",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 2,
            "attention_types": [[["global", "local"], 1]],
            "window_size": WINDOW,
            "max_position_embeddings": 96,
        },
    ),
    "gptj": ("gptj", OLD | {"rotary_dim": 8}),
    "mistral-window": ("mistral", WINDOWED),
    "mixtral-window": ("mixtral", WINDOWED | {"num_local_experts": 4}),
    "qwen2": ("qwen2", GROUPED),
    "qwen2-window": ("qwen2", WINDOWED | {"use_sliding_window": True, "max_window_layers": 1}),
    "qwen3": ("qwen3", GROUPED),
    "gemma2": ("gemma2", WINDOWED | {"layer_types": MIXED, "query_pre_attn_scalar": 16}),
    "gemma3_text": ("gemma3_text", WINDOWED | {"layer_types": MIXED, "query_pre_attn_scalar": 16}),
    "gpt_oss": (
        "gpt_oss",
        WINDOWED | {"num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": MIXED},
    ),
    "llama4-chunks": (
        "llama4_text",
        GROUPED
        | {
            "attention_chunk_size": 8,
            "num_local_experts": 2,
            "intermediate_size_mlp": 48,
            "layer_types": ["chunked_attention", "full_attention"],
        },
    ),
    "minimax": (
        "minimax",
        WINDOWED
        | {"layer_types": ["linear_attention", "full_attention"], "num_local_experts": 2, "block_size": 8},
    ),
    "roberta": ("roberta", USUAL | {"is_decoder": True}),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 2}),
    "mpt": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 2, "expansion_ratio": 2, "max_seq_len": 96}),
    "falcon-alibi": ("falcon", USUAL | {"alibi": True, "new_decoder_architecture": False}),
    "falcon-rotary": ("falcon", USUAL | {"alibi": False, "new_decoder_architecture": False}),
    "phi": ("phi", USUAL),
    "opt": (
        "opt",
        {
            "hidden_size": 32,
            "word_embed_proj_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "ffn_dim": 48,
            "max_position_embeddings": 96,
            "dropout": 0.0,
        },
    ),
    "olmo2": ("olmo2", USUAL),
    "cohere": ("cohere", GROUPED),
    "cohere2-window": ("cohere2", WINDOWED | {"layer_types": MIXED}),
    "stablelm": ("stablelm", GROUPED),
    "xglm": (
        "xglm",
        {"d_model": 32, "num_layers": 2, "attention_heads": 2, "ffn_dim": 48, "max_position_embeddings": 96},
    ),
    "openai-gpt": ("openai-gpt", OLD),
    "ctrl": ("ctrl", {"n_embd": 32, "n_layer": 2, "n_head": 2, "dff": 48, "n_positions": 96}),
    "mamba": ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "mamba2": (
        "mamba2",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "state_size": 8,
            "num_heads": 4,
            "head_dim": 16,
            "n_groups": 1,
            "chunk_size": 8,
        },
    ),
    "falcon_mamba": ("falcon_mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}),
    "recurrent_gemma": (
        "recurrent_gemma",
        {
            "hidden_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "intermediate_size": 48,
            "lru_width": 32,
            "attention_window_size": WINDOW,
        },
    ),
    "jamba": (
        "jamba",
        GROUPED
        | MAMBA
        | {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "expert_layer_offset": 1,
            "num_experts": 2,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    "bamba": ("bamba", GROUPED | MAMBA | HEADS | {"attn_layer_indices": [1]}),
    "granitemoehybrid": (
        "granitemoehybrid",
        GROUPED
        | MAMBA
        | HEADS
        | {
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "shared_intermediate_size": 48,
        },
    ),
    "zamba2": (
        "zamba2",
        GROUPED
        | MAMBA
        | {
            "mamba_ngroups": 1,
            "mamba_headdim": 16,
            "n_mamba_heads": 4,
            "chunk_size": 8,
            "layers_block_type": ["mamba", "hybrid"],
            "num_mem_blocks": 1,
            "use_mamba_kernels": False,
            "attention_hidden_size": 64,
        },
    ),
    "lfm2": ("lfm2", GROUPED | {"layer_types": ["conv", "full_attention"], "block_ff_dim": 48}),
    "qwen3_next": (
        "qwen3_next",
        GROUPED
        | {
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_value_heads": 2,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 32,
        },
    ),
    "rwkv": (
        "rwkv",
        {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 96},
    ),
    "xlstm": ("xlstm", {"hidden_size": 32, "num_blocks": 2, "num_heads": 2}),
}


def random_architecture(name: str, seed: int = 0, spread: float = 0.4, **changes) -> LoadedModel:
    """A tiny random model; its matrices are drawn at the scale `spread`, so that next tokens depend on the whole
    context. `changes` are values of the config.
    """
    kind, options = CONFIGS[name]
    tokenizer = character_tokenizer()
    special = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(kind, **special, **(options | changes)), dtype=torch.float32
        )
        for label, weight in model.named_parameters():
            if weight.ndim == 2 and label.endswith("weight"):
                weight.data.normal_(0, spread)
    return LoadedModel(name, model.eval(), tokenizer)


@torch.no_grad()
def plain_log_probs(loaded, prompt, completion, temperature=1.0) -> torch.Tensor:
    """Log-probabilities (completion, vocabulary) that each token was drawn from, by a forward pass over this one
    sequence: no padding, no cache, no batch.
    """
    ids = torch.tensor([[*prompt, *completion]])
    logits = loaded.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].double()
    return (logits / temperature).log_softmax(-1)
