"""simulate_tree against a slow NumPy oracle that walks the tree by recursion and imports nothing of ours."""

import numpy as np
import pytest

from sharpening import (
    GRPO,
    CompoundSymmetric,
    KLProx,
    SoftmaxGradient,
    TreePopulation,
    TreeShape,
    by_last_tokens,
    simulate_tree,
)

CONTENT, LENGTH, ENDS, PROMPTS = 2, 3, 1, 4
SHAPE = TreeShape(CONTENT, LENGTH, ENDS)
RNG = np.random.default_rng(8)
LOGITS = 1.5 * RNG.normal(size=(PROMPTS, SHAPE.num_nodes, SHAPE.vocab_size))
TRUTH = np.array([0, 1, 1, 0])
WEIGHTS = np.array([1.0, 2.0, 3.0, 4.0]) / 10
TIES = by_last_tokens(SHAPE, 1)
TREE = TreePopulation.from_logits(
    SHAPE, LOGITS, np.arange(CONTENT) == TRUTH[:, None], weights=WEIGHTS, coupling=CompoundSymmetric(0.7, 0.9)
)


def node_index(prefix):
    """Shorter prefixes first, then as numbers in base CONTENT."""
    index = sum(CONTENT**d for d in range(len(prefix)))
    return index + sum(token * CONTENT ** (len(prefix) - 1 - i) for i, token in enumerate(prefix))


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def leaves_of(z, prefix=(), probability=1.0, steps=()):
    """(tokens, probability, [(node, token)]) of every finished sequence under node logits z (nodes,
    vocab).
    """
    p = softmax(z[node_index(prefix)])
    found = []
    for token in range(CONTENT + ENDS):
        here = (*steps, (node_index(prefix), token))
        if token >= CONTENT or len(prefix) + 1 == LENGTH:
            found.append(((*prefix, token), probability * p[token], here))
        else:
            found += leaves_of(z, (*prefix, token), probability * p[token], here)
    return found


def answer_of(tokens):
    content = [token for token in tokens if token < CONTENT]
    return content[-1] if content else None


def masses(leaves):
    return {a: sum(p for y, p, _ in leaves if answer_of(y) == a) for a in (0, 1, None)}


def reward_of(name, z, leaves, truth):
    """r of every leaf, from its own definition."""
    p = {node: softmax(z[node]) for _, _, steps in leaves for node, _ in steps}
    mass = masses(leaves)
    leader = max((0, 1), key=lambda a: mass[a])
    mean = lambda steps, of: sum(of(p[node], token) for node, token in steps) / len(steps)  # noqa: E731
    rules = {
        "majority": lambda y, q, s: float(answer_of(y) == leader),
        "true": lambda y, q, s: float(answer_of(y) == truth),
        "probability": lambda y, q, s: q,
        "trajectory-entropy": lambda y, q, s: mean(s, lambda row, token: np.log(row[token])),
        "token-entropy": lambda y, q, s: mean(s, lambda row, token: sum(row * np.log(row))),
        "self-certainty": lambda y, q, s: mean(s, lambda row, token: -sum(np.log(row * len(row))) / len(row)),
    }
    return [rules[name](*leaf) for leaf in leaves]


def advantages_of(leaves, rewards, scale):
    mean = sum(q * r for (_, q, _), r in zip(leaves, rewards, strict=True))
    std = np.sqrt(sum(q * (r - mean) ** 2 for (_, q, _), r in zip(leaves, rewards, strict=True)))
    return [(r - mean) / (std + 1e-4 if scale else 1.0) for r in rewards]


def gradient_of(z, leaves, advantages, loss, mean_length):
    g = np.zeros_like(z)
    for (y, q, steps), advantage in zip(leaves, advantages, strict=True):
        share = {"sum": 1.0, "grpo": 1 / len(y), "dapo": 1 / mean_length, "dr_grpo": 1 / LENGTH}[loss]
        for node, token in steps:
            g[node, token] += q * advantage * share
            g[node] -= q * advantage * share * softmax(z[node])
    return g


def prox_of(z, leaves, rewards, beta):
    """Change of the node logits that multiplies every sequence by exp(r/beta)."""
    raised = [q * np.exp(r / beta) for (_, q, _), r in zip(leaves, rewards, strict=True)]
    change = np.zeros_like(z)
    for node in range(len(z)):
        through = [
            sum(w for (_, _, s), w in zip(leaves, raised, strict=True) if (node, token) in s)
            for token in range(CONTENT + ENDS)
        ]
        change[node] = np.log(np.array(through) / sum(through)) - np.log(softmax(z[node]))
    return change


