"""Laws of the vote and of trajectory entropy, and cards that are complete and refuse nonsense."""

import json
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    NO_ANSWER,
    REWARDS,
    InputError,
    MajorityReward,
    RewardCard,
    TrajectoryEntropyReward,
    TrueReward,
    exact_metrics,
    group_metrics,
    list_rewards,
)
from sharpening.rewards import BRANCHES

answer_groups = (
    st.integers(2, 9)
    .flatmap(
        lambda n: st.lists(
            st.lists(st.integers(NO_ANSWER, 4), min_size=n, max_size=n), min_size=1, max_size=4
        )
    )
    .map(np.array)
)
logits = st.lists(st.sampled_from([-3.0, -1.0, 0.0, 0.0, 0.5, 1.0]), min_size=4, max_size=4).map(
    lambda z: np.array([z])
)


def normalise(z):
    return z - np.logaddexp.reduce(z, axis=-1, keepdims=True)


@given(answer_groups)
def test_majority_reward_is_the_unified_form(answers):
    """exp(-H(one-hot answer, uniform over leaders)), by hand."""
    rewards = MajorityReward().group(answers)
    for row, found in zip(answers.tolist(), rewards, strict=True):
        counts = Counter(a for a in row if a != NO_ANSWER)
        leaders = {a for a in counts if counts[a] == max(counts.values())}
        cross_entropy = [math.log(len(leaders)) if a in leaders else math.inf for a in row]
        np.testing.assert_allclose(found, [math.exp(-h) for h in cross_entropy], atol=1e-12)


@given(answer_groups)
def test_majority_reward_pays_out_the_majority_ratio(answers):
    np.testing.assert_allclose(
        MajorityReward().group(answers).mean(axis=1), group_metrics(answers)["majority_ratio"], atol=1e-12
    )


@given(answer_groups)
def test_reward_accuracy_is_the_agreement_with_the_true_reward(answers):
    """Without ties it is the share of rollouts on which the two rewards are equal; with ties, 1 - mean
    difference.
    """
    correct = answers % 2 == 0
    pseudo, true = MajorityReward().group(answers), TrueReward().group(answers, correct)
    metrics = group_metrics(answers, correct)
    np.testing.assert_allclose(1 - np.abs(pseudo - true).mean(axis=1), metrics["reward_accuracy"], atol=1e-12)
    clear = metrics["tie"] == 0
    np.testing.assert_allclose(
        (pseudo == true).mean(axis=1)[clear], metrics["reward_accuracy"][clear], atol=1e-12
    )


@given(answer_groups)
def test_exact_majority_reward_is_that_of_the_empirical_policy(answers):
    frequencies = (
        np.stack([np.bincount(np.where(row == NO_ANSWER, 5, row), minlength=6) for row in answers])
        / answers.shape[1]
    )
    with np.errstate(divide="ignore"):
        exact = MajorityReward().exact(np.log(frequencies), no_answer=5)
    np.testing.assert_allclose(
        np.take_along_axis(exact, np.where(answers == NO_ANSWER, 5, answers), axis=1),
        MajorityReward().group(answers),
    )
    assert not exact[:, 5].any()


def test_no_answer_earns_nothing():
    """Traps b and j: refusals win no vote, and no grader can make them correct."""
    refusals = np.array([[NO_ANSWER, NO_ANSWER, NO_ANSWER, 2], [NO_ANSWER] * 4])
    assert MajorityReward().group(refusals).tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    assert TrueReward().group(refusals, np.ones((2, 4), bool)).tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    assert TrueReward().exact(np.log([[0.5, 0.5]]), np.ones((1, 2), bool), no_answer=-1).tolist() == [[1, 0]]


@given(st.integers(2, 6), st.floats(0.3, 3.0))
def test_majority_reward_adds_to_the_log_odds_of_the_mode(steps, beta):
    """Theory S1: logit p_k = logit p_0 + k/beta under KL-prox steps."""
    log_probs = normalise(np.array([[0.2, 0.5, -0.3, 0.4]]))
    start = log_probs[0, 1] - math.log(1 - math.exp(log_probs[0, 1]))
    for _ in range(steps):
        log_probs = normalise(log_probs + MajorityReward().exact(log_probs) / beta)
    rest = np.logaddexp.reduce(np.delete(log_probs[0], 1))
    assert log_probs[0, 1] - rest == pytest.approx(start + steps / beta, rel=1e-9)


