"""Whether a loaded model and its tokenizer fit together and compute probabilities: checks that need the weights."""

import logging
import re

import torch

from llm_bridge.models.names import first_line
from sharpening.errors import InputError

log = logging.getLogger(__name__)

TOKENIZER_FIX = "Use the tokenizer that was saved with the model"
PROBE = 8


def check_report(name: str, model, report: dict) -> None:
    """Raise InputError where loading filled in tensors at random, or left out some of a stack that the model has; any
    others that were left out are told.
    """
    if missing := sorted(report["missing_keys"]):
        raise InputError(
            "model",
            name,
            f"its weights lack {len(missing)} tensors, such as {missing[0]}",
            "Copy or download the folder anew",
        )
    unread = sorted(report.get("unexpected_keys", ()))
    kinds = {_kind(key) for key in model.state_dict()}
    if beyond := [key for key in unread if _kind(key) in kinds]:
        raise InputError(
            "model",
            name,
            f"config.json describes a smaller model than its weights, which also hold {beyond[0]}",
            "Take config.json from where the model comes from",
        )
    if unread:
        log.warning(
            "%s: %d tensors are no part of this architecture, such as %s", name, len(unread), unread[0]
        )


def _kind(key: str) -> str:
    return re.sub(r"\d+", "#", key)


def settle_padding(name: str, model, tokenizer) -> None:
    """Give the tokenizer a padding token: its own, else its end of a sequence, else the end that the model states.

    Raises: InputError where there is none.
    """
    if tokenizer.eos_token_id is None:
        stated = (
            model.generation_config.eos_token_id if model.generation_config else model.config.eos_token_id
        )
        stated = stated[0] if isinstance(stated, list) and stated else stated
        if isinstance(stated, int) and 0 <= stated < len(tokenizer):
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(stated)
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise InputError(
                "model",
                name,
                "its tokenizer has neither a padding nor an end-of-sequence token",
                'Name one of its tokens as "eos_token" in tokenizer_config.json',
            )
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"


def check_soundness(name: str, model, tokenizer) -> None:
    """Raise InputError for a tokenizer with tokens that have no embedding, weights that are not finite, and a model
    that cannot be run, gives no probabilities, or lets a token depend on what follows it.
    """
    stated = getattr(model.generation_config, "eos_token_id", None)
    if not all(
        type(token) in (int, type(None)) for token in (stated if isinstance(stated, list) else [stated])
    ):
        raise InputError(
            "model",
            name,
            f"its generation_config.json says eos_token_id = {stated!r}, which is no token's id",
            "Write the id of its end-of-sequence token there",
        )
    _check_tokenizer(name, tokenizer, model.get_input_embeddings().weight.shape[0])
    for label, weight in model.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            raise InputError(
                "model",
                name,
                f"its weights {label} hold NaN or infinity",
                "Use an earlier checkpoint of the model",
            )
    # What is computed from the config; a mask may hold minus infinity. Attention can turn NaN into plain numbers.
    for label, table in model.named_buffers():
        if table.is_floating_point() and not (table < torch.inf).all():
            raise InputError(
                "model",
                name,
                f"what its config.json says makes {label} NaN or infinite",
                "Take config.json from where the model comes from",
            )
    _check_probabilities(name, model, tokenizer)


def _check_tokenizer(name, tokenizer, rows):
    # Tokens added for images and the like may lie beyond: no text leads to them unless it spells them out.
    if tokenizer.vocab_size > rows:
        raise InputError(
            "model",
            name,
            f"its tokenizer knows {tokenizer.vocab_size} tokens, and the model has embeddings for {rows}",
            TOKENIZER_FIX,
        )
    for kind in ("pad", "eos", "bos", "unk"):
        token = getattr(tokenizer, f"{kind}_token_id", None)
        if token is not None and token >= rows:
            raise InputError(
                "model",
                name,
                f"its tokenizer's {kind}_token has the id {token}, and the model has embeddings for the ids 0 to"
                f" {rows - 1}",
                f'Name a token with an embedding as "{kind}_token" in tokenizer_config.json',
            )


@torch.no_grad()
def _check_probabilities(name, model, tokenizer):
    size = min(len(tokenizer), model.get_input_embeddings().weight.shape[0])
    first = [(7 * i + 3) % size for i in range(PROBE)]
    second = first[: PROBE // 2] + [(11 * i + 5) % size for i in range(PROBE // 2, PROBE)]
    try:
        one, other = (
            model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0].float()
            for ids in (first, second)
        )
    except Exception as error:
        raise InputError(
            "model", name, f"it was loaded but cannot be run ({first_line(error)})", "Use another model"
        ) from error
    if torch.isnan(one).any() or not torch.isfinite(one.amax(-1)).all():
        raise InputError(
            "model",
            name,
            "its weights are finite, but it computes no probabilities from them (NaN)",
            "Check config.json against where the model comes from, or use an earlier checkpoint",
        )
    before = slice(0, PROBE // 2)
    rounding = 1e-5 * one.abs().max() + 2e-3 * (one[-1] - other[-1]).abs().max()
    if (one[before] - other[before]).abs().max() > rounding:
        raise InputError(
            "model",
            name,
            "what it says of a token depends on the tokens after it, so it is no causal language model",
            "Give a causal (decoder-only) language model",
        )
