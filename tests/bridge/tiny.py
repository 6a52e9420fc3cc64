"""Tiny real transformers for tests: random ones, and Markov ones whose law is known exactly."""

import copy
import math

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from llm_bridge import LoadedModel
from llm_bridge.zoo.pretraining import character_tokenizer

WIDTH = 32


def _shared(tokenizer):
    return {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }


def random_model(architecture: str, seed: int = 0, spread: float = 0.4) -> LoadedModel:
    """A random GPT-2 or Llama (2 layers, 32 wide); `spread` is the scale of its weights: next tokens depend
    on the whole context.
    """
    tokenizer = character_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if architecture == "gpt2":
            model = GPT2LMHeadModel(
                GPT2Config(
                    n_layer=2,
                    n_embd=WIDTH,
                    n_head=2,
                    n_positions=64,
                    resid_pdrop=0.0,
                    embd_pdrop=0.0,
                    attn_pdrop=0.0,
                    initializer_range=spread,
                    **_shared(tokenizer),
                )
            )
        else:
            model = LlamaForCausalLM(
                LlamaConfig(
                    num_hidden_layers=2,
                    hidden_size=WIDTH,
                    intermediate_size=64,
                    num_attention_heads=2,
                    num_key_value_heads=1,
                    max_position_embeddings=64,
                    initializer_range=spread,
                    tie_word_embeddings=True,
                    **_shared(tokenizer),
                )
            )
    return LoadedModel(f"random-{architecture}", model.eval(), tokenizer)


def markov_model(transitions: dict[str, dict[str, float]]) -> LoadedModel:
    """A Llama that draws each token from transitions[last token]: its embeddings are one-hot and its blocks
    add nothing.

    Tokens that are not listed as a source go to <eos>; tokens not listed as a target have probability e^-40.
    """
    tokenizer = character_tokenizer()
    model = LlamaForCausalLM(
        LlamaConfig(
            num_hidden_layers=1,
            hidden_size=WIDTH,
            intermediate_size=32,
            num_attention_heads=2,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            **_shared(tokenizer),
        )
    )
    log_probs = torch.full((len(tokenizer), len(tokenizer)), -40.0)
    log_probs[:, tokenizer.eos_token_id] = 0.0
    index = tokenizer.get_vocab()
    for source, row in transitions.items():
        log_probs[index[source]] = -40.0
        for target, probability in row.items():
            log_probs[index[source], index[target]] = math.log(probability)
    norm = math.sqrt(1 / WIDTH + model.config.rms_norm_eps)
    with torch.no_grad():
        model.model.embed_tokens.weight.copy_(torch.eye(len(tokenizer), WIDTH))
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        model.lm_head.weight[:, : len(tokenizer)] = log_probs.T * norm
    return LoadedModel("markov", model.eval(), tokenizer)


def after_equals(**probabilities: float) -> LoadedModel:
    """The Markov model that answers every prompt ending in "=" by one digit: after_equals(d3=0.7, d5=0.3),
    then stops.
    """
    return markov_model({"=": {name[1:]: probability for name, probability in probabilities.items()}})


def clone(loaded: LoadedModel) -> LoadedModel:
    return LoadedModel(loaded.name, copy.deepcopy(loaded.model), loaded.tokenizer)


def save(loaded: LoadedModel, folder) -> str:
    """Write model and tokenizer in Hugging Face format; the folder as text."""
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return str(folder)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def same_weights(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
