"""Economics of verification: thresholds, the cheapest uniform plan, and a simulation on either side of the
threshold.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    CompoundSymmetric,
    HybridReward,
    InputError,
    MajorityReward,
    Population,
    TrueReward,
    check_threshold,
    hybrid_threshold,
    uniform_plan,
    uniform_share,
    verification_cost,
    youden,
)

rates = st.floats(0.0, 1.0)


@pytest.fixture
def misaligned():
    """Three prompts whose mode is wrong, by a lot, a little, and among four answers nearly equal."""
    probs = np.array([[0.1, 0.85, 0.03, 0.02], [0.33, 0.34, 0.3, 0.03], [0.249, 0.252, 0.25, 0.249]])
    return Population(np.log(probs), np.tile([True, False, False, False], (3, 1)))


class TestThresholds:
    def test_known_values(self):
        assert youden(0.9, 0.1) == pytest.approx(0.8)
        assert hybrid_threshold(1.0, 0.0) == 0.5 and uniform_share(1.0, 0.0) == 0.5
        assert hybrid_threshold(0.75, 0.25) == pytest.approx(1 / 3) and uniform_share(
            0.75, 0.25
        ) == pytest.approx(2 / 3)

    @given(rates, rates)
    def test_the_two_forms_agree_and_no_positive_j_no_threshold(self, tpr, fpr):
        if tpr > fpr:
            assert hybrid_threshold(tpr, fpr) + uniform_share(tpr, fpr) == pytest.approx(1.0)
            assert 0 < hybrid_threshold(tpr, fpr) <= 0.5 <= uniform_share(tpr, fpr) <= 1
        else:
            for function in (
                hybrid_threshold,
                uniform_share,
                lambda *rates: uniform_plan(*rates, 1.0),
                check_threshold,
            ):
                with pytest.raises(InputError, match="no share of verified rollouts rescues"):
                    function(tpr, fpr)

    @pytest.mark.parametrize(
        "tpr, fpr, named",
        [(1.1, 0.0, "tpr"), (-0.1, 0.0, "tpr"), (0.9, 2.0, "fpr"), (0.9, float("nan"), "fpr")],
    )
    def test_rates_outside_zero_and_one(self, tpr, fpr, named):
        for function in (youden, hybrid_threshold, uniform_share):
            with pytest.raises(InputError) as caught:
                function(tpr, fpr)
            assert caught.value.argument == named


class TestPlans:
    def test_cost_is_the_number_of_calls_times_their_cost(self):
        assert verification_cost(0.5, 0.02, prompts_per_step=16, rollouts=4, num_steps=100) == pytest.approx(
            64.0
        )
        assert verification_cost(0.0, 5.0) == 0.0

    @given(st.floats(0.01, 1.0), st.integers(2, 64), st.integers(1, 50), st.integers(1, 500))
    def test_the_plan_is_the_fewest_rollouts_beyond_the_threshold(self, j, rollouts, prompts, steps):
        plan = uniform_plan(j, 0.0, 0.5, prompts_per_step=prompts, rollouts=rollouts, num_steps=steps)
        beyond = [n for n in range(rollouts + 1) if n * (1 + j) > rollouts * (1 + 1e-12)]
        assert plan.verified_rollouts in (beyond[0], beyond[0] + 1)
        assert plan.share > plan.threshold_share
        assert plan.calls == plan.verified_rollouts * prompts * steps
        assert plan.cost == pytest.approx(0.5 * plan.calls)
        assert plan.cost == pytest.approx(
            verification_cost(plan.share, 0.5, prompts_per_step=prompts, rollouts=rollouts, num_steps=steps)
        )
        assert plan.saving == pytest.approx(0.5 * (rollouts - plan.verified_rollouts) * prompts * steps)

    @pytest.mark.parametrize(
        "tpr, fpr, rollouts, verified",
        [(1, 0, 8, 5), (0.9, 0.3, 8, 6), (0.9, 0.1, 8, 5), (0.5, 0.49, 8, 8), (1, 0, 2, 2)],
    )
    def test_equality_is_not_enough(self, tpr, fpr, rollouts, verified):
        """TPR .9, FPR .3: 5 of 8 is exactly 1/(1+J), where nothing is decided."""
        assert uniform_plan(tpr, fpr, 1.0, rollouts=rollouts).verified_rollouts == verified

    @pytest.mark.parametrize(
        "arguments, named",
        [(dict(cost=-1.0), "cost"), (dict(cost=float("inf")), "cost"), (dict(rollouts=1), "rollouts"), (dict(num_steps=0), "num_steps"),
         (dict(prompts_per_step=0), "prompts_per_step")],
    )  # fmt: skip
    def test_bad_sizes(self, arguments, named):
        with pytest.raises(InputError) as caught:
            uniform_plan(0.9, 0.1, **({"cost": 1.0} | arguments))
        assert caught.value.argument == named

    def test_a_share_is_a_share(self):
        with pytest.raises(InputError, match="share"):
            verification_cost(1.5, 1.0)


class TestSimulation:
    @pytest.mark.parametrize("tpr, fpr", [(1.0, 0.0), (0.7, 0.6)])
    def test_slightly_above_rescues_and_slightly_below_does_not(self, misaligned, tpr, fpr):
        found = check_threshold(tpr, fpr, misaligned, offset=0.01)
        assert found.confirmed
        assert found.share_below < 1 / (1 + tpr - fpr) < found.share_above
        assert found.accuracy_below < 1e-6 < 1 - 1e-6 < found.accuracy_above

    def test_on_the_default_population(self):
        assert check_threshold(0.9, 0.2).confirmed

    def test_a_wrong_threshold_is_noticed(self, misaligned, monkeypatch):
        """1/(1+J) computed from J = TPR, false positives forgotten, is too small a share."""
        monkeypatch.setattr(
            "sharpening.verification.thresholds.uniform_share", lambda tpr, fpr: 1 / (1 + tpr)
        )
        assert not check_threshold(0.7, 0.6, misaligned, offset=0.01).confirmed

    def test_a_wrong_reward_is_noticed(self, misaligned, monkeypatch):
        monkeypatch.setattr(
            HybridReward,
            "exact",
            lambda self, log_probs, correct=None, *, no_answer=None: TrueReward().exact(log_probs, correct),
        )
        assert not check_threshold(0.7, 0.65, misaligned).confirmed

    def test_populations_that_do_not_fit(self, misaligned):
        aligned = Population(np.log([[0.6, 0.4]]), np.array([[True, False]]))
        with np.errstate(divide="ignore"):
            impossible = Population(np.log([[0.0, 1.0]]), np.array([[True, False]]))
        coupled = misaligned.replace(coupling=CompoundSymmetric(1.0, 0.5))
        for bad in (aligned, impossible, coupled, misaligned.replace(correct=None)):
            with pytest.raises(InputError, match="population"):
                check_threshold(0.9, 0.1, bad)
        with pytest.raises(InputError, match="offset"):
            check_threshold(0.9, 0.1, misaligned, offset=0.0)


class TestHybridReward:
    LOG_PROBS = np.log([[0.5, 0.3, 0.1, 0.1], [0.4, 0.4, 0.1, 0.1]])
    CORRECT = np.array([[False, True, False, False], [True, False, False, False]])

    def test_by_hand(self):
        found = HybridReward(0.9, 0.2, 0.25).exact(self.LOG_PROBS, self.CORRECT)
        np.testing.assert_allclose(found[0], [0.75 * 0.2 + 0.25, 0.75 * 0.9, 0.15, 0.15])
        np.testing.assert_allclose(found[1], [0.75 * 0.9 + 0.125, 0.15 + 0.125, 0.15, 0.15])

    def test_its_limits_are_the_verifier_and_the_vote(self):
        np.testing.assert_array_equal(
            HybridReward(1, 0, 0).exact(self.LOG_PROBS, self.CORRECT),
            TrueReward().exact(self.LOG_PROBS, self.CORRECT),
        )
        np.testing.assert_array_equal(
            HybridReward(0.3, 0.2, 1).exact(self.LOG_PROBS, self.CORRECT),
            MajorityReward().exact(self.LOG_PROBS),
        )

    def test_groups_and_no_answer(self):
        answers, is_correct = np.array([[0, 0, 1, -1]]), np.array([[False, False, True, False]])
        np.testing.assert_allclose(
            HybridReward(0.9, 0.2, 0.5).group(answers, is_correct), [[0.6, 0.6, 0.45, 0.0]]
        )
        assert HybridReward(0.9, 0.2, 0.5).exact(self.LOG_PROBS, self.CORRECT, no_answer=3)[0, 3] == 0

    def test_bad_settings(self):
        for bad in (dict(tpr=1.2), dict(fpr=-0.1), dict(intrinsic_weight=2.0)):
            with pytest.raises(InputError, match=next(iter(bad))):
                HybridReward(**bad)
        with pytest.raises(InputError, match="correct"):
            HybridReward().exact(self.LOG_PROBS)
