"""The processes of one measured run: they share the prompts of every step, and the first alone writes."""

import os
from collections.abc import Callable, Sequence

import numpy as np

from llm_bridge.console.launch import process
from llm_bridge.training.ranks import Attempt, at_first, from_first
from sharpening.errors import InputError

SHARDED = ("ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_MEGATRON_LM")


class Team:
    """rank: the number of this process; count: how many there are. Alone, every method does its work at once."""

    def __init__(self, rank: int = 0, count: int = 1):
        self.rank, self.count = rank, count

    @classmethod
    def of(cls, settings) -> "Team":
        """The processes that a launcher started, connected.

        Raises: InputError where a step's prompts cannot be shared out evenly, and where the launcher shards weights.
        """
        rank, count = process()
        if count == 1:
            return cls()
        wordings = 2 if settings.asks_rephrasings else 1
        if settings.prompts_per_step % (count * wordings):
            raise InputError(
                "prompts_per_step",
                settings.prompts_per_step,
                f"{count} processes share the prompts of a step, the same number each"
                + (", with their rephrasings" if wordings > 1 else ""),
                f"Use a multiple of {count * wordings}",
            )
        for name in SHARDED:
            if os.environ.get(name, "").lower() in ("1", "true"):
                raise InputError(
                    name,
                    os.environ[name],
                    "a measured run keeps whole weights in every process, to sample from them",
                    "Launch with accelerate's MULTI_GPU (TRL's multi_gpu.yaml), or train with a script of your own"
                    " and CollapseMonitor",
                )
        import torch
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())
        return cls(rank, count)

    @property
    def first(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def first_does(self, work: Callable):
        """What `work` gives at the first process, at every process; its exception is raised by all."""
        if self.count == 1:
            return work()
        done = from_first(Attempt.of(work) if self.first else None)
        if done.error is not None:
            # Every process stops, and one of them says why.
            done.error.told_by_first = not self.first
            raise done.error
        return done.value

    def sums(self, numbers: Sequence[int]) -> list[int]:
        """Sums over the processes, at every process; all have come so far by then."""
        if self.count == 1:
            return list(numbers)
        found = at_first(list(numbers))
        return from_first([sum(column) for column in zip(*found, strict=True)] if found else None)

    def any(self, flag: bool) -> bool:
        """Whether it is true at one of the processes, at every process."""
        return bool(self.sums([int(flag)])[0])

    def wait(self) -> None:
        """Until all have come so far."""
        self.sums([0])

    def seed(self, seed: int) -> int:
        """The seed of what this process draws: the run's own at the first, so that one process draws as ever."""
        if self.first:
            return seed
        return int(np.random.SeedSequence([seed, self.rank]).generate_state(1)[0] >> 1)
