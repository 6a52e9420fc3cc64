"""Turn a GGUF file into a folder that can be trained and saved."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.models.loading import unpacked, without_quantizer
from sharpening.errors import InputError


@quiet_libraries()
def import_gguf(file: Path, output_dir: Path) -> Path:
    """Dequantise `file` into float32 safetensors with its tokenizer; returns the folder.

    Raises:
        InputError: no such file, one that is no GGUF model, or a folder that already holds a model.
    """
    if not file.is_file():
        raise InputError("FILE", str(file), "there is no such GGUF file", "Give the path of a .gguf file")
    if (output_dir / "config.json").exists():
        raise InputError(
            "output",
            str(output_dir),
            "the folder already holds a model",
            "Choose an empty folder or remove it first",
        )
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            str(file.parent), gguf_file=file.name, dtype=torch.float32, **unpacked()
        )
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
    except ImportError:
        raise
    except Exception as error:
        raise InputError(
            "FILE",
            str(file),
            f"it cannot be read as a GGUF language model ({error})",
            "Give another .gguf file",
        ) from error
    without_quantizer(loaded)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    output_dir.mkdir(parents=True, exist_ok=True)
    loaded.save_pretrained(output_dir)
    tokenizer.save_pretrained(output_dir)
    return output_dir
