"""simulate against the theorems of S and U, against its own limits and invariances, and what it refuses."""

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    KLProx,
    NaturalGradient,
    NoCoupling,
    Population,
    SoftmaxGradient,
    simulate,
    simulate_many,
)
from sharpening.testing import populations

PRIOR = Population.synthetic(11, 12, 5, strength=1.0, coupling=CompoundSymmetric(0.7, 0.9))
SAMPLED = dict(num_steps=15, method="sampled", dataset_size=7, prompts_per_step=4, rollouts=6)


@settings(max_examples=25)
@given(populations(3, 4, coupling=NoCoupling()), st.sampled_from([0.01, 0.02]))
def test_u1_and_u5_uncoupled_accuracy_and_reward_accuracy_end_at_alpha(population, beta):
    """Mode-convergent rewards, any prior: every prompt ends on its initial mode (ties shared), so accuracy
    and reward accuracy are alpha.
    """
    assume(
        np.all(population.leaders.any(axis=1))
        and not np.any((population.leaders & population.correct).sum(axis=1) > 1)
    )
    tied = population.leaders.sum(axis=1) > 1
    run = simulate(population, "majority", KLProx(beta), num_steps=20, eval_every=20)
    np.testing.assert_allclose(run["accuracy"][-1], population.alignment, atol=1e-9)
    np.testing.assert_allclose(run["label_accuracy"], population.alignment, atol=1e-12)
    np.testing.assert_allclose(run["mode_retention"], 1.0, atol=1e-12)
    np.testing.assert_allclose(run["excess_kl"], 0.0, atol=1e-9)
    if not tied.any():
        np.testing.assert_allclose(run["reward_accuracy"][-1], population.alignment, atol=1e-9)


@pytest.mark.parametrize("update", [SoftmaxGradient(4.0), NaturalGradient(2.0, "group")])
def test_u5_no_update_collapses_an_uncoupled_population(update):
    prior = Population.synthetic(2, 40, 6, strength=1.0)
    run = simulate(prior, "majority", update, num_steps=200, eval_every=20)
    assert np.all(run["mode_retention"] == 1) and np.all(run["excess_kl"] < 1e-9)
    np.testing.assert_allclose(run["reward_accuracy"][-1], prior.alignment, atol=0.03)


def test_u2_accuracy_gained_minus_lost():
    prior = Population.synthetic(3, 60, 6)
    run = simulate(prior, "majority", KLProx(0.02), num_steps=10, eval_every=10)
    aligned = (prior.leaders & prior.correct).any(axis=1)
    right = np.where(prior.correct, prior.probs, 0).sum(axis=1)
    np.testing.assert_allclose(
        run["accuracy"][-1] - run["accuracy"][0], np.mean(np.where(aligned, 1 - right, -right)), atol=1e-9
    )


def test_s1_inside_simulate_one_prompt_follows_the_logistic_law():
    prior = Population(np.log([[0.5, 0.3, 0.2]]), np.array([[True, False, False]]))
    run = simulate(prior, "majority", KLProx(4.0), num_steps=40)
    np.testing.assert_allclose(run["accuracy"], 1 / (1 + np.exp(-run.step / 4)), rtol=1e-12)


def test_s2_inside_simulate_a_fixed_reference_stays_put():
    prior = Population(np.log([[0.5, 0.3, 0.2]]), np.array([[True, False, False]]))
    run = simulate(prior, "majority", KLProx(4.0, "initial"), num_steps=40)
    np.testing.assert_allclose(run["accuracy"][1:], 1 / (1 + np.exp(-0.25)), rtol=1e-12)


def test_true_rewards_lift_accuracy_where_majority_rewards_stop_at_alpha():
    prior = Population.synthetic(2, 40, 6, strength=1.0)
    assert simulate(prior, "true", KLProx(0.05), num_steps=10)["accuracy"][-1] > 0.999 > 0.8 > prior.alignment


