"""Several updates on one batch, against slow NumPy loops that import nothing of ours; clipping; refusals."""

import jax
import numpy as np
import pytest

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    LeafStep,
    NaturalGradient,
    Population,
    flow,
    get_update,
    simulate,
    simulate_tree,
    sweep,
    thinking_prior,
)
from sharpening.simulation.sampling import epoch_schedule

PRIOR = Population.synthetic(11, 12, 5, strength=1.0, coupling=CompoundSymmetric(0.7, 0.9))
BETA, LOW, HIGH, ITERATIONS = 0.15, 0.1, 0.25, 3


def softmax(z):
    masses = np.exp(z - z.max())
    return masses / masses.sum()


def clipped_gradient(p, old, initial, draws, advantages, corrected):
    """d/dz of mean_i min(rho A, clip(rho) A) - beta k3, k3 times rho if corrected, term by term from the definition:
    z enters through p only, d p_a/dz_b = p_a (1[a = b] - p_b).
    """
    g = np.zeros(len(p))
    for (a, weight), advantage in zip(draws, advantages, strict=True):
        rho, score = p[a] / old[a], np.eye(len(p))[a] - p
        free = rho * advantage <= np.clip(rho, 1 - LOW, 1 + HIGH) * advantage
        g += weight * (rho * advantage * score if free else 0.0)
        k3, slope = initial[a] / p[a] - np.log(initial[a] / p[a]) - 1, 1 - initial[a] / p[a]
        g -= weight * BETA * (rho * (k3 + slope) if corrected else slope) * score
    return g


def stepped_by_hand(method, corrected, size, asked, rollouts, rate, steps):
    """(mean entropy of the prompts that are not trained, share of clipped terms)."""
    z0, n = PRIOR.log_probs, size
    key = jax.random.key(5)
    schedule = epoch_schedule(np.asarray(jax.random.key_data(key)), n, steps, asked)
    v, u, clipped = np.zeros((n, 5)), np.zeros(5), []
    for step in range(steps):
        batch = step // ITERATIONS
        if step % ITERATIONS == 0:
            old = np.array([softmax(row) for row in z0[:n] + v + u])
        with jax.enable_x64(True):
            numbers = np.asarray(
                jax.random.uniform(jax.random.fold_in(key, batch + 1), (asked, 1 + rollouts), dtype="float64")
            )
        prompts = schedule[batch] if method == "sampled" else range(n)
        moved = []
        for place, x in enumerate(prompts):
            p, q = softmax(z0[x] + v[x] + u), old[x]
            if method == "sampled":
                answers = np.searchsorted(np.cumsum(q), numbers[place, 1:], side="right")
                counts = np.bincount(answers, minlength=5)
                pay = (counts == counts.max()) / (counts == counts.max()).sum()
                rewards = pay[answers]
                spread = rewards.std(ddof=1) if np.ptp(rewards) else np.inf
                draws = [(a, 1 / rollouts) for a in answers]
            else:
                rewards = (q == q.max()) * 1.0
                spread, draws = np.sqrt(q @ (rewards - q @ rewards) ** 2), list(enumerate(q))
            mean = rewards.mean() if method == "sampled" else q @ rewards
            advantages = (rewards - mean) / (spread + 1e-4)
            moved.append((x, clipped_gradient(p, q, softmax(z0[x]), draws, advantages, corrected)))
            clipped += [(p[a] / q[a] > 1 + HIGH or p[a] / q[a] < 1 - LOW) for a, _ in draws]
        for x, g in moved:
            v[x] += rate * 0.7 * g
        u += rate * 0.9 * np.mean([g for _, g in moved], axis=0)
    ends = [softmax(row) for row in z0[n:] + u]
    return np.mean([-(p @ np.log(p)) for p in ends]), np.mean(clipped)


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("method", ["sampled", "exact"])
def test_several_updates_on_a_batch_are_the_loop_written_by_hand(method, corrected):
    update = GRPO(
        0.6,
        beta=BETA,
        use_bias_correction_kl=corrected,
        num_iterations=ITERATIONS,
        epsilon=LOW,
        epsilon_high=HIGH,
    )
    sizes = dict(prompts_per_step=4, rollouts=5, dataset_size=9)
    run = simulate(PRIOR, "majority", update, num_steps=8, method=method, key=5, eval_every=8, **sizes)
    entropy, clipped = stepped_by_hand(method, corrected, 9, 4, 5, 0.6, 8)
    np.testing.assert_allclose(run["entropy"][-1], entropy, rtol=1e-12)
    assert 0.05 < clipped < 0.6  # else the clip was not tried