@given(logits, st.integers(1, 5), st.floats(0.5, 4.0))
def test_trajectory_entropy_raises_the_policy_to_a_power(z, steps, beta):
    """Theory S3: pi_k is proportional to pi_0 ** (1 + 1/beta) ** k; exact ties stay ties."""
    log_probs = normalise(z)
    expected = normalise(log_probs * (1 + 1 / beta) ** steps)
    for _ in range(steps):
        log_probs = normalise(log_probs + TrajectoryEntropyReward().exact(log_probs) / beta)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-9, atol=1e-9)
    assert (
        exact_metrics(log_probs)["majority_ratio"] >= exact_metrics(normalise(z))["majority_ratio"] - 1e-12
    ).all()


def test_trajectory_entropy_of_an_impossible_answer_is_finite_and_least():
    with np.errstate(divide="ignore"):
        found = TrajectoryEntropyReward().exact(np.log([[0.5, 0.3, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(
        found, [[math.log(0.5), math.log(0.3), math.log(0.2), math.log(0.2)], [0, 0, 0, 0]]
    )


def test_a_reward_says_what_it_lacks():
    with pytest.raises(InputError, match="is_correct"):
        TrueReward().group([[1, 2]])
    with pytest.raises(InputError, match="correct"):
        TrueReward().exact(np.log([[0.5, 0.5]]))
    with pytest.raises(InputError, match="tokens"):
        TrajectoryEntropyReward().group([[1, 2]])
    with pytest.raises(InputError, match="one rollout"):
        MajorityReward().group([[1]])


TITLES = {
    "self-certainty": "self-certainty",
    "trajectory-entropy": "trajectory-level entropy",
    "token-entropy": "token-level entropy",
    "probability": "probability",
    "probability-disparity": "probability disparity",
    "self-contrastive": "self-contrastive",
    "entropy-reduction": "entropy reduction",
    "kl-uniform": "KL-regularisation to uniform",
    "kl-reference": "KL-regularisation to a fixed reference",
    "kl-previous": "KL-regularisation to the previous policy",
    "majority": "majority voting",
    "rephrased-majority": "majority across rephrasings",
    "weighted-majority": "weighted voting",
    "semantic-clusters": "semantic-cluster voting",
    "trajectory-consistency": "trajectory consistency and volatility",
    "pseudo-label-confidence": "pseudo-label confidence",
    "true": "exact verifier",
    "symbolic-verifier": "symbolic verifier",
    "exhaustive-teacher": "exhaustive teacher",
    "judge": "larger model as judge",
    "self-verification": "self-verification",
    "noisy-verifier": "noisy verifier",
    "next-token": "next-token prediction",
    "antiderivative": "numeric check of an antiderivative",
    "hybrid-weighted": "weighted hybrid",
    "hybrid-gated": "gated hybrid",
    "hybrid-scheduled": "scheduled hybrid",
}


def test_the_taxonomy_is_complete_and_every_card_is_filled():
    cards = list_rewards()
    assert {card.name: card.title for card in cards} == TITLES
    assert [card.name for card in cards] == sorted(REWARDS) and {card.branch for card in cards} == set(
        BRANCHES
    )
    for card in cards:
        assert card.formula and card.unit and card.sign and card.known_as
        assert card.branch.startswith("intrinsic") != bool({"labels", "verdicts"} & set(card.needs))
        told = card.as_dict()
        assert set(told) >= {
            "name",
            "title",
            "branch",
            "known_as",
            "unified",
            "unified_form",
            "formula",
            "unit",
            "sign",
            "limit",
        }
        assert set(told) >= {"failure_mode", "needs", "verifier", "source"}
        assert told["unified_form"] == (None if card.unified is None else str(card.unified))
        assert json.loads(json.dumps(told))["name"] == card.name
        assert (REWARDS[card.name].__doc__ or "").count("Source:") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"branch": "intrinsic: magic"},
        {"needs": ()},
        {"needs": ("tea leaves",)},
        {"needs": ("labels",)},
        {"needs": ("verdicts",)},
        {"limit": " "},
        {"name": "Majority Vote"},
    ],
    ids=str,
)
def test_an_incoherent_card_is_refused(change):
    assert isinstance(replace(MajorityReward.card), RewardCard)
    with pytest.raises(
        InputError,
        match="intrinsic" if change.get("needs") in (("labels",), ("verdicts",)) else next(iter(change)),
    ):
        replace(MajorityReward.card, **change)
