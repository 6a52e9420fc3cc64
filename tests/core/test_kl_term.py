"""The KL term of gradient updates against slow references that import nothing of ours, its limits, and what it
refuses.
"""

import itertools

import jax
import numpy as np
import pytest

from sharpening import (
    GRPO,
    InputError,
    KLProx,
    LowRankPlusDiagonal,
    NaturalGradient,
    Population,
    SoftmaxGradient,
    flow,
    get_update,
    simulate,
    simulate_tree,
    thinking_prior,
)

PRIOR = np.log([[0.5, 0.3, 0.15, 0.05], [0.4, 0.38, 0.2, 0.02], [0.97, 0.01, 0.01, 0.01]])
REWARDS = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.2, 0.0], [0.3, 0.0, 0.0, 1.0]])


@jax.jit
def after(update, log_probs, rewards, reference, steps):
    """The policy after many steps at fixed rewards."""
    return jax.lax.fori_loop(
        0, steps, lambda _, now: update.step(now, rewards, reference), jax.numpy.asarray(log_probs)
    )


def tilted(row, rewards, beta):
    """pi_ref e^(r/beta), normalised, answer by answer."""
    top = max(rewards)
    masses = [np.exp(row[a] + (rewards[a] - top) / beta) for a in range(len(row))]
    return np.array([mass / sum(masses) for mass in masses])


def resting_forward(row, rewards, beta):
    """pi_a = pi_ref_a / (1 - (r_a - mean)/beta), the mean found by bisection: the smallest for which masses sum to
    at most 1.
    """
    low, high = max(rewards) - beta, max(rewards)
    for _ in range(200):
        mean = (low + high) / 2
        total = sum(
            np.exp(p) / (1 - (r - mean) / beta) if r - mean < beta else np.inf
            for p, r in zip(row, rewards, strict=True)
        )
        low, high = (mean, high) if total > 1 else (low, mean)
    return np.array([np.exp(p) / (1 - (r - high) / beta) for p, r in zip(row, rewards, strict=True)])


@pytest.mark.parametrize("beta", [0.25, 1.0, 4.0])
def test_a_run_with_kl_to_the_initial_policy_rests_at_the_tilted_distribution(beta):
    wanted = np.array([tilted(*rows, beta) for rows in zip(PRIOR, REWARDS, strict=True)])
    for update in (SoftmaxGradient(2 / beta, beta=beta), GRPO(2 / beta, "none", beta=beta)):
        np.testing.assert_allclose(np.exp(after(update, PRIOR, REWARDS, PRIOR, 20_000)), wanted, atol=2e-6)
    natural = NaturalGradient(0.5 / beta, beta=beta)
    np.testing.assert_allclose(np.exp(after(natural, PRIOR, REWARDS, PRIOR, 100)), wanted, rtol=1e-12)
    prox = np.exp(KLProx(beta, "initial").step(PRIOR, REWARDS, PRIOR))
    np.testing.assert_allclose(prox, wanted, rtol=1e-12)


def test_without_correction_the_run_rests_where_the_forward_kl_balances():
    beta = 1.5
    wanted = np.array([resting_forward(*rows, beta) for rows in zip(PRIOR, REWARDS, strict=True)])
    update = GRPO(2.0, "none", beta=beta, use_bias_correction_kl=False)
    found = np.exp(after(update, PRIOR, REWARDS, PRIOR, 20_000))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    apart = np.abs(found - [tilted(*rows, beta) for rows in zip(PRIOR, REWARDS, strict=True)]).max()
    assert apart > 1e-3  # a thousand tolerances from the corrected term's


def test_a_scaled_run_rests_where_its_own_std_sets_the_temperature():
    found = np.exp(after(GRPO(1.0, beta=0.7), PRIOR, REWARDS, PRIOR, 20_000))
    for row, start, rewards in zip(found, PRIOR, REWARDS, strict=True):
        mean = row @ rewards
        std = np.sqrt(row @ (rewards - mean) ** 2)
        np.testing.assert_allclose(row, tilted(start, rewards, 0.7 * (std + 1e-4)), atol=1e-5)


@pytest.mark.parametrize("beta", [1.0, 100.0, 1e4])
def test_the_larger_beta_the_nearer_a_run_stays(beta):
    """E[r] - beta KL never falls along the flow, so KL <= (max r - mean r) / beta at all times."""
    for steps in (1, 5, 50, 500):
        now = np.asarray(after(SoftmaxGradient(0.1 / beta, beta=beta), PRIOR, REWARDS, PRIOR, steps))
        kl = (np.exp(now) * (now - PRIOR)).sum(axis=1)
        assert np.all(kl < 1 / beta) and np.all(kl > 0)


@pytest.mark.thorough
def test_continuous_time_has_the_kl_term_too():
    for beta in (1.0, 100.0, 1e4):
        path = flow(PRIOR[:2], "majority", SoftmaxGradient(beta=beta), [1.0 / beta, 300.0 / beta])
        kl = (np.exp(path) * (path - PRIOR[None, :2])).sum(axis=2)
        assert np.all(kl <= 1 / beta) and np.all(kl > 0)
        np.testing.assert_allclose(np.exp(path[1, 0]), tilted(PRIOR[0], np.eye(4)[0], beta), rtol=1e-6)