def test_the_exact_direction_is_the_mean_of_sampled_ones_and_plain_on_its_own_policy():
    from sharpening.updates.policy import Policy

    rng = np.random.default_rng(3)
    old = Policy.from_logits(rng.normal(size=(1, 4)))
    now = Policy.from_logits(np.asarray(old.log_probs) + rng.normal(0, 0.4, (1, 4)))
    rewards = np.array([[1.0, 0.0, 0.3, 0.0]])
    update = GRPO(1.0, "none", beta=0.2, num_iterations=2, epsilon=0.1)
    exact = update.reused_direction(now, old, rewards, old.log_probs)
    rollouts = 200_000
    answers = rng.choice(4, p=np.asarray(old.probs)[0], size=(1, rollouts))
    found = update.reused_group_direction(now, old, answers, rewards[0][answers], old.log_probs)
    np.testing.assert_allclose(found, exact, atol=5 / np.sqrt(rollouts))
    for fresh, reused in (
        (update.policy_direction(old, rewards, now.log_probs), update.reused_direction(old, old, rewards, now.log_probs)),
        (
            update.policy_group_direction(old, answers[:, :50], rewards[0][answers[:, :50]], now.log_probs),
            update.reused_group_direction(old, old, answers[:, :50], rewards[0][answers[:, :50]], now.log_probs),
        ),
    ):  # fmt: skip
        np.testing.assert_allclose(fresh, reused, atol=1e-15)


def test_the_clip_ends_what_a_batch_can_do():
    """One batch for ever, no KL: answers with A > 0 stop once rho is above 1 + epsilon_high, wherever that began; and
    with many updates a wider clip moves further.
    """
    ends = []
    for high in (0.2, 0.5):
        update = GRPO(0.2, num_iterations=400, epsilon=0.2, epsilon_high=high)
        run = simulate(PRIOR.replace(coupling=CompoundSymmetric(1.0, 0.0)), "majority", update, num_steps=400)
        ends.append(run["majority_ratio"])
        assert run["majority_ratio"][-1] <= (1.05 * (1 + high)) * run["majority_ratio"][0]
        assert abs(run["majority_ratio"][-1] - run["majority_ratio"][-50]) < 1e-3
    assert ends[1][-1] > ends[0][-1] + 0.05


def test_a_batch_is_drawn_once_and_fresh_ones_are_another_run():
    runs = sweep(
        PRIOR, "majority", GRPO(0.6), {"num_iterations": [1, 2], "epsilon": [0.1, 0.3]}, num_steps=4, dataset_size=9
    )  # fmt: skip
    ends = [run.trajectory["entropy"][-1] for run in runs]
    assert ends[0] == ends[1] and len(set(ends[1:])) == 3
    assert runs[0].trajectory["entropy"][1] == runs[2].trajectory["entropy"][1]
    assert runs[2].trajectory.settings["update"]["num_iterations"] == 2
    assert get_update("grpo(num_iterations=4, epsilon_high=0.28)").epsilon_high == 0.28


@pytest.mark.parametrize(
    "argument, settings",
    [
        ("num_iterations", dict(num_iterations=0)),
        ("num_iterations", dict(num_iterations=1.5)),
        ("epsilon", dict(epsilon=-0.1)),
        ("epsilon", dict(epsilon=1.1)),
        ("epsilon_high", dict(epsilon_high=-1.0)),
        ("epsilon", dict(epsilon=float("nan"))),
        ("epsilon", dict(epsilon="0.2")),
    ],
)
def test_refused_settings(argument, settings):
    with pytest.raises(InputError, match=argument):
        GRPO(1.0, **settings)


def test_where_a_batch_cannot_be_reused_it_says_so():
    update = GRPO(1.0, num_iterations=2)
    calls = (
        lambda: flow(PRIOR.log_probs, "majority", update, [1.0]),
        lambda: simulate_tree(thinking_prior(0, num_prompts=2), "majority", update, num_steps=2),
        lambda: LeafStep(update),
        lambda: simulate(PRIOR, "kl-previous", update, num_steps=2),
    )
    for call in calls:
        with pytest.raises(InputError, match="num_iterations"):
            call()
    with pytest.raises(TypeError):
        NaturalGradient(1.0, num_iterations=2)
