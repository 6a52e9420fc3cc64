"""Whether prompts with images can share batches and a cache, looked at on the prompts themselves; and the way to sample
and score where they cannot: each sequence alone, by the model's own `generate` and plain forward passes.
"""

import logging
import weakref

import torch

from llm_bridge.models.prompt_ids import padding_id
from llm_bridge.models.vision import SeenIds, fit_together, image_token, images_of, joined, same_shape
from llm_bridge.sampling.rows import PaddedRows

log = logging.getLogger(__name__)
MORE = 3
"""Tokens by which one of the two sequences that are compared is made longer, so that the other is padded."""
ALONE = (
    "%s: batches with padding and a cache give other logits than each prompt with images alone, so completions of"
    " prompts with images are drawn by the model's own generate, one prompt at a time, which is slower"
)
verified: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
filled: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
"""The same of prompts whose images differ in size or number, and are filled up to one."""


def shares_images(model, tokenizer, prompt_ids) -> bool:
    """Whether prompts with images can be run in one batch with padding and a cache. Looked at once a model, and once more
    where images differ in size, on two of the prompts, against plain forward passes over each sequence alone; where it is
    not so, a warning says so.
    """
    seen = [ids for ids in prompt_ids if isinstance(ids, SeenIds)]
    if not seen:
        return True
    if not fit_together(seen):
        return False
    known = verified if same_shape(seen) else filled
    if model not in known:
        known[model] = _agrees(model, tokenizer, seen)
        if not known[model]:
            log.warning(ALONE, type(model).__name__)
    return known[model]


def _agrees(model, tokenizer, seen) -> bool:
    first = seen[0]
    second = next((ids for ids in seen if not same_shape([first, ids])), None)
    if second is None:
        second = next((ids for ids in seen if images_of(ids) != images_of(first)), first)
    more = [token for token in first if token != image_token(model)][-1:] * MORE
    pair = [first, second + more]
    alone = [alone_logits(model, ids)[-1] for ids in pair]
    rounding = 8 * torch.finfo(model.dtype).eps * alone[0].abs().max()
    tolerance = (rounding + 2e-3 * (alone[0] - alone[1]).abs().max() + 1e-6).item()
    try:
        rows = PaddedRows(model, pair, padding_id(tokenizer))
        found = [rows.logits.cpu()]
        token = int(alone[0].argmax())
        rows.extend(torch.tensor([1, 0]), torch.tensor([token, token]))
        found.append(rows.logits.cpu())
        expected = [alone, [alone_logits(model, ids + [token])[-1] for ids in reversed(pair)]]
    # A way that a model does not know fails in ways of its own.
    except Exception:
        return False
    return all(
        torch.allclose(logits, torch.stack(plain), rtol=0, atol=tolerance)
        for logits, plain in zip(found, expected, strict=True)
    )


def alone_logits(model, ids, completion=()) -> torch.Tensor:
    """Float32 logits (positions, vocabulary) of one prompt followed by a completion, on the CPU, in a plain pass."""
    whole = torch.tensor([[*ids, *completion]], device=model.device)
    seen = joined([ids], model, len(ids), len(completion))
    return model(input_ids=whole, use_cache=False, **seen).logits[0].float().cpu()


def generated(model, tokenizer, ids, *, rollouts, max_new_tokens, temperature, greedy, ends, stop, seed: int):
    """Completions of one prompt by the model's own `generate`: (token ids, log-probabilities), each a list for every
    rollout. The global random state stays as it was.
    """
    whole = torch.tensor([list(ids)], device=model.device)
    forbidden = image_token(model)
    options = dict(
        max_new_tokens=max_new_tokens,
        do_sample=not greedy,
        num_return_sequences=rollouts,
        eos_token_id=ends,
        pad_token_id=padding_id(tokenizer),
        suppress_tokens=None if forbidden is None else [forbidden],
        return_dict_in_generate=True,
        output_logits=True,
    )
    if not greedy:
        options |= dict(temperature=temperature, top_k=0, top_p=1.0)
    if stop:
        options |= dict(stop_strings=list(stop), tokenizer=tokenizer)
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        found = model.generate(
            input_ids=whole, attention_mask=torch.ones_like(whole), **joined([ids], model), **options
        )
    tokens = found.sequences[:, len(ids) :].cpu()
    logits = torch.stack(found.logits, 1).float().cpu()
    if forbidden is not None:
        logits[..., forbidden] = -torch.inf
    scores = (logits / temperature).log_softmax(-1).gather(2, tokens[..., None])[..., 0]
    lengths = [_length(row, ends) for row in tokens.tolist()]
    return (
        [row[:length] for row, length in zip(tokens.tolist(), lengths, strict=True)],
        [row[:length] for row, length in zip(scores.tolist(), lengths, strict=True)],
    )


def _length(tokens, ends) -> int:
    """Tokens up to the first that ends a completion, itself included."""
    return next((place + 1 for place, token in enumerate(tokens) if token in ends), len(tokens))