@pytest.mark.parametrize("method, size", [("exact", None), ("mean_field", 8)])
def test_relabelled_answers_and_reordered_prompts_move_no_curve(method, size):
    rng = np.random.default_rng(0)
    order, labels = rng.permutation(12), rng.permutation(5)
    order = np.concatenate([order[order < 8], order[order >= 8]]) if size else order
    moved = PRIOR.replace(
        log_probs=PRIOR.log_probs[order][:, labels], correct=PRIOR.correct[order][:, labels]
    )
    run = dict(num_steps=30, method=method, dataset_size=size)
    one, two = (simulate(population, "majority", GRPO(1.0), **run) for population in (PRIOR, moved))
    for name in one.metrics:
        np.testing.assert_allclose(one[name], two[name], atol=1e-9, err_msg=name)


def test_a_weight_of_two_is_the_prompt_twice():
    weighted = PRIOR.replace(weights=np.array([2.0] * 6 + [1.0] * 6))
    rows = np.concatenate([np.arange(12), np.arange(6)])
    doubled = PRIOR.select(rows)
    one, two = (
        simulate(population, "majority", GRPO(1.0), num_steps=20, method="mean_field")
        for population in (weighted, doubled)
    )
    for name in one.metrics:
        np.testing.assert_allclose(one[name], two[name], atol=1e-9, err_msg=name)


def test_sampled_runs_approach_the_mean_field_with_many_prompts_and_rollouts():
    prior = Population.synthetic(4, 200, 5, coupling=CompoundSymmetric(1.0, 8.0))
    limit = simulate(prior, "majority", GRPO(1.0), num_steps=8, method="mean_field")
    gaps = []
    for prompts, rollouts in ((8, 8), (512, 128)):
        runs = simulate_many(
            prior,
            "majority",
            GRPO(1.0),
            range(2),
            num_steps=8,
            method="sampled",
            prompts_per_step=prompts,
            rollouts=rollouts,
        )
        gaps.append(np.mean([np.abs(run["kl"] - limit["kl"]).max() for run in runs]))
    assert 4 * gaps[1] < gaps[0] and gaps[1] < 0.4 * limit["kl"][-1]


def test_many_runs_are_the_single_runs():
    many = simulate_many(PRIOR, "majority", GRPO(1.0), [3, 9, 4], together=2, **SAMPLED)
    assert [t.settings["seed"] for t in many] == [3, 9, 4]
    for seed, trajectory in zip((3, 9, 4), many, strict=True):
        single = simulate(PRIOR, "majority", GRPO(1.0), key=jax.random.key(seed), **SAMPLED)
        for name in single.metrics:
            np.testing.assert_allclose(single[name], trajectory[name], atol=1e-12, err_msg=name)
    assert not np.allclose(many[0]["kl"], many[1]["kl"])
    batch = simulate_many(
        PRIOR, "majority", GRPO(1.0), jax.random.split(jax.random.key(0), 3), together=2, **SAMPLED
    )
    assert len(batch) == 3 and not np.allclose(batch[0]["kl"], batch[2]["kl"])


def test_how_often_we_evaluate_changes_nothing():
    every, seldom = (simulate(PRIOR, "majority", GRPO(1.0), key=1, eval_every=n, **SAMPLED) for n in (1, 4))
    assert seldom.step.tolist() == [0, 4, 8, 12, 15]
    np.testing.assert_allclose(seldom["kl"], every["kl"][seldom.step], atol=1e-12)


def test_no_answer_never_wins_and_never_earns():
    probs = np.array([[0.2, 0.1, 0.7], [0.15, 0.25, 0.6]])
    silent = Population(np.log(probs), np.array([[True, False, False], [False, True, False]]), no_answer=2)
    run = simulate(silent, "majority", KLProx(0.02), num_steps=10)
    np.testing.assert_allclose(
        [run["accuracy"][-1], run["no_answer_rate"][0], run["no_answer_rate"][-1]],
        [1.0, 0.65, 0.0],
        atol=1e-9,
    )
    mute = np.array([1e-9, 1e-9, 1 - 2e-9])
    mixed = Population(np.log([probs[0], mute, mute]), np.array([[True, False, False]] * 3), no_answer=2)
    sampled = simulate(
        mixed, "majority", GRPO(1.0), num_steps=60, method="sampled", dataset_size=2, eval_every=60
    )
    assert 0.5 <= sampled["train_no_answer_rate"][-1] < 0.6 and sampled["train_no_answer_rate"][
        0
    ] == pytest.approx(0.85)


