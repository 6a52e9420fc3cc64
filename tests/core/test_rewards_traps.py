"""Traps found in published code, as laws of the rewards; each law is shown to fail on the published
behaviour.
"""

import math
from collections import Counter

import numpy as np
import pytest
from reward_oracle import group, random_case, token_table
from reward_oracle_exact import exact, random_policies

from sharpening import NO_ANSWER, REWARDS, TokenStatistics, get_reward

READS_ANSWERS = [name for name in sorted(REWARDS) if "answers" in REWARDS[name].card.needs]
VOTES = [
    "majority",
    "rephrased-majority",
    "weighted-majority",
    "pseudo-label-confidence",
    "semantic-clusters",
    "entropy-reduction",
]
REFUSALS = np.array([[-1, -1, -1, -1, 2, 3], [-1, -1, -1, 1, 1, 2]])


def told(answers):
    """Signals under which only the answers differ between rollouts; verdicts and truth say yes to
    everything.
    """
    shape = answers.shape
    return dict(
        is_correct=np.ones(shape, bool),
        verdicts=np.ones(shape),
        voters=np.zeros(shape, int),
        clusters=np.where(answers == NO_ANSWER, NO_ANSWER, answers),
        states=np.repeat(answers[:, :, None], 2, axis=2),
        questions=np.arange(shape[0]),
        step=0,
    )


def first_to_lead(answers):
    """TTRL as published: a Counter's first leader, refusals counted like any other answer."""
    return np.array(
        [[float(a == Counter(row).most_common(1)[0][0]) for a in row] for row in answers.tolist()]
    )


class TestNoAnswer:
    """Traps b and j: refusals win votes and earn reward; two unparsable answers compare equal."""

    @staticmethod
    def never_ahead(rewards, answers):
        """No refusal earns more than any answer of its group."""
        return all(max(row[a == -1]) <= min(row[a != -1]) for row, a in zip(rewards, answers, strict=True))

    @pytest.mark.parametrize("name", READS_ANSWERS)
    def test_refusals_in_the_majority_earn_nothing(self, name):
        rewards = get_reward(name).group(REFUSALS, **told(REFUSALS))
        assert self.never_ahead(rewards, REFUSALS)
        if name != "entropy-reduction":  # there they get the least reward of an answer
            assert not rewards[REFUSALS == -1].any() and (rewards[REFUSALS != -1].reshape(-1) > 0).any()

    def test_the_published_vote_breaks_this(self):
        assert not self.never_ahead(first_to_lead(REFUSALS), REFUSALS)

    @pytest.mark.parametrize("name", READS_ANSWERS)
    def test_a_group_without_answers_gets_no_signal(self, name):
        nobody = np.full((2, 4), NO_ANSWER)
        rewards = get_reward(name).group(nobody, **told(nobody))
        assert (rewards == 0).all() and not (first_to_lead(nobody) == 0).any()

    @pytest.mark.parametrize("name", READS_ANSWERS)
    def test_clusters_states_and_verdicts_cannot_revive_them(self, name):
        """A similarity function may put two unparsable texts together, a verifier may like them: still
        nothing.
        """
        rewards = get_reward(name).group(
            REFUSALS, **told(REFUSALS) | dict(clusters=np.zeros(REFUSALS.shape, int))
        )
        assert self.never_ahead(rewards, REFUSALS)

    @pytest.mark.parametrize("name", READS_ANSWERS)
    def test_the_column_of_no_answer_never_leads(self, name):
        log_probs = np.log([[0.7, 0.2, 0.1]])
        rewards = get_reward(name).exact(log_probs, np.ones((1, 3), bool), no_answer=0, step=0)[0]
        assert rewards[0] <= rewards[1:].min() and rewards[0] < rewards[1:].max()


