"""Small real chat models: a tokenizer with letters, special tokens and a chat template, and a random Llama."""

import string

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llm_bridge import LoadedModel
from llm_bridge.zoo.pretraining import character_tokenizer

SPECIAL = ["<bos>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEMPLATES = {
    "without a beginning": TURNS,
    "with a beginning": "{{ bos_token }}" + TURNS,
    "no system": "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% endfor %}" + TURNS,
    "system left out": TURNS.replace(
        "{% for m in messages %}", "{% for m in messages if m.role != 'system' %}"
    ),
    "default system": "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}"
    + TURNS,
    "thinking": TURNS.replace(
        "assistant\n{% endif %}",
        "assistant\n{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% endif %}",
    ),
    "words alone": "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}",
}


def chat_model(
    template: str | None = "with a beginning", *, begins: bool = True, seed: int = 0
) -> LoadedModel:
    """A random Llama. template: a name in TEMPLATES, None for none; begins: the tokenizer puts <bos> before a text."""
    letters = string.ascii_letters + "\n.,?!'\"<>|_#"
    tokenizer = character_tokenizer("".join(dict.fromkeys(c for c in letters if c not in ">,")))
    tokenizer.add_special_tokens({"bos_token": "<bos>", "additional_special_tokens": SPECIAL[1:]})
    if begins:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
        )
    tokenizer.chat_template = TEMPLATES[template] if template else None
    return LoadedModel("chat", _llama(tokenizer, seed), tokenizer)


def bytes_model(seed: int = 0) -> LoadedModel:
    """A random Llama with a byte-level BPE tokenizer, whose tokens are pieces of words."""
    words = "the cat sat on the mat and the rat ran after the hat while that bat spat at the fat cat. "
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer, trained.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        [words * 4],
        trainers.BpeTrainer(vocab_size=320, special_tokens=["<pad>", "<eos>"], initial_alphabet=alphabet),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained, pad_token="<pad>", eos_token="<eos>")
    return LoadedModel("bytes", _llama(tokenizer, seed), tokenizer)


def _llama(tokenizer, seed):
    config = LlamaConfig(
        num_hidden_layers=2,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        initializer_range=0.4,
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()
