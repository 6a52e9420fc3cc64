"""Votes, drifts and fixation with finitely many rollouts, against listed groups, linear solves, SciPy and
simulation.
"""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betainc

from sharpening import GRPO, KLProx, MajorityReward, SoftmaxGradient, vote
from sharpening.theorems.f1_wrong_majority import binomial_error, log_chernoff
from sharpening.theorems.f2_fixation import (
    diffusion_fixation,
    fixation_exponent,
    log_backward_ratio,
    margin_of_a_tie,
    normal_fixation,
    wrong_fixation,
)
from sharpening.theorems.f4_sampled_drift import odds_drift
from sharpening.theorems.f5_more_rollouts import share_gains
from sharpening.theorems.finite_votes import count_vectors, group_weights, mode_vote_shares, sampled_answers


class TestVotes:
    def test_listed_groups_are_all_groups(self):
        """Against every ordered group of 4 rollouts among 3 answers, with the shipped vote."""
        policy = np.array([0.5, 0.3, 0.2])
        groups = np.array(list(itertools.product(range(3), repeat=4)))
        law = policy[groups].prod(axis=1)
        votes = vote(groups)
        share = np.stack(
            [((groups == a) & votes.is_leader).any(axis=1) / votes.num_leaders for a in range(3)], axis=1
        )
        wanted = law @ share
        log_probs = np.log(policy)[None]
        assert mode_vote_shares(log_probs, np.array([0]), 4)[0, -1] == pytest.approx(wanted[0], abs=1e-14)
        counts, _ = count_vectors(4, 3)
        ours = group_weights(log_probs, 4)[0]
        listed = {tuple(row): weight for row, weight in zip(counts.tolist(), ours, strict=True)}
        for row in counts.tolist():
            same = [(groups == a).sum(axis=1) == n for a, n in enumerate(row)]
            assert listed[tuple(row)] == pytest.approx(law[np.all(same, axis=0)].sum(), abs=1e-14)

    @given(st.integers(2, 4), st.integers(0, 10**6), st.booleans())
    def test_shares_of_one_more_rollout(self, count, seed, silent):
        """F5's identity against groups listed one rollout longer, no answer included."""
        log_probs = np.log(np.random.default_rng(seed).dirichlet(np.ones(count + silent)))[None]
        no_answer = count if silent else None
        for mode in range(count):
            shares = mode_vote_shares(log_probs, np.array([mode]), 5, no_answer)[0]
            for n in (1, 2, 4):
                assert shares[n] - shares[n - 1] == pytest.approx(
                    share_gains(log_probs, n, no_answer)[0, mode], abs=1e-13
                )

    @given(st.floats(0.5, 0.999), st.integers(1, 12))
    def test_two_answers_follow_scipys_binomial(self, p, n):
        tail = scipy.stats.binom.cdf((n - 1) // 2, n, p) + (
            scipy.stats.binom.pmf(n // 2, n, p) / 2 if n % 2 == 0 else 0.0
        )
        found = binomial_error(np.log([p]), np.log([1 - p]), n)[0]
        assert found == pytest.approx(tail, rel=1e-9)
        rate = log_chernoff(np.log([[p, 1 - p]]), np.array([0]))[0]
        assert found <= np.exp(n * rate) * (1 + 1e-12)

    def test_the_bounds_rate_is_exact(self):
        """-log P / N tends to the Chernoff rate: the bound's exponent cannot be improved."""
        rates = [-np.log(binomial_error(np.log([0.7]), np.log([0.3]), n)[0]) / n for n in (100, 400, 1600)]
        wanted = -log_chernoff(np.log([[0.7, 0.3]]), np.array([0]))[0]
        gaps = np.abs(np.array(rates) - wanted)
        assert gaps[2] < gaps[1] < gaps[0] and gaps[2] < 0.003

    def test_drift_is_odd_and_tends_to_the_exact_flow(self):
        odds = np.linspace(-3, 3, 13)
        for softmax in (False, True):
            for n in (3, 8):
                assert odds_drift(odds, n, softmax=softmax) == pytest.approx(
                    -odds_drift(-odds, n, softmax=softmax), abs=1e-15
                )
        p = 1 / (1 + np.exp(-1.0))
        assert odds_drift(1.0, 4001, softmax=True) == pytest.approx(2 * p * (1 - p), abs=1e-3) and odds_drift(
            1.0, 4001
        ) == pytest.approx(1)

    def test_sampled_answers_follow_the_policy(self):
        """Chi-squared at 1e-4: one false alarm in 10,000 seeds; the seed is fixed."""
        policy = np.array([0.5, 0.3, 0.0, 0.2])
        with np.errstate(divide="ignore"):
            drawn = sampled_answers(np.repeat(np.log(policy)[None], 50, axis=0), 400, seed=3)
        counts = np.bincount(drawn.ravel(), minlength=4)
        assert counts[2] == 0
        assert scipy.stats.chisquare(counts[[0, 1, 3]], policy[[0, 1, 3]] * counts.sum()).pvalue > 1e-4


def walk_to_the_end(moves, size, odds, *, runs=4000, steps=4000, seed=0):
    """Share of sampled runs that end below 0: `moves[n]` is the change of the log-odds, per unit step size,
    when n of N agree.
    """
    rng, now, rollouts = np.random.default_rng(seed), np.full(runs, odds), len(moves) - 1
    for step in range(steps):
        now = now + size * moves[rng.binomial(rollouts, 1 / (1 + np.exp(-now)))]
        if step % 100 == 0 and (np.abs(now) > 4).mean() > 0.998:
            break
    assert (np.abs(now) > 4).mean() > 0.99
    return (now < 0).mean()


def moves_of(update, rollouts):
    """The change of the log-odds in the shipped update for n = 0..N votes, from groups made by hand."""
    answers = np.array([[0] * n + [1] * (rollouts - n) for n in range(rollouts + 1)])
    direction = np.asarray(
        update.group_direction(
            np.full((rollouts + 1, 2), np.log(0.5)), answers, np.asarray(MajorityReward().group(answers))
        )
    )
    return direction[:, 0] - direction[:, 1]


class TestFixation:
    @pytest.mark.parametrize(
        "rollouts, size, odds", [(3, 1.0, 0.4), (4, 0.5, 0.7), (8, 0.3, -0.2), (5, 2.0, 3.0)]
    )
    def test_agrees_with_an_absorbing_chain(self, rollouts, size, odds):
        """The same walk as a matrix, absorbed far out, solved by linear algebra."""
        sites = np.arange(-80, 81)
        ratio = np.exp(log_backward_ratio(odds + size * sites, rollouts))
        up = 1 / (1 + ratio)
        matrix, right = np.eye(len(sites)), np.zeros(len(sites))
        for i in range(1, len(sites) - 1):
            matrix[i, i + 1] -= up[i]
            matrix[i, i - 1] -= 1 - up[i]
        right[0] = 1.0
        assert wrong_fixation([odds], size, rollouts)[0] == pytest.approx(
            np.linalg.solve(matrix, right)[80], abs=1e-11
        )

    def test_agrees_with_simulated_groups(self):
        """Within 4 standard deviations of 4,000 runs of the shipped update: one false alarm in 16,000 seeds;
        the seed is fixed.
        """
        wanted = wrong_fixation([0.3], 0.2, 8)[0]
        found = walk_to_the_end(moves_of(KLProx(), 8), 0.2, 0.3)
        assert abs(found - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 4000)

    @pytest.mark.parametrize("update", [SoftmaxGradient(), GRPO(1.0, "group", 0.0)])
    def test_every_update_has_a_normal_law(self, update):
        """The small-step law at eta = .1 against 4,000 simulated runs; its own error is of order eta (here
        below .05 eta).
        """
        exponent = fixation_exponent(update, 8)
        wanted = normal_fixation([0.15], 0.1, exponent)[0]
        found = walk_to_the_end(moves_of(update, 8), 0.1, 0.15, steps=8000)
        assert abs(found - wanted) < 4 * np.sqrt(wanted * (1 - wanted) / 4000) + 0.005

    def test_errors_are_of_first_order_in_the_step(self):
        """Normal law and diffusion both err by c eta: c = .0101 and .0312 for 3 rollouts; the first
        correction leaves eta².
        """
        score = np.linspace(0.05, 3, 20)
        sizes = np.array([0.4, 0.2, 0.1, 0.05])
        normal, diffusion, corrected = [], [], []
        for size in sizes:
            odds = score * np.sqrt(size)
            exact, law = wrong_fixation(odds, size, 3), normal_fixation(odds, size, 1.0)
            normal.append(np.abs(exact - law).max())
            diffusion.append(np.abs(exact - diffusion_fixation(odds, size, 3)).max())
            corrected.append(np.abs(exact - law + size / 24 * score * scipy.stats.norm.pdf(score)).max())
        slope = lambda errors: np.polyfit(np.log(sizes), np.log(errors), 1)[0]  # noqa: E731
        assert slope(normal) == pytest.approx(1, abs=0.03) and slope(diffusion) == pytest.approx(1, abs=0.03)
        assert slope(corrected) == pytest.approx(2, abs=0.1)
        assert normal[-1] / sizes[-1] == pytest.approx(0.0101, abs=2e-4) and diffusion[-1] / sizes[
            -1
        ] == pytest.approx(0.0312, abs=5e-4)

    def test_the_diffusion_of_three_rollouts_is_a_beta_function(self):
        odds = np.array([0.1, 0.5, 1.0])
        for size in (0.3, 0.1):
            assert diffusion_fixation(odds, size, 3) == pytest.approx(
                betainc(2 / size, 2 / size, 1 / (1 + np.exp(odds))), abs=1e-5
            )

    def test_an_even_group_is_worth_more_than_the_odd_one_above(self):
        """A shared tie moves nothing, so even groups decide by margins of at least 2."""
        assert [margin_of_a_tie(n) for n in (3, 4, 5)] == pytest.approx([1, 2, 5 / 3])
        for even in (4, 6, 8, 16):
            assert margin_of_a_tie(even) > margin_of_a_tie(even + 1)
            assert wrong_fixation([0.5], 0.3, even)[0] < wrong_fixation([0.5], 0.3, even + 1)[0]