class TestTies:
    """Trap d: ties by rollout order."""

    ONE, TWO = np.array([[1, 2, 1, 2]]), np.array([[2, 1, 2, 1]])

    @pytest.mark.parametrize("name", VOTES)
    def test_a_tie_is_shared(self, name):
        for answers in (self.ONE, self.TWO):
            rewards = get_reward(name).group(answers, **told(answers))
            assert np.ptp(rewards) == 0
        assert np.ptp(first_to_lead(self.ONE)) == 1
        assert (
            (first_to_lead(self.ONE) == 1) != (self.ONE == (first_to_lead(self.TWO) * self.TWO).max())
        ).any()

    def test_a_weighted_tie_is_shared_though_its_sums_are_rounded(self):
        """Answers 1 and 2 have 25/14 each, which float64 adds up to two different numbers."""
        answers = np.array([[0, 1, 2, 2, 1, 0, 2, 1, 1, 0, 2]])
        voters = np.array([[0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2]])
        weights = np.array([1 / 2, 3 / 7, 1 / 2])[voters[0]]
        one, other = (np.where(answers[0] == answer, weights, 0.0).sum() for answer in (1, 2))
        assert one != other
        found = get_reward("weighted-majority").group(answers, voters=voters)
        assert np.array_equal(found, np.where(answers == 0, 0.0, 0.5))

    def test_weighted_votes_tie_in_spite_of_rounding(self):
        """1/3 + 1/3 + 1/3 of one model against 1 of another."""
        answers = np.array([[5, 6, 7, 8, 8, 8, 8, 9, 9]])
        voters = np.array([[0, 0, 0, 1, 1, 1, 1, 2, 2]])
        rewards = get_reward("weighted-majority").group(answers, voters=voters)
        assert rewards[0, 3] == 1 and rewards[0, 7] == 0
        answers, voters = np.array([[1, 2, 3, 3, 2, 1, 4, 4, 4]]), np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2]])
        np.testing.assert_allclose(
            get_reward("weighted-majority").group(answers, voters=voters), [[0] * 6 + [1] * 3]
        )
        answers, voters = (
            np.array([[1, 2, 3, 3, 2, 1, 1, 2, 3, 0, 0, 7, 8]]),
            np.array([[0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]]),
        )
        rewards = get_reward("weighted-majority").group(answers, voters=voters)[0]
        np.testing.assert_allclose(rewards[:11], 0.25)  # answers 1, 2, 3 have 3 * 1/3, answer 0 has 2 * 1/2
        assert not rewards[11:].any()

    def test_a_weighted_vote_in_which_nobody_answered_divides_by_nothing(self):
        with np.errstate(all="raise"):
            rewards = get_reward("weighted-majority").group(
                np.full((1, 4), -1), voters=np.array([[0, 0, 1, 1]])
            )
        assert rewards.tolist() == [[0.0] * 4]


class TestOffByOne:
    """Trap h: certainty from the logits after the token instead of those before it."""

    def test_shifted_logits_are_noticed(self):
        """Position t of the statistics is the policy that token t was drawn from; the neighbour's gives other
        rewards.
        """
        case = random_case(0)
        right = group("self-certainty", case)
        case.logits = np.roll(case.logits, -1, axis=2)
        assert np.abs(group("self-certainty", case) - right).max() > 0.1

    @pytest.mark.parametrize(
        "name",
        [
            "self-certainty",
            "trajectory-entropy",
            "token-entropy",
            "probability",
            "kl-uniform",
            "self-contrastive",
        ],
    )
    def test_positions_without_a_token_are_never_read(self, name):
        """They hold NaN here: a mask one too long shows at once."""
        case = random_case(2)
        fields = dict(answer_mask=None, vocab_size=5, **token_table(case))
        reward = get_reward(name)
        assert np.isfinite(reward.group(case.answers, tokens=TokenStatistics(mask=case.mask, **fields))).all()
        longer = case.mask | np.roll(case.mask, 1, axis=2)
        assert not np.isfinite(
            reward.group(case.answers, tokens=TokenStatistics(mask=longer, **fields))
        ).all()


