"""Sample completions with a Hugging Face causal LM, computing nothing twice that several rollouts share.

`model.generate(num_return_sequences=R)` runs every prompt R times. Here a prefix common to all prompts is run
once, each prompt's own tokens once, and from there on each *distinct* continuation once: rollouts of one
prompt that have drawn the same tokens so far share one row of the cache, from which each draws its next token
independently. The law of the completions is unchanged: that of a plain forward pass over each sequence alone. Where
padding or a cache would change it (`llm_bridge.sampling.batching`), less is shared.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from llm_bridge.console.heartbeat import beat
from llm_bridge.models.prompt_ids import check_tokens, padding_id, prompt_token_ids
from llm_bridge.models.stop_strings import before_stop, stop_strings
from llm_bridge.models.vision import image_token, images_of, joined, placed, without_first
from llm_bridge.sampling.batching import Batching, batching
from llm_bridge.sampling.forward import plain_sequence_log_probs
from llm_bridge.sampling.rows import (
    EqualRows,
    PaddedRows,
    PlainRows,
    evaluating,
    last_logits_only,
    prefix_cache,
)
from llm_bridge.sampling.seeing import generated, shares_images
from sharpening.errors import InputError

LOGITS = 2**24
"""Logits from which tokens are drawn at once: 128 MiB in float64."""


@dataclass
class Rollouts:
    """Completions of several prompts: `token_ids[p][r]` without padding (end-of-sequence token kept), texts
    without special tokens, up to the first stop string.

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

    def truncated(self, model, tokenizer) -> list[list[bool]]:
        """Which completions were cut off at the length limit, (prompts, rollouts)."""
        return cut_off(self.token_ids, model, tokenizer)


def end_token_ids(model, tokenizer) -> list[int]:
    """The tokens that end a completion, from the generation config and the tokenizer."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    configured = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in [*configured, tokenizer.eos_token_id] if token is not None})


def cut_off(token_ids, model, tokenizer) -> list[list[bool]]:
    """Which completions, (prompts, rollouts) lists of tokens, do not end in an end or padding token, as TRL
    tells them, nor at a stop string.
    """
    ends, stops = {*end_token_ids(model, tokenizer), tokenizer.pad_token_id}, stop_strings(model)

    def cut(ids):
        return not ids or (ids[-1] not in ends and not (stops and stopped(tokenizer, ids, stops)))

    return [[cut(ids) for ids in group] for group in token_ids]


def stopped(tokenizer, ids, stops) -> bool:
    """Whether one of the stop strings is in the text of these tokens."""
    text = tokenizer.decode(ids, skip_special_tokens=True)
    return any(stop in text for stop in stops)


class _Stops:
    """Which growing completions have just written a stop string. Only their last tokens are decoded at every step."""

    def __init__(self, tokenizer, stops):
        self.tokenizer, self.stops = tokenizer, tuple(stops)
        # A token that is not skipped stands for one byte at least; a few more, for one that spans the beginning.
        self.reach = max((len(stop.encode()) for stop in self.stops), default=0) + 8

    def __call__(self, completions) -> list[bool]:
        """completions: lists of token ids."""
        tails = self.tokenizer.batch_decode(
            [ids[-self.reach :] for ids in completions], skip_special_tokens=True
        )
        return [
            any(stop in tail for stop in self.stops) and stopped(self.tokenizer, ids, self.stops)
            for ids, tail in zip(completions, tails, strict=True)
        ]


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
    stop=None,
):
    """Draw `rollouts` completions of each prompt (one, the likeliest token at each step, with `greedy`).

    The law is that of `generate(do_sample=True, temperature=temperature, top_k=0, top_p=1)`. `generator` (a
    CPU torch.Generator) makes it reproducible and leaves the global random state alone. `chunk` bounds the
    sequences in memory at once. A prompt is a text, a chat (`llm_bridge.models.prompt_ids`) or a list of token ids.
    `stop`: texts that end a completion with the token that completes one of them; None takes those of the model's
    generation config.

    Raises: InputError for prompts that the model cannot continue, and a model that cannot be sampled.
    """
    for name, value in (("rollouts", rollouts), ("max_new_tokens", max_new_tokens), ("chunk", chunk)):
        if value < 1:
            raise InputError(name, value, "it must be at least 1")
    if not 0 < temperature < math.inf:
        raise InputError("temperature", temperature, "it must be greater than zero and finite")
    # A processor, as a trainer of a vision-language model has it, reads texts by its tokenizer.
    tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
    with evaluating(model):
        rollouts = 1 if greedy else rollouts
        prompt_ids = prompt_token_ids(tokenizer, prompts)
        check_tokens(model, prompt_ids)
        way = batching(model, tokenizer, list(map(len, prompt_ids)), max_new_tokens)
        if any(map(images_of, prompt_ids)) and not (
            way <= Batching.LEFT and shares_images(model, tokenizer, prompt_ids)
        ):
            way = Batching.ALONE
        # All at once, so that the size of a chunk changes no draw.
        shape = (max_new_tokens, len(prompt_ids), rollouts)
        uniforms = (
            torch.zeros(shape) if greedy else torch.rand(shape, generator=generator, dtype=torch.float64)
        )
        stop = stop_strings(model) if stop is None else tuple(stop)
        sampler = _Sampler(model, tokenizer, rollouts, max_new_tokens, temperature, greedy, stop)
        drawn: list = [None] * len(prompt_ids)
        if way == Batching.ALONE:
            positions = _each_alone(sampler, model, tokenizer, prompt_ids, uniforms, drawn)
        else:
            starts = _Starts(model, padding_id(tokenizer), prompt_ids, way, max(1, chunk // rollouts))
            for places, rows in starts:
                found = sampler.run(rows, len(places), uniforms[:, places].flatten(1))
                for place, *pair in zip(places, *found, strict=True):
                    drawn[place] = pair
                starts.positions += rows.positions
            positions = starts.positions
        token_ids, token_log_probs = [ids for ids, _ in drawn], [scores for _, scores in drawn]
        texts = [
            [before_stop(text, stop) for text in tokenizer.batch_decode(group, skip_special_tokens=True)]
            for group in token_ids
        ]
        written = sum(len(ids) for group in token_ids for ids in group)
        return Rollouts(prompt_ids, token_ids, texts, token_log_probs, positions, written)


def _each_alone(sampler, model, tokenizer, prompt_ids, uniforms, drawn) -> int:
    """Fill `drawn` by the model's own `generate`, one prompt at a time; the positions that were run."""
    positions = 0
    for place, ids in enumerate(prompt_ids):
        drawn[place] = generated(
            model,
            tokenizer,
            ids,
            rollouts=sampler.rollouts,
            max_new_tokens=sampler.max_new_tokens,
            temperature=sampler.temperature,
            greedy=sampler.greedy,
            ends=sampler.ends.tolist(),
            stop=sampler.stops.stops if sampler.stops else (),
            seed=int(2**53 * float(uniforms[0, place, 0])),
        )
        positions += sampler.rollouts * len(ids) + sum(map(len, drawn[place][0]))
    return positions


