"""Sample completions with a Hugging Face causal LM, computing nothing twice that several rollouts share.

`model.generate(num_return_sequences=R)` runs every prompt R times. Here a prefix common to all prompts is run
once, each prompt's own tokens once, and from there on each *distinct* continuation once: rollouts of one
prompt that have drawn the same tokens so far share one row of the cache, from which each draws its next token
independently. The law of the completions is unchanged.
"""

import copy
import inspect
from dataclasses import dataclass

import torch


@dataclass
class Rollouts:
    """Completions of several prompts: `token_ids[p][r]` without padding (end-of-sequence token kept), texts
    without special tokens.

    token_log_probs[p][r]: log-probability of each of these tokens at the sampling temperature, in nats.
    forward_tokens counts positions run through the network; generated_tokens those that were sampled.
    """

    prompt_ids: list[list[int]]
    token_ids: list[list[list[int]]]
    texts: list[list[str]]
    token_log_probs: list[list[list[float]]]
    forward_tokens: int
    generated_tokens: int

    @property
    def log_probs(self) -> torch.Tensor:
        """Log-probability of each completion, (prompts, rollouts), in nats."""
        return torch.tensor([[sum(scores) for scores in group] for group in self.token_log_probs])

    @property
    def mean_length(self) -> float:
        """Mean completion length in tokens."""
        lengths = [len(ids) for group in self.token_ids for ids in group]
        return sum(lengths) / max(1, len(lengths))


