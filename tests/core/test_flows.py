"""Continuous time against closed forms (S1, S3, S6), against the discrete step to first order, and against
SciPy's DOP853.
"""

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    KLProx,
    NaturalGradient,
    Population,
    SoftmaxGradient,
    flow,
    get_reward,
)

STARTS = np.log([[0.6, 0.4], [0.97, 0.03], [0.5, 0.5], [1.0, 1e-300], [0.2, 0.8]])
TIMES = np.array([0.0, 0.3, 1.0, 1.3, 1.5, 40.0])
PRIOR = Population.from_logits(
    np.array([[1.0, 0.2, -0.5, 0.9], [0.0, 0.0, -2.0, -np.inf], [-3.0, 2.0, -600.0, 1.9]]),
    np.array([[False, True, False, False], [True, False, False, False], [False, False, False, True]]),
)
WHEN = np.array([0.0, 0.5, 1.0])


def logit(path, answer=0):
    others = np.delete(path, answer, axis=-1)
    top = others.max(axis=-1)
    return path[..., answer] - top - np.log(np.exp(others - top[..., None]).sum(axis=-1))


def bisect(rises, target):
    low, high = -2000.0, 2000.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) < target else (low, middle)
    return low


def finite(start, time):
    """sin²(t/2 + arcsin sqrt p_0) as log-odds; at its end and after it, consensus."""
    left = (
        (np.pi - 2 * np.arctan(np.exp(start / 2)) - time) / 2 if start < 30 else np.exp(-start / 2) - time / 2
    )
    return -2 * np.log(np.tan(left)) if left > 0 else np.inf


SPEEDS = {
    "natural gradient": (NaturalGradient(), lambda start, time: start + time),
    "KL-prox": (KLProx(), lambda start, time: start + time),
    "natural gradient / std": (NaturalGradient(1.0, "group", 0.0), finite),
    "softmax": (
        SoftmaxGradient(),
        lambda start, time: bisect(
            lambda x: x + np.sinh(np.clip(x, -700, 700)), start + np.sinh(start) + time
        ),
    ),
    "GRPO": (GRPO(1.0, "group", 0.0), lambda start, time: 2 * np.arcsinh(np.sinh(start / 2) + time / 2)),
}


@pytest.mark.parametrize("name", SPEEDS)
def test_s6_four_speeds_in_closed_form(name):
    """p to 1e-8 at all times, and log-odds where consensus is not a rounding error away; ties stay; a vertex
    is reached and kept.
    """
    update, solution = SPEEDS[name]
    path = flow(STARTS, "majority", update, TIMES)
    np.testing.assert_allclose(path[0], STARTS, rtol=1e-12)
    assert np.all(path[:, 2, 0] == path[:, 2, 1])
    for prompt, sign in ((0, 1), (1, 1), (3, 1), (4, -1)):
        start = sign * (STARTS[prompt, 0] - STARTS[prompt, 1])
        want = np.array([solution(start, time) for time in TIMES])
        got = sign * (path[:, prompt, 0] - path[:, prompt, 1])
        np.testing.assert_allclose(1 / (1 + np.exp(-got)), 1 / (1 + np.exp(-want)), atol=1e-8)
        np.testing.assert_allclose(np.exp(-got), np.exp(-want), rtol=1e-6, atol=1e-20)
    assert (path[-1, 0, 1] == -np.inf) == (name == "natural gradient / std")
    assert not np.isnan(path).any() and np.abs(np.exp(path).sum(axis=2) - 1).max() < 1e-12


def test_s6_consensus_comes_at_its_time_and_not_before():
    end = np.pi - 2 * np.arcsin(np.sqrt(0.6))
    times = end + np.array([-1e-3, -1e-6, -1e-9, 1e-9, 1e-3, 1.0])
    path = flow(STARTS, "majority", NaturalGradient(1.0, "group", 0.0), times)[:, 0]
    np.testing.assert_allclose(path[:3, 1], 2 * np.log(np.sin([5e-4, 5e-7, 5e-10])), rtol=1e-2)
    assert np.all(path[3:, 1] == -np.inf) and np.all(path[3:, 0] == 0)


