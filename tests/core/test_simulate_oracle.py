"""simulate against a slow NumPy oracle that imports nothing of ours, at every step; and the samplers against
their laws.
"""

import jax
import numpy as np
import pytest

from sharpening import GRPO, CompoundSymmetric, Population, simulate
from sharpening.simulation.sampling import epoch_schedule, sample_answers, sample_prompts

PRIOR = Population.synthetic(11, 12, 5, strength=1.0, coupling=CompoundSymmetric(0.7, 0.9))
WEIGHTED = PRIOR.replace(weights=np.arange(1.0, 13.0))


def oracle_softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def oracle_exact_direction(p):
    """GRPO on the population vote, unique leaders assumed."""
    r = np.zeros(len(p))
    r[p.argmax()] = 1.0
    mean = sum(p[a] * r[a] for a in range(len(p)))
    std = np.sqrt(sum(p[a] * (r[a] - mean) ** 2 for a in range(len(p))))
    return p * (r - mean) / (std + 1e-4)


def oracle_group_direction(p, uniforms, pull=None):
    """GRPO on one group with shared ties, answers drawn by walking up the cumulative distribution; `pull`: what the KL
    term takes from the advantage of each answer.
    """
    answers = []
    for u in uniforms:
        a, mass = 0, p[0]
        while mass <= u * p.sum():
            a, mass = a + 1, mass + p[a + 1]
        answers.append(a)
    counts = [answers.count(a) for a in range(len(p))]
    leaders = [a for a in range(len(p)) if counts[a] == max(counts)]
    r = np.array([1 / len(leaders) if a in leaders else 0.0 for a in answers])
    advantages = np.zeros(len(r)) if np.ptp(r) == 0 else (r - r.mean()) / (r.std(ddof=1) + 1e-4)
    g = np.zeros(len(p))
    for a, advantage in zip(answers, advantages, strict=True):
        less = 0.0 if pull is None else pull[a]
        g += (advantage - less) * (np.eye(len(p))[a] - p) / len(answers)
    return g


def oracle_kl_scores(p, q, corrected):
    """What TRL's estimator multiplies grad log p(a) by, for every answer."""
    return np.array([np.log(p[a] / q[a]) if corrected else 1 - q[a] / p[a] for a in range(len(p))])


def oracle_exact_pull(p, q, corrected):
    """The mean of the estimator's gradient over answers drawn from p."""
    scores = oracle_kl_scores(p, q, corrected)
    return sum(p[a] * scores[a] * (np.eye(len(p))[a] - p) for a in range(len(p)))


def oracle_metrics(z, z0, correct, weights):
    names = (
        "accuracy",
        "label_accuracy",
        "reward_accuracy",
        "mode_retention",
        "kl",
        "excess_kl",
        "entropy",
        "majority_ratio",
    )
    out = {name: 0.0 for name in names}
    for x in range(len(z)):
        p, p0 = oracle_softmax(z[x]), oracle_softmax(z0[x])
        mode, right = p.argmax(), correct[x]
        kl = sum(p * np.log(p / p0))
        values = (
            p[right].sum(),
            right[mode],
            sum(p[a] for a in range(len(p)) if (a == mode) == right[a]),
            mode == p0.argmax(),
            kl,
            max(0.0, kl + np.log(p0.max())),
            -sum(p * np.log(p)),
            p.max(),
        )
        for name, value in zip(names, values, strict=True):
            out[name] += weights[x] / weights.sum() * value
    return out


def oracle(population, method, lr, steps, size=None, batch=4, rollouts=6, adam=False, seed=0, kl=None):
    """The coupled model written out prompt by prompt; JAX gives it random numbers and nothing else. `kl`: settings of
    GRPO's KL term.
    """
    beta, corrected = (kl or {}).get("beta", 0.0), (kl or {}).get("use_bias_correction_kl", True)
    every, alpha = (kl or {}).get("ref_model_sync_steps"), (kl or {}).get("ref_model_mixup_alpha", 0.6)
    z0, weights, private, shared = (
        population.log_probs,
        population.prompt_weights,
        population.coupling.private,
        population.coupling.shared,
    )
    total, answers = z0.shape
    trained = size or (total if method == "exact" else 0)
    v, u = np.zeros((total, answers)), np.zeros(answers)
    reference_v, reference_u = v.copy(), u.copy()
    key, order = jax.random.key(seed), []
    if method == "sampled" and trained and population.weights is None:
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        while len(order) < steps * batch:
            order += rng.permutation(trained).tolist()
    history, running, first = [], 0.0, 0.0
    for step in range(steps + 1):
        rest = slice(trained if trained < total else 0, None)
        now = oracle_metrics((z0 + v + u)[rest], z0[rest], population.correct[rest], weights[rest])
        if 0 < trained < total:
            train = oracle_metrics(
                (z0 + v + u)[:trained], z0[:trained], population.correct[:trained], weights[:trained]
            )
            now |= {f"train_{name}": value for name, value in train.items()}
        history.append(now)
        if step == steps:
            return history
        pool = weights[: trained or total]
        now = [oracle_softmax(z0[x] + v[x] + u) for x in range(total)]
        then = [oracle_softmax(z0[x] + reference_v[x] + reference_u) for x in range(total)]
        if method != "sampled":
            visited, shares = list(range(len(pool))), pool / pool.sum()
            g = [
                oracle_exact_direction(now[x]) - beta * oracle_exact_pull(now[x], then[x], corrected)
                for x in visited
            ]
        else:
            draws = np.asarray(jax.random.uniform(jax.random.fold_in(key, step + 1), (batch, 1 + rollouts)))
            visited = order[step * batch : (step + 1) * batch]
            if not order:
                visited = [int(np.sum(np.cumsum(pool) <= d * pool.sum())) for d in draws[:, 0]]
            shares = np.full(batch, 1 / batch)
            g = [
                oracle_group_direction(now[x], d[1:], beta * oracle_kl_scores(now[x], then[x], corrected))
                for x, d in zip(visited, draws, strict=True)
            ]
        scale = lr
        if adam:
            running = 0.999 * running + 0.001 * sum(
                s * np.mean(gx**2) for s, gx in zip(shares, g, strict=True)
            )
            unbiased = running / (1 - 0.999 ** (step + 1))
            first = first or unbiased
            scale = lr * np.sqrt(first / unbiased) if unbiased else lr
        for x, gx, share in zip(visited, g, shares, strict=True):
            visits = batch * share if method == "mean_field" else 1.0
            if trained:
                v[x] += scale * private * visits * gx
            u = u + scale * shared * share * gx
        if every and (step + 1) % every == 0:
            reference_v = alpha * v + (1 - alpha) * reference_v
            reference_u = alpha * u + (1 - alpha) * reference_u


