"""The gate of shapes: a wrong one is caught where an array enters a function, in tests only."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from sharpening import (
    GRPO,
    CompoundSymmetric,
    KLProx,
    LowRankPlusDiagonal,
    NaturalGradient,
    SoftmaxGradient,
    majority_share,
)
from sharpening.simulation.sampling import sample_columns
from sharpening.updates.advantages import divide_by_std

PRIOR, THREE = jnp.log(jnp.full((4, 3), 1 / 3)), jnp.zeros((4, 3))


@pytest.mark.parametrize("call", [
    lambda: GRPO(1.0).step(PRIOR, THREE[:, :1]),
    lambda: SoftmaxGradient(1.0).direction(PRIOR, THREE[:2]),
    lambda: NaturalGradient(1.0).group_direction(PRIOR, jnp.zeros((4, 8), int), jnp.zeros((4, 1))),
    lambda: KLProx(1.0).step(PRIOR, THREE, THREE[0]),
    lambda: CompoundSymmetric(1.0, 1.0).mix(THREE, jnp.ones(3)),
    lambda: LowRankPlusDiagonal(np.ones((4, 3, 2))).reach(jnp.ones((1, 2))),
    lambda: sample_columns(jnp.zeros(4), jnp.exp(PRIOR)),
    lambda: majority_share(THREE > 0, jnp.ones((4, 1))),
    lambda: divide_by_std(THREE, jnp.ones(4), 0.0),
])  # fmt: skip
def test_a_wrong_shape_is_caught(call):
    with pytest.raises(TypeCheckError):
        call()


def test_users_do_not_pay_for_it():
    code = "import sharpening.metrics, sharpening.updates, sys; sys.exit('beartype' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
