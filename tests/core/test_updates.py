"""Theorems S1-S6, S9 and F3 of one prompt, on policies with faces, vertices, ties and masses down to
1e-300.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    GRPO,
    UPDATES,
    InputError,
    KLProx,
    MajorityReward,
    NaturalGradient,
    SoftmaxGradient,
    TrajectoryEntropyReward,
    TrueReward,
    Update,
    get_update,
    majority_share,
    vote,
)
from sharpening.testing import comonotone_rewards, policies

MAJORITY, TRAJECTORY_ENTROPY = MajorityReward(), TrajectoryEntropyReward()
STEP_SIZES = st.sampled_from([1e-3, 0.1, 1.0, 30.0])
FIRST_ORDER = [SoftmaxGradient, GRPO]


def few_shapes(**options):
    """Policies of few different shapes, since every shape compiles anew."""
    return st.sampled_from([1, 2, 3, 6]).flatmap(lambda num_answers: policies(3, num_answers, **options))


def log_sum(values, axis=-1):
    top = np.max(values, axis=axis, keepdims=True)
    top = np.where(top > -np.inf, top, 0.0)
    with np.errstate(divide="ignore"):
        return np.squeeze(top, axis) + np.log(np.sum(np.exp(values - top), axis=axis))


def log_tails(log_probs):
    """log of the k smallest masses' sum, k = 1..K-1: majorization is that none of them grows."""
    return np.stack(
        [log_sum(np.sort(log_probs, axis=1)[:, :k]) for k in range(1, log_probs.shape[1])], axis=1
    )


def assert_majorizes(after, before):
    if before.shape[1] > 1:
        old, new = log_tails(before), log_tails(after)
        slack = 1e-10 + 1e-13 * np.where(old > -np.inf, np.abs(old), 0.0)
        assert np.all(new <= old + slack)


def exact(reward, log_probs):
    return np.asarray(reward.exact(log_probs))


def others(log_probs, column):
    return log_sum(np.where(np.arange(log_probs.shape[1]) == column[:, None], -np.inf, log_probs))


def at_mode(log_probs, column):
    return np.take_along_axis(log_probs, column[:, None], axis=1)[:, 0]


@given(few_shapes(), st.integers(1, 6), st.floats(0.05, 20.0))
def test_s1_iterated_kl_prox_moves_the_logit_by_exactly_one_over_beta(log_probs, steps, beta):
    """Unique mode: logit p_k = logit p_0 + k/beta, and all ratios outside the mode stay."""
    mode = log_probs.argmax(axis=1)
    unique = (log_probs == log_probs.max(axis=1, keepdims=True)).sum(axis=1) == 1
    now = log_probs
    for _ in range(steps):
        now = np.asarray(KLProx(beta).step(now, exact(MAJORITY, now)))
    logit = lambda lp: at_mode(lp, mode) - others(lp, mode)  # noqa: E731
    possible = unique & np.isfinite(logit(log_probs))
    np.testing.assert_allclose(
        logit(now)[possible] - logit(log_probs)[possible], steps / beta, rtol=1e-9, atol=1e-9
    )
    loser = unique[:, None] & np.isfinite(log_probs) & (np.arange(log_probs.shape[1]) != mode[:, None])
    change = now - np.where(np.isfinite(log_probs), log_probs, 0.0)
    for row, mask in zip(change, loser, strict=True):
        if mask.any():
            assert np.ptp(row[mask]) < 1e-9


@given(few_shapes(), st.integers(1, 8), st.floats(0.1, 10.0))
def test_s2_a_fixed_reference_stops_one_over_beta_above_the_prior(log_probs, steps, beta):
    update, reward, now = KLProx(beta, reference="initial"), exact(MAJORITY, log_probs), log_probs
    for _ in range(steps):
        now = np.asarray(update.step(now, exact(MAJORITY, now), log_probs))
    expected = log_probs + reward / beta
    expected = expected - log_sum(expected)[:, None]
    finite = np.isfinite(expected)
    np.testing.assert_allclose(now[finite], expected[finite], rtol=1e-9, atol=1e-9)
    assert np.all(now[~finite] == -np.inf)