class TestConstants:
    """Trap i: self-certainty without -log V, with or without the temperature, in either direction; one name,
    several numbers.
    """

    UNIFORM = np.log(np.full((1, 8), 1 / 8))

    def test_self_certainty_is_zero_for_uniform_and_positive_elsewhere(self):
        reward = get_reward("self-certainty")
        np.testing.assert_allclose(reward.exact(self.UNIFORM), 0, atol=1e-12)
        for seed in range(20):
            p = random_policies(seed, faces=False)
            kl = [sum(math.log(1 / (len(row) * x)) / len(row) for x in row) for row in p.probs]
            np.testing.assert_allclose(
                reward.exact(p.log_probs), np.tile(np.array(kl)[:, None], (1, 5)), rtol=1e-9
            )
            assert (np.array(kl) >= 0).all()
        published = -self.UNIFORM.mean()
        assert published == pytest.approx(math.log(8))  # H(uniform, pi) without -log V: not 0

    def test_its_direction_is_uniform_to_policy(self):
        p = np.array([[0.9, 0.05, 0.05]])
        forward, backward = (np.log(1 / 3) - np.log(p)).mean(), (p * (np.log(p) - np.log(1 / 3))).sum()
        assert get_reward("self-certainty").exact(np.log(p))[0, 0] == pytest.approx(forward)
        assert abs(forward - backward) > 0.1

    @pytest.mark.parametrize(
        "name",
        ["self-certainty", "trajectory-entropy", "token-entropy", "probability-disparity", "kl-uniform"],
    )
    def test_the_temperature_is_that_of_the_sampling(self, name):
        """logits/T under temperature T are the same policy; forgetting T gives another reward."""
        case = random_case(4, temperature=0.5)
        hot = group(name, case)
        case.logits, case.temperature = case.logits * 2, 1.0
        np.testing.assert_allclose(group(name, case), hot, rtol=1e-9)
        case.logits = case.logits / 2
        assert np.abs(group(name, case) - hot).max() > 0.05
        tokens = TokenStatistics(
            mask=case.mask, answer_mask=case.answer_mask, vocab_size=5, **token_table(case)
        )
        np.testing.assert_allclose(
            get_reward(name).group(case.answers, tokens=tokens), group(name, case), rtol=1e-9
        )

    @pytest.mark.parametrize(
        "name, values",
        [
            ("trajectory-entropy", [math.log(0.5), math.log(0.25), math.log(0.25)]),
            ("token-entropy", [-1.5 * math.log(2)] * 3),
            ("probability", [0.5, 0.25, 0.25]),
            ("probability-disparity", [0.25] * 3),
            ("self-contrastive", [0.5 / 0.375, 0.25 / 0.375, 0.25 / 0.375]),
            ("entropy-reduction", [0.5 * math.log(2), -0.5 * math.log(2), -0.5 * math.log(2)]),
            ("kl-uniform", [math.log(2 / 3), math.log(4 / 3), math.log(4 / 3)]),
            ("self-certainty", [math.log(32 / 27) / 3] * 3),
            ("semantic-clusters", [0.5, 0.25, 0.25]),
            ("pseudo-label-confidence", [0.5, 0, 0]),
        ],
    )
    def test_numbers_by_hand(self, name, values):
        np.testing.assert_allclose(get_reward(name).exact(np.log([[0.5, 0.25, 0.25]])), [values], rtol=1e-12)

    @pytest.mark.parametrize("name, zero_mean", [("entropy-reduction", 0.0), ("self-contrastive", 1.0)])
    def test_means_over_the_policy(self, name, zero_mean):
        p = random_policies(6, faces=False)
        np.testing.assert_allclose((p.probs * exact(name, p)).sum(axis=1), zero_mean, atol=1e-12)
        found = get_reward(name).exact(p.log_probs)
        np.testing.assert_allclose((p.probs * found).sum(axis=1), zero_mean, atol=1e-12)

    def test_mean_kl_rewards_are_minus_the_kl(self):
        p = random_policies(8, faces=False)
        signals = p.signals()
        for name, other in (
            ("kl-reference", p.reference),
            ("kl-previous", p.previous),
            ("kl-uniform", np.full((3, 5), 0.2)),
        ):
            kl = (p.probs * np.log(p.probs / other)).sum(axis=1)
            np.testing.assert_allclose(
                (p.probs * get_reward(name).exact(p.log_probs, **signals)).sum(axis=1), -kl, atol=1e-12
            )


def test_the_log_of_the_contrastive_score_is_trajectory_entropy():
    """Up to a constant per group: why the reward is the score and not the loss."""
    case = random_case(5)
    difference = np.log(group("self-contrastive", case)) - group("trajectory-entropy", case)
    assert np.ptp(difference, axis=1).max() < 1e-12
    scaled = group("self-contrastive", case)
    np.testing.assert_allclose(scaled.mean(axis=1), 1, rtol=1e-12)
    assert np.ptp(scaled - group("trajectory-entropy", case), axis=1).max() > 0.1
