"""Load a causal language model: a Hugging Face folder or hub id, a GGUF file, or a built-in tiny one. No remote code runs."""

from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_bridge.model_names import MODEL_FIX, check_model_name, first_line, locate_model
from sharpening.errors import InputError

__all__ = ["LoadedModel", "check_model_name", "load_model"]


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
    source, options = locate_model(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
        if options:
            model = AutoModelForCausalLM.from_pretrained(source, trust_remote_code=False, dtype=torch.float32, **options)
        else:
            model, report = AutoModelForCausalLM.from_pretrained(
                source, trust_remote_code=False, dtype=torch.float32, use_safetensors=True, output_loading_info=True
            )
            if missing := sorted(report["missing_keys"]):
                raise InputError("model", name, f"its weights lack {len(missing)} tensors, such as {missing[0]}", MODEL_FIX)
    except InputError:
        raise
    except Exception as error:
        raise InputError("model", name, f"it could not be loaded ({first_line(error)})", MODEL_FIX) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    model.eval()
    return LoadedModel(name=name, model=model, tokenizer=tokenizer)