def test_adam_keeps_the_drift_alive_when_the_gradient_fades():
    """Theory C5: near consensus SGD slows down with the gradient, Adam does not."""
    coupled = Population.synthetic(5, 64, 6, coupling=CompoundSymmetric(1.0, 0.2))
    run = dict(num_steps=400, eval_every=400, dataset_size=32)
    sgd, adam = (
        simulate(coupled, "majority", GRPO(0.5), optimizer=optimizer, **run) for optimizer in ("sgd", "adam")
    )
    assert (
        adam["train_majority_ratio"][-1] > sgd["train_majority_ratio"][-1]
        and adam["kl"][-1] > 1.2 * sgd["kl"][-1]
    )


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_precision_is_local(precision):
    reference = simulate(PRIOR, "majority", GRPO(1.0), num_steps=10)
    with jax.enable_x64(False):
        run = simulate(PRIOR, "majority", GRPO(1.0), num_steps=10, precision=precision)
        assert jax.numpy.ones(1).dtype == np.float32
    assert jax.numpy.ones(1).dtype == np.float64
    error = np.abs(run["kl"] - reference["kl"]).max()
    assert error == 0 if precision == "float64" else 0 < error < 1e-4


def test_an_update_of_your_own_needs_no_registration():
    class Half:
        name, step_size = "half", 0.5

        def direction(self, log_probs, rewards, reference=None):
            return SoftmaxGradient().direction(log_probs, rewards)

        def group_direction(self, log_probs, answers, rewards, reference=None):
            return SoftmaxGradient().group_direction(log_probs, answers, rewards)

    one, two = (simulate(PRIOR, "majority", update, num_steps=5) for update in (Half(), SoftmaxGradient(0.5)))
    np.testing.assert_allclose(one["kl"], two["kl"], rtol=1e-12)


def test_trajectory_carries_floor_and_plain_settings(tmp_path):
    run = simulate(PRIOR, "majority", GRPO(1.0), num_steps=2, dataset_size=7)
    np.testing.assert_allclose(run.floor, PRIOR.select(slice(7, None)).base_rate_floor)
    assert run.source == "simulated" and run.settings["update"]["learning_rate"] == 1.0
    assert type(run).load(run.save(tmp_path / "run.json")).settings == run.settings
    unlabelled = simulate(PRIOR.replace(correct=None), "majority", GRPO(1.0), num_steps=2)
    assert unlabelled.floor is None and not unlabelled.has("accuracy") and unlabelled.has("mode_retention")


BAD = {
    "num_steps": dict(num_steps=0),
    "method": dict(method="guess"),
    "rollouts": dict(rollouts=1),
    "dataset_size": dict(dataset_size=12),
    "optimizer": dict(optimizer="lion"),
    "precision": dict(precision="float16"),
    "eval_every": dict(eval_every=0.5),
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_settings_are_refused_by_name(argument):
    with pytest.raises(InputError) as caught:
        simulate(PRIOR, "majority", GRPO(1.0), **{"num_steps": 3, **BAD[argument]})
    assert caught.value.argument == argument


def test_rewards_updates_and_labels_that_do_not_fit_are_refused():
    for reward, update, population in (
        ("majority", "adam", PRIOR),
        ("votes", GRPO(), PRIOR),
        ("true", GRPO(), PRIOR.replace(correct=None)),
    ):
        with pytest.raises(InputError):
            simulate(population, reward, update, num_steps=1)
    with pytest.raises(InputError, match="overflow"):
        simulate(PRIOR, "majority", KLProx(1e-308), num_steps=30)
    with pytest.raises(InputError, match="keys"):
        simulate_many(PRIOR, "majority", GRPO(), [], num_steps=1)
