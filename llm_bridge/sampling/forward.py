"""Forward passes over prompts with completions, without gradients: token statistics of completions, logits of
the next token.
"""

import contextlib
import inspect

import torch

from llm_bridge.sampling.token_statistics import token_statistics
from sharpening.rewards.tokens import TokenStatistics

LOGITS = 2**25
"""Logits that one forward pass may return (128 MiB in float32); a batch with more is run in parts, one
sequence at least.
"""


@contextlib.contextmanager
def evaluating(model):
    """The model in evaluation mode and without gradients; its mode comes back afterwards."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.train(was_training)


def completion_statistics(
    model, tokenizer, prompt_ids, completion_ids, *, temperature: float = 1.0, logits: int = LOGITS
) -> TokenStatistics:
    """TokenStatistics of completions (prompts, rollouts) of token ids under `model`, on the CPU, and nothing
    kept of the logits.

    prompt_ids: one list of token ids a prompt. The end-of-sequence token counts as a token of the completion,
    where it was written. How the batch is padded and cut into parts changes nothing but rounding.
    """
    rollouts = len(completion_ids[0])
    rows = [
        (list(prompt), list(completion))
        for prompt, group in zip(prompt_ids, completion_ids, strict=True)
        for completion in group
    ]
    width = max(1, max(len(completion) for _, completion in rows))
    step = max(1, logits // ((width + 1) * model.config.get_text_config().vocab_size))
    with evaluating(model):
        parts = [
            _part(model, tokenizer, rows[start : start + step], width, temperature)
            for start in range(0, len(rows), step)
        ]
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        .cpu()
        .reshape(len(prompt_ids), rollouts, width)
        for name in ("mask", "log_prob", "entropy", "uniform_cross_entropy", "gap")
    }
    return TokenStatistics(**joined, vocab_size=parts[0].vocab_size)


def _part(model, tokenizer, rows, width, temperature) -> TokenStatistics:
    ids, mask = _padded(tokenizer, rows, width)
    output = _run(model, ids, mask, width + 1)
    return token_statistics(output, ids[:, -width:], mask[:, -width:], rollouts=1, temperature=temperature)


def next_token_logits(model, tokenizer, texts) -> torch.Tensor:
    """Float32 logits (texts, vocabulary) of the token after each list of token ids, on the CPU."""
    with evaluating(model):
        ids, mask = _padded(tokenizer, [(text, []) for text in texts], 0)
        return _run(model, ids, mask, 1)[:, -1].float().cpu()


def _padded(tokenizer, rows, width):
    """Token ids and mask: prompts padded on the left, completions on the right to `width`."""
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    head = max(len(prompt) for prompt, _ in rows)
    ids = [[pad] * (head - len(p)) + list(p) + list(c) + [pad] * (width - len(c)) for p, c in rows]
    mask = [[0] * (head - len(p)) + [1] * (len(p) + len(c)) + [0] * (width - len(c)) for p, c in rows]
    return torch.tensor(ids), torch.tensor(mask)


def _run(model, ids, mask, keep: int):
    """Logits of the last `keep` positions."""
    ids, mask = ids.to(model.device), mask.to(model.device)
    options = (
        {"logits_to_keep": keep} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    )
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        use_cache=False,
        **options,
    )
    return output.logits[:, -keep:]
