"""Our replicator flow and an exact Markov chain beside EGTTools and SciPy on what all can state; prints where
a peer is off, and by how much.

    pip install egttools scipy
    python studies/benchmarks/peers.py

The replicator equation x_i' = x_i ((A x)_i - x.A x) is the natural-gradient flow of the reward r(pi) = A pi.
Fixation: one mutant among Z - 1 residents, Fermi imitation of intensity beta, no mutation.
"""

from dataclasses import dataclass

import numpy as np
from egttools.analytical import PairwiseComparison, StochDynamics, replicator_equation
from egttools.games import Matrix2PlayerGameHolder
from scipy.integrate import solve_ivp

from sharpening import NaturalGradient, Reward, RewardCard, as_arrays, flow

GAMES = {
    "constant payoffs 0, 1, 2": np.array([[0.0] * 3, [1.0] * 3, [2.0] * 3]),
    "hawk and dove": np.array([[-1.0, 2.0], [0.0, 1.0]]),
    "rock, paper, scissors": np.array([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]),
    "coordination": np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.5]]),
}
CARD = RewardCard(
    name="game",
    branch="external: asymmetry",
    known_as=(),
    unified=None,
    limit="that of the replicator equation",
    failure_mode="none",
    needs=("answers",),
    source="Taylor and Jonker 1978",
)


@dataclass(frozen=True)
class Game(Reward):
    """r = A pi: an answer earns its mean payoff against the policy itself."""

    payoffs: tuple[tuple[float, ...], ...]
    card = CARD

    def exact(self, log_probs, correct=None, **_):
        xp, log_probs, payoffs = as_arrays(log_probs, np.array(self.payoffs))
        return xp.exp(log_probs) @ xp.asarray(payoffs, dtype=log_probs.dtype).T


def fixation_log_probability(payoffs, size, beta):
    """log of 1 / (1 + sum_k prod_{i <= k} T-_i/T+_i), summed in logs: T-/T+ = exp(beta (resident - mutant
    payoff)).
    """
    mutants = np.arange(1, size)
    mine = ((mutants - 1) * payoffs[0, 0] + (size - mutants) * payoffs[0, 1]) / (size - 1)
    theirs = (mutants * payoffs[1, 0] + (size - mutants - 1) * payoffs[1, 1]) / (size - 1)
    return -np.logaddexp.reduce(np.concatenate([[0.0], np.cumsum(beta * (theirs - mine))]))


def replicator(name, start, times):
    payoffs = GAMES[name]
    ours = flow(np.log(start)[None], Game(tuple(map(tuple, payoffs.tolist()))), NaturalGradient(), times)[
        :, 0
    ]

    def run(rtol, atol):
        return solve_ivp(  # noqa: E731
            lambda _, x: replicator_equation(x, payoffs),
            (0, times[-1]),
            start,
            "DOP853",
            times,
            rtol=rtol,
            atol=atol,
        ).y.T

    return ours, run(1e-12, 1e-14), run(1e-3, 1e-6)


def main():
    times = np.array([0.0, 1.0, 5.0, 30.0, 100.0])
    print(
        "replicator equation at times 1, 5, 30, 100 from a random start: largest difference in a share, and"
        " the least share"
    )
    for name, payoffs in GAMES.items():
        start = np.random.default_rng(1).dirichlet(np.ones(len(payoffs)))
        ours, tight, default = replicator(name, start, times)
        print(
            f"  {name:26s} EGTTools' equation in DOP853, rtol 1e-12:"
            f" {np.abs(np.exp(ours) - tight).max():.1e}; at SciPy's default tolerances:"
            f" {np.abs(np.exp(ours) - default).max():.1e}, least share {default.min():+.1e} (it is"
            f" {np.exp(ours.min()):.1e})"
        )
    start = np.array([1 - 1e-20, 1e-20, 1e-40])
    ours, tight, _ = replicator("constant payoffs 0, 1, 2", start, times)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.abs(np.log(tight) - ours).max(axis=1)
    told = ", ".join(f"{difference:.1e} at {time:g}" for time, difference in zip(times, off, strict=True))
    print(
        f"  from shares 1, 1e-20, 1e-40, payoffs 0, 1, 2: largest difference in a log-share {told} (nan: a"
        " negative share there)"
    )
    print(
        "fixation of one mutant: ours (sums of logs), then relative errors of EGTTools' PairwiseComparison"
        " and StochDynamics"
    )
    wrong = total = 0
    for payoffs in (
        np.ones((2, 2)),
        np.array([[0.0, 0.0], [1.0, 1.0]]),
        np.array([[1.0, 1.0], [0.0, 0.0]]),
        GAMES["hawk and dove"],
    ):
        # in a variable: EGTTools does not keep it, and a temporary one ends in a segmentation fault
        game = Matrix2PlayerGameHolder(2, payoffs)
        for size in (10, 50, 200):
            for beta in (0.01, 0.1, 1.0, 5.0):
                ours = np.exp(fixation_log_probability(payoffs, size, beta))
                pair = PairwiseComparison(size, game).calculate_fixation_probability(0, 1, beta)
                stochastic = StochDynamics(2, payoffs, size).fixation_probability(0, 1, beta)
                # both 0 below 1e-308
                errors = [0.0 if value == ours else abs(value / ours - 1) for value in (pair, stochastic)]
                total, wrong = total + 1, wrong + (max(errors) > 1e-9)
                if max(errors) > 1e-9 or (size, beta) == (50, 1.0):
                    told = f"{ours:.6e}  {errors[0]:.1e}  {errors[1]:.1e}"
                    print(f"  payoffs {payoffs.ravel().tolist()}, Z = {size}, beta = {beta}: {told}")
    print(
        f"  {total - wrong} of {total} cases agree to 1e-9; in the others EGTTools returns 0 where the chance"
        " is below about 1e-7"
    )


if __name__ == "__main__":
    main()
