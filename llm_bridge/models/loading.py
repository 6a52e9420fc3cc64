"""Load a causal language model, or a vision-language model with its processor: a Hugging Face folder or hub id, a GGUF
file, or a built-in tiny one. No remote code runs.
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from llm_bridge.models.names import MODEL_FIX, check_model_name, first_line, locate_model
from llm_bridge.models.soundness import check_report, check_soundness, settle_padding
from sharpening.errors import InputError

__all__ = [
    "SMALL_MODEL",
    "LoadedModel",
    "check_model_name",
    "fitting_threads",
    "load_model",
    "load_tokenizer",
]

SMALL_MODEL = 20_000_000
"""Parameters below which one thread is fastest, and checkpoints and initial rollouts cost next to nothing."""


@dataclass
class LoadedModel:
    """A causal language model with its tokenizer and the name the user gave it; processor: of a vision-language model
    what makes token ids and pixels of its prompts, None of others.
    """

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    processor: ProcessorMixin | None = None

    @property
    def reader(self):
        """What renders prompts: the processor where there is one, else the tokenizer."""
        return self.tokenizer if self.processor is None else self.processor

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
        GGUF, not whole or not finite, a tokenizer that does not fit, and anything but a causal language model.
    """
    source, options = locate_model(name)
    processor = None if "gguf_file" in options else _load_processor(name, source)
    tokenizer = _load_tokenizer(name, source, options) if processor is None else processor.tokenizer
    kind = AutoModelForCausalLM if processor is None else AutoModelForImageTextToText
    try:
        options |= {"trust_remote_code": False, "dtype": torch.float32, "output_loading_info": True}
        if "gguf_file" not in options:
            options["use_safetensors"] = True
        else:
            options |= unpacked()
        # Asked for its report, `from_pretrained` gives a pair, which its own annotation leaves out.
        loaded = kind.from_pretrained(source, **options)
        model, report = cast(tuple[PreTrainedModel, dict], loaded)
        without_quantizer(model)
    except Exception as error:
        raise _not_loaded(name, error) from error
    if "gguf_file" not in options:
        check_report(name, model, report)
    settle_padding(name, model, tokenizer)
    model.eval()
    check_soundness(name, model, tokenizer)
    return LoadedModel(name=name, model=model, tokenizer=tokenizer, processor=processor)


def unpacked() -> dict:
    """What `from_pretrained` is told, so that every weight of a GGUF file becomes a plain one."""
    config = getattr(transformers, "GgufConfig", None)  # without it they always do
    return {} if config is None else {"quantization_config": config(dequantize=True)}


def without_quantizer(model: PreTrainedModel) -> None:
    """Forget that plain weights came out of a quantised file: else a trainer refuses them, and they cannot be saved."""
    quantizer = getattr(model, "hf_quantizer", None)
    if quantizer is not None:
        quantizer.remove_quantization_config(model)


def load_tokenizer(name: str):
    """The tokenizer of `name` alone. Raises: InputError as `load_model`."""
    return _load_tokenizer(name, *locate_model(name))


def load_reader(name: str):
    """`LoadedModel.reader` of `name` alone. Raises: InputError as `load_model`."""
    source, options = locate_model(name)
    processor = None if options else _load_processor(name, source)
    return _load_tokenizer(name, source, options) if processor is None else processor


def _load_processor(name, source):
    """The processor of a vision-language model; None of a model that reads text alone."""
    try:
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise _not_loaded(name, error) from error
    seeing = config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
    if not seeing or getattr(config, "vision_config", None) is None:
        return None
    try:
        processor = AutoProcessor.from_pretrained(source, trust_remote_code=False)
    except Exception as error:
        raise InputError(
            "model",
            name,
            f"it sees images, and its processor could not be loaded ({first_line(error)})",
            "Put the processor's files, processor_config.json and the tokenizer's, beside the weights; if it asks for"
            " a package, install that (Qwen-VL and SmolVLM ask for torchvision, SmolVLM for num2words, too)",
        ) from error
    if not isinstance(processor, ProcessorMixin) or not hasattr(processor, "image_processor"):
        raise InputError(
            "model",
            name,
            "it sees images, and its folder holds no processor for them",
            "Put processor_config.json of the model beside the weights",
        )
    return processor


def _load_tokenizer(name, source, options):
    try:
        return AutoTokenizer.from_pretrained(source, trust_remote_code=False, **options)
    except Exception as error:
        told = str(error)
        if options or "trust_remote_code" in told or "model type" in told:
            raise _not_loaded(name, error) from error
        if "Couldn't instantiate" in told or isinstance(error, OSError):
            told = "none is there"
        raise InputError(
            "model",
            name,
            f"its tokenizer could not be loaded ({first_line(ValueError(told))})",
            "Put the tokenizer's files, tokenizer.json and tokenizer_config.json, beside the weights",
        ) from error


def _not_loaded(name, error) -> InputError:
    """Why, without what only the caller of a library could do about it."""
    told = str(error)
    if "trust_remote_code" in told or "custom code" in told:
        return InputError(
            "model",
            name,
            "its architecture is code that comes with the weights, and no such code is run",
            "Give a model whose architecture transformers itself knows",
        )
    if "model type" in told and "not recognize" in told:
        return InputError(
            "model",
            name,
            "the installed transformers does not know its architecture (model_type in config.json)",
            "Give a model of an architecture that it knows",
        )
    if "Unrecognized configuration class" in told:
        return InputError(
            "model", name, "it is no causal language model", "Give a causal (decoder-only) language model"
        )
    if "ignore_mismatched_sizes" in told or "size mismatch" in told:
        return InputError(
            "model",
            name,
            "the shapes of its weights are not those that config.json describes",
            "Take config.json from where the model comes from",
        )
    if isinstance(error, KeyError):
        return InputError(
            "model",
            name,
            f"its config.json names {told}, which transformers does not know",
            "Take config.json from where the model comes from",
        )
    return InputError("model", name, f"it could not be loaded ({first_line(error)})", MODEL_FIX)


def frozen_copy(model):
    """A copy of `model` that nothing trains, for use as an Evaluator's reference."""
    reference = copy.deepcopy(model)
    for module in reference.modules():
        # A trainer's wrapper around `forward` still calls the model it was made for, whose weights go on
        # changing.
        module.__dict__.pop("forward", None)
    return reference.requires_grad_(False).eval()