class _Starts:
    """The prompts in parts of at most `most`, run through the network: (their places in the list, rows).

    positions: what the common prefix cost; what the rows cost is added as they are done with.
    """

    def __init__(self, model, pad, prompt_ids, way, most):
        self.model, self.pad, self.prompt_ids, self.way, self.most = model, pad, prompt_ids, way, most
        self.positions = 0

    def __iter__(self) -> Iterator[tuple[list[int], PaddedRows | EqualRows | PlainRows]]:
        if self.way <= Batching.LEFT:
            yield from self._padded()
            return
        kind = EqualRows if self.way == Batching.EQUAL else PlainRows
        for length in sorted({len(ids) for ids in self.prompt_ids}):
            for places in self._parts([i for i, ids in enumerate(self.prompt_ids) if len(ids) == length]):
                yield places, kind(self.model, [self.prompt_ids[i] for i in places])

    def _padded(self):
        prefix = min(_common_prefix(self.prompt_ids), _before_images(self.model, self.prompt_ids))
        if prefix < 4 or len(self.prompt_ids) == 1 or self.way == Batching.LEFT:
            prefix = 0
        shared = prefix_cache(self.model, self.prompt_ids[0][:prefix]) if prefix else None
        self.positions += prefix
        for places in self._parts(list(range(len(self.prompt_ids)))):
            suffixes = [without_first(self.prompt_ids[i], prefix) for i in places]
            yield places, PaddedRows(self.model, suffixes, self.pad, prefix, shared)

    def _parts(self, places):
        return (places[start : start + self.most] for start in range(0, len(places), self.most))


