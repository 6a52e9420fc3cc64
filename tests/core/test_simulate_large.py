"""Large populations go through blocks of prompts and several threads: the same curves as the plain loop, and
as NumPy.
"""

import jax
import numpy as np
import pytest

from sharpening import (
    GRPO,
    CompoundSymmetric,
    KLProx,
    NaturalGradient,
    NoCoupling,
    Population,
    SoftmaxGradient,
    simulate,
    simulate_many,
)
from sharpening.simulation import blocks

PRIOR = Population.synthetic(3, 47, 6, strength=1.0)
FACES = PRIOR.log_probs.copy()
FACES[::3, 2], FACES[5, :], FACES[7, :] = (
    -np.inf,
    [0.0, *[-np.inf] * 5],
    np.log([0.25, 0.25, 0.2, 0.1, 0.1, 0.1]),
)
FACES -= np.log(np.exp(FACES).sum(axis=1, keepdims=True))
WEIGHTS = np.where(np.arange(47) % 5 == 1, 0.0, np.arange(1.0, 48.0))


def both(monkeypatch, population, reward, update, **settings):
    """The run in blocks of at most 4 prompts, and by the plain loop."""
    monkeypatch.setattr(blocks, "LARGE", 1)
    monkeypatch.setattr(blocks, "BLOCK", 24)
    one = simulate(population, reward, update, num_steps=9, eval_every=4, **settings)
    monkeypatch.setattr(blocks, "LARGE", 2**62)
    return one, simulate(population, reward, update, num_steps=9, eval_every=4, **settings)


CASES = {
    "exact": (PRIOR, "majority", GRPO(0.8), {}),
    "coupled": (PRIOR.replace(coupling=CompoundSymmetric(0.7, 0.9)), "majority", GRPO(0.8), {}),
    "coupled, weighted, faces, data set": (
        Population(FACES, PRIOR.correct, WEIGHTS, coupling=CompoundSymmetric(0.7, 0.9)), "true", NaturalGradient(0.5, "group"), {"dataset_size": 29},
    ),
    "mean field, data set": (
        PRIOR.replace(coupling=CompoundSymmetric(0.7, 0.9)), "majority", SoftmaxGradient(2.0), {"method": "mean_field", "dataset_size": 31},
    ),
    "no answer, fixed reference": (
        PRIOR.replace(no_answer=5, correct=PRIOR.correct & (np.arange(6) != 5), coupling=NoCoupling(0.5)), "majority", KLProx(3.0, "initial"), {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_blocks_and_threads_give_the_plain_loops_curves(monkeypatch, name):
    population, reward, update, settings = CASES[name]
    one, two = both(monkeypatch, population, reward, update, **settings)
    assert one.step.tolist() == [0, 4, 8, 9] and set(one.metrics) == set(two.metrics)
    assert any(np.ptp(two[metric]) > 1e-3 for metric in two.metrics)
    for metric in two.metrics:
        np.testing.assert_allclose(one[metric], two[metric], rtol=1e-12, atol=1e-12, err_msg=metric)


def numpy_accuracy(z, correct, steps):
    """Exact GRPO on majority votes, written down on whole arrays."""
    for _ in range(steps):
        p = np.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        leads = z == z.max(axis=1, keepdims=True)
        advantages = leads / leads.sum(axis=1, keepdims=True) - (
            p * leads / leads.sum(axis=1, keepdims=True)
        ).sum(axis=1, keepdims=True)
        z = z + p * advantages / (np.sqrt((p * advantages**2).sum(axis=1, keepdims=True)) + 1e-4)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return ((p / p.sum(axis=1, keepdims=True)) * correct).sum(axis=1).mean()


def test_a_population_large_enough_takes_the_blocks_unasked_and_equals_numpy(monkeypatch):
    prior = Population.synthetic(0, 1030, 256)
    monkeypatch.setattr("sharpening.simulation.loop.training_step", None)
    runs = simulate_many(prior, "majority", GRPO(1.0), [0, 1], num_steps=6, eval_every=6)
    assert [run.settings["seed"] for run in runs] == [0, 1]
    for run in runs:
        np.testing.assert_allclose(
            run["accuracy"][-1], numpy_accuracy(prior.log_probs, prior.correct, 6), rtol=1e-12
        )


def test_adam_and_rewards_that_look_back_keep_the_plain_loop(monkeypatch):
    monkeypatch.setattr(blocks, "LARGE", 1)
    monkeypatch.setattr("sharpening.simulation.blocks.exact_direction", None)
    for reward, settings in (
        ("majority", {"optimizer": "adam"}),
        ("kl-previous", {}),
        ("majority", {"method": "sampled"}),
    ):
        assert len(simulate(PRIOR, reward, GRPO(1.0), num_steps=2, **settings)) == 3


def test_blocks_leave_the_precision_of_the_caller_alone(monkeypatch):
    monkeypatch.setattr(blocks, "LARGE", 1)
    with jax.enable_x64(False):
        single = simulate(PRIOR, "majority", GRPO(1.0), num_steps=5, precision="float32")
        double = simulate(PRIOR, "majority", GRPO(1.0), num_steps=5)
        assert jax.numpy.ones(1).dtype == np.float32
    assert 0 < np.abs(single["kl"] - double["kl"]).max() < 1e-5
