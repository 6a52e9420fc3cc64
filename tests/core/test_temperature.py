"""Sampling temperature: runs of tempered populations, against slow references that step the logits themselves."""

import jax
import numpy as np
import pytest

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    LowRankPlusDiagonal,
    Population,
    SoftmaxGradient,
    simulate,
    simulate_many,
    sweep,
)
from sharpening.simulation.sampling import epoch_schedule

PRIOR = Population.synthetic(11, 12, 5, strength=1.0, coupling=CompoundSymmetric(0.7, 0.9))


def softmax(z):
    masses = np.exp(z - z.max())
    return masses / masses.sum()


def vote_objective(z, temperature, reward, std):
    """What a step of GRPO on fixed rewards climbs: the mean reward of softmax(z/T) in units of its std."""
    return softmax(z / temperature) @ reward / std


def chain_rule_gradient(z, temperature):
    """d objective / dz by central differences of the tempered objective, rewards and std held fixed."""
    p = softmax(z / temperature)
    reward = (p == p.max()) * 1.0
    std = np.sqrt(p @ (reward - p @ reward) ** 2) + 1e-4
    gradient, step = np.zeros(len(z)), 1e-5
    for a in range(len(z)):
        ahead, behind = z.copy(), z.copy()
        ahead[a], behind[a] = z[a] + step, z[a] - step
        up = vote_objective(ahead, temperature, reward, std)
        gradient[a] = (up - vote_objective(behind, temperature, reward, std)) / (2 * step)
    return gradient


def stepped_by_hand(population, temperature, rate, steps):
    """(z, accuracy by step): logits z themselves are stepped, private and shared, and read at the temperature."""
    z0, n = population.log_probs.copy(), population.num_prompts
    coupling, right = population.coupling, population.correct.argmax(1)
    low_rank = isinstance(coupling, LowRankPlusDiagonal)
    v, theta = np.zeros_like(z0), np.zeros(coupling.features.shape[2]) if low_rank else np.zeros(z0.shape[1])
    curve = []
    for step in range(steps + 1):
        z = z0 + v + (coupling.features @ theta if low_rank else theta)
        curve.append(np.mean([softmax(row / temperature)[a] for row, a in zip(z, right, strict=True)]))
        if step == steps:
            return curve
        g = np.array([chain_rule_gradient(row, temperature) for row in z])
        v += rate * coupling.private * g
        if low_rank:
            theta += rate * np.einsum("xar,xa->r", coupling.features, g) / n
        else:
            theta += rate * coupling.shared * g.mean(axis=0)


COUPLINGS = {
    "compound": CompoundSymmetric(0.7, 0.9),
    "low rank": LowRankPlusDiagonal(np.random.default_rng(0).normal(0, 0.4, (12, 5, 3)), 0.6),
}


@pytest.mark.parametrize("temperature", [0.6, 1.7])
@pytest.mark.parametrize("coupling", COUPLINGS)
def test_a_run_at_a_temperature_steps_the_logits_by_the_chain_rule(coupling, temperature):
    population = PRIOR.replace(coupling=COUPLINGS[coupling])
    run = simulate(population, "majority", GRPO(0.4), num_steps=6, temperature=temperature)
    np.testing.assert_allclose(run["accuracy"], stepped_by_hand(population, temperature, 0.4, 6), atol=2e-8)


def sampled_by_hand(key, temperature, size, asked, rollouts, rate, steps):
    """z of the shared part after the steps: groups drawn from softmax(z/T), each rollout's gradient (onehot - pi_T)/T."""
    schedule = epoch_schedule(np.asarray(jax.random.key_data(key)), size, steps, asked)
    v, u = np.zeros((size, 5)), np.zeros(5)
    for step in range(steps):
        with jax.enable_x64(True):
            numbers = jax.random.uniform(
                jax.random.fold_in(key, step + 1), (asked, 1 + rollouts), dtype="float64"
            )
        shared = np.zeros(5)
        for x, row in zip(schedule[step], np.asarray(numbers)[:, 1:], strict=True):
            p = softmax((PRIOR.log_probs[x] + v[x] + u) / temperature)
            answers = [int(np.searchsorted(np.cumsum(p), value, side="right")) for value in row]
            counts = np.bincount(answers, minlength=5)
            leaders = counts == counts.max()
            pay = np.array([leaders[a] / leaders.sum() for a in answers])
            g = sum(
                (pay[i] - pay.mean()) * (np.eye(5)[a] - p) / temperature / rollouts
                for i, a in enumerate(answers)
            )
            v[x] += rate * 0.7 * g
            shared += rate * 0.9 * g / asked
        u += shared
    return u