@pytest.mark.thorough
def test_s1_and_s3_hold_for_many_answers():
    """Natural gradient: the majority answer's logit grows like time; with r = log pi the policy is pi_0 to
    the power e^t.
    """
    majority = flow(PRIOR, "majority", NaturalGradient(), WHEN)
    np.testing.assert_allclose(logit(majority[:, 0], 0) - logit(PRIOR.log_probs[0], 0), WHEN, atol=1e-8)
    np.testing.assert_allclose(logit(majority[:, 2], 1) - logit(PRIOR.log_probs[2], 1), WHEN, atol=1e-8)
    assert np.all(majority[:, 1, 0] == majority[:, 1, 1]) and np.all(majority[:, 1, 3] == -np.inf)
    powers = flow(PRIOR, "trajectory-entropy", NaturalGradient(), WHEN)
    for i, time in enumerate(WHEN):
        want = np.exp(time) * PRIOR.log_probs
        want = (
            want
            - np.log(np.exp(want - want.max(1, keepdims=True)).sum(1, keepdims=True))
            - want.max(1, keepdims=True)
        )
        np.testing.assert_allclose(powers[i], want, rtol=1e-8)


def oracle_velocity(_, z, right, possible):
    """GRPO on the true reward, one prompt, plain NumPy."""
    p = np.where(possible, np.exp(z - z[possible].max()), 0.0)
    p = p / p.sum()
    advantages = right - p @ right
    return p * advantages / (np.sqrt(p @ advantages**2) + 1e-4)


def test_dop853_agrees():
    path = flow(PRIOR, "true", GRPO(), WHEN)
    for prompt in range(3):
        start, right = PRIOR.log_probs[prompt], PRIOR.correct[prompt].astype(float)
        possible = start > -np.inf
        finite_start = np.where(possible, start, 0.0)
        other = solve_ivp(
            oracle_velocity,
            (0, 1),
            finite_start,
            "DOP853",
            WHEN,
            args=(right, possible),
            rtol=1e-12,
            atol=1e-13,
        ).y.T
        other = np.where(possible, other, -np.inf)
        other = other - np.log(np.exp(other).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(path[:, prompt], other, atol=1e-8)


@pytest.mark.parametrize(
    "update, start, correct, times",
    [
        (GRPO, PRIOR.log_probs, PRIOR.correct, WHEN),
        (SoftmaxGradient, STARTS, None, TIMES),
        (lambda size: GRPO(size, "group", 0.0), STARTS, None, TIMES),
        (lambda size: NaturalGradient(size, "group", 0.0), STARTS, None, TIMES),
    ],
)
def test_the_discrete_step_follows_the_flow_to_first_order(update, start, correct, times):
    """Largest error of the first prompt's log-probabilities after 1/h steps of size h, at time 1, against h:
    slope 1.
    """
    reward, sizes, errors = (
        get_reward("majority" if correct is None else "true"),
        np.array([1 / 16, 1 / 32, 1 / 64]),
        [],
    )
    end = flow(Population(start, correct), reward, update(1.0), times)[times.tolist().index(1.0), :1]
    for size in sizes:
        now, right = start[:1], None if correct is None else correct[:1]
        for _ in range(round(1 / size)):
            now = np.asarray(update(size).step(now, np.asarray(reward.exact(now, right))))
        errors.append(np.abs(now - end).max())
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert abs(slope - 1) < 0.1 and errors[-1] < 0.05


def test_what_has_no_flow_is_refused():
    for times, population, reward in (
        ([1.0, 0.5], PRIOR, "majority"),
        ([-1.0], PRIOR, "majority"),
        ([], PRIOR, "majority"),
        ([1.0], PRIOR.replace(coupling=CompoundSymmetric(1.0, 1.0)), "majority"),
        ([1.0], PRIOR.replace(correct=None), "true"),
        ([1.0], PRIOR, "kl-previous"),
    ):
        with pytest.raises(InputError):
            flow(population, reward, GRPO(), times)