@given(few_shapes(), st.integers(1, 4), st.floats(0.3, 10.0))
def test_s3_trajectory_entropy_is_an_exact_power_law(log_probs, steps, beta):
    now = log_probs
    for _ in range(steps):
        now = np.asarray(KLProx(beta).step(now, exact(TRAJECTORY_ENTROPY, now)))
    power = log_probs * (1 + 1 / beta) ** steps
    power = power - log_sum(power)[:, None]
    finite = np.isfinite(log_probs)
    np.testing.assert_allclose(now[finite], power[finite], rtol=1e-9, atol=1e-9)
    ties = (log_probs[:, :, None] == log_probs[:, None, :]) & (now[:, :, None] != now[:, None, :])
    assert not ties.any()


@given(st.data())
@pytest.mark.parametrize(
    "make", [lambda h: KLProx(1 / h), NaturalGradient, lambda h: NaturalGradient(h, "group")]
)
def test_s4_a_comonotone_natural_step_majorizes(make, data):
    log_probs = data.draw(few_shapes())
    rewards = data.draw(comonotone_rewards(log_probs))
    after = np.asarray(make(data.draw(STEP_SIZES)).step(log_probs, rewards))
    assert np.all((after == -np.inf) >= (log_probs == -np.inf))
    assert_majorizes(after, log_probs)


@given(st.data())
@pytest.mark.parametrize("make", FIRST_ORDER)
def test_s5_a_comonotone_softmax_gradient_step_majorizes_so_the_mode_never_falls(make, data):
    log_probs = data.draw(few_shapes())
    rewards = data.draw(comonotone_rewards(log_probs))
    after = np.asarray(make(data.draw(STEP_SIZES)).step(log_probs, rewards))
    mode = log_probs.argmax(axis=1)
    before_others, after_others = others(log_probs, mode), others(after, mode)
    slack = 1e-10 + 1e-13 * np.abs(np.where(before_others > -np.inf, before_others, 0.0))
    assert np.all(after_others <= before_others + slack)
    assert_majorizes(after, log_probs)


@pytest.mark.parametrize("make", FIRST_ORDER)
@pytest.mark.parametrize("step_size", [0.1, 30.0])
def test_s5_needs_comonotone_rewards(make, step_size):
    """Rewarding only the least likely answer lowers the mode."""
    skewed = np.log(np.array([[0.6, 0.3, 0.1]]))
    after = np.asarray(make(step_size).step(skewed, np.array([[0.0, 0.0, 1.0]])))
    assert after[0, 0] < skewed[0, 0]


def closed_forms():
    """Name, update, F with F(p_t) = F(p_0) + t for two answers and majority reward (theorem S6)."""
    logit = lambda p: np.log(p / (1 - p))  # noqa: E731
    return {
        "natural": (lambda h: NaturalGradient(h), logit),
        "natural, normalised": (
            lambda h: NaturalGradient(h, "group", 0.0),
            lambda p: 2 * np.arcsin(np.sqrt(p)),
        ),
        "softmax": (lambda h: SoftmaxGradient(h), lambda p: logit(p) + 1 / (2 * (1 - p)) - 1 / (2 * p)),
        "softmax, normalised": (
            lambda h: GRPO(h, "group", 0.0),
            lambda p: (2 * p - 1) / np.sqrt(p * (1 - p)),
        ),
    }


def clock_error(make, clock, h, time=1.0, start=0.6):
    now = np.log(np.array([[start, 1 - start]]))
    for _ in range(round(time / h)):
        now = np.asarray(make(h).step(now, exact(MAJORITY, now)))
    p = np.exp(now[0, 0])
    return abs(clock(p) - clock(start) - time)


@pytest.mark.parametrize("name", ["natural, normalised", "softmax", "softmax, normalised"])
def test_s6_discrete_steps_follow_their_flow_to_first_order(name):
    make, clock = closed_forms()[name]
    sizes = np.array([0.1, 0.05, 0.025, 0.0125])
    errors = [clock_error(make, clock, h) for h in sizes]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert 0.93 < slope < 1.07 and errors[-1] < 0.02


@pytest.mark.parametrize("h", [0.05, 0.5, 1.0])
def test_s6_natural_gradient_and_kl_prox_follow_their_flow_exactly(h):
    _, clock = closed_forms()["natural"]
    assert clock_error(NaturalGradient, clock, h) < 1e-12
    assert clock_error(lambda step: KLProx(1 / step), clock, h) < 1e-12


