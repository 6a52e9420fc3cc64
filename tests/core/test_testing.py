"""The public strategies: what they draw is valid, every hard case comes up, and a found case is small."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from sharpening import GRPO, KLProx, NaturalGradient, SoftmaxGradient, exact_metrics
from sharpening.testing import (
    LOWEST,
    answer_groups,
    arbitrary_rewards,
    comonotone_rewards,
    couplings,
    large_policies,
    large_policy,
    large_populations,
    mode_monotone_rewards,
    policies,
    populations,
)

HUNT = settings(
    max_examples=3000, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)  # fmt: skip
UPDATES = [KLProx(0.3), NaturalGradient(2.0), NaturalGradient(2.0, "group"), SoftmaxGradient(5.0), GRPO(5.0)]


def gaps(row):
    ordered = np.sort(row[row > -np.inf])
    return np.diff(ordered)


HARD = {
    "a face": lambda z: (z == -np.inf).any(),
    "a vertex": lambda z: z.shape[1] > 1 and ((z > -np.inf).sum(axis=1) == 1).any(),
    "close to a vertex": lambda z: (
        z.shape[1] > 1 and (z > -np.inf).all() and (np.sort(z, axis=1)[:, -2] < -600).any()
    ),
    "an exact tie at the top": lambda z: any(len(gaps(row)) and gaps(row)[-1] == 0 for row in z),
    "a near tie at the top": lambda z: any(len(gaps(row)) and 0 < gaps(row)[-1] < 1e-12 for row in z),
    "a mass below 1e-290": lambda z: ((z > -np.inf) & (z < np.log(1e-290))).any(),
    "a tie below 1e-100": lambda z: any(
        (np.diff(np.sort(r[(r > -np.inf) & (r < np.log(1e-100))])) == 0).any() for r in z
    ),
    "the uniform policy": lambda z: z.shape[1] > 2 and (z == z[:, :1]).all(),
    "one answer only": lambda z: z.shape[1] == 1,
}


class TestPolicies:
    @given(st.one_of(policies(), large_policies(2000)))
    def test_rows_are_log_distributions(self, log_probs):
        assert log_probs.dtype == np.float64 and not np.isnan(log_probs).any() and (log_probs <= 1e-12).all()
        assert np.exp(log_probs).sum(axis=1) == pytest.approx(1.0, abs=1e-12)

    @given(policies(faces=False))
    def test_without_faces_every_answer_is_possible(self, log_probs):
        assert (log_probs > LOWEST - 20).all()

    @pytest.mark.parametrize("case", HARD)
    def test_every_hard_case_is_found_and_small(self, case):
        found = find(policies(), HARD[case], settings=HUNT)
        assert found.size <= {"one answer only": 1, "a tie below 1e-100": 6, "the uniform policy": 3}.get(
            case, 2
        )

    @pytest.mark.parametrize(
        "case",
        ["a face", "a vertex", "close to a vertex", "an exact tie at the top", "a near tie at the top"],
    )
    def test_large_policies_hold_them_too(self, case):
        wanted = HARD[case]
        assert (
            find(large_policies(100_000), lambda z: z.shape[1] >= 1000 and wanted(z), settings=HUNT).shape[1]
            <= 1100
        )

    def test_the_largest_size_is_reached(self):
        assert find(large_policies(100_000), lambda z: z.shape[1] == 100_000, settings=HUNT).shape == (
            1,
            100_000,
        )

    def test_a_large_one_shrinks_to_two_equal_answers(self):
        found = find(large_policies(), lambda z: True, settings=HUNT)
        assert np.exp(found) == pytest.approx(np.array([[0.5, 0.5]]))

    @given(
        st.integers(0, 100), st.integers(1, 300), st.sampled_from(["uniform", "normal", "zipf", "geometric"])
    )
    def test_a_recipe_gives_the_same_policy_again(self, seed, size, law):
        assert np.array_equal(large_policy(seed, size, law), large_policy(seed, size, law))


class TestRewards:
    @given(st.data())
    def test_comonotone_ones_follow_the_masses(self, data):
        log_probs = data.draw(policies())
        rewards = data.draw(comonotone_rewards(log_probs))
        for row, reward in zip(log_probs, rewards, strict=True):
            for a in range(len(row)):
                assert (reward[row >= row[a]] >= reward[a]).all() and (
                    reward[row == row[a]] == reward[a]
                ).all()

    @given(st.data())
    def test_mode_monotone_ones_favour_the_leaders(self, data):
        log_probs = data.draw(policies())
        rewards = data.draw(mode_monotone_rewards(log_probs))
        leads = log_probs == log_probs.max(axis=1, keepdims=True)
        top = rewards.max(axis=1, keepdims=True)
        assert (
            np.array_equal(rewards == top, leads | (rewards == top))
            and (np.where(leads, rewards, top) == top).all()
        )

    def test_mode_monotone_ones_are_not_all_comonotone(self):
        fixed = np.log([[0.5, 0.3, 0.2]])
        found = find(mode_monotone_rewards(fixed), lambda r: r[0, 2] > r[0, 1], settings=HUNT)
        assert found[0, 0] == found[0].max()

    def test_arbitrary_ones_punish_the_mode(self):
        fixed = np.log([[0.6, 0.4]])
        found = find(arbitrary_rewards(fixed), lambda r: r[0, 0] < r[0, 1], settings=HUNT)
        assert sorted(found[0].tolist()) in ([-1.0, 0.0], [0.0, 1.0])

    @given(st.data())
    def test_arbitrary_ones_keep_their_bound(self, data):
        log_probs = data.draw(policies())
        rewards = data.draw(arbitrary_rewards(log_probs, bound=0.5))
        assert rewards.shape == log_probs.shape and (np.abs(rewards) <= 0.5).all()


class TestPopulations:
    @pytest.mark.parametrize("wanted", [
        lambda p: p.no_answer is not None, lambda p: p.weights is not None, lambda p: p.coupling.shared > 0,
        lambda p: (p.correct.sum(axis=1) == 0).any(), lambda p: (p.correct.sum(axis=1) == 2).any(),
        lambda p: (p.leaders.sum(axis=1) > 1).any(), lambda p: not p.leaders.any(axis=1).all(),
    ], ids=["silent", "weighted", "coupled", "no truth", "two truths", "tied", "only silence"])  # fmt: skip
    def test_every_kind_is_found_and_small(self, wanted):
        found = find(populations(), wanted, settings=HUNT)
        assert found.num_prompts <= 2 and found.num_answers <= 3

    @settings(max_examples=15, phases=[Phase.generate])
    @given(large_populations(max_prompts=8, max_answers=20_000))
    def test_large_ones_are_labelled_and_bounded(self, population):
        assert population.log_probs.size <= 10**6 and (population.correct.sum(axis=1) == 1).all()

    @given(couplings())
    def test_kernels_are_positive_semidefinite(self, coupling):
        assert coupling.private >= 0 and coupling.shared >= 0

    @given(answer_groups(silent=False))
    def test_groups_without_silence_have_none(self, answers):
        assert (answers >= 0).all() and answers.shape[1] >= 2


class TestExtremes:
    """No NaN, no negative or lost mass, for whatever the strategies draw."""

    @pytest.mark.parametrize("update", UPDATES, ids=lambda update: repr(update))
    @settings(max_examples=25)
    @given(data=st.data())
    def test_steps_survive(self, update, data):
        log_probs = np.concatenate([data.draw(policies(2, 4)), data.draw(policies(2, 4, faces=False))])
        rewards = data.draw(arbitrary_rewards(log_probs))
        after = np.asarray(update.step(jnp.asarray(log_probs), jnp.asarray(rewards)))
        assert not np.isnan(after).any() and (after[log_probs == -np.inf] == -np.inf).all()
        assert np.exp(after).sum(axis=1) == pytest.approx(1.0, abs=1e-9)

    @settings(max_examples=20)
    @given(st.one_of(policies(), large_policies(100_000)))
    def test_metrics_survive(self, log_probs):
        truth = np.zeros(log_probs.shape, dtype=bool)
        truth[:, 0] = True
        values = exact_metrics(log_probs, truth, log_probs)
        assert all(np.isfinite(np.asarray(value)).all() for value in values.values())
        assert (values["mode_retention"] == 1).all() and (values["excess_kl"] == 0).all()