def end_token_ids(model, tokenizer) -> list[int]:
    """The tokens that end a completion, from the generation config and the tokenizer."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    configured = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in [*configured, tokenizer.eos_token_id] if token is not None})


@torch.no_grad()
def sample(
    model,
    tokenizer,
    prompts,
    *,
    rollouts,
    max_new_tokens,
    temperature=1.0,
    generator=None,
    greedy=False,
    chunk=512,
):
    """Draw `rollouts` completions of each prompt (one, the likeliest token at each step, with `greedy`).

    The law is that of `generate(do_sample=True, temperature=temperature, top_k=0, top_p=1)`. `generator` (a
    CPU torch.Generator) makes it reproducible and leaves the global random state alone. `chunk` bounds the
    sequences in memory at once.
    """
    was_training = model.training
    model.eval()
    try:
        rollouts = 1 if greedy else rollouts
        prompt_ids = (
            [list(ids) for ids in tokenizer(list(prompts))["input_ids"]]
            if isinstance(prompts[0], str)
            else list(prompts)
        )
        prefix = _common_prefix(prompt_ids)
        prefix_cache, forward_tokens = None, 0
        if prefix >= 4 and len(prompt_ids) > 1:
            ids = torch.tensor([prompt_ids[0][:prefix]], device=model.device)
            prefix_cache = model(input_ids=ids, use_cache=True, **_last_logit_only(model)).past_key_values
            forward_tokens += prefix
        else:
            prefix = 0
        per_chunk = max(1, chunk // rollouts)
        sampler = _Sampler(model, tokenizer, rollouts, max_new_tokens, temperature, greedy)
        # All at once, so that the size of a chunk changes no draw.
        shape = (max_new_tokens, len(prompt_ids), rollouts)
        uniforms = (
            torch.zeros(shape) if greedy else torch.rand(shape, generator=generator, dtype=torch.float64)
        )
        token_ids, token_log_probs = [], []
        for start in range(0, len(prompt_ids), per_chunk):
            part = slice(start, start + per_chunk)
            ids, scores, used = sampler.run(
                [p[prefix:] for p in prompt_ids[part]], prefix, prefix_cache, uniforms[:, part].flatten(1)
            )
            token_ids += ids
            token_log_probs += scores
            forward_tokens += used
        texts = [tokenizer.batch_decode(group, skip_special_tokens=True) for group in token_ids]
        generated = sum(len(ids) for group in token_ids for ids in group)
        return Rollouts(prompt_ids, token_ids, texts, token_log_probs, forward_tokens, generated)
    finally:
        model.train(was_training)


class _Sampler:
    def __init__(self, model, tokenizer, rollouts, max_new_tokens, temperature, greedy):
        self.model, self.rollouts, self.max_new_tokens = model, rollouts, max_new_tokens
        self.temperature, self.greedy = temperature, greedy
        self.ends = torch.tensor(end_token_ids(model, tokenizer))
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.last_logit_only = _last_logit_only(model)

    def run(self, suffixes, prefix, prefix_cache, uniforms):
        """One chunk of prompts (their tokens after the common prefix): (token ids, their log-probabilities,
        positions run).

        uniforms: (max_new_tokens, prompts × rollouts), what each draw turns into a token.
        """
        count, width = len(suffixes), max(map(len, suffixes))
        ids = torch.full((count, width), self.pad)
        mask = torch.zeros((count, prefix + width), dtype=torch.long)
        mask[:, :prefix] = 1
        for row, suffix in enumerate(suffixes):
            ids[row, width - len(suffix) :] = torch.tensor(suffix)
            mask[row, prefix + width - len(suffix) :] = 1
        cache = None
        if prefix_cache is not None:
            cache = copy.deepcopy(prefix_cache)
            cache.batch_repeat_interleave(count)
        logits, cache = self._forward(ids, mask, (mask.cumsum(1) - 1).clamp(min=0)[:, prefix:], cache)
        forward_tokens = count * width
        position = mask.sum(1)
        # node[i]: the row of the cache from which rollout i draws; rows are prompts at first, then distinct
        # continuations.
        node = torch.arange(count).repeat_interleave(self.rollouts)
        alive = torch.ones(len(node), dtype=torch.bool)
        columns, scores = [], []
        for step in range(self.max_new_tokens):
            token, score = self._draw(logits, node[alive], uniforms[step, alive])
            column = torch.full_like(node, -1)
            column[alive] = token
            columns.append(column)
            scores.append(torch.zeros(len(node)).masked_scatter(alive, score))
            alive = alive & ~torch.isin(column, self.ends)
            if step + 1 == self.max_new_tokens or not alive.any():
                break
            pairs = torch.stack([node[alive], column[alive]], 1)
            distinct, inverse = torch.unique(pairs, dim=0, return_inverse=True)
            parent, token = distinct[:, 0], distinct[:, 1]
            node = node.masked_scatter(alive, inverse)
            cache.batch_select_indices(parent.to(self.model.device))
            mask = torch.cat([mask[parent], torch.ones((len(parent), 1), dtype=torch.long)], 1)
            position = position[parent]
            logits, cache = self._forward(token[:, None], mask, position[:, None], cache)
            position = position + 1
            forward_tokens += len(parent)
        tokens, table = torch.stack(columns, 1).tolist(), torch.stack(scores, 1).tolist()
        rows = [[token for token in row if token >= 0] for row in tokens]
        scored = [row[: len(kept)] for row, kept in zip(table, rows, strict=True)]
        groups = [slice(i * self.rollouts, (i + 1) * self.rollouts) for i in range(count)]
        return [rows[group] for group in groups], [scored[group] for group in groups], forward_tokens

    def _forward(self, ids, mask, position_ids, cache):
        device = self.model.device
        output = self.model(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            position_ids=position_ids.to(device),
            past_key_values=cache,
            use_cache=True,
            **self.last_logit_only,
        )
        return output.logits[:, -1].float().cpu(), output.past_key_values

    def _draw(self, logits, node, uniforms):
        """One token for each rollout, by inverse CDF from its node's distribution: (tokens,
        log-probabilities).
        """
        log_probs = (logits / self.temperature).log_softmax(-1)
        if self.greedy:
            token = log_probs.argmax(-1)[node]
            return token, log_probs[node, token]
        # Rollouts of one node fill one row of `wanted`, so that each cumulative sum is searched once.
        order = node.argsort(stable=True)
        counts = torch.bincount(node, minlength=len(logits))
        slot = torch.arange(len(node)) - (counts.cumsum(0) - counts)[node[order]]
        wanted = torch.zeros((len(logits), int(counts.max())), dtype=torch.float64)
        wanted[node[order], slot] = uniforms[order]
        cumulative = log_probs.double().exp().cumsum(-1)
        found = torch.searchsorted(cumulative, wanted * cumulative[:, -1:], right=True).clamp(
            max=logits.shape[1] - 1
        )
        token = torch.empty_like(node)
        token[order] = found[node[order], slot]
        return token, log_probs[node, token]


def _last_logit_only(model) -> dict:
    return {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}


def _common_prefix(prompt_ids) -> int:
    """Length in tokens of the prefix that all prompts share, leaving each at least one token of its own."""
    first, last = min(prompt_ids), max(prompt_ids)
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return min(shared, min(map(len, prompt_ids)) - 1)


@torch.no_grad()
def sequence_log_probs(
    model, tokenizer, prompt_ids, completion_ids, *, temperature=1.0, chunk=256
) -> torch.Tensor:
    """log π(completion | prompt) in nats for each (prompt, completion) pair of token lists; shape (pairs,).

    A prompt that occurs in several pairs of a chunk is run once.
    """
    was_training = model.training
    model.eval()
    try:
        pairs = list(zip(prompt_ids, completion_ids, strict=True))
        return torch.cat(
            [
                _score(model, tokenizer, pairs[start : start + chunk], temperature)
                for start in range(0, len(pairs), chunk)
            ]
        )
    finally:
        model.train(was_training)


def _score(model, tokenizer, pairs, temperature):
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    prompts = list(dict.fromkeys(tuple(prompt) for prompt, _ in pairs))
    owner = torch.tensor([prompts.index(tuple(prompt)) for prompt, _ in pairs])
    width, tail = max(map(len, prompts)), max(len(completion) for _, completion in pairs)
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    continuation = torch.tensor([list(c) + [pad] * (tail - len(c)) for _, c in pairs])
    counted = torch.tensor([[1] * len(c) + [0] * (tail - len(c)) for _, c in pairs])
    device = model.device
    first = model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=(mask.cumsum(1) - 1).clamp(min=0).to(device),
        use_cache=True,
        **_last_logit_only(model),
    )
    logits = first.logits[:, -1:].float().cpu()[owner]
    if tail > 1:
        cache = first.past_key_values
        cache.batch_select_indices(owner.to(device))
        # The last token of a completion predicts nothing that is asked for.
        mask = torch.cat([mask[owner], counted[:, :-1]], 1)
        position = mask.sum(1, keepdim=True) - counted[:, :-1].sum(1, keepdim=True) + torch.arange(tail - 1)
        rest = model(
            input_ids=continuation[:, :-1].to(device),
            attention_mask=mask.to(device),
            position_ids=position.to(device),
            past_key_values=cache,
            use_cache=True,
        )
        logits = torch.cat([logits, rest.logits.float().cpu()], 1)
    log_probs = (logits / temperature).log_softmax(-1).gather(2, continuation[..., None])[..., 0]
    return torch.where(counted.bool(), log_probs, 0.0).sum(1)
