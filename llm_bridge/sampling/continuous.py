"""Completions by `transformers`' continuous batching: `model.generate_batch`, which pages its cache."""

import contextlib
import io
import logging
import warnings

import numpy as np
import torch

from llm_bridge.models.prompt_ids import check_tokens, prompt_token_ids
from llm_bridge.models.stop_strings import before_stop, stop_strings
from llm_bridge.models.vision import images_of
from llm_bridge.sampling.rollouts import Rollouts, end_token_ids, sequence_log_probs, stopped
from llm_bridge.sampling.rows import evaluating
from sharpening.errors import InputError

AT_ONCE, PAGE = 512, 16
"""Completions in the cache at once where there is no accelerator, whose memory would say how many; tokens of a page."""
CHECKED = 16
"""Completions whose log-probabilities are told again by a plain forward pass."""
TOLERANCE = {torch.float32: 0.01, torch.float64: 0.01}
"""Nats by which the two may differ, a token; `ROUGH` for weights of 16 bits."""
ROUGH = 0.2
NEEDS = (
    "it needs a model of attention layers alone, in PyTorch's `sdpa`, `eager` or flash attention, whose positions and"
    " windows a cache in pages keeps"
)


def by_continuous_batching(loaded, prompts, rollouts, max_new_tokens, temperature, seed) -> Rollouts:
    """As `llm_bridge.sampling.engine.initial_rollouts`. The log-probabilities of some completions are told again by a
    plain forward pass, and must agree.

    Raises: InputError for a model that it does not run, and for one that it runs under another law.
    """
    model, tokenizer = loaded.model, getattr(loaded.tokenizer, "tokenizer", loaded.tokenizer)
    prompt_ids, stop = prompt_token_ids(tokenizer, prompts), tuple(stop_strings(model))
    check_tokens(model, prompt_ids)
    if any(map(images_of, prompt_ids)):
        raise _refused(model, "its prompts hold images, which it does not see")
    ends = end_token_ids(model, tokenizer)
    found = _generated(model, prompt_ids, rollouts, max_new_tokens, temperature, ends, seed)
    drawn = [_until(tokenizer, ids, scores, stop) for ids, scores in found]
    groups = [drawn[at : at + rollouts] for at in range(0, len(drawn), rollouts)]
    token_ids = [[ids for ids, _ in group] for group in groups]
    scores = [[own for _, own in group] for group in groups]
    _check_law(model, tokenizer, prompt_ids, token_ids, scores, temperature)
    texts = [
        [before_stop(text, stop) for text in tokenizer.batch_decode(group, skip_special_tokens=True)]
        for group in token_ids
    ]
    written = sum(len(ids) for ids, _ in found)
    return Rollouts(prompt_ids, token_ids, texts, scores, sum(map(len, prompt_ids)) + written, written)


def _generated(model, prompt_ids, rollouts, max_new_tokens, temperature, ends, seed):
    """(token ids, their log-probabilities) of every completion, those of a prompt together."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    law = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_k=0,
        top_p=1.0,
        max_new_tokens=max_new_tokens,
        num_return_sequences=rollouts,
        eos_token_id=ends or None,
        pad_token_id=ends[0] if ends else 0,
    )
    sizes: dict = {}
    if model.device.type == "cpu":
        pages = 1 + (max(map(len, prompt_ids)) + max_new_tokens) // PAGE
        at_once = min(AT_ONCE, rollouts * len(prompt_ids))
        sizes = dict(page_size=PAGE, num_blocks=pages * (at_once + 1), max_batch_tokens=AT_ONCE)
    own = int(np.random.SeedSequence(seed).generate_state(1, np.uint32)[0])
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    attention = model.config._attn_implementation
    try:
        with evaluating(model), torch.random.fork_rng(devices), _said_aloud() as said:
            found = list(
                model.generate_batch(
                    prompt_ids,
                    generation_config=law,
                    continuous_batching_config=ContinuousBatchingConfig(
                        return_logprobs=True, seed=own, **sizes
                    ),
                    progress_bar=False,
                ).values()
            )
    except Exception as error:
        raise _refused(model, f"transformers says: {' '.join(str(error).split())[:200]}") from error
    finally:
        if model.config._attn_implementation != attention:  # as it stays where the engine could not be made
            model.set_attn_implementation(attention)
    if len(found) != rollouts * len(prompt_ids) or any(one.error is not None for one in found):
        told = next((one.error for one in found if one.error), said[0] if said else "it ended early")
        raise _refused(model, f"transformers says: {' '.join(str(told).split())[:200]}")
    return [(list(one.generated_tokens), list(one.logprobs)) for one in found]


@contextlib.contextmanager
def _said_aloud():
    """What transformers logs as errors, which is how a failure of its thread is told."""
    said: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())

    logger = logging.getLogger("ContinuousBatchingLogger")
    handler, spread = Kept(logging.ERROR), logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        # A thread that ends early is also told by print.
        with warnings.catch_warnings(action="ignore"), contextlib.redirect_stdout(io.StringIO()):
            yield said
    finally:
        logger.removeHandler(handler)
        logger.propagate = spread


def _until(tokenizer, ids, scores, stop):
    """The completion up to the token that completes a stop string, which continuous batching does not know."""
    if stop and stopped(tokenizer, ids, stop):
        last = next(n for n in range(1, len(ids) + 1) if stopped(tokenizer, ids[:n], stop))
        return ids[:last], scores[:last]
    return ids, scores


def _check_law(model, tokenizer, prompt_ids, token_ids, scores, temperature) -> None:
    """InputError if a plain forward pass gives other log-probabilities."""
    pairs = [
        (prompt, ids, sum(own))
        for prompt, group, told in zip(prompt_ids, token_ids, scores, strict=True)
        for ids, own in zip(group, told, strict=True)
    ]
    chosen = pairs[:: max(1, len(pairs) // CHECKED)]
    prompts, completions, told = map(list, zip(*chosen, strict=True))
    plain = sequence_log_probs(model, tokenizer, prompts, completions, temperature=temperature)
    lengths = torch.tensor([len(ids) for ids in completions]).clamp(min=1)
    off = ((plain.double() - torch.tensor(told).double()).abs() / lengths).max().item()
    if not off <= TOLERANCE.get(model.dtype, ROUGH):
        raise _refused(model, f"its log-probabilities are {off:.2g} nats a token from a plain forward pass's")


def _refused(model, why: str) -> InputError:
    kind = type(model).__name__
    return InputError(
        "engine", "continuous", f"{kind} cannot be drawn from so: {why}; {NEEDS}", "Leave --engine out"
    )