def test_sampled_rollouts_too_are_those_of_the_tempered_policy_alone_and_in_a_sweep():
    """One grid, compiled once: the cold, the plain and the hot policy."""
    common = dict(num_steps=7, method="sampled", prompts_per_step=3, rollouts=4, dataset_size=9, key=5)
    temperatures = [0.5, 1.0, 1.3]
    runs = sweep(PRIOR, "majority", SoftmaxGradient(0.8), {"temperature": temperatures}, **common)
    right = PRIOR.correct.argmax(1)
    for run, temperature in zip(runs, temperatures, strict=True):
        u = sampled_by_hand(jax.random.key(5), temperature, 9, 3, 4, 0.8, 7)
        end = [softmax((PRIOR.log_probs[x] + u) / temperature)[right[x]] for x in range(9, 12)]
        np.testing.assert_allclose(run.trajectory["accuracy"][-1], np.mean(end), rtol=1e-12)
        assert run.trajectory.settings["temperature"] == temperature
    (once,) = simulate_many(
        PRIOR, "majority", SoftmaxGradient(0.8), temperature=0.5, keys=[common.pop("key")], **common
    )
    np.testing.assert_allclose(once["entropy"], runs[0].trajectory["entropy"], rtol=1e-12)
    assert once.settings == runs[0].trajectory.settings
    entropies = [run.trajectory["entropy"][0] for run in runs]
    assert entropies == sorted(entropies) and entropies[0] < entropies[2]


def test_temperature_is_told_and_the_population_stays_the_users():
    run = simulate(PRIOR, "majority", GRPO(0.4), num_steps=6, temperature=2)
    assert run.settings["temperature"] == 2.0 and run.settings["coupling"]["private"] == 0.7
    assert PRIOR.tempered(1) is PRIOR and PRIOR.coupling.shared == 0.9
    hot = PRIOR.tempered(2.0)
    np.testing.assert_allclose(hot.probs, np.sqrt(PRIOR.probs) / np.sqrt(PRIOR.probs).sum(1, keepdims=True))
    same = simulate(hot, "majority", GRPO(0.4), num_steps=6)
    np.testing.assert_array_equal(run["kl"], same["kl"])
    assert run["kl"][-1] > 0 and run.floor == same.floor


def test_answers_that_cannot_be_given_stay_so():
    sparse = Population.from_probs([[0.5, 0.5, 0.0], [0.0, 0.3, 0.7]], np.eye(3, dtype=bool)[:2])
    cold = sparse.tempered(0.5)
    np.testing.assert_allclose(cold.probs, [[0.5, 0.5, 0.0], [0.0, 0.09 / 0.58, 0.49 / 0.58]])


@pytest.mark.parametrize("value", [0, -1.0, np.inf, np.nan, "hot", True])
def test_refused_temperatures(value):
    for call in (
        lambda: PRIOR.tempered(value),
        lambda: simulate(PRIOR, "majority", GRPO(0.5), num_steps=2, temperature=value),
        lambda: sweep(PRIOR, "majority", GRPO(0.5), {"temperature": [1.0, value]}, num_steps=2),
    ):
        with pytest.raises(InputError, match="temperature"):
            call()


@pytest.mark.parametrize("update", ["kl_prox", "natural_gradient"])
def test_steps_of_the_policy_have_no_temperature(update):
    with pytest.raises(InputError, match="temperature"):
        simulate(PRIOR, "majority", update, num_steps=1, temperature=0.5)
