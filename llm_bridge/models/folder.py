"""What can be told of a model's folder before its weights are read, and without torch: a config that describes no
causal language model, an adapter, weights that are missing or cut off.
"""

import json
import math
from pathlib import Path

from sharpening.errors import InputError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
MERGE_FIX = (
    "Merge it into its base model (with peft: `merge_and_unload()`, then `save_pretrained`, and the tokenizer beside"
    " it) and give that folder"
)
ANEW_FIX = "Copy or download the folder anew"
CONFIG_FIX = "Take config.json from where the model comes from"
SIZES = (
    *("num_hidden_layers", "num_layers", "n_layer", "n_layers"),
    *("hidden_size", "n_embd", "d_model", "intermediate_size", "head_dim", "vocab_size"),
    *("num_attention_heads", "num_key_value_heads", "n_head", "n_heads", "num_heads"),
    *("max_position_embeddings", "n_positions", "n_ctx", "sliding_window"),
)
"""Entries of a config that count something, so that each is a whole number of at least one where it is given."""


def check_folder(name: str, folder: Path) -> None:
    """Raise InputError for a folder that holds no whole causal language model in safetensors; weights are not
    read.
    """
    adapter = next((file for file in ADAPTER if (folder / file).exists()), None)
    if not (folder / "config.json").is_file():
        if adapter:
            raise InputError("model", name, f"it holds an adapter ({adapter}) and no model", MERGE_FIX)
        raise InputError(
            "model",
            name,
            "the folder has no config.json, so it is not a Hugging Face model",
            "Give a folder to which `save_pretrained` wrote both the model and its tokenizer",
        )
    check_config(name, folder / "config.json")
    _check_weights(name, folder)
    if adapter:
        raise InputError(
            "model",
            name,
            f"an adapter lies beside the weights ({adapter}), and the model would be read without it",
            f"{MERGE_FIX}, or move the adapter away to use the base model",
        )


def check_config(name: str, file: Path) -> None:
    """Raise InputError for a config.json that describes no causal language model with ordinary weights."""
    config = _json_object(name, file)
    if config.get("is_encoder_decoder"):
        raise InputError(
            "model",
            name,
            "it is an encoder-decoder model, which does not continue its prompt",
            "Give a causal (decoder-only) language model",
        )
    if quantised := config.get("quantization_config"):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise InputError(
            "model",
            name,
            f"its weights are quantised ({method}), and what is trained and compared here is in float32",
            "Give the model's unquantised weights, or a GGUF file of it",
        )
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        _check_numbers(name, part)


def _check_numbers(name, config):
    for key, value in config.items():
        if key in SIZES and value is not None:
            whole = isinstance(value, int) and not isinstance(value, bool)
            if key == "sliding_window" and value in (0, False):
                continue
            if not whole or value < 1:
                raise InputError(
                    "model", name, f"its config.json says {key} = {value!r}, which counts nothing", CONFIG_FIX
                )
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError("model", name, f"its config.json says {key} = {value}", CONFIG_FIX)


def _check_weights(name, folder):
    if (folder / WEIGHTS).exists():
        _check_whole(name, folder / WEIGHTS)
        return
    if not (folder / INDEX).exists():
        shards = sorted(folder.glob("model-*-of-*.safetensors"))
        lacking = f"{INDEX}, which says what is in {shards[0].name}" if shards else "safetensors weights"
        raise InputError(
            "model",
            name,
            f"the folder has no {lacking} (pickled weights are not loaded)",
            ANEW_FIX if shards else "Save the model with `save_pretrained`, which writes model.safetensors",
        )
    parts = _json_object(name, folder / INDEX).get("weight_map")
    if not isinstance(parts, dict) or not parts or not all(isinstance(file, str) for file in parts.values()):
        raise InputError("model", name, f"{INDEX} names no weights", ANEW_FIX)
    for file in sorted(set(parts.values())):
        if not (folder / file).is_file():
            raise InputError("model", name, f"the folder lacks {file}, a part of its weights", ANEW_FIX)
        _check_whole(name, folder / file)


def _check_whole(name, file: Path):
    """The header of a safetensors file says where its last tensor ends."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = stream.read(length) if length <= size - 8 else b""
    except OSError as error:
        raise InputError("model", name, f"{file.name} cannot be read ({error.strerror})", ANEW_FIX) from error
    if not header:
        raise InputError("model", name, f"{file.name} is cut off, or no safetensors file", ANEW_FIX)
    try:
        entries = json.loads(header)
        ends = [entry["data_offsets"][1] for key, entry in entries.items() if key != "__metadata__"]
        needed = 8 + length + max(ends, default=0)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise InputError("model", name, f"{file.name} is no safetensors file", ANEW_FIX) from error
    if needed != size:
        raise InputError("model", name, f"{file.name} has {size} of {needed} bytes", ANEW_FIX)


def _json_object(name, file: Path) -> dict:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InputError("model", name, f"its {file.name} is not JSON ({reason})", ANEW_FIX) from error
    if not isinstance(data, dict):
        raise InputError("model", name, f"its {file.name} is not a JSON object", ANEW_FIX)
    return data
