"""Forward passes over prompts with completions, without gradients: token statistics of completions, logits of
the next token.
"""

import torch

from llm_bridge.models.prompt_ids import check_tokens, padding_id
from llm_bridge.models.vision import images_of, joined, placed
from llm_bridge.sampling.batching import Batching, batching
from llm_bridge.sampling.rows import evaluating, last_logits_only, plain_logits
from llm_bridge.sampling.seeing import alone_logits, shares_images
from llm_bridge.sampling.token_statistics import token_statistics
from sharpening.rewards.tokens import TokenStatistics

LOGITS = 2**25
"""Logits that one forward pass may return (128 MiB in float32); a batch with more is run in parts, one
sequence at least.
"""


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
        (prompt, list(completion))
        for prompt, group in zip(prompt_ids, completion_ids, strict=True)
        for completion in group
    ]
    width = max(1, max(len(completion) for _, completion in rows))
    check_tokens(model, [[*prompt, *completion] for prompt, completion in rows])
    with evaluating(model):
        plain = _needs_plain(model, tokenizer, rows, width)
        positions = width + 1 + (max(len(prompt) for prompt, _ in rows) if plain else 0)
        step = max(1, logits // (positions * model.config.get_text_config().vocab_size))
        parts = [
            _part(model, tokenizer, rows[start : start + step], width, temperature, plain)
            for start in range(0, len(rows), step)
        ]
    joined = {
        name: torch.cat([getattr(part, name) for part in parts])
        .cpu()
        .reshape(len(prompt_ids), rollouts, width)
        for name in ("mask", "log_prob", "entropy", "uniform_cross_entropy", "gap")
    }
    return TokenStatistics(**joined, vocab_size=parts[0].vocab_size)


def _part(model, tokenizer, rows, width, temperature, plain) -> TokenStatistics:
    ids, mask = _padded(tokenizer, rows, width)
    seen = {} if plain else joined([prompt for prompt, _ in rows], model, ids.shape[1] - width, width)
    output = _run_plain(model, tokenizer, rows, width) if plain else _run(model, ids, mask, width + 1, seen)
    return token_statistics(output, ids[:, -width:], mask[:, -width:], rollouts=1, temperature=temperature)


def next_token_logits(model, tokenizer, texts) -> torch.Tensor:
    """Float32 logits (texts, vocabulary) of the token after each list of token ids, on the CPU."""
    rows: list[tuple[list[int], list[int]]] = [(text, []) for text in texts]
    check_tokens(model, texts)
    with evaluating(model):
        if _needs_plain(model, tokenizer, rows, 0):
            return _run_plain(model, tokenizer, rows, 0)[:, -1]
        ids, mask = _padded(tokenizer, rows, 0)
        return _run(model, ids, mask, 1, joined(texts, model))[:, -1].float().cpu()


def plain_sequence_log_probs(model, tokenizer, pairs, temperature) -> torch.Tensor:
    """log π(completion | prompt) in nats, (pairs,), of a model that padding in front of a prompt misleads."""
    width = max(1, max(len(completion) for _, completion in pairs))
    ids, mask = _padded(tokenizer, pairs, width)
    step = max(1, LOGITS // (ids.shape[1] * model.config.get_text_config().vocab_size))
    logits = torch.cat(
        [
            _run_plain(model, tokenizer, pairs[start : start + step], width)[:, :-1]
            .div(temperature)
            .log_softmax(-1)
            .gather(2, ids[start : start + step, -width:, None])[..., 0]
            for start in range(0, len(pairs), step)
        ]
    )
    return torch.where(mask[:, -width:].bool(), logits, 0.0).sum(1)


def _needs_plain(model, tokenizer, rows, width) -> bool:
    prompts = [prompt for prompt, _ in rows]
    plain = batching(model, tokenizer, list(map(len, prompts)), width) > Batching.LEFT
    return plain or not shares_images(model, tokenizer, prompts)


def _padded(tokenizer, rows, width):
    """Token ids and mask: prompts padded on the left, completions on the right to `width`."""
    pad = padding_id(tokenizer)
    head = max(len(prompt) for prompt, _ in rows)
    ids = [[pad] * (head - len(p)) + list(p) + list(c) + [pad] * (width - len(c)) for p, c in rows]
    mask = [[0] * (head - len(p)) + [1] * (len(p) + len(c)) + [0] * (width - len(c)) for p, c in rows]
    return torch.tensor(ids), torch.tensor(mask)


def _run(model, ids, mask, keep: int, seen: dict):
    """Logits of the last `keep` positions; seen: the images of the batch."""
    ids, mask = ids.to(model.device), mask.to(model.device)
    output = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=placed(model, ids, mask, seen)[0].to(model.device),
        use_cache=False,
        **last_logits_only(model, keep),
        **seen,
    )
    return output.logits[:, -keep:]


def _run_plain(model, tokenizer, rows, width):
    """Logits (rows, width + 1, vocabulary) from each prompt's last token on. Padding comes last, where no token of a
    causal model sees it.
    """
    if any(images_of(prompt) for prompt, _ in rows):
        return torch.stack([_alone(model, prompt, completion, width) for prompt, completion in rows])
    longest = max(len(prompt) for prompt, _ in rows) + width
    pad = padding_id(tokenizer)
    ids = torch.tensor([[*p, *c] + [pad] * (longest - len(p) - len(c)) for p, c in rows])
    logits = plain_logits(model, ids)
    return torch.stack([logits[row, len(p) - 1 : len(p) + width] for row, (p, _) in enumerate(rows)])


def _alone(model, prompt, completion, width):
    """(width + 1, vocabulary), zeros behind the completion's end."""
    logits = alone_logits(model, prompt, completion)[len(prompt) - 1 :]
    return torch.cat([logits, logits.new_zeros(width + 1 - len(logits), logits.shape[1])])