def metrics_of(zs, first):
    out = {}
    for x in range(PROMPTS):
        leaves, mass, mass0 = leaves_of(zs[x]), masses(leaves_of(zs[x])), masses(leaves_of(first[x]))
        lead, lead0 = (max((0, 1), key=lambda a, m=m: m[a]) for m in (mass, mass0))
        kl = sum(mass[a] * np.log(mass[a] / mass0[a]) for a in mass)
        pairs = [
            [a == b for a, b in zip(y[:-1], y[1:], strict=True) if a < CONTENT and b < CONTENT]
            for y, _, _ in leaves
        ]
        values = dict(
            accuracy=mass[TRUTH[x]],
            label_accuracy=lead == TRUTH[x],
            reward_accuracy=sum(m for a, m in mass.items() if (a == lead) == (a == TRUTH[x])),
            mode_retention=lead == lead0,
            kl=kl,
            excess_kl=max(0, kl + np.log(mass0[lead0])),
            majority_ratio=mass[lead],
            no_answer_rate=mass[None],
            mean_length=sum(q * len(y) for y, q, _ in leaves),
            repetition=sum(q * np.mean(pair) for (_, q, _), pair in zip(leaves, pairs, strict=True) if pair),
            nats=-sum(q * np.log(q) for _, q, _ in leaves),
        )
        for name, value in values.items():
            out[name] = out.get(name, 0.0) + WEIGHTS[x] * value
    return out | {"perplexity": np.exp(out.pop("nats") / out["mean_length"])}


def oracle(reward, update, steps, tied, loss, strength):
    """Exact training of all prompts, the parameters moved one by one: z = z0 + v[tie] + u[tie]."""
    size = int(TIES.max()) + 1
    ties = TIES if tied else np.arange(LOGITS[0].size).reshape(LOGITS[0].shape)
    size = int(ties.max()) + 1
    v, u, history = np.zeros((PROMPTS, size)), np.zeros(size), []
    for step in range(steps + 1):
        zs = [LOGITS[x] + v[x][ties] + u[ties] for x in range(PROMPTS)]
        history.append(metrics_of(zs, LOGITS))
        if step == steps:
            return history
        trees = [leaves_of(z) for z in zs]
        mean_length = sum(
            w * q * len(y) for w, leaves in zip(WEIGHTS, trees, strict=True) for y, q, _ in leaves
        )
        for x in range(PROMPTS):
            rewards = reward_of(reward, zs[x], trees[x], TRUTH[x])
            if update == "prox":
                change = prox_of(zs[x], trees[x], rewards, 1 / strength)
            else:
                advantages = advantages_of(trees[x], rewards, update == "grpo")
                change = strength * gradient_of(zs[x], trees[x], advantages, loss, mean_length)
            moved = np.zeros(size)
            np.add.at(moved, ties, change)
            v[x] += 0.7 * moved
            u = u + 0.9 * WEIGHTS[x] * moved


CASES = {
    "majority, GRPO": ("majority", "grpo", False, "sum"),
    "probability, GRPO per sequence, tied": ("probability", "grpo", True, "grpo"),
    "mean log-probability, GRPO per token, tied": ("trajectory-entropy", "grpo", True, "dapo"),
    "true, softmax gradient, constant": ("true", "softmax", False, "dr_grpo"),
    "mean entropy, KL-prox": ("token-entropy", "prox", False, "sum"),
    "self-certainty, KL-prox": ("self-certainty", "prox", False, "sum"),
}


@pytest.mark.parametrize("name", CASES)
def test_simulate_tree_equals_the_recursive_oracle_at_every_step(name):
    reward, update, tied, loss = CASES[name]
    strength, steps = 0.6, 6
    history = oracle(reward, update, steps, tied, loss, strength)
    rule = {"grpo": GRPO(strength), "softmax": SoftmaxGradient(strength), "prox": KLProx(1 / strength)}[
        update
    ]
    run = simulate_tree(
        TREE.replace(ties=TIES if tied else None), reward, rule, num_steps=steps, loss_type=loss
    )
    assert len(run) == steps + 1 and abs(run["mean_length"][-1] - run["mean_length"][0]) > 1e-3
    for metric in history[0]:
        np.testing.assert_allclose(
            run[metric], [now[metric] for now in history], rtol=1e-9, atol=1e-9, err_msg=metric
        )
