"""EGTTools on what both can state: the replicator equation, and fixation by imitation; where it returns 0 for
a small chance, too.
"""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sharpening import NaturalGradient, Reward, RewardCard, as_arrays, flow

analytical = pytest.importorskip(
    "egttools.analytical", reason="EGTTools is not installed (pip install egttools)"
)
games = pytest.importorskip("egttools.games", reason="EGTTools is not installed (pip install egttools)")

GAMES = [
    np.array([[0.0] * 3, [1.0] * 3, [2.0] * 3]),
    np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]),
    np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.5]]),
]


@dataclass(frozen=True)
class Game(Reward):
    """r = A pi."""

    payoffs: tuple
    card = RewardCard(
        "game",
        "external: asymmetry",
        (),
        None,
        "the replicator equation's",
        "none",
        ("answers",),
        "Taylor and Jonker 1978",
    )

    def exact(self, log_probs, correct=None, **_):
        xp, log_probs, payoffs = as_arrays(log_probs, np.array(self.payoffs))
        return xp.exp(log_probs) @ xp.asarray(payoffs, dtype=log_probs.dtype).T


@pytest.mark.parametrize("payoffs", GAMES, ids=["constant", "rock-paper-scissors", "coordination"])
def test_the_natural_gradient_flow_is_their_replicator_equation(payoffs):
    start, times = np.array([0.2, 0.5, 0.3]), np.array([0.0, 1.0, 6.0])
    ours = flow(np.log(start)[None], Game(tuple(map(tuple, payoffs.tolist()))), NaturalGradient(), times)[
        :, 0
    ]
    slope = lambda _, x: analytical.replicator_equation(x, payoffs)  # noqa: E731
    theirs = solve_ivp(slope, (0, times[-1]), start, "DOP853", times, rtol=1e-12, atol=1e-14).y.T
    assert np.abs(theirs[-1] - start).max() > 0.05
    np.testing.assert_allclose(np.exp(ours), theirs, atol=1e-8)


def fixation(payoffs, size, beta):
    """Absorption of the Markov chain on 0..size mutants by solving its linear equations; Fermi imitation, no
    self-interaction.
    """
    chain = np.zeros((size + 1, size + 1))
    chain[0, 0] = chain[size, size] = 1.0
    for k in range(1, size):
        mine = ((k - 1) * payoffs[0, 0] + (size - k) * payoffs[0, 1]) / (size - 1)
        theirs = (k * payoffs[1, 0] + (size - k - 1) * payoffs[1, 1]) / (size - 1)
        meet = k / size * (size - k) / (size - 1)
        up, down = meet / (1 + np.exp(beta * (theirs - mine))), meet / (1 + np.exp(beta * (mine - theirs)))
        chain[k, k - 1 : k + 2] = down, 1 - up - down, up
    inner = np.arange(1, size)
    return np.linalg.solve(np.eye(size - 1) - chain[np.ix_(inner, inner)], chain[inner, size])[0]


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize(
    "payoffs", [np.ones((2, 2)), np.array([[1.0, 1.0], [0.0, 0.0]]), np.array([[-1.0, 2.0], [0.0, 1.0]])]
)
def test_fixation_probabilities_are_those_of_the_markov_chain(payoffs, beta):
    game, want = games.Matrix2PlayerGameHolder(2, payoffs), fixation(payoffs, 12, beta)
    np.testing.assert_allclose(
        analytical.PairwiseComparison(12, game).calculate_fixation_probability(0, 1, beta), want, rtol=1e-9
    )
    np.testing.assert_allclose(
        analytical.StochDynamics(2, payoffs, 12).fixation_probability(0, 1, beta), want, rtol=1e-9
    )


def test_they_return_0_for_a_chance_below_1e_7():
    """A mutant that earns 1 less: chance 1/sum_{k < 12} e^{2k} = 2.4e-10; if this fails, EGTTools was mended:
    say so in the note.
    """
    payoffs = np.array([[0.0, 0.0], [1.0, 1.0]])
    want = fixation(payoffs, 12, 2.0)
    np.testing.assert_allclose(want, np.expm1(2.0) / np.expm1(24.0), rtol=1e-6)
    game = games.Matrix2PlayerGameHolder(2, payoffs)
    assert analytical.PairwiseComparison(12, game).calculate_fixation_probability(0, 1, 2.0) == 0
    assert analytical.StochDynamics(2, payoffs, 12).fixation_probability(0, 1, 2.0) == 0
