"""How sequences of a model can be put into one batch without changing the probability of any token.

Padding inside a sequence shifts a sliding window and a distance that is counted in slots (ALiBi); padding in front of
it reaches the state of a recurrent model; some caches cannot be reordered, and some models have none. What a model
gets right is seen by comparing with plain forward passes once, on short sequences; what only long sequences show is
read from its config.
"""

import random
import weakref
from enum import IntEnum

import torch

from llm_bridge.models.prompt_ids import embedded_tokens, padding_id
from llm_bridge.sampling.rows import EqualRows, PaddedRows, PlainRows, evaluating, plain_logits, prefix_cache
from sharpening.errors import InputError


class Batching(IntEnum):
    """Ways to run sequences together, the cheapest first; each needs less of the model than the one before.

    SHARED: a common prefix once, padding between it and the rest. LEFT: padding in front. EQUAL: sequences of one
    length, with a cache. PLAIN: sequences of one length, without a cache. ALONE: one prompt at a time, by the model's
    own `generate`; for prompts with images alone (`llm_bridge.sampling.seeing`).
    """

    SHARED = 0
    LEFT = 1
    EQUAL = 2
    PLAIN = 3
    ALONE = 4


HEAD, GAP, ROOM = 6, 23, 34
"""Of the sequences compared: the common prefix, by how much they differ in length, and the longest's length."""
_verified: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_reached: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def batching(model, tokenizer, lengths, new_tokens: int) -> Batching:
    """The cheapest way that is right for sequences of these prompt lengths followed by up to `new_tokens` tokens.

    What the model gets right is looked at once a model, with a few forward passes over about 35 tokens, which no
    count of positions includes.

    Raises: InputError for sequences that the model cannot run, or to which it gives no fixed probability.
    """
    longest = max(lengths) + new_tokens
    with evaluating(model):
        _check_length(model, min(lengths), max(lengths), new_tokens)
        reach = attention_reach(model.config)
        return _first_right(model, tokenizer, padded=reach is None or longest <= reach)


def attention_reach(config) -> int | None:
    """The smallest window or chunk, in slots, that an attention layer is limited to; None where none is."""
    data = config.get_text_config().to_dict()
    kinds = data.get("layer_types")
    if kinds and set(kinds) == {"full_attention"}:
        return None
    found = [
        size
        for name, value in data.items()
        if ("window" in name or "chunk" in name) and "layers" not in name
        for size in (value if isinstance(value, list | tuple) else [value])
        if isinstance(size, int) and not isinstance(size, bool) and size > 0
    ]
    return min(found, default=None)


def _check_length(model, shortest, longest, new_tokens):
    config, total = model.config.get_text_config(), longest + new_tokens
    kind, fixed = _changing_rope(config)
    if kind is not None and total > fixed and (kind == "dynamic" or shortest <= fixed):
        raise InputError(
            "prompts",
            f"up to {total} tokens with their completions",
            f"beyond {fixed} tokens this model's rotary frequencies change with the length of the sequence, so that"
            " the probability of a token is not fixed",
            "Use shorter prompts or fewer new tokens",
        )
    limit = getattr(config, "max_position_embeddings", None)
    # The last token drawn is not run.
    needed = longest + max(0, new_tokens - 1)
    if not isinstance(limit, int) or needed <= max(limit, _reached.get(model, 0)):
        return
    try:
        plain_logits(model, torch.zeros((1, needed), dtype=torch.long))
    except (IndexError, RuntimeError, ValueError) as error:
        raise InputError(
            "prompts",
            f"up to {needed} tokens with their completions",
            f"this model has positions for {limit}",
            "Use shorter prompts or fewer new tokens",
        ) from error
    _reached[model] = needed


def _changing_rope(config) -> tuple[str | None, int]:
    """The kind of rotary embedding whose frequencies depend on the sequence's length, and the length up to which they
    do not.
    """
    limit = getattr(config, "max_position_embeddings", None) or 0
    ropes = [
        entry for name in ("rope_parameters", "rope_scaling") for entry in _dicts(getattr(config, name, None))
    ]
    for rope in ropes:
        kind = rope.get("rope_type", rope.get("type"))
        if kind in ("dynamic", "longrope"):
            original = rope.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", None
            )
            return kind, original or limit
    return None, 0


def _dicts(entry):
    if isinstance(entry, dict):
        yield entry
        for inner in entry.values():
            yield from _dicts(inner)


