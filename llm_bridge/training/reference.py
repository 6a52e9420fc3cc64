"""The initial model, kept for comparison without a second model: the disabled adapter, or the weights that training
moves, on the CPU, put in and taken out again.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch.distributed.tensor import DTensor

from llm_bridge.sampling.forward import next_token_logits
from llm_bridge.training.ranks import reshard, sharding
from llm_bridge.training.twin import trained_parameters
from sharpening.errors import InputError


class InitialWeights:
    """What training moves of a model, as it was; nothing at all where an adapter that changes nothing yet can be
    switched off. Of a model whose weights are sharded each process keeps its own shards.

    weights: one CPU tensor a trained parameter; None with such an adapter.
    """

    def __init__(self, weights: list[torch.Tensor] | None):
        self.weights = weights

    @classmethod
    def of(cls, model, tokenizer, prompt_ids: list[int]) -> "InitialWeights":
        """Those of `model` now. prompt_ids: a text on which it is looked at whether an adapter changes anything.

        Raises: InputError for weights that are sharded by FSDP1 or by DeepSpeed ZeRO-3, unless an adapter moves.
        """
        if hasattr(model, "disable_adapter") and _adapter_is_neutral(model, tokenizer, prompt_ids):
            return cls(None)
        if (kind := sharding(model)) in ("FSDP1", "ZeRO-3"):
            raise InputError(
                "reference",
                True,
                f"weights that {kind} shards cannot be kept and put back",
                "Use FSDP2 or an adapter, pass reference=<the initial model>, or reference=False",
            )
        reshard(model)
        return cls([local(weight).detach().to("cpu", copy=True) for weight in trained_parameters(model)])

    @property
    def bytes(self) -> int:
        """What it holds."""
        return sum(weight.numel() * weight.element_size() for weight in self.weights or ())

    @contextlib.contextmanager
    def inside(self, model) -> Iterator[torch.nn.Module]:
        """The model, which inside the block is the initial one; afterwards it is what it was, bit for bit. One
        parameter at a time changes places with its copy, so nothing more is held.
        """
        if self.weights is None:
            with model.disable_adapter():
                yield model
            return
        reshard(model)
        mine = [local(weight) for weight in trained_parameters(model)]
        # All the memory that is needed, so that nothing can fail half-way.
        room = {weight.dtype: torch.empty(0, dtype=weight.dtype) for weight in self.weights}
        for weight in self.weights:
            if weight.numel() > room[weight.dtype].numel():
                room[weight.dtype] = torch.empty(weight.numel(), dtype=weight.dtype)
        try:
            self._exchange(mine, room)
            yield model
        finally:
            # What a forward pass has gathered is of the initial weights.
            reshard(model)
            self._exchange(mine, room)

    @torch.no_grad()
    def _exchange(self, mine: list[torch.Tensor], room: dict[torch.dtype, torch.Tensor]) -> None:
        for weight, kept in zip(mine, self.weights or (), strict=True):
            held = room[kept.dtype][: kept.numel()].view_as(kept)
            held.copy_(weight)
            weight.copy_(kept)
            kept.copy_(held)


def initially(reference, model) -> contextlib.AbstractContextManager:
    """The initial model: `reference` itself where it is a model, else `model` with its initial weights."""
    return (
        reference.inside(model)
        if isinstance(reference, InitialWeights)
        else contextlib.nullcontext(reference)
    )


def local(weight: torch.Tensor) -> torch.Tensor:
    """The part of a weight that this process holds."""
    return weight.to_local() if isinstance(weight, DTensor) else weight


def _adapter_is_neutral(model, tokenizer, prompt_ids: list[int]) -> bool:
    """Whether the logits of a text are the same without the adapter, up to rounding."""
    with_it = next_token_logits(model, tokenizer, [prompt_ids])
    with model.disable_adapter():
        without = next_token_logits(model, tokenizer, [prompt_ids])
    rounding = 8 * torch.finfo(model.dtype).eps * without.abs().max()
    return bool((with_it - without).abs().max() <= rounding)
