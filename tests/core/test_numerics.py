"""No NaN and no negative probability, whatever `sharpening.testing` draws: every update, method and
precision, and steps of any size.
"""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharpening import (
    GRPO,
    CompoundSymmetric,
    InputError,
    KLProx,
    NaturalGradient,
    Population,
    SoftmaxGradient,
    get_reward,
    simulate,
)
from sharpening.testing import policies, populations

UPDATES = {
    "GRPO": lambda h: GRPO(h),
    "GRPO, eps 0": lambda h: GRPO(h, "group", 0.0),
    "softmax": SoftmaxGradient,
    "natural": NaturalGradient,
    "natural / std": lambda h: NaturalGradient(h, "group", 0.0),
    "KL-prox": lambda h: KLProx(1 / h),
    "KL-prox, initial": lambda h: KLProx(1 / h, "initial"),
}
STEPS = st.sampled_from([1e-6, 1e-2, 1.0, 1e3])
BOUNDED = (
    "accuracy",
    "label_accuracy",
    "reward_accuracy",
    "majority_ratio",
    "mode_retention",
    "no_answer_rate",
)


@settings(max_examples=15)
@given(
    policies(3, 4),
    STEPS,
    st.sampled_from(["majority", "trajectory-entropy"]),
    st.sampled_from(["float64", "float32"]),
)
@pytest.mark.parametrize("name", UPDATES)
def test_a_step_gives_a_policy(name, log_probs, size, reward, precision):
    """Ten steps: rows sum to 1, nothing is NaN or positive, impossible answers stay impossible, exact ties
    stay ties.
    """
    start = log_probs.astype(precision)
    now, update = start, UPDATES[name](size)
    for _ in range(10):
        now = np.asarray(update.step(now, np.asarray(get_reward(reward).exact(now)), start))
    assert now.dtype == start.dtype and not np.isnan(now).any()
    tiny = 1e-12 if precision == "float64" else 1e-5
    assert now.max() <= tiny and np.abs(np.exp(now.astype(np.float64)).sum(axis=1) - 1).max() < tiny
    assert np.all(now[start == -np.inf] == -np.inf)
    ties = (start[:, :, None] == start[:, None, :]) & (now[:, :, None] != now[:, None, :])
    assert not ties.any()


@settings(max_examples=6)
@given(populations(3, 4, silent=False, coupling=CompoundSymmetric(0.7, 0.9)), st.sampled_from([1e-3, 1.0]))
@pytest.mark.parametrize(
    "method, precision",
    [("exact", "float64"), ("mean_field", "float64"), ("sampled", "float64"), ("sampled", "float32")],
)
def test_every_method_keeps_its_metrics_in_range(method, precision, population, size):
    run = simulate(
        population,
        "majority",
        GRPO(size),
        num_steps=6,
        method=method,
        precision=precision,
        prompts_per_step=2,
        rollouts=4,
    )
    for name, values in run.metrics.items():
        assert np.isfinite(values).all(), name
        if name in BOUNDED:
            assert values.min() >= -1e-6 and values.max() <= 1 + 1e-6, name
    assert run["kl"].min() >= 0 and run["entropy"].min() >= 0


@pytest.mark.parametrize("name", UPDATES)
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_a_huge_step_saturates_or_is_refused_by_name(name, precision):
    prior = Population(np.log([[0.5, 0.3, 0.2], [0.4, 0.4, 0.2]]))
    refused = 0
    for size in (1e10, 1e30, 1e307):
        try:
            run = simulate(
                prior, "majority", UPDATES[name](size), num_steps=40, eval_every=40, precision=precision
            )
        except InputError as error:
            assert error.argument == "update"
            refused += 1
        else:
            assert run["mode_retention"][-1] == 1 and 0.5 <= run["majority_ratio"][-1] <= 1
    assert refused < 3


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"method": "mean_field", "dataset_size": 5, "optimizer": "adam"},
        {"method": "sampled", "dataset_size": 5},
    ],
)
def test_no_dtype_is_promoted_silently(settings):
    prior = Population.synthetic(0, 8, 3, coupling=CompoundSymmetric(1.0, 0.5))
    with jax.numpy_dtype_promotion("strict"):
        run = simulate(prior, "majority", GRPO(0.7), num_steps=3, prompts_per_step=4, **settings)
    assert len(run) == 4
