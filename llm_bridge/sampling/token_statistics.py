"""Per-token cross-entropies to the anchors of the unified form: the only code that sees (batch, time,
vocabulary), a chunk at a time.
"""

from collections.abc import Callable, Iterator

import torch

from sharpening.errors import InputError
from sharpening.rewards.tokens import IMPOSSIBLE, TokenStatistics

CHUNK = 2**19
"""Logits in work at once: two float32 buffers of 2 MiB, which stay in a core's cache."""
_BLOCK = 256


@torch.no_grad()
def token_statistics(
    logits,
    token_ids,
    mask=None,
    *,
    rollouts: int,
    temperature: float = 1.0,
    answer_mask=None,
    chunk: int = CHUNK,
) -> TokenStatistics:
    """What every reward needs of the logits, float32: log pi(y_t), H(pi_t), H(uniform, pi_t) in nats, and the
    top-1 − top-2 gap.

    Shapes: logits (batch, tokens + 1, vocabulary), of any float type, as the model returned them; token_ids,
    mask and answer_mask (batch, tokens). **logits[:, t] is what token_ids[:, t] was drawn from**: the model's
    output at the token before it. The last logit predicts a token that is not there; it must be handed over
    and is not read. The batch holds whole groups of `rollouts`; results are (batch / rollouts, rollouts,
    tokens), 0 where the mask is false. Logits are divided by `temperature`.

    Memory beside the logits: two buffers of `chunk` float32 numbers, one row of the vocabulary at least.
    Nothing else of the size of the logits is made, and no gradient is kept. An impossible token (logit −inf)
    counts as IMPOSSIBLE nats.

    Raises: InputError for shapes that do not fit and a temperature that is not positive.
    """
    if logits.ndim != 3:
        raise InputError(
            "logits",
            tuple(logits.shape),
            "its shape must be (batch, tokens + 1, vocabulary)",
            "Give the model's own output",
        )
    return _statistics(
        lambda rows, columns: logits[rows, columns],
        logits.shape,
        logits.device,
        token_ids,
        mask,
        rollouts,
        temperature,
        answer_mask,
        chunk,
    )


@torch.no_grad()
def hidden_statistics(
    hidden,
    lm_head: Callable,
    token_ids,
    mask=None,
    *,
    rollouts: int,
    temperature: float = 1.0,
    answer_mask=None,
    chunk: int = CHUNK,
) -> TokenStatistics:
    """`token_statistics` of lm_head(hidden), without ever holding more than a chunk of the logits.

    hidden: (batch, tokens + 1, width), the states before the output layer `lm_head`, a function (…, width) →
    (…, vocabulary). Only for models whose logits are exactly that (no soft cap, no scale after it).
    """
    if hidden.ndim != 3:
        raise InputError(
            "hidden",
            tuple(hidden.shape),
            "its shape must be (batch, tokens + 1, width)",
            "Give the last hidden states",
        )
    vocab_size = lm_head(hidden[:1, :1]).shape[-1]
    return _statistics(
        lambda rows, columns: lm_head(hidden[rows, columns]),
        (*hidden.shape[:2], vocab_size),
        hidden.device,
        token_ids,
        mask,
        rollouts,
        temperature,
        answer_mask,
        chunk,
    )