class _Sampler:
    def __init__(self, model, tokenizer, rollouts, max_new_tokens, temperature, greedy, stop=()):
        self.rollouts, self.max_new_tokens = rollouts, max_new_tokens
        self.temperature, self.greedy = temperature, greedy
        self.ends = torch.tensor(end_token_ids(model, tokenizer))
        self.stops = _Stops(tokenizer, stop) if stop else None
        # A sampled image token would stand for an image that is not there; TRL suppresses it too.
        self.forbidden = image_token(model)

    def run(self, rows, count, uniforms):
        """One chunk of `count` prompts, the first rows: (token ids, their log-probabilities).

        uniforms: (max_new_tokens, prompts × rollouts), what each draw turns into a token.
        """
        # node[i]: the row from which rollout i draws; rows are prompts at first, then distinct continuations.
        node = torch.arange(count).repeat_interleave(self.rollouts)
        alive = torch.ones(len(node), dtype=torch.bool)
        columns, scores = [], []
        for step in range(self.max_new_tokens):
            token, score = self._draw(rows.logits, node[alive], uniforms[step, alive])
            column = torch.full_like(node, -1)
            column[alive] = token
            columns.append(column)
            beat("token", step + 1, self.max_new_tokens)
            scores.append(torch.zeros(len(node)).masked_scatter(alive, score))
            alive = alive & ~torch.isin(column, self.ends)
            if self.stops is not None and alive.any():
                written = torch.stack(columns, 1)[alive].tolist()
                alive = alive.masked_scatter(alive, ~torch.tensor(self.stops(written)))
            if step + 1 == self.max_new_tokens or not alive.any():
                break
            pairs = torch.stack([node[alive], column[alive]], 1)
            distinct, inverse = torch.unique(pairs, dim=0, return_inverse=True)
            node = node.masked_scatter(alive, inverse)
            rows.extend(distinct[:, 0], distinct[:, 1])
        tokens, table = torch.stack(columns, 1).tolist(), torch.stack(scores, 1).tolist()
        drawn = [[token for token in row if token >= 0] for row in tokens]
        scored = [row[: len(kept)] for row, kept in zip(table, drawn, strict=True)]
        groups = [slice(i * self.rollouts, (i + 1) * self.rollouts) for i in range(count)]
        return [drawn[group] for group in groups], [scored[group] for group in groups]

    def _draw(self, logits, node, uniforms):
        """One token for each rollout: (tokens, log-probabilities), on the CPU."""
        if self.forbidden is not None:
            logits = logits.clone()
            logits[:, self.forbidden] = -torch.inf
        if self.greedy:
            log_probs = (logits / self.temperature).log_softmax(-1)
            token = log_probs.argmax(-1)
            return token.cpu()[node], log_probs.gather(1, token[:, None])[:, 0].cpu()[node]
        return draw(logits, node, uniforms, self.temperature)


def draw(logits, node, uniforms, temperature: float = 1.0, most: int = LOGITS):
    """One token for each rollout, by inverse CDF in float64 from its node's distribution: (tokens,
    log-probabilities), on the CPU.

    logits (nodes, vocabulary), on any device, where all that is as long as the vocabulary stays; node, uniforms
    (rollouts,), on the CPU: the row from which each draws, and the number in 0..1 that picks its token. At most
    `most` logits are worked on at once, which changes nothing.
    """
    if logits.device.type == "mps":
        logits = logits.cpu()  # which has no float64
    # Rollouts of one node fill one row of `wanted`, so that each cumulative sum is searched once.
    order = node.argsort(stable=True)
    counts = torch.bincount(node, minlength=len(logits))
    slot = torch.arange(len(node)) - (counts.cumsum(0) - counts)[node[order]]
    wanted = torch.zeros((len(logits), int(counts.max())), dtype=torch.float64)
    wanted[node[order], slot] = uniforms[order]
    parts = zip(_blocks(logits, most), _blocks(wanted.to(logits.device), most, logits.shape[1]), strict=True)
    found = [_inverse_cdf(block, numbers, temperature) for block, numbers in parts]
    tokens, scores = (torch.cat(column).cpu()[node[order], slot] for column in zip(*found, strict=True))
    token, score = torch.empty_like(node), torch.empty(len(node), dtype=scores.dtype)
    token[order], score[order] = tokens, scores
    return token, score