def test_s6_normalised_natural_gradient_reaches_consensus_in_finite_time():
    start, h = 0.6, 0.002
    consensus = np.pi - 2 * np.arcsin(np.sqrt(start))
    now = np.log(np.array([[start, 1 - start]]))
    for _ in range(round(1.05 * consensus / h)):
        now = np.asarray(NaturalGradient(h, "group", 0.0).step(now, exact(MAJORITY, now)))
    slow = np.log(np.array([[start, 1 - start]]))
    for _ in range(round(1.05 * consensus / h)):
        slow = np.asarray(NaturalGradient(h).step(slow, exact(MAJORITY, slow)))
    assert np.exp(now[0, 1]) < 1e-4 < np.exp(slow[0, 1])


@given(few_shapes(), STEP_SIZES, st.integers(1, 12), st.sampled_from([MAJORITY, TRAJECTORY_ENTROPY]))
@pytest.mark.parametrize("make", [NaturalGradient, SoftmaxGradient, GRPO])
def test_s9_sharpening_never_spends_more_than_the_priors_min_entropy(
    make, log_probs, step_size, steps, reward
):
    now, update = log_probs, make(step_size)
    for _ in range(steps):
        now = np.asarray(update.step(now, exact(reward, now)))
        gain = np.where(now > -np.inf, now, 0.0) - np.where(log_probs > -np.inf, log_probs, 0.0)
        kl = np.sum(np.exp(now) * gain, axis=1)
        assert np.all(kl <= -log_probs.max(axis=1) + 1e-9)


def test_s9_a_reward_against_the_prior_overspends():
    prior = np.log(np.array([[0.7, 0.2, 0.1]]))
    after = np.asarray(NaturalGradient(20.0).step(prior, np.array([[0.0, 0.0, 1.0]])))
    assert np.sum(np.exp(after) * (after - prior)) > -prior.max() + 1


@pytest.mark.parametrize("size", [3, 8, 64])
def test_f3_a_lone_dissenter_has_advantage_of_order_root_g(size):
    answers = np.zeros((1, size), dtype=np.int32)
    answers[0, -1] = 1
    votes = vote(answers)
    rewards = np.asarray(majority_share(votes.is_leader, votes.num_leaders))
    log_probs = np.log(np.array([[1 - 1e-9, 1e-9]]))
    direction = np.asarray(GRPO(1.0, eps=0.0).group_direction(log_probs, answers, rewards))
    dissenter = -(size - 1) / np.sqrt(size)
    conformist = 1 / np.sqrt(size)
    np.testing.assert_allclose(direction[0, 1], dissenter / size, rtol=1e-9)
    np.testing.assert_allclose(direction[0, 0], conformist * (size - 1) / size, rtol=1e-9)
    population = np.asarray(
        GRPO(1.0, eps=0.0).direction(np.log(np.array([[1 - 1 / size, 1 / size]])), np.array([[1.0, 0.0]]))
    )
    np.testing.assert_allclose(population[0, 1], -np.sqrt(size - 1) / size, rtol=1e-9)


def test_grpo_is_silent_at_consensus_and_eps_acts_as_in_trl():
    unanimous = np.zeros((1, 4), dtype=np.int32)
    log_probs = np.log(np.array([[0.5, 0.5]]))
    assert np.all(
        np.asarray(GRPO(1.0, eps=0.0).group_direction(log_probs, unanimous, np.full((1, 4), 0.1))) == 0
    )
    assert np.all(
        np.asarray(GRPO(1.0, eps=0.0).direction(np.array([[0.0, -np.inf]]), np.array([[1.0, 0.0]]))) == 0
    )
    rewards = np.array([[1.0, 0.0, 0.0, 0.0]])
    answers = np.array([[0, 1, 1, 1]], dtype=np.int32)
    expected = 0.75 / (0.5 + 1e-4) * 1 / 4
    np.testing.assert_allclose(
        np.asarray(GRPO(1.0).group_direction(log_probs, answers, rewards))[0, 0], expected, rtol=1e-12
    )


@given(few_shapes(faces=False))
def test_advantages_keep_their_precision_next_to_a_vertex(log_probs):
    """pi-mean of the direction / pi is 0 relative to the losers' mass, not only to 1."""
    mode = log_probs.argmax(axis=1)
    rewards = (np.arange(log_probs.shape[1]) == mode[:, None]).astype(float)
    direction = np.asarray(SoftmaxGradient().direction(log_probs, rewards))
    lost = np.exp(others(log_probs, mode))
    usable = lost > 1e-290
    np.testing.assert_allclose(
        at_mode(direction, mode)[usable], (np.exp(at_mode(log_probs, mode)) * lost)[usable], rtol=1e-9
    )


