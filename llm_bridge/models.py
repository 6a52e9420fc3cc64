"""Load a causal language model: a Hugging Face folder or hub id, a GGUF file, or a built-in tiny one. No remote code runs."""

from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from llm_bridge.zoo import built_in_folder, names
from sharpening.errors import InputError


@dataclass
class LoadedModel:
    """A causal language model with its tokenizer and the name the user gave it."""

    name: str
    model: torch.nn.Module
    tokenizer: object

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def load_model(name: str) -> LoadedModel:
    """Load `name` in float32 on the CPU (or the first accelerator), ready for sampling and for training.

    Raises:
        InputError: no such model, a folder without weights or tokenizer, weights that are not safetensors or GGUF.
    """
    source, options = _locate(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
        if options:
            model = AutoModelForCausalLM.from_pretrained(source, trust_remote_code=False, dtype=torch.float32, **options)
        else:
            model = AutoModelForCausalLM.from_pretrained(
                source, trust_remote_code=False, dtype=torch.float32, use_safetensors=True
            )
    except InputError:
        raise
    except Exception as error:
        raise InputError("model", name, f"it could not be loaded ({_first_line(error)})", _FIX) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    model.eval()
    return LoadedModel(name=name, model=model, tokenizer=tokenizer)


_FIX = (
    "Give a folder or hub id in Hugging Face format with safetensors weights and a tokenizer, a .gguf file, "
    "or a built-in name (`sharpening zoo list`)"
)


def _locate(name: str) -> tuple[str, dict]:
    if name in names():
        return str(built_in_folder(name)), {}
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise InputError("model", name, "there is no such GGUF file", _FIX)
        return str(path.parent), {"gguf_file": path.name}
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise InputError("model", name, "the folder has no config.json, so it is not a Hugging Face model", _FIX)
        if not list(path.glob("*.safetensors")):
            raise InputError("model", name, "the folder has no safetensors weights (pickled weights are not loaded)", _FIX)
        return str(path), {}
    if path.exists() or path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1 or "/" not in name:
        raise InputError("model", name, f"it is neither a folder, a GGUF file nor a built-in name ({', '.join(names())})", _FIX)
    try:
        AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception as error:
        raise InputError("model", name, f"the hub has no such model or cannot be reached ({_first_line(error)})", _FIX) from error
    return name, {}


def check_model_name(name: str) -> None:
    """Raise InputError now, without loading weights or torch modules, if `name` cannot be a model."""
    _locate(name)


def _first_line(error: Exception) -> str:
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return text if len(text) <= 160 else text[:157] + "..."
