"""Peak memory of `forecast_trainer` over the bytes of the weights, by LoRA and by full fine-tuning with Adam.

    python -m studies.benchmarks.trainer_memory [--layers 30] [--width 576] [--dtype float32] [--lora]

A random Llama, SmolLM2-135M's shape by default, on whatever device there is: the resident memory of the process
beyond what it held before the model was made (CPU), or the allocator's peak (CUDA). What Python and its libraries take
once is no part of it: a forecast of a tiny model comes first, so that all of them are loaded. Seconds and tokens a
second stand beside it.
"""

import argparse
import contextlib
import ctypes
import gc
import json
import resource
import tempfile
import threading
import time

import torch
from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

import llm_bridge
from llm_bridge.zoo.pretraining import character_tokenizer

PAGE = resource.getpagesize()


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def settled() -> int:
    """Resident memory once everything that is free has been given back."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return resident()


class Peak:
    """The largest resident memory between enter and exit, looked at every 20 ms."""

    def __enter__(self):
        self.found, self.going = resident(), True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self):
        while self.going:
            self.found = max(self.found, resident())
            time.sleep(0.02)

    def __exit__(self, *_):
        self.going = False
        self.thread.join()


def random_llama(layers: int, width: int, vocabulary: int, dtype) -> LlamaForCausalLM:
    tokenizer = character_tokenizer()
    config = LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=width * 8 // 3,
        num_attention_heads=width // 64,
        num_key_value_heads=max(1, width // 192),
        vocab_size=vocabulary,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config).to(dtype)


def trainer_of(model, lora: bool, folder: str) -> GRPOTrainer:
    from peft import LoraConfig

    cuda = torch.cuda.is_available()
    rows = [{"prompt": f"{a}+{b}="} for a in range(1, 20) for b in range(1, 10)]
    return GRPOTrainer(
        model=model,
        args=GRPOConfig(
            output_dir=folder,
            per_device_train_batch_size=8,
            num_generations=8,
            max_completion_length=8,
            learning_rate=1e-6,
            max_steps=100,
            use_cpu=not cuda,
            bf16=cuda and model.dtype == torch.bfloat16,
            gradient_checkpointing=True,
            report_to=[],
        ),
        reward_funcs=lambda completions, **_: [float(len(set(text))) for text in completions],
        train_dataset=Dataset.from_list(rows),
        processing_class=character_tokenizer(),
        peft_config=LoraConfig(r=16, target_modules="all-linear") if lora else None,
    )


def forecast_of(model, lora: bool):
    with tempfile.TemporaryDirectory() as folder:
        return llm_bridge.forecast_trainer(
            trainer_of(model, lora, folder), prompts=8, rollouts=8, gradient_prompts=8, answer_pattern="text"
        )


def main():
    parser = argparse.ArgumentParser()
    for name, value in (("layers", 30), ("width", 576), ("vocabulary", 49152)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--lora", action="store_true")
    chosen = parser.parse_args()
    forecast_of(random_llama(1, 64, 512, torch.float32), chosen.lora)
    before = settled()
    torch.manual_seed(0)
    model = random_llama(chosen.layers, chosen.width, chosen.vocabulary, getattr(torch, chosen.dtype))
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    started = time.monotonic()
    with Peak() as peak:
        found = forecast_of(model, chosen.lora)
    held = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak.found - before
    seconds = time.monotonic() - started
    told = {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "lora": chosen.lora,
        "dtype": chosen.dtype,
        "weights_bytes": weights,
        "peak_over_weights": round(held / weights, 2),
        "seconds": round(seconds, 1),
        "tokens_a_second": round(found.cost["forward_tokens"] / seconds),
        "verdict": found.verdict,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
