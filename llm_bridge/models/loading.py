"""Load a causal language model: a Hugging Face folder or hub id, a GGUF file, or a built-in tiny one. No
remote code runs.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_bridge.models.names import MODEL_FIX, check_model_name, first_line, locate_model
from sharpening.errors import InputError

__all__ = ["SMALL_MODEL", "LoadedModel", "check_model_name", "fitting_threads", "load_model"]

SMALL_MODEL = 20_000_000
"""Parameters below which one thread is fastest, and checkpoints and initial rollouts cost next to nothing."""


@dataclass
class LoadedModel:
    """A causal language model with its tokenizer and the name the user gave it."""

    name: str
    model: torch.nn.Module
    tokenizer: object

    @property
    def num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def is_small(self) -> bool:
        """Fewer than SMALL_MODEL parameters."""
        return self.num_parameters < SMALL_MODEL


@contextmanager
def fitting_threads(loaded: LoadedModel) -> Iterator[None]:
    """One torch thread while a small model works: more would wait for one another, and sums would depend on
    their number.
    """
    threads = torch.get_num_threads()
    if loaded.is_small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def load_model(name: str) -> LoadedModel:
    """Load `name` in float32 on the CPU, ready for sampling; a trainer moves it to an accelerator if there is
    one.

    Raises:
        InputError: no such model, a folder without weights or tokenizer, weights that are not safetensors or
        GGUF.
    """
    source, options = locate_model(name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
        if options:
            model = AutoModelForCausalLM.from_pretrained(
                source, trust_remote_code=False, dtype=torch.float32, **options
            )
        else:
            model, report = AutoModelForCausalLM.from_pretrained(
                source,
                trust_remote_code=False,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
            )
            if missing := sorted(report["missing_keys"]):
                raise InputError(
                    "model", name, f"its weights lack {len(missing)} tensors, such as {missing[0]}", MODEL_FIX
                )
    except InputError:
        raise
    except Exception as error:
        raise InputError("model", name, f"it could not be loaded ({first_line(error)})", MODEL_FIX) from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    model.eval()
    return LoadedModel(name=name, model=model, tokenizer=tokenizer)


def frozen_copy(model):
    """A copy of `model` that nothing trains, for use as an Evaluator's reference."""
    reference = copy.deepcopy(model)
    for module in reference.modules():
        # A trainer's wrapper around `forward` still calls the model it was made for, whose weights go on
        # changing.
        module.__dict__.pop("forward", None)
    return reference.requires_grad_(False).eval()