@given(
    few_shapes(),
    st.sampled_from([KLProx(), NaturalGradient(), NaturalGradient(scale="group"), SoftmaxGradient(), GRPO()]),
    st.floats(-50, 50),
)
def test_a_constant_added_to_every_reward_changes_nothing(log_probs, update, constant):
    rewards = exact(MAJORITY, log_probs)
    one, two = (
        np.asarray(update.step(log_probs, rewards)),
        np.asarray(update.step(log_probs, rewards + constant)),
    )
    np.testing.assert_allclose(np.exp(one), np.exp(two), atol=1e-9)


@pytest.mark.parametrize(
    "update",
    [
        KLProx(),
        NaturalGradient(),
        NaturalGradient(scale="group"),
        SoftmaxGradient(),
        GRPO(),
        GRPO(scale="none"),
    ],
)
@pytest.mark.parametrize("true", [False, True])
def test_group_directions_converge_to_the_exact_one(update, true):
    """One group of R rollouts errs by O(R^-1/2): twenty groups stay within 5 standard errors of the exact
    direction in every entry.
    """
    rng = np.random.default_rng(3)
    probs = np.array([0.4, 0.25, 0.2, 0.15])
    rollouts, groups = 4000, 20
    log_probs = np.tile(np.log(probs), (groups, 1))
    correct = np.tile(np.array([False, True, True, False]), (groups, 1))
    answers = rng.choice(4, size=(groups, rollouts), p=probs).astype(np.int32)
    is_correct = np.take_along_axis(correct, answers.astype(int), axis=1)
    reward = TrueReward() if true else MAJORITY
    sampled = np.asarray(
        update.group_direction(log_probs, answers, np.asarray(reward.group(answers, is_correct)))
    )
    limit = np.asarray(update.direction(log_probs, np.asarray(reward.exact(log_probs, correct))))[0]
    sampled, limit = sampled - sampled.mean(axis=1, keepdims=True), limit - limit.mean()
    error = sampled.std(axis=0, ddof=1) / np.sqrt(groups)
    assert np.all(np.abs(sampled.mean(axis=0) - limit) < 5 * error + 3e-4)
    assert np.all(error < 0.01) and np.abs(limit).max() > 0.02


def test_the_mean_of_small_groups_is_the_exact_softmax_gradient_times_one_minus_one_over_g():
    rng = np.random.default_rng(5)
    probs, rollouts, groups = np.array([0.5, 0.3, 0.2]), 4, 40_000
    log_probs = np.tile(np.log(probs), (groups, 1))
    answers = rng.choice(3, size=(groups, rollouts), p=probs).astype(np.int32)
    rewards = (answers == 1).astype(float)
    sampled = np.asarray(SoftmaxGradient().group_direction(log_probs, answers, rewards))
    limit = (1 - 1 / rollouts) * np.asarray(
        SoftmaxGradient().direction(log_probs[:1], np.array([[0.0, 1.0, 0.0]]))
    )[0]
    assert np.all(np.abs(sampled.mean(axis=0) - limit) < 5 * sampled.std(axis=0) / np.sqrt(groups))


def test_an_update_is_what_its_text_says():
    assert get_update("KL-prox(beta=0.25, reference=initial)") == KLProx(0.25, "initial")
    assert get_update(KLProx(0.25), reference="initial") == KLProx(0.25, "initial")
    assert get_update("grpo(learning_rate=0.5)", learning_rate=2.0) == GRPO(2.0)


def test_updates_are_found_by_name_and_refuse_nonsense():
    assert isinstance(get_update("grpo", learning_rate=2.0), GRPO) and all(
        isinstance(cls(), Update) for cls in UPDATES.values()
    )
    for bad in (
        lambda: GRPO(-1.0),
        lambda: GRPO(scale="batch"),
        lambda: KLProx(0.0),
        lambda: KLProx(reference="first"),
        lambda: get_update("sgd"),
        lambda: get_update("grpo(lr=1)"),
        lambda: get_update("grpo(1.0)"),
        lambda: get_update("grpo(learning_rate=fast)"),
        lambda: get_update("grpo", rate=1.0),
        lambda: get_update(GRPO),
        lambda: get_update(0.5),
    ):
        with pytest.raises(InputError):
            bad()
    with pytest.raises(InputError, match="initial"):
        KLProx(1.0, "initial").step(np.log([[0.5, 0.5]]), np.zeros((1, 2)))
