"""Laws of the rewards: the unified form, the limits they promise, and a registry that refuses nonsense."""

import math
from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening.errors import InputError
from sharpening.metrics import NO_ANSWER, exact_metrics, group_metrics
from sharpening.rewards import (
    REWARDS,
    MajorityReward,
    Reward,
    RewardCard,
    TrajectoryEntropyReward,
    TrueReward,
    get_reward,
    list_rewards,
    register_reward,
)

answer_groups = (
    st.integers(2, 9)
    .flatmap(lambda n: st.lists(st.lists(st.integers(NO_ANSWER, 4), min_size=n, max_size=n), min_size=1, max_size=4))
    .map(np.array)
)
logits = st.lists(st.sampled_from([-3.0, -1.0, 0.0, 0.0, 0.5, 1.0]), min_size=4, max_size=4).map(lambda z: np.array([z]))


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
    np.testing.assert_allclose(MajorityReward().group(answers).mean(axis=1), group_metrics(answers)["majority_ratio"], atol=1e-12)


@given(answer_groups)
def test_reward_accuracy_is_the_agreement_with_the_true_reward(answers):
    """Without ties it is the share of rollouts on which the two rewards are equal; with ties, 1 - mean difference."""
    correct = answers % 2 == 0
    pseudo, true = MajorityReward().group(answers), TrueReward().group(answers, correct)
    metrics = group_metrics(answers, correct)
    np.testing.assert_allclose(1 - np.abs(pseudo - true).mean(axis=1), metrics["reward_accuracy"], atol=1e-12)
    clear = metrics["tie"] == 0
    np.testing.assert_allclose((pseudo == true).mean(axis=1)[clear], metrics["reward_accuracy"][clear], atol=1e-12)


@given(answer_groups)
def test_exact_majority_reward_is_that_of_the_empirical_policy(answers):
    frequencies = np.stack([np.bincount(np.where(row == NO_ANSWER, 5, row), minlength=6) for row in answers]) / answers.shape[1]
    with np.errstate(divide="ignore"):
        exact = MajorityReward().exact(np.log(frequencies), no_answer=5)
    np.testing.assert_allclose(
        np.take_along_axis(exact, np.where(answers == NO_ANSWER, 5, answers), axis=1), MajorityReward().group(answers)
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
    assert (exact_metrics(log_probs)["majority_ratio"] >= exact_metrics(normalise(z))["majority_ratio"] - 1e-12).all()


def test_trajectory_entropy_of_an_impossible_answer_is_finite_and_least():
    with np.errstate(divide="ignore"):
        found = TrajectoryEntropyReward().exact(np.log([[0.5, 0.3, 0.2, 0.0], [1.0, 0.0, 0.0, 0.0]]))
    np.testing.assert_allclose(found, [[math.log(0.5), math.log(0.3), math.log(0.2), math.log(0.2)], [0, 0, 0, 0]])


@pytest.mark.parametrize("name", sorted(REWARDS))
def test_rewards_agree_on_jax_and_torch(name):
    reward, random = get_reward(name), np.random.default_rng(3)
    z = random.integers(-2, 3, size=(200, 4)).astype(float)
    z[z == -2] = -np.inf
    z[:, 0] = 0
    log_probs, correct = normalise(z), z > 0
    expected = reward.exact(log_probs, correct)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(jax.jit(reward.exact)(jnp.asarray(log_probs), jnp.asarray(correct)), expected, atol=1e-12)
    answers, scores = random.integers(-1, 3, size=(200, 5)), -random.random((200, 5))
    group = lambda a, c, s: reward.group(a, c, log_probs=s)  # noqa: E731
    sampled = group(answers, answers == 1, scores)
    assert sampled.std() > 0
    np.testing.assert_allclose(jax.jit(group)(jnp.asarray(answers), jnp.asarray(answers == 1), jnp.asarray(scores)), sampled)
    torch = pytest.importorskip("torch")
    found = reward.exact(torch.tensor(log_probs), torch.tensor(correct))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(group(*map(torch.tensor, (answers, answers == 1, scores))).numpy(), sampled, rtol=1e-6)


def test_a_reward_says_what_it_lacks():
    with pytest.raises(InputError, match="is_correct"):
        TrueReward().group([[1, 2]])
    with pytest.raises(InputError, match="correct"):
        TrueReward().exact(np.log([[0.5, 0.5]]))
    with pytest.raises(InputError, match="log_probs"):
        TrajectoryEntropyReward().group([[1, 2]])
    with pytest.raises(InputError, match="one rollout"):
        MajorityReward().group([[1]])


def test_the_registry_finds_rewards_and_lists_them_when_it_cannot():
    assert isinstance(get_reward("majority"), MajorityReward) and isinstance(get_reward("true"), TrueReward)
    with pytest.raises(InputError, match="majority.*true"):
        get_reward("majorty")
    cards = list_rewards()
    assert [card.name for card in cards] == sorted(REWARDS)
    for card in cards:
        assert card.branch.startswith("intrinsic") == ("labels" not in card.needs)
        assert card.unified is None or (card.unified.sign in (-1, 1) and card.unified.psi in ("exp", "identity"))
        assert set(card.as_dict()) >= {"name", "branch", "known_as", "unified", "limit", "failure_mode", "needs", "source"}


@pytest.fixture
def registry():
    from sharpening.rewards import base

    kept = dict(REWARDS)
    yield base
    REWARDS.clear()
    REWARDS.update(kept)


def constant(name):
    card = replace(MajorityReward.card, name=name)
    return type("Constant", (Reward,), {"__doc__": "One for everybody.", "card": card, "__module__": __name__})


def test_a_name_belongs_to_one_reward(registry):
    with pytest.raises(InputError, match="MajorityReward"):
        register_reward(constant("majority"))
    with pytest.raises(InputError, match="RewardCard"):
        register_reward(type("Bare", (Reward,), {}))
    cls = register_reward(constant("constant"))
    assert isinstance(get_reward("constant"), cls) and register_reward(cls) is cls


def test_other_packages_add_rewards_through_entry_points(registry, monkeypatch):
    class Entry:
        def load(self):
            return constant("from-elsewhere")

    asked = []
    monkeypatch.setattr(registry, "entry_points", lambda group: asked.append(group) or [Entry()])
    assert get_reward("from-elsewhere").name == "from-elsewhere"
    assert asked == ["sharpening.rewards"]


@pytest.mark.parametrize(
    "change",
    [
        {"branch": "intrinsic: magic"},
        {"needs": ()},
        {"needs": ("tea leaves",)},
        {"needs": ("labels",)},
        {"unified": None},
        {"limit": " "},
    ],
    ids=str,
)
def test_an_incoherent_card_is_refused(change):
    assert isinstance(replace(MajorityReward.card), RewardCard)
    with pytest.raises(
        InputError, match=next(iter(change)) if change not in ({"needs": ("labels",)}, {"unified": None}) else "intrinsic"
    ):
        replace(MajorityReward.card, **change)
