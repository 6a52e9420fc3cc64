"""Sequences that grow by one token at a time, and the logits of their next tokens: with a key-value cache and padding,
with a cache alone, or with neither.

Each kind has `logits`, (rows, vocabulary) float32 on the model's device, `positions`, what it ran through the network so far, and
`extend(parent, token)`: row i becomes row parent[i] followed by token[i].
"""

import contextlib
import copy
import inspect

import torch

from llm_bridge.models.vision import joined, placed

CACHES = ("past_key_values", "cache_params")
"""What models call their cache, as an argument and in their output."""


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


def last_logits_only(model, keep: int = 1) -> dict:
    """The option that makes a model compute the logits of its last `keep` positions alone, if it has one."""
    return {"logits_to_keep": keep} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}


def prefix_cache(model, prefix):
    """The cache of one sequence of token ids."""
    ids = torch.tensor([prefix], device=model.device)
    return model(input_ids=ids, use_cache=True, **last_logits_only(model)).past_key_values


class PaddedRows:
    """Sequences of any length in one batch with one cache: `prefix` tokens that all share (their cache is given), then
    padding, which the mask hides, then each sequence's own tokens. Images are run once, with these; from then on the
    cache holds them.
    """

    def __init__(self, model, suffixes, pad: int, prefix: int = 0, shared=None):
        self.model, self.options = model, last_logits_only(model)
        count, width = len(suffixes), max(map(len, suffixes))
        ids = torch.full((count, width), pad)
        self.mask = torch.zeros((count, prefix + width), dtype=torch.long)
        self.mask[:, :prefix] = 1
        for row, suffix in enumerate(suffixes):
            ids[row, width - len(suffix) :] = torch.tensor(suffix)
            self.mask[row, prefix + width - len(suffix) :] = 1
        cache = copy.deepcopy(shared)
        if cache is not None:
            cache.batch_repeat_interleave(count)
        seen = joined(suffixes, model, width)
        # The prefix ends where the first image begins, so it shifts what follows by its length.
        places, later = placed(model, ids, self.mask[:, prefix:], seen)
        self._run(ids, places + prefix, cache, **seen)
        self.positions, self.place = count * width, self.mask.sum(1) + later[:, 0]

    def extend(self, parent, token) -> None:
        self.cache.batch_select_indices(parent.to(self.model.device))
        ones = torch.ones((len(parent), 1), dtype=torch.long)
        self.mask = torch.cat([self.mask[parent], ones], 1)
        self.place = self.place[parent]
        self._run(token[:, None], self.place[:, None], self.cache)
        self.place = self.place + 1
        self.positions += len(parent)

    def _run(self, ids, position_ids, cache, **seen):
        device = self.model.device
        output = self.model(
            input_ids=ids.to(device),
            attention_mask=self.mask.to(device),
            position_ids=position_ids.to(device),
            past_key_values=cache,
            use_cache=True,
            **self.options,
            **seen,
        )
        self.logits, self.cache = output.logits[:, -1].float(), output.past_key_values


class EqualRows:
    """Sequences of one length with one cache and no padding, so that no mask and no positions are needed."""

    def __init__(self, model, sequences):
        self.model, self.options = model, last_logits_only(model)
        takes = inspect.signature(model.forward).parameters
        self.name = next((name for name in CACHES if name in takes), CACHES[0])
        self._run(torch.tensor(sequences), {})
        self.positions = len(sequences) * len(sequences[0])

    def extend(self, parent, token) -> None:
        # Not every layer of a cache knows how to select rows; reordering, for beam search, can do the same.
        known = all(hasattr(layer, "batch_select_indices") for layer in self.cache.layers)
        select = self.cache.batch_select_indices if known else self.cache.reorder_cache
        select(parent.to(self.model.device))
        self._run(token[:, None], {self.name: self.cache})
        self.positions += len(parent)

    def _run(self, ids, cache):
        output = self.model(input_ids=ids.to(self.model.device), use_cache=True, **cache, **self.options)
        self.logits, self.cache = output.logits[:, -1].float(), getattr(output, self.name)


class PlainRows:
    """Sequences of one length without any cache: every step runs them from their first token on."""

    def __init__(self, model, sequences):
        self.model, self.positions, self.options = model, 0, last_logits_only(model)
        self._run(torch.tensor(sequences))

    def extend(self, parent, token) -> None:
        self._run(torch.cat([self.ids[parent], token[:, None]], 1))

    def _run(self, ids):
        self.ids = ids
        self.logits = plain_logits(self.model, ids, **self.options)[:, -1]
        self.positions += ids.numel()


def plain_logits(model, ids, **options) -> torch.Tensor:
    """Float32 logits (rows, positions, vocabulary) of sequences without padding or cache, on the CPU."""
    return model(input_ids=ids.to(model.device), use_cache=False, **options).logits.float().cpu()