def test_without_beta_nothing_of_a_reference_is_seen_or_compiled():
    nowhere = np.full_like(PRIOR, np.nan)
    answers, rewards = np.array([[0, 1, 0], [1, 2, 3], [0, 0, 1]]), np.eye(3)
    for cls in (GRPO, SoftmaxGradient, NaturalGradient):
        plain, off = cls(0.3), cls(0.3, beta=0.0, ref_model_sync_steps=7)
        assert 0.0 not in jax.tree.leaves(plain) and 0.1 in jax.tree.leaves(cls(0.3, beta=0.1))
        for reference in (None, nowhere):
            np.testing.assert_array_equal(
                plain.direction(PRIOR, REWARDS), off.direction(PRIOR, REWARDS, reference)
            )
            found = off.group_direction(PRIOR, answers, rewards, reference)
            np.testing.assert_array_equal(plain.group_direction(PRIOR, answers, rewards), found)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_mean_over_groups_is_the_exact_pull_of_the_kl(corrected):
    """Every group of two, weighted by its chance: (1 - 1/2) of the reward's gradient, and all of the KL's."""
    policy, reference = PRIOR[:1], PRIOR[1:2]
    make = lambda beta: GRPO(1.0, "none", beta=beta, use_bias_correction_kl=corrected)  # noqa: E731
    groups = np.array(list(itertools.product(range(4), repeat=2)))
    chances = np.exp(policy[0][groups].sum(axis=1))
    many = lambda rows: np.repeat(rows, len(groups), axis=0)  # noqa: E731
    found = chances @ np.asarray(
        make(0.8).group_direction(many(policy), groups, REWARDS[1][groups], many(reference))
    )
    plain = np.asarray(make(0.0).direction(policy, REWARDS[1:2]))
    pull = np.asarray(make(0.8).direction(policy, REWARDS[1:2], reference)) - plain
    np.testing.assert_allclose(found, (plain / 2 + pull)[0], atol=1e-12)
    p, q = np.exp(policy[0]), np.exp(reference[0])
    by_hand = p * (np.log(p / q) - p @ np.log(p / q)) if corrected else p - q
    np.testing.assert_allclose(pull[0], -0.8 * by_hand, atol=1e-12)


def test_kl_to_the_policy_itself_pulls_nowhere():
    """The previous policy is the present one where the gradient is taken: no beta makes a difference."""
    previous = dict(sync_ref_model=True, ref_model_sync_steps=1, ref_model_mixup_alpha=1.0)
    prior = Population(PRIOR, np.arange(4) == np.array([[0], [1], [3]]))
    prior = prior.replace(coupling=LowRankPlusDiagonal(np.linspace(-1, 1, 24).reshape(3, 4, 2), 0.4))
    run = dict(num_steps=12, method="sampled", dataset_size=2, prompts_per_step=2, key=3, eval_every=12)
    runs = [simulate(prior, "majority", GRPO(0.5, beta=beta, **previous), **run) for beta in (1e-9, 3.0)]
    assert runs[0]["train_kl"][-1] > 0.1
    for name in runs[0].metrics:
        np.testing.assert_allclose(runs[1][name], runs[0][name], rtol=1e-6, atol=1e-9, err_msg=name)


def test_settings_can_be_told_as_text():
    told = get_update("grpo(beta=0.1, sync_ref_model=true, ref_model_sync_steps=64, ref_model_mixup_alpha=1)")
    assert told == GRPO(beta=0.1, sync_ref_model=True, ref_model_sync_steps=64, ref_model_mixup_alpha=1.0)
    assert (
        get_update("softmax-gradient(beta=2, use_bias_correction_kl=false)").use_bias_correction_kl is False
    )


REFUSED = {
    "beta": [dict(beta=-0.1), dict(beta=float("nan")), dict(beta=float("inf"))],
    "ref_model_mixup_alpha": [dict(beta=1.0, ref_model_mixup_alpha=0.0), dict(ref_model_mixup_alpha=1.5)],
    "ref_model_sync_steps": [dict(beta=1.0, ref_model_sync_steps=0), dict(ref_model_sync_steps=2.5)],
    "sync_ref_model": [dict(sync_ref_model=True), dict(beta=1.0, sync_ref_model="yes")],
}


@pytest.mark.parametrize("argument", REFUSED)
def test_kl_settings_that_make_no_sense_are_refused_by_name(argument):
    for cls, settings in itertools.product((GRPO, SoftmaxGradient, NaturalGradient), REFUSED[argument]):
        with pytest.raises(InputError) as caught:
            cls(1.0, **settings)
        assert caught.value.argument == argument


def test_a_reference_is_asked_for_and_a_moving_one_refused_where_it_has_no_place():
    moving = GRPO(1.0, beta=0.1, sync_ref_model=True)
    for argument, call in {
        "reference": lambda: GRPO(1.0, beta=0.1).direction(PRIOR, REWARDS),
        "sync_ref_model": lambda: flow(PRIOR, "majority", moving, [1.0]),
        "beta": lambda: simulate_tree(thinking_prior(2), "majority", GRPO(1.0, beta=0.1), num_steps=1),
    }.items():
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.argument == argument
