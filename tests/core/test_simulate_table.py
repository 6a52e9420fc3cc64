"""Theory C's table in miniature: small data sets end at alpha, large ones at the floor, stronger priors
later, no coupling never.
"""

import numpy as np
import pytest

from sharpening import GRPO, CompoundSymmetric, Outcome, Population, collapse_step, simulate_many


@pytest.fixture(scope="module")
def table():
    """Theory C's table: GRPO on majority votes, 64 prompts * 8 rollouts a step, 50 answers, private 1, shared
    4.5, step size 1.
    """
    runs = {}
    settings = dict(
        num_steps=325, method="sampled", prompts_per_step=64, eval_every=25, precision="float32", together=1
    )
    for name, strength in (("weak", 1.6), ("middle", 2.0), ("strong", 2.8)):
        prior = Population.synthetic(
            0, 8192 + 256, 50, strength=strength, coupling=CompoundSymmetric(1.0, 4.5)
        )
        runs[name] = simulate_many(prior, "majority", GRPO(1.0), range(3), dataset_size=8192, **settings)
        if name == "middle":
            alone = prior.replace(coupling=CompoundSymmetric(1.0, 0.0))
            runs["uncoupled"] = simulate_many(
                alone, "majority", GRPO(1.0), range(3), dataset_size=8192, **settings
            )
            few = prior.select(slice(0, 512))
            for size in (32, 128):
                runs[size] = simulate_many(few, "majority", GRPO(1.0), [0], dataset_size=size, **settings)
            runs["alpha"] = {size: prior.select(slice(0, size)).alignment for size in (32, 128, 8192)}
    return runs


@pytest.mark.parametrize("size", [32, 128])
def test_c_small_data_sets_plateau_at_alpha(table, size):
    run, alpha = table[size][0], table["alpha"][size]
    reward_accuracy = run["train_reward_accuracy"]
    assert reward_accuracy[0] > 0.75 and abs(reward_accuracy[-1] - alpha) < 0.1
    assert np.ptp(reward_accuracy[run.step >= 200]) < 0.02 and abs(run["train_accuracy"][-1] - alpha) < 0.1
    assert run["mode_retention"][-1] > 0.5 and run["reward_accuracy"][-1] > 0.75


def test_c_large_data_sets_collapse_to_the_floor_sooner_the_weaker_the_prior(table):
    ends = {}
    for name in ("weak", "middle", "strong"):
        steps = []
        for run in table[name]:
            for prefix in ("", "train_"):
                assert (
                    run[f"{prefix}reward_accuracy"][-1] < 0.05
                    and abs(run[f"{prefix}accuracy"][-1] - 1 / 50) < 0.02
                )
            assert run["distinct_answers"][-1] <= 3 and run["excess_kl"][-1] > 2
            steps.append(collapse_step(run, "relative").step)
        ends[name] = np.median(steps)
    assert 25 < ends["weak"] < ends["middle"] < ends["strong"] < 300 and ends["middle"] < 150


def test_c_a_strong_prior_rises_before_it_falls(table):
    """Trained prompts, median over seeds: the strong prior gains 1.5 points or more before its collapse, the
    weak one less than 1.
    """
    rise = {
        name: np.median([np.max(run["train_accuracy"]) - run["train_accuracy"][0] for run in table[name]])
        for name in ("weak", "strong")
    }
    assert rise["strong"] > 0.015 > 0.01 > rise["weak"]
    assert table["strong"][0].floor < 0.06 and table["strong"][0]["train_reward_accuracy"][0] > 0.85


def test_c_without_coupling_nothing_collapses(table):
    run = table["uncoupled"][0]
    assert collapse_step(run, "relative").outcome is Outcome.CENSORED and run["kl"][-1] < 1e-6
    assert run["train_reward_accuracy"][-1] > 0.6 and run["train_mode_retention"][-1] > 0.7
    assert run["train_accuracy"][-1] > run["train_accuracy"][0] + 0.05
