"""Processes that train together: what each of them says, what the first decides, and forward passes of sharded
weights that all take together.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
from torch.distributed.tensor import DTensor

from llm_bridge.sampling.rows import evaluating


def share() -> tuple[int, int]:
    """(the number of this process, how many there are)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def at_first(value) -> list | None:
    """What every process hands in, in their order, at the first process; None at the others."""
    rank, count = share()
    if count == 1:
        return [value]
    found: list | None = [None] * count if rank == 0 else None
    dist.gather_object(value, found)
    return found


def from_first(value):
    """What the first process hands in, at every process."""
    if share()[1] == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


@dataclass
class Attempt:
    """What a piece of work gave, or the exception that ended it."""

    value: Any = None
    error: Exception | None = None

    @classmethod
    def of(cls, work: Callable, *arguments) -> "Attempt":
        try:
            return cls(work(*arguments))
        except Exception as error:
            return cls(error=error)


def sharding(model) -> str | None:
    """By what the weights of a model are cut into parts that other processes hold: "FSDP2", "FSDP1", "ZeRO-3",
    "tensors" (tensor parallelism and its like); None for whole weights.
    """
    modules = list(model.modules())
    if any(isinstance(module, FullyShardedDataParallel) for module in modules):
        return "FSDP1"
    weights = list(model.parameters())
    if any(hasattr(weight, "ds_id") for weight in weights):
        return "ZeRO-3"
    # A group of FSDP2 that has gathered its weights shows whole ones.
    if any(isinstance(module, FSDPModule) for module in modules):
        return "FSDP2"
    return "tensors" if any(isinstance(weight, DTensor) for weight in weights) else None


def own_prompts(model) -> tuple[int, int]:
    """The share of prompts that this process evaluates, (i, n) for each n-th from i on: all where processes must see
    the same input.
    """
    rank, count = share()
    kind = sharding(model)
    if kind == "tensors" or (kind == "FSDP2" and not _over_all(model, count)):
        return 0, 1
    return rank, count


def _over_all(model, count: int) -> bool:
    """Whether weights are sharded over all processes, along one axis."""
    reshard(model)
    meshes = [weight.device_mesh for weight in model.parameters() if isinstance(weight, DTensor)]
    return all(mesh.ndim == 1 and mesh.size() == count for mesh in meshes)


def reshard(model) -> None:
    """Drop the whole weights that FSDP2 has gathered for a forward pass and kept."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


@contextlib.contextmanager
def in_step(model) -> Iterator[None]:
    """Inside, a process may run forward passes of `model` as many and as long as it needs, and may fail between them.

    A forward pass of sharded weights takes all processes. So each is preceded by the question who still works,
    and whoever has finished, or has failed, runs passes over one token until nobody does. A pass that fails in
    the middle cannot be helped: the others wait for it.
    """
    if share()[1] == 1 or sharding(model) is None:
        yield
        return

    def beat(*_):
        # Whether a group is still gathered must not depend on what a process did since its last pass.
        reshard(model)
        if working:
            _any_works(True)

    working, asked = [True], model.register_forward_pre_hook(beat, prepend=True)
    try:
        yield
    finally:
        working.clear()
        with evaluating(model):
            while _any_works(False):
                model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device), use_cache=False)
        asked.remove()
        reshard(model)


def _any_works(works: bool) -> bool:
    backend = str(dist.get_backend())
    device = torch.device("cpu") if "gloo" in backend else torch.accelerator.current_accelerator()
    told = torch.tensor([int(works)], device=device)
    dist.all_reduce(told, op=dist.ReduceOp.MAX)
    return bool(told.item())