def _first_right(model, tokenizer, padded: bool) -> Batching:
    """The first way that gives the logits of plain forward passes; each is looked at once a model, when it is asked
    for.
    """
    known, check = _verified.setdefault(model, {}), None
    first = Batching.SHARED if padded else Batching.EQUAL
    for way in Batching:
        if way < first or way == Batching.ALONE:
            continue
        if way not in known:
            check = check or _Check(model, tokenizer)
            known[way] = check.right(way)
        if known[way]:
            return way
    raise InputError(
        "model",
        type(model).__name__,
        "sequences of one length in one batch get other logits than each alone, so nothing can be sampled from it",
        "Use another model",
    )


class _Check:
    """Sequences of ordinary tokens, and whether a way of running them gives the logits of plain forward passes.

    Raises: InputError for a model whose logits depend on what follows.
    """

    PARENTS = ((0, 1, 0), (2, 0), (0, 1))

    def __init__(self, model, tokenizer):
        self.model, self.pad, self.seen = model, padding_id(tokenizer), []
        size = min(len(tokenizer), embedded_tokens(model))
        special = {*tokenizer.all_special_ids, self.pad}
        pool = [token for token in range(size) if token not in special] or list(range(size))
        limit = getattr(model.config.get_text_config(), "max_position_embeddings", None) or ROOM
        room = max(HEAD + 2, min(ROOM, limit) - len(self.PARENTS))
        draw = random.Random(0)
        self.long = draw.choices(pool, k=room)
        self.short = self.long[:HEAD] + draw.choices(pool, k=max(1, room - HEAD - GAP))
        self.other = draw.choices(pool, k=room)
        self.tokens = [draw.choices(pool, k=len(parents)) for parents in self.PARENTS]
        # A padding token that was drawn is a token like any other; some models count positions without it.
        self.tokens[0][0] = min(self.pad, size - 1)
        # What another context changes: a difference far below it is rounding.
        mirrored = [*reversed(self.short[:-1]), self.short[-1]]
        here, there = (self._plain(ids)[-1] for ids in (self.short, mirrored))
        rounding = 8 * torch.finfo(model.dtype).eps * here.abs().max()
        self.tolerance = (rounding + 2e-3 * (here - there).abs().max()).item()
        self._looks_back_only()

    def _plain(self, ids):
        return plain_logits(self.model, torch.tensor([ids]))[0]

    def _looks_back_only(self) -> None:
        """Raise InputError if a longer sequence changes what the model says of a token."""
        whole = self._plain(self.long)
        for length in {HEAD + 1, len(self.long) // 2, len(self.long) - 1}:
            if (whole[length - 1] - self._plain(self.long[:length])[-1]).abs().max() > self.tolerance:
                raise InputError(
                    "model",
                    type(self.model).__name__,
                    "what it says of a token depends on the tokens after it, so completions have no fixed probability",
                    "Give another causal (decoder-only) language model",
                )

    def right(self, way: Batching) -> bool:
        """Whether that way of running them agrees with plain forward passes."""
        if way == Batching.SHARED:
            return self._padded(0) and self._padded(HEAD)
        if way == Batching.LEFT:
            return self._padded(0)
        pair, kind = (self.long, self.other), EqualRows if way == Batching.EQUAL else PlainRows
        return self._agree(lambda: kind(self.model, pair), pair)

    def _padded(self, prefix: int) -> bool:
        """Whether padding is right behind a common prefix of that length, or in front of all."""
        pair = (self.short, self.long)

        def start():
            shared = prefix_cache(self.model, self.short[:prefix]) if prefix else None
            return PaddedRows(self.model, [ids[prefix:] for ids in pair], self.pad, prefix, shared)

        return self._agree(start, pair)

    def _agree(self, start, sequences) -> bool:
        """Whether the rows that `start` makes of the sequences, and two steps on from them, agree."""
        try:
            rows, found = start(), []
            for parents, tokens in zip(self.PARENTS, self.tokens, strict=True):
                found.append(rows.logits.cpu())
                rows.extend(torch.tensor(parents), torch.tensor(tokens))
            found.append(rows.logits.cpu())
        # A way that a model does not know fails in ways of its own.
        except Exception:
            return False
        grown, steps = [list(ids) for ids in sequences], [sequences]
        for parents, tokens in zip(self.PARENTS, self.tokens, strict=True):
            grown = [[*grown[parent], token] for parent, token in zip(parents, tokens, strict=True)]
            steps.append(grown)
        # The longest first: they hold what the shorter ones ask for.
        return all(
            torch.allclose(logits[row], self._next(ids), rtol=0, atol=self.tolerance)
            for logits, step in zip(reversed(found), reversed(steps), strict=True)
            for row, ids in enumerate(step)
        )

    def _next(self, ids):
        """Logits after these tokens, from a plain pass over them or over a sequence that begins with them."""
        for whole, logits in self.seen:
            if whole[: len(ids)] == ids:
                return logits[len(ids) - 1]
        self.seen.append((ids, self._plain(ids)))
        return self.seen[-1][1][-1]
