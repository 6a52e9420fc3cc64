"""Generators whose draws depend on what they are for, never on history."""

import numpy as np
import torch


def seeded(*parts: int) -> torch.Generator:
    """A CPU generator whose seed is derived from `parts` (run seed, step, purpose), so that no draw depends
    on history.
    """
    return torch.Generator().manual_seed(
        int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
    )
