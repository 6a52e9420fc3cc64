"""Token ids of prompts with images, and what a model is given to see beside them."""

import inspect
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch

from llm_bridge.models.chat import Prompt, shown_messages
from sharpening.errors import InputError

KEPT = 2**28
"""Bytes of pixels that are kept for each processor; beyond, images are read and scaled again at every use."""
PER_TOKEN = ("token_type_ids", "mm_token_type_ids")
"""Fields of a processor that have one entry a token."""
PADDED = "pixel_attention_mask"
"""A processor that gives it fills up the images of a batch with zeros, which it masks, to one size and number a prompt."""
_kept: WeakKeyDictionary[Any, OrderedDict] = WeakKeyDictionary()


class SeenIds(list):
    """Token ids of a prompt with images: a list as any other, beside it `fields`, what the processor gives the model
    to see (such as `pixel_values`), by name, and `digests`, which images these are.

    `ids + more`, `after(n)`, all but the first n tokens, and `upto(n)`, these, keep the images; slices are plain lists.
    """

    fields: dict[str, torch.Tensor]
    digests: tuple[str, ...]

    def __init__(self, ids: Iterable[int], fields: dict[str, torch.Tensor], digests: Sequence[str]):
        super().__init__(ids)
        self.fields, self.digests = fields, tuple(digests)

    def __add__(self, more):
        def longer(row):
            return torch.cat([row, row.new_zeros(1, len(more))], 1)

        return SeenIds([*self, *more], self._along(longer), self.digests)

    def after(self, count: int) -> "SeenIds":
        return SeenIds(self[count:], self._along(lambda row: row[:, count:]), self.digests)

    def upto(self, count: int) -> "SeenIds":
        return SeenIds(self[:count], self._along(lambda row: row[:, :count]), self.digests)

    def _along(self, change) -> dict[str, torch.Tensor]:
        """The fields, those with one entry a token changed."""
        return {name: change(value) if name in PER_TOKEN else value for name, value in self.fields.items()}

    @property
    def bytes(self) -> int:
        return sum(field.numel() * field.element_size() for field in self.fields.values())


def images_of(ids) -> tuple[str, ...]:
    """Digests of the images that belong to token ids; none of a plain list."""
    return ids.digests if isinstance(ids, SeenIds) else ()


def without_first(ids, count: int):
    """The token ids but the first `count`, images kept."""
    return ids.after(count) if isinstance(ids, SeenIds) else ids[count:]


def seen_token_ids(prompt: Prompt) -> SeenIds:
    """What the prompt's processor makes of a rendered prompt with images, as TRL's GRPOTrainer has it made.

    Raises: InputError for messages and images that the processor refuses, and files that changed.
    """
    known = _kept.setdefault(prompt.processor, OrderedDict())
    key = (str(prompt), str(sorted(prompt.options.items())))
    if key in known:
        known.move_to_end(key)
        return known[key]
    found = _made(prompt)
    known[key] = found
    total = sum(one.bytes for one in known.values()) if found.bytes * len(known) > KEPT else 0
    while total > KEPT and len(known) > 1:
        total -= known.popitem(last=False)[1].bytes
    return found


def _made(prompt: Prompt) -> SeenIds:
    try:
        made = prompt.processor.apply_chat_template(
            [shown_messages(prompt)],
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            add_generation_prompt=True,
            **prompt.options,
        )
    except Exception as error:
        from llm_bridge.models.names import first_line

        raise InputError(
            "prompts",
            prompt.question[:80],
            f"the model's processor refuses it ({first_line(error)})",
            "Leave the prompt out, or give its images another size",
        ) from error
    fields = {name: value for name, value in made.items() if name not in ("input_ids", "attention_mask")}
    ids = made["input_ids"][0].tolist()
    return SeenIds(ids, fields, [picture.digest for picture in prompt.pictures])


def fit_together(prompts: Sequence) -> bool:
    """Whether what is to be seen beside these token ids can be put into one batch."""
    return same_shape(prompts) or all(PADDED in ids.fields for ids in prompts if isinstance(ids, SeenIds))


def same_shape(prompts: Sequence) -> bool:
    """Whether it can be without filling up one's images to the size and number of another's."""
    seen = [ids for ids in prompts if isinstance(ids, SeenIds)]
    return all(
        len({ids.fields[name].shape[1:] for ids in seen if name in ids.fields}) < 2
        for name in {name for ids in seen for name in ids.fields} - set(PER_TOKEN)
    )


def _one_shape(parts: list[torch.Tensor]) -> list[torch.Tensor]:
    """Tensors filled up with zeros behind, to the largest of them in every dimension but the first."""
    most = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    if all(list(part.shape[1:]) == most for part in parts):
        return parts
    found = []
    for part in parts:
        whole = part.new_zeros((part.shape[0], *most))
        whole[tuple(slice(size) for size in part.shape)] = part
        found.append(whole)
    return found


def joined(prompts: Sequence, model, head: int | None = None, tail: int = 0) -> dict[str, torch.Tensor]:
    """What a model is given to see beside a batch of these token ids, on its device; nothing for plain lists.

    head: tokens to which the prompts are padded on the left (None: those of the longest); tail: tokens behind them.

    Raises: ValueError where they do not `fit_together`.
    """
    seen = [ids for ids in prompts if isinstance(ids, SeenIds)]
    if not seen:
        return {}
    head = max(map(len, prompts)) if head is None else head
    if not fit_together(seen):
        raise ValueError("the images of some prompts differ in shape")
    names = {name for ids in seen for name in ids.fields}
    found = {}
    for name in sorted(names):
        if name in PER_TOKEN:
            rows = [_per_token(ids, name, head, tail) for ids in prompts]
            found[name] = torch.stack(rows).to(model.device)
            continue
        parts = [ids.fields[name] for ids in seen if name in ids.fields]
        value = torch.cat(_one_shape(parts))
        found[name] = value.to(model.device, model.dtype if value.is_floating_point() else None)
    return found


def _per_token(ids, name: str, head: int, tail: int) -> torch.Tensor:
    own = ids.fields[name][0] if isinstance(ids, SeenIds) and name in ids.fields else None
    row = torch.zeros(head + tail, dtype=torch.long if own is None else own.dtype)
    if own is not None:
        row[head - len(ids) : head] = own
    return row


def placed(model, ids: torch.Tensor, mask: torch.Tensor, seen: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """(positions of the tokens of a batch, by how much the position of a later token differs from how many stand before
    it, (rows, 1)). What a model counts where an image spans fewer positions than tokens (Qwen-VL: time, height and width,
    (3, rows, tokens)) it is asked; elsewhere the tokens that `mask` shows are counted, (rows, tokens).
    """
    plain, none = (mask.cumsum(1) - 1).clamp(min=0), mask.new_zeros(len(mask), 1)
    index = _own_positions(model) if seen else None
    if index is None:
        return plain, none
    takes = inspect.signature(index).parameters
    told = {name: value for name, value in seen.items() if name in takes}
    found, later = index(input_ids=ids.to(model.device), attention_mask=mask.to(model.device), **told)
    return found.cpu(), later.reshape(len(mask), 1).cpu()


def _own_positions(model):
    """How a model counts positions around images; None where it counts tokens."""
    return next((part.get_rope_index for part in model.modules() if hasattr(part, "get_rope_index")), None)


def image_token(model) -> int | None:
    """The token whose places in a prompt are filled by an image; None of a model that reads text alone."""
    for name in ("image_token_id", "image_token_index"):
        found = getattr(model.config, name, None)
        if isinstance(found, int):
            return found
    return None
