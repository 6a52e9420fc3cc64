"""Laws that every registered reward obeys: an independent oracle, the limit of many rollouts, invariances."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_oracle import GROUP, group, random_case, token_table
from reward_oracle_exact import EXACT, exact, random_policies

from sharpening import NO_ANSWER, REWARDS, TokenStatistics, get_reward
from sharpening.rewards import NEEDS
from sharpening.testing import policies

SPECS = sorted(GROUP)
every_reward = pytest.mark.parametrize("spec", SPECS)
# two-sided normal tail beyond 6 sigma: 2e-9 a comparison, below 1e-5 for all comparisons of this file
# together
SIGMAS = 6


def statistics(case):
    return TokenStatistics(
        mask=case.mask, answer_mask=case.answer_mask, vocab_size=case.logits.shape[-1], **token_table(case)
    )


def call(spec, case, *without):
    return get_reward(spec).group(
        case.answers, case.is_correct, tokens=statistics(case), **case.signals(*without)
    )


def test_the_oracle_knows_every_reward():
    assert set(REWARDS) <= set(GROUP) and set(GROUP) == set(EXACT)


@every_reward
def test_groups_agree_with_the_oracle_on_numpy_and_jax(spec):
    """The oracle starts from logits; where no token exists the statistics hold NaN."""
    for seed in range(6):
        case = random_case(seed, temperature=(0.7, 1.0, 1.6)[seed % 3])
        expected = group(spec, case)
        np.testing.assert_allclose(call(spec, case), expected, rtol=1e-6, atol=1e-12)
    moved = jax.tree.map(jnp.asarray, statistics(case))
    signals = {
        name: value if name == "step" else jnp.asarray(value) for name, value in case.signals().items()
    }
    found = get_reward(spec).group(
        jnp.asarray(case.answers), jnp.asarray(case.is_correct), tokens=moved, **signals
    )
    assert isinstance(found, jax.Array)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@every_reward
def test_policies_agree_with_the_oracle_on_numpy_and_jax(spec):
    for seed in range(9):
        p = random_policies(seed)
        expected = exact(spec, p)
        found = get_reward(spec).exact(p.log_probs, p.correct, **p.signals())
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    moved = {
        name: value if name in ("step", "no_answer") else jnp.asarray(value)
        for name, value in p.signals().items()
    }
    found = get_reward(spec).exact(jnp.asarray(p.log_probs), jnp.asarray(p.correct), **moved)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)


@every_reward
def test_jax_can_trace_it(spec):
    case, p = random_case(0), random_policies(1)
    signals = {name: value for name, value in p.signals().items() if name != "no_answer"}
    traced = lambda z, c, s: get_reward(spec).exact(z, c, no_answer=p.no_answer, **s)  # noqa: E731
    assert jax.eval_shape(traced, p.log_probs, p.correct, signals).shape == p.probs.shape
    traced = lambda a, c, t, s: get_reward(spec).group(a, c, tokens=t, **s)  # noqa: E731
    assert (
        jax.eval_shape(traced, case.answers, case.is_correct, statistics(case), case.signals()).shape
        == case.answers.shape
    )


def draw(p, rollouts, seed):
    """`rollouts` answers of each prompt and what `group` is told of them, as a simulation tells it."""
    rng = np.random.default_rng(seed)
    columns = np.stack([rng.choice(p.probs.shape[1], size=rollouts, p=row) for row in p.probs])
    at = lambda table: np.take_along_axis(table, columns, axis=1)  # noqa: E731
    answers = (
        columns
        if p.no_answer is None
        else np.where(columns == p.no_answer % p.probs.shape[1], NO_ANSWER, columns)
    )
    signals = p.signals()
    told = dict(
        tokens=TokenStatistics.of_categorical(p.log_probs, columns),
        reference_log_probs=at(signals["reference"]),
        previous_log_probs=at(signals["previous"]),
        clusters=p.clusters[columns],
        states=np.zeros((*columns.shape, 0), dtype=int),
        questions=p.questions,
        voters=np.zeros_like(columns),
        step=p.step,
    )
    return columns, answers, at(p.correct), told


def delta_method(spec, p, rollouts):
    """Standard deviations (P, K) of r(empirical frequencies) about r(p), by central differences of the
    oracle.
    """
    variance, h = np.zeros(p.probs.shape), 1e-5
    jacobian = np.zeros((*p.probs.shape, p.probs.shape[1]))
    for b in range(p.probs.shape[1]):
        up, down = p.probs.copy(), p.probs.copy()
        up[:, b] += h
        down[:, b] -= h
        jacobian[..., b] = (exact(spec, replace(p, probs=up)) - exact(spec, replace(p, probs=down))) / (2 * h)
    for i, row in enumerate(p.probs):
        covariance = np.diag(row) - np.outer(row, row)
        variance[i] = np.einsum("ab,bc,ac->a", jacobian[i], covariance, jacobian[i]) / rollouts
    return np.sqrt(np.maximum(variance, 0))


PLUG_IN = set(SPECS) - {
    "self-certainty",
    "trajectory-entropy",
    "token-entropy",
    "probability",
    "probability-disparity",
    "kl-uniform",
    "kl-reference",
    "kl-previous",
}
"""Rewards whose group form depends on the sampled frequencies; the others see each rollout alone and equal
their limit at once.
"""


@every_reward
def test_exact_is_the_limit_of_groups(spec):
    """|group - exact| <= 6 sigma + 20/N for N rollouts: sigma by the delta method, 20/N for what is quadratic in the frequencies.

    Frequencies are far from ties and from the gates (0.5 and 0.7): the chance that 3,000 rollouts elect
    another leader or pass a gate is below 1e-6 (theorem F1), so false alarms are below 1e-5 for all rewards
    and answers together.
    """
    base = random_policies(2, faces=False)
    probs = np.array(
        [[0.06, 0.45, 0.2, 0.15, 0.14], [0.1, 0.15, 0.33, 0.24, 0.18], [0.6, 0.05, 0.1, 0.15, 0.1]]
    )
    p = replace(base, probs=probs, no_answer=0, questions=np.array([0, 1, 1]))
    rollouts = 3000
    columns, answers, is_correct, told = draw(p, rollouts, seed=5)
    told["clusters"] = np.where(answers == NO_ANSWER, 99, told["clusters"])
    found = get_reward(spec).group(answers, is_correct, **told)
    expected = get_reward(spec).exact(p.log_probs, p.correct, **p.signals())
    width = (
        SIGMAS * delta_method(spec, p, rollouts) + 20 / rollouts
        if spec in PLUG_IN
        else np.full(p.probs.shape, 1e-12)
    )
    if "token-entropy" in spec:
        width = np.full(p.probs.shape, 1e-12)
    gap, bound = (
        np.abs(found - np.take_along_axis(expected, columns, axis=1)),
        np.take_along_axis(width, columns, axis=1),
    )
    assert (gap <= bound).all(), (gap - bound).max()


def shuffled(case, order):
    """The case with the rollouts of each prompt in another order, (P, R)."""
    cut = lambda x: np.take_along_axis(x, order.reshape(*order.shape, *[1] * (x.ndim - 2)), axis=1)  # noqa: E731
    names = (
        "answers is_correct logits token_ids mask answer_mask reference_log_probs previous_log_probs clusters"
        " states voters verdicts"
    )
    return replace(case, **{name: cut(getattr(case, name)) for name in names.split()})


def taken(case, prompts):
    names = (
        "answers is_correct logits token_ids mask answer_mask reference_log_probs previous_log_probs clusters"
        " states voters verdicts questions"
    )
    return replace(case, **{name: getattr(case, name)[prompts] for name in names.split()})


def relabelled(case, names):
    """Other ids for answers (`names`), clusters, models and questions; "no answer" keeps its own."""
    rename = lambda ids: np.where(ids == NO_ANSWER, NO_ANSWER, names[ids])  # noqa: E731
    other = dict(clusters=1000 - 7 * case.clusters, voters=50 - case.voters, questions=3 - case.questions)
    return replace(case, answers=rename(case.answers), states=rename(case.states), **other)


@every_reward
@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_neither_order_nor_names_matter(spec, seed):
    case, rng = random_case(seed), np.random.default_rng(seed)
    rewards = call(spec, case)
    order = rng.permuted(np.tile(np.arange(6), (3, 1)), axis=1)
    np.testing.assert_allclose(
        call(spec, shuffled(case, order)), np.take_along_axis(rewards, order, axis=1), atol=1e-12
    )
    prompts = rng.permutation(3)
    np.testing.assert_allclose(call(spec, taken(case, prompts)), rewards[prompts], atol=1e-12)
    np.testing.assert_allclose(call(spec, relabelled(case, rng.permutation(40)[:3])), rewards, atol=1e-12)
    p = random_policies(seed)
    columns = rng.permutation(p.probs.shape[1])
    moved = p.take(prompts, columns)
    one, two = (get_reward(spec).exact(q.log_probs, q.correct, **q.signals()) for q in (p, moved))
    np.testing.assert_allclose(two, one[prompts][:, columns], atol=1e-12)


@settings(max_examples=60)
@given(st.data())
def test_hard_policies_give_finite_rewards(data):
    """Faces, vertices, ties, near ties and masses of 1e-300: no NaN, no infinity."""
    log_probs = data.draw(policies(2, 4))
    correct = np.array(data.draw(st.lists(st.booleans(), min_size=8, max_size=8))).reshape(2, 4)
    signals = dict(
        reference=data.draw(policies(2, 4)), previous=log_probs[::-1], step=data.draw(st.integers(0, 5))
    )
    silent = data.draw(st.sampled_from([None, 0, 3]))
    for spec in SPECS:
        with np.errstate(under="ignore"):
            rewards = get_reward(spec).exact(
                log_probs, correct, no_answer=silent, questions=np.array([0, 0]), **signals
            )
        assert (
            rewards.shape == log_probs.shape and rewards.dtype == np.float64 and np.isfinite(rewards).all()
        ), spec


def test_needs_are_signals_that_groups_take():
    """Every need of a card is a keyword of NEEDS; without those that have no default, a reward says which it
    lacks.
    """
    required = {"tokens", "reference_log_probs", "previous_log_probs", "states", "step"}
    for spec in SPECS:
        reward, case = get_reward(spec), random_case(3)
        assert set(reward.card.needs) <= set(NEEDS)
        for need in required & set(reward.card.needs):
            signals = {"tokens": statistics(case), **case.signals()}
            del signals[need]
            with pytest.raises(ValueError, match=need):
                reward.group(case.answers, case.is_correct, **signals)
        unread = {"tokens", *case.signals()} - set(reward.card.needs) - {"verdicts"}
        signals = {
            name: value
            for name, value in {"tokens": statistics(case), **case.signals()}.items()
            if name not in unread
        }
        if "verdicts" not in reward.card.needs and not reward.name.startswith("next"):
            signals.pop("verdicts")
        np.testing.assert_array_equal(
            reward.group(case.answers, case.is_correct, **signals), call(spec, case)
        )
