"""How many sequences may run through a model at once, from the memory that is free."""

import os

import torch

from llm_bridge.models.chat import pictures_of

SHARE = 0.25
"""Of the free memory that one forward pass may take."""

MOST = 512
"""Sequences beyond which larger batches were no faster."""


def free_bytes(device) -> int:
    """Memory that is free on a device, in bytes; of the CPU what the system calls available."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    try:
        with open("/proc/meminfo") as file:
            found = next(line for line in file if line.startswith("MemAvailable"))
        return int(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def bytes_a_row(model, length: int) -> int:
    """What one sequence of that many tokens takes while it grows, at the most: its cache, and a row of logits
    as 32-bit numbers on their way to a draw in 64 bits.
    """
    layers, width, vocabulary = _sizes(model)
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", 1) or 1
    kept = getattr(config, "num_key_value_heads", None) or heads
    cache = 2 * layers * length * (width * kept // heads) * model.dtype.itemsize
    return cache + 24 * vocabulary + 16 * width * length


def _sizes(model) -> tuple[int, int, int]:
    """(layers, width, vocabulary), each 1 where the configuration does not say."""
    config = model.config.get_text_config()
    layers, width, vocabulary = (
        getattr(config, name, 1) or 1 for name in ("num_hidden_layers", "hidden_size", "vocab_size")
    )
    return layers, width, vocabulary


def rows_that_fit(model, problems, new_tokens: int) -> int:
    """Sequences that may run at once: at most MOST, and no more than SHARE of the free memory holds."""
    longest = max((_length(model, problem.asked) for problem in problems), default=1) + new_tokens
    return int(max(1, min(MOST, SHARE * free_bytes(model.device) // bytes_a_row(model, longest))))


def _length(model, asked) -> int:
    """Of a text its characters, of its images their usual tokens."""
    each = getattr(model.config, "image_seq_length", None) or 1024
    return len(asked) + each * len(pictures_of(asked))


def part_that_fits(model, size: int, group: int, new_tokens: int) -> int:
    """The largest part of `size` completions that one forward and backward pass may hold: all of them, or a
    divisor that `group` divides or that divides `group`; at least 1.
    """
    layers, width, vocabulary = _sizes(model)
    # About 34 activations of the width a layer and token, and logits, their softmax and its gradient.
    row = 4 * new_tokens * (34 * layers * width + 3 * vocabulary)
    most = max(1, SHARE * free_bytes(model.device) // row)
    parts = (size // count for count in range(1, size + 1) if size % count == 0)
    return next(part for part in parts if part <= most and (part % group == 0 or group % part == 0))