SYNCED = dict(beta=0.9, sync_ref_model=True, ref_model_sync_steps=4, ref_model_mixup_alpha=0.7)
CASES = {
    "exact": (PRIOR, dict(method="exact")),
    "exact, held out": (PRIOR, dict(method="exact", size=7)),
    "exact, weighted, adam": (WEIGHTED, dict(method="exact", size=7, adam=True)),
    "mean field": (WEIGHTED, dict(method="mean_field")),
    "mean field, data set": (WEIGHTED, dict(method="mean_field", size=5)),
    "sampled, fresh": (PRIOR, dict(method="sampled")),
    "sampled, fresh, weighted, adam": (WEIGHTED, dict(method="sampled", adam=True)),
    "sampled, data set": (PRIOR, dict(method="sampled", size=7)),
    "sampled, data set smaller than a batch": (PRIOR, dict(method="sampled", size=3)),
    "exact, KL to a moving reference, adam": (WEIGHTED, dict(method="exact", size=7, adam=True, kl=SYNCED)),
    "mean field, KL without correction": (
        PRIOR,
        dict(method="mean_field", size=5, kl=dict(beta=0.5, use_bias_correction_kl=False)),
    ),
    "sampled, data set, KL to a moving reference": (PRIOR, dict(method="sampled", size=7, kl=SYNCED)),
    "sampled, weighted data set": (WEIGHTED, dict(method="sampled", size=7, adam=True)),
}


@pytest.mark.parametrize("name", CASES)
def test_simulate_equals_the_numpy_oracle_at_every_step(name):
    population, case = CASES[name]
    history = oracle(population, lr=0.8, steps=15, seed=5, **case)
    run = simulate(
        population,
        "majority",
        GRPO(0.8, **case.get("kl", {})),
        num_steps=15,
        key=5,
        method=case["method"],
        prompts_per_step=4,
        rollouts=6,
        # fmt: skip
        dataset_size=case.get("size"),
        optimizer="adam" if case.get("adam") else "sgd",
    )
    assert len(run) == 16 and history[0]["kl"] < 1e-12 < history[-1]["kl"]
    assert any(metric.startswith("train_") for metric in run.metrics) == ("size" in case)
    for metric in history[0]:
        np.testing.assert_allclose(
            run[metric], [now[metric] for now in history], rtol=1e-9, atol=1e-9, err_msg=metric
        )


def test_sampled_answers_follow_their_law():
    """Chi-square of 40,000 draws over 6 possible answers (5 degrees; 25.7 is the 1e-4 quantile); impossible
    ones never occur.
    """
    probs = np.array([0.0, 0.4, 0.0, 0.3, 0.2, 0.06, 0.03, 0.01, 0.0])
    with np.errstate(divide="ignore"):
        draws = np.asarray(
            sample_answers(jax.random.uniform(jax.random.key(0), (1, 40_000)), np.log(probs)[None])
        )[0]
    counts, possible = np.bincount(draws, minlength=9), probs > 0
    assert np.all(counts[~possible] == 0)
    assert np.sum((counts - 40_000 * probs)[possible] ** 2 / (40_000 * probs[possible])) < 25.7


def test_prompts_come_in_whole_epochs_or_by_weight():
    schedule = np.asarray(epoch_schedule(np.array([0, 1]), 7, 14, 3)).ravel()
    assert all(sorted(schedule[i : i + 7]) == list(range(7)) for i in range(0, 42, 7))
    assert not np.array_equal(schedule[:7], schedule[7:14])
    drawn = np.bincount(
        np.asarray(
            sample_prompts(jax.random.uniform(jax.random.key(1), (10_000,)), np.array([0.0, 0.75, 0.25]))
        ),
        minlength=3,
    )
    assert drawn[0] == 0 and abs(drawn[1] - 7500) < 5 * np.sqrt(10_000 * 0.75 * 0.25)
