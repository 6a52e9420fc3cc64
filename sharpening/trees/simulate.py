"""simulate_tree(tree, reward, update) -> Trajectory: training over sequences of tokens, exact or sampled."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.errors import InputError
from sharpening.rewards import Reward, get_reward
from sharpening.rewards.asking import check_form, check_labelled
from sharpening.simulation.blame import check_finite
from sharpening.simulation.precision import precision_context
from sharpening.simulation.settings import Settings, check_hashable, plain_settings
from sharpening.trajectory import Trajectory, evaluation_steps
from sharpening.trees.leaf_rewards import check_of_one_sequence, reads_sequences
from sharpening.trees.loop import run_tree_loop
from sharpening.trees.objectives import Objective
from sharpening.trees.plan import Policies, TreeArrays, TreePlan
from sharpening.trees.population import TreePopulation
from sharpening.trees.updates import LeafStep, tree_update


def simulate_tree(tree: TreePopulation, reward: Reward | str | None, update, **settings) -> Trajectory:
    """Train policies over sequences and return their metrics at steps 0, eval_every, 2 eval_every, ...,
    num_steps.

    The keyword arguments are those of `train_tree`, which also returns the trained tree, and explains them.
    """
    return train_tree(tree, reward, update, **settings)[0]


def train_tree(
    tree: TreePopulation,
    reward: Reward | str | None,
    update,
    *,
    num_steps: int,
    key=None,
    method: str = "exact",
    loss_type: str = "sum",
    prompts_per_step: int = 32,
    rollouts: int = 8,
    dataset_size: int | None = None,
    eval_every: int = 1,
    precision: str = "float64",
) -> tuple[Trajectory, TreePopulation]:
    """Train policies over sequences: (Trajectory, the tree with its final policies).

    `update`: GRPO or SoftmaxGradient act through the tokens (`TreeGradient`, with TRL's `loss_type`), KLProx
    and NaturalGradient on the distribution over sequences (`LeafStep`); an `Objective` is differentiated
    itself, and then `reward` is None. Rewards are held fixed within a step, as GRPO does. All other
    arguments, and what is trained and evaluated under each `method`, are as in `sharpening.simulate`, which a
    tree of one level reproduces.

    Metrics: those of the answers under the population vote, and of the sequences: mean_length (tokens, the
    end token included), repetition (share of content tokens after the first that equal their predecessor),
    perplexity.

    Short answers win where the reward is the probability, and repeated tokens where it is the mean
    log-probability:

    >>> from sharpening.trees import thinking_prior, simulate_tree
    >>> from sharpening.updates import KLProx
    >>> tree = thinking_prior(0, num_prompts=8, tied=False)
    >>> run = dict(num_steps=200, eval_every=200)
    >>> likely = simulate_tree(tree, "probability", KLProx(0.05), **run)
    >>> fluent = simulate_tree(tree, "trajectory-entropy", KLProx(1.0), **run)
    >>> bool(likely["mean_length"][-1] < 0.7 * likely["mean_length"][0]), bool(fluent["repetition"][-1] > 3 * fluent["repetition"][0])
    (True, True)

    Raises: InputError for unknown names, sizes that do not fit, an update on sequences for a tree with ties,
    a reward that needs labels the tree lacks, or one without an exact form on sequences. Source: theorems S7a to S7c;
    He et al. 2026, failure modes.
    """
    if not isinstance(tree, TreePopulation):
        raise InputError("tree", tree, "it is a TreePopulation", "Use simulate for flat populations")
    settings = Settings(
        num_steps, method, prompts_per_step, rollouts, dataset_size, eval_every, "sgd", precision
    )
    update = tree_update(update, loss_type)
    if isinstance(update, Objective) != (reward is None):
        raise InputError(
            "reward",
            reward,
            "it is None with an Objective, which is differentiated itself, and a reward with any other"
            " update",
        )
    told = {
        "reward": None if reward is None else get_reward(reward).spec,
        "update": plain_settings(update),
        "coupling": plain_settings(tree.coupling),
    }
    reward = get_reward("majority" if reward is None else reward)
    _check(tree, reward, update, settings)
    settings.warn_if_still(tree.coupling)
    plan = _plan(tree, reward, update, settings)
    steps = evaluation_steps(settings.num_steps, settings.eval_every)
    key = 0 if key is None else key
    with precision_context(settings.precision):
        dtype = jnp.dtype(settings.precision)
        drawn = jax.random.key(int(key)) if isinstance(key, (int, np.integer)) else key
        schedules = settings.schedules(tree, drawn[None])
        correct = tree.over_answers().correct
        arrays = TreeArrays(
            jnp.asarray(tree.log_probs, dtype),
            None if correct is None else jnp.asarray(correct),
            jnp.asarray(tree.prompt_weights, dtype),
            jnp.asarray(tree.columns, jnp.int32),
            None if tree.ties is None else jnp.asarray(tree.ties, jnp.int32),
        )
        if settings.method != "sampled" and reads_sequences(reward):
            start = arrays.log_probs
            check_of_one_sequence(
                plan, arrays.columns, Policies(start, start, start, arrays.correct, arrays.weights)
            )
        run = partial(
            run_tree_loop,
            arrays=arrays,
            update=None if plan.update is not None else update,
            coupling=tree.coupling,
            evaluation_steps=jnp.asarray(steps, jnp.int32),
            key=drawn,
            schedule=None if schedules is None else jnp.asarray(schedules[0]),
            parameters=(
                tree.shape.num_nodes * tree.shape.vocab_size
                if tree.ties is None
                else int(tree.ties.max()) + 1
            ),
        )
        curves, final = run(plan)
        curves = {name: np.asarray(values, dtype=np.float64) for name, values in curves.items()}
        check_finite(curves, reward, lambda: run(dataclasses.replace(plan, watch=True)))
        final = np.asarray(final, dtype=np.float64)
    evaluated = tree if plan.trained in (0, tree.num_prompts) else tree.select(slice(plan.trained, None))
    seed = int(key) if isinstance(key, (int, np.integer)) else np.asarray(jax.random.key_data(drawn)).tolist()
    told |= dataclasses.asdict(settings) | {"seed": seed, "tree": dataclasses.asdict(tree.shape)}
    floor = None if tree.correct is None else evaluated.base_rate_floor
    return Trajectory(steps, curves, floor, "simulated", told), tree.replace(log_probs=final)


def _check(tree: TreePopulation, reward: Reward, update, settings: Settings) -> None:
    if isinstance(update, LeafStep) and tree.ties is not None:
        raise InputError(
            "update",
            update,
            "a step on sequences needs every logit to itself, and this tree ties them",
            "Use GRPO or SoftmaxGradient",
        )
    check_form(reward, "group" if settings.method == "sampled" or reads_sequences(reward) else "exact")
    check_hashable(reward)
    check_labelled("tree", reward, tree.correct)
    size = settings.dataset_size
    if size is not None and not (isinstance(size, (int, np.integer)) and 1 <= size < tree.num_prompts):
        raise InputError(
            "dataset_size",
            size,
            f"the first dataset_size of {tree.num_prompts} prompts are trained, the others evaluated",
        )


def _plan(tree: TreePopulation, reward: Reward, update, settings: Settings) -> TreePlan:
    sampled = settings.method == "sampled"
    return TreePlan(
        shape=tree.shape,
        reward=reward,
        method=settings.method,
        trained=settings.trained(tree),
        prompts_per_step=settings.prompts_per_step if settings.method != "exact" else 0,
        rollouts=settings.rollouts if sampled else 0,
        num_columns=tree.num_answers + (tree.no_answer is not None),
        no_answer=tree.no_answer,
        keeps_previous="previous_log_probs" in reward.card.needs,
        update=update if jax.tree_util.all_leaves([update]) else None,
    )