def _blocks(table, most: int, width: int | None = None):
    """Rows in parts of at most `most` numbers, were each row `width` long; one row at least."""
    return table.split(max(1, most // (width or table.shape[1])))


def _inverse_cdf(logits, wanted, temperature: float):
    """(tokens, log-probabilities), each of wanted's shape, (nodes, draws of a node)."""
    log_probs = (logits / temperature).log_softmax(-1)
    cumulative = log_probs.double().exp().cumsum(-1)
    found = torch.searchsorted(cumulative, wanted * cumulative[:, -1:], right=True)
    found = found.clamp(max=logits.shape[1] - 1)
    return found, log_probs.gather(1, found)


def _before_images(model, prompt_ids) -> int:
    """Tokens in front of the first place that an image fills, in every prompt with images: beyond, the same tokens
    stand for different things.
    """
    image = image_token(model)
    places = [ids.index(image) if image in ids else 0 for ids in prompt_ids if images_of(ids)]
    return min(places, default=min(map(len, prompt_ids)))


def _common_prefix(prompt_ids) -> int:
    """Length in tokens of the prefix that all prompts share, leaving each at least one token of its own."""
    first, last = min(prompt_ids), max(prompt_ids)
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return min(shared, min(map(len, prompt_ids)) - 1)


def sequence_log_probs(
    model, tokenizer, prompt_ids, completion_ids, *, temperature=1.0, chunk=256
) -> torch.Tensor:
    """log π(completion | prompt) in nats for each (prompt, completion) pair of token lists; shape (pairs,).

    A prompt that occurs in several pairs of a chunk is run once, where the model allows it.

    Raises: InputError as `sample`.
    """
    with evaluating(model):
        pairs = list(zip(prompt_ids, completion_ids, strict=True))
        check_tokens(model, [[*prompt, *completion] for prompt, completion in pairs])
        lengths, tail = [len(prompt) for prompt, _ in pairs], max(len(c) for _, c in pairs)
        plain = batching(model, tokenizer, lengths, tail) > Batching.LEFT
        plain = plain or not shares_images(model, tokenizer, [prompt for prompt, _ in pairs])
        score = plain_sequence_log_probs if plain else _score
        return torch.cat(
            [
                score(model, tokenizer, pairs[start : start + chunk], temperature)
                for start in range(0, len(pairs), chunk)
            ]
        )


def _score(model, tokenizer, pairs, temperature):
    pad = padding_id(tokenizer)
    # The same tokens with other images are another prompt.
    first_of = {(tuple(prompt), images_of(prompt)): prompt for prompt, _ in reversed(pairs)}
    keys, prompts = list(first_of), list(first_of.values())
    owner = torch.tensor([keys.index((tuple(prompt), images_of(prompt))) for prompt, _ in pairs])
    width, tail = max(map(len, prompts)), max(len(completion) for _, completion in pairs)
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts])
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    continuation = torch.tensor([list(c) + [pad] * (tail - len(c)) for _, c in pairs])
    counted = torch.tensor([[1] * len(c) + [0] * (tail - len(c)) for _, c in pairs])
    device, seen = model.device, joined(prompts, model, width)
    places, later = placed(model, ids, mask, seen)
    first = model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=places.to(device),
        use_cache=True,
        **last_logits_only(model),
        **seen,
    )
    head = _picked(first.logits[:, -1].float()[owner.to(device)][:, None], continuation[:, :1], temperature)
    if tail > 1:
        cache = first.past_key_values
        cache.batch_select_indices(owner.to(device))
        # The last token of a completion predicts nothing that is asked for.
        mask = torch.cat([mask[owner], counted[:, :-1]], 1)
        position = mask.sum(1, keepdim=True) - counted[:, :-1].sum(1, keepdim=True) + torch.arange(tail - 1)
        position = position + later[owner]
        rest = model(
            input_ids=continuation[:, :-1].to(device),
            attention_mask=mask.to(device),
            position_ids=position.to(device),
            past_key_values=cache,
            use_cache=True,
        )
        head = torch.cat([head, _picked(rest.logits.float(), continuation[:, 1:], temperature)], 1)
    return torch.where(counted.bool(), head, 0.0).sum(1)


def _picked(logits, tokens, temperature: float, most: int = LOGITS):
    """Log-probabilities of these tokens, (sequences, positions), on the CPU; at most `most` logits at once."""
    step = max(1, most // max(1, logits[0].numel()))
    found = [
        (part / temperature).log_softmax(-1).gather(2, own.to(part.device)[..., None])[..., 0]
        for part, own in zip(logits.split(step), tokens.split(step), strict=True)
    ]
    return torch.cat(found).cpu()