def _statistics(
    logits_of, shape, device, token_ids, mask, rollouts, temperature, answer_mask, chunk
) -> TokenStatistics:
    batch, vocab_size = shape[0], shape[2]
    token_ids = torch.as_tensor(token_ids, device=device)
    mask = (
        torch.ones_like(token_ids, dtype=torch.bool)
        if mask is None
        else torch.as_tensor(mask, device=device).bool()
    )
    _check(shape, token_ids, mask, rollouts, temperature)
    tokens = token_ids.shape[1]
    found = torch.zeros((4, batch, tokens), device=device)
    buffers = torch.empty((2, max(vocab_size, min(chunk, batch * tokens * vocab_size))), device=device)
    for rows, columns in _chunks(mask.cpu(), max(1, chunk // vocab_size)):
        found[:, rows, columns] = _reduce(
            logits_of(rows, columns), token_ids[rows, columns], temperature, buffers
        )
    log_prob, entropy, uniform, gap = torch.where(mask, found, 0.0).reshape(
        4, batch // rollouts, rollouts, tokens
    )

    def grouped(table):
        return None if table is None else torch.as_tensor(table, device=device).bool().reshape(log_prob.shape)

    return TokenStatistics(
        mask=grouped(mask),
        log_prob=log_prob,
        entropy=entropy,
        uniform_cross_entropy=uniform,
        gap=gap,
        vocab_size=vocab_size,
        answer_mask=grouped(answer_mask),
    )


def _check(shape, token_ids, mask, rollouts, temperature):
    if tuple(token_ids.shape) != (shape[0], shape[1] - 1):
        raise InputError(
            "token_ids",
            tuple(token_ids.shape),
            f"with logits (or states) for {tuple(shape[:2])} positions it must be {(shape[0], shape[1] - 1)}:"
            " each token is predicted by the position before it, the last position predicts none",
            "Give the model's output from the token before the first completion token to the last one",
        )
    if tuple(mask.shape) != tuple(token_ids.shape):
        raise InputError(
            "mask", tuple(mask.shape), f"its shape must be that of token_ids, {tuple(token_ids.shape)}"
        )
    if rollouts < 1 or shape[0] % rollouts:
        raise InputError(
            "rollouts",
            rollouts,
            f"a batch of {shape[0]} must hold whole groups",
            "Give the number of completions a prompt has",
        )
    if not temperature > 0:
        raise InputError(
            "temperature", temperature, "it must be greater than zero", "Give the sampling temperature"
        )


def _chunks(mask, limit: int) -> Iterator[tuple[slice, slice]]:
    """(rows, columns) that cover every true entry: whole sequences while they fit into `limit` tokens, else
    parts of one.
    """
    width = mask.shape[1]
    together = max(1, limit // max(1, width))
    for start in range(0, mask.shape[0], together):
        rows = slice(start, start + together)
        used = mask[rows].any(0).nonzero()[:, 0]
        if len(used):
            first, last = int(used[0]), int(used[-1]) + 1
            step = max(limit, 1) if together == 1 else last - first
            yield from ((rows, slice(at, min(at + step, last))) for at in range(first, last, step))


def _reduce(logits, token_ids, temperature, buffers):
    """(4, …) of one chunk: with d = (x − max x) / T and p = softmax(d), log Z = −log max p, and log p_v = d_v
    − log Z.
    """
    below, probs = (buffer[: logits.numel()].view(-1, logits.shape[-1]) for buffer in buffers)
    blocks = _Blocks(logits)
    if logits.dtype == below.dtype:
        torch.sub(logits, blocks.top, out=below.view(logits.shape))
    else:
        below.view(logits.shape).copy_(logits).sub_(blocks.top)
    if temperature != 1:
        below.mul_(1 / temperature)
    torch.softmax(below, -1, out=probs)
    first, second = blocks.two_largest(probs)
    log_z = -first.log()
    log_prob = below.gather(1, token_ids.reshape(-1, 1))[:, 0] - log_z
    mean_below = below.mean(1)
    weighted = probs.mul_(below).sum(1)
    if not torch.isfinite(mean_below).all():
        mean_below = torch.maximum(below, IMPOSSIBLE + log_z[:, None]).mean(1)
        weighted = torch.where(below > -torch.inf, probs, 0.0).sum(1)
        log_prob = log_prob.clamp(min=IMPOSSIBLE)
    return torch.stack(
        [log_prob, (log_z - weighted).clamp(min=0.0), log_z - mean_below, first - second]
    ).view(4, *token_ids.shape)


class _Blocks:
    """The vocabulary in blocks, so that the two largest numbers cost one vectorised pass: they lie in the two
    blocks of largest maximum.
    """

    def __init__(self, logits):
        self.whole = logits.shape[-1] // _BLOCK * _BLOCK
        self.simple = self.whole < 4 * _BLOCK
        if self.simple:
            self.top = logits.amax(-1, keepdim=True).float()
            return
        largest = logits[..., : self.whole].unflatten(-1, (-1, _BLOCK)).amax(-1)
        self.best = largest.topk(2, -1).indices.flatten(0, -2)
        self.top = largest.amax(-1, keepdim=True).float()
        if self.whole < logits.shape[-1]:
            self.top = torch.maximum(self.top, logits[..., self.whole :].amax(-1, keepdim=True))

    def two_largest(self, probs):
        """Largest and second largest of each row of `probs`, which must be ordered as the logits are."""
        candidates = probs
        if not self.simple:
            rows = torch.arange(len(probs), device=probs.device)[:, None]
            inside = probs[:, : self.whole].unflatten(1, (-1, _BLOCK))[rows, self.best].flatten(1)
            candidates = torch.cat([inside, probs[:, self.whole :]], 1)
        if candidates.shape[1] == 1:
            return candidates[:, 0].clone(), torch.zeros_like(candidates[:, 0])
        return candidates.topk(2, 1).values.unbind(1)
