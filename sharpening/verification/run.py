"""A coupled population trained under a verification schedule: its trajectory and its expected verifier calls,
in the mean field (theorems X, C1).

Each family of schedules has one parameter, which is traced by JAX: one compilation serves every value of it
and every verifier.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from sharpening.coupling import Coupling, LowRankPlusDiagonal
from sharpening.errors import InputError
from sharpening.population import Population
from sharpening.rewards import (
    HybridGatedReward,
    HybridScheduledReward,
    NoisyVerifierReward,
    Reward,
    get_reward,
)
from sharpening.rewards.asking import check_form, reads_labels
from sharpening.simulation.blame import check_finite
from sharpening.simulation.devices import share_out
from sharpening.simulation.evaluated_scan import evaluated_scan
from sharpening.simulation.loop import evaluate
from sharpening.simulation.plan import State
from sharpening.simulation.precision import precision_context
from sharpening.simulation.settings import Settings, check_hashable
from sharpening.simulation.step import training_step
from sharpening.trajectory import Trajectory, evaluation_steps
from sharpening.updates import GRPO
from sharpening.verification.advantages import EPS, CertifiedAdvantage, scheduled_reward
from sharpening.verification.closed_form import wrong_answers_before
from sharpening.verification.sequential_test import SequentialTest
from sharpening.verification.thresholds import youden

FAMILIES = {
    "uniform": "share of every prompt's rollouts that is verified, 0..1 (theorem X2)",
    "gated": "a prompt is verified while its majority answer has less than this mass, 0..1 (theorem X6)",
    "periodic": "every how many steps all rollouts are verified, an integer >= 1 (theorem X2)",
    "certified": "share of prompts with one label certified before training, 0..1 (theorem X3)",
}
"""The families of schedules, and what the one parameter of each means."""
ORDER_SEED = 0  # of the order in which prompts are certified: a larger share contains a smaller one


@dataclass(frozen=True, eq=False)
class ScheduledRun:
    """A predicted trajectory, and how many verifier calls the run should make (expectation over the
    draws).
    """

    trajectory: Trajectory
    calls: float


def run_schedule(
    population: Population,
    family: str,
    parameter: float,
    *,
    tpr: float,
    fpr: float,
    learning_rate: float,
    num_steps: int,
    prompts_per_step: int = 32,
    rollouts: int = 8,
    reward: Reward | str = "majority",
    dataset_size: int | None = None,
    eval_every: int = 1,
    optimizer: str = "sgd",
    error: float = 0.05,
) -> ScheduledRun:
    """The mean field of GRPO under one verification schedule, with the population's own coupling, as
    `simulate` runs it.

    `family`: one of FAMILIES, which says what `parameter` means; what is not verified is paid by the
    intrinsic `reward`. Groups are infinite, and divided by the std of single rollouts' rewards, verdicts 0 or
    1 (theorem X1); a share means whole ones of the `rollouts` in each group, and one more in some.
    "certified": sequential tests at level `error`, in the order of the initial votes. `learning_rate`: on
    answer logits. Without `dataset_size` prompts are fresh and only what they share moves; with it the
    population stands for a data set of that many prompts, each visited prompts_per_step/dataset_size times a
    step, and the metrics are those of the trained prompts. Calls: rollouts * prompts_per_step * sum over
    steps of the verified share; "certified" pays once for each distinct prompt.

    Raises: InputError for an unknown family, a parameter or rate outside its range, a population without
    labels, a reward that reads labels, or sizes as in `simulate`. Source: theorem X1-X3, X6, C1.
    """
    settings = Settings(num_steps, "mean_field", prompts_per_step, rollouts, None, eval_every, optimizer)
    intrinsic = _intrinsic(reward)
    check_parameter(family, parameter)
    youden(tpr, fpr)
    if population.correct is None:
        rule = "what a verifier does depends on which answers are correct"
        raise InputError(
            "population", "one without labels", rule, "Give `correct`, or assume it with `assume_labels`"
        )
    if dataset_size is not None and dataset_size < 1:
        raise InputError("dataset_size", dataset_size, "a data set has at least one prompt")
    plan = settings.plan(population, intrinsic, None)
    coupling = population.coupling
    if dataset_size is not None:
        plan = dataclasses.replace(plan, trained=population.num_prompts)
        coupling = _with_private(coupling, coupling.private * population.num_prompts / dataset_size)
    steps = evaluation_steps(num_steps, eval_every)
    kind, values, certifying = _values(population, family, parameter, tpr, fpr, error, float(rollouts))
    with precision_context("float64"):
        arrays = share_out(population, "float64", None)
        values = jax.tree.map(jnp.asarray, values)
        update, asked = GRPO(learning_rate, "none", EPS), jnp.asarray(steps, jnp.int32)
        run = lambda plan: _run(kind, plan, arrays, update, coupling, values, asked)  # noqa: E731
        curves, shares = run(plan)
        curves = {name: np.asarray(curve, np.float64) for name, curve in curves.items()}
        verified = float(shares)
        check_finite(
            curves,
            intrinsic,
            lambda: run(dataclasses.replace(plan, watch=True)),
            argument="learning_rate",
            value=learning_rate,
            fix="Use a smaller learning rate",
        )
    distinct = prompts_per_step * num_steps if dataset_size is None else dataset_size
    calls = distinct * certifying if kind == "certified" else prompts_per_step * rollouts * verified
    told = {
        "family": family,
        "parameter": parameter,
        "tpr": tpr,
        "fpr": fpr,
        "reward": intrinsic.spec,
        "learning_rate": learning_rate,
    }
    told |= {
        "num_steps": num_steps,
        "prompts_per_step": prompts_per_step,
        "dataset_size": dataset_size,
        "optimizer": optimizer,
    }
    return ScheduledRun(
        Trajectory(steps, curves, population.base_rate_floor, "predicted", told), float(calls)
    )


def check_parameter(family: str, parameter: float) -> None:
    """InputError unless `family` is one of FAMILIES and `parameter` lies in its range."""
    if family not in FAMILIES:
        raise InputError("family", family, f"known families are {', '.join(FAMILIES)}")
    if family == "periodic":
        if not isinstance(parameter, (int, np.integer)) or isinstance(parameter, bool) or parameter < 1:
            raise InputError("parameter", parameter, "it is a number of steps, an integer >= 1")
    elif not 0 <= parameter <= 1:
        raise InputError("parameter", parameter, f"it lies in 0..1: {FAMILIES[family]}")


def reward_spec(
    family: str, parameter: float, *, tpr: float, fpr: float, reward: Reward | str = "majority"
) -> str | None:
    """The registered reward that trains with this schedule, as text for `get_reward`; None for "certified",
    which needs other labels.

    Its external part is the modelled verifier (`noisy-verifier`); put a real one in its place to train with
    it.
    """
    check_parameter(family, parameter)
    intrinsic = _intrinsic(reward)
    if family == "certified":
        return None
    parts = dict(intrinsic=intrinsic, external=NoisyVerifierReward(tpr, fpr))
    if family == "gated":
        return HybridGatedReward(**parts, threshold=parameter).spec
    every, share = (int(parameter), 1.0) if family == "periodic" else (1, parameter)
    return HybridScheduledReward(**parts, every=every, share=share).spec


def certified_labels(
    population: Population, tpr: float, fpr: float, error: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """(law, calls): probability that each answer becomes a prompt's certified label, (prompts, answers), and
    expected calls, (prompts,).

    Answers are tested in the order of their mass until one is accepted; a prompt whose truth (its best
    correct answer) is rejected gets no label, so rows sum to at most 1. Raises: InputError for J <= 0 or no
    labels. Source: theorem X3, `certified_plan`.
    """
    truth, wrong = _characteristics(tpr, fpr, error)
    votable, correct = population.votable, population.labels
    ahead = wrong_answers_before(population)
    best = np.where(correct, votable, -np.inf)
    order = np.argsort(
        np.argsort(-np.where(correct, -np.inf, votable), axis=1, kind="stable"), axis=1, kind="stable"
    )
    tested = ~correct & (votable > -np.inf) & (order < ahead[:, None])
    law = np.where(tested, wrong.accepted * (1 - wrong.accepted) ** order, 0.0)
    reached = np.isfinite(ahead)
    passed = np.where(reached, (1 - wrong.accepted) ** np.where(reached, ahead, 0.0), 0.0)
    rows = np.flatnonzero(reached)
    law[rows, best.argmax(axis=1)[rows]] = passed[rows] * truth.accepted
    each = (1 - passed) / wrong.accepted if wrong.accepted > 0 else np.where(reached, ahead, 0.0)
    return law, wrong.calls * each + passed * truth.calls


@lru_cache(maxsize=64)
def _characteristics(tpr: float, fpr: float, error: float):
    test = SequentialTest(tpr, fpr, error, error)
    return test.characteristics(True), test.characteristics(False)


def _intrinsic(reward: Reward | str) -> Reward:
    found = get_reward(reward) if isinstance(reward, str) else reward
    check_form(found, "exact")
    check_hashable(found)
    if reads_labels(found):
        rule = (
            "a schedule mixes a verifier into a reward that looks inside the model, and this one already asks"
            " whether answers are right"
        )
        raise InputError("reward", found.spec, rule, "Use an intrinsic reward, e.g. majority")
    return found


def _with_private(coupling: Coupling, private: float) -> Coupling:
    if isinstance(coupling, LowRankPlusDiagonal):
        return LowRankPlusDiagonal(coupling.features, private)
    return dataclasses.replace(coupling, private=private)


def _values(population, family, parameter, tpr, fpr, error, rollouts):
    """(compiled kind, what is traced, calls to certify one prompt of the run on average)."""
    rates = {"tpr": float(tpr), "fpr": float(fpr)}
    if family == "uniform":
        return "scheduled", rates | {"every": 1, "share": float(parameter), "rollouts": rollouts}, 0.0
    if family == "periodic":
        return "scheduled", rates | {"every": int(parameter), "share": 1.0, "rollouts": rollouts}, 0.0
    if family == "gated":
        return "gated", rates | {"threshold": float(parameter)}, 0.0
    law, calls = certified_labels(population, tpr, fpr, error)
    weights = population.prompt_weights
    order = np.random.default_rng(ORDER_SEED).permutation(len(weights))
    before = np.empty(len(weights))
    before[order] = np.cumsum(weights[order]) - weights[order]
    chosen = np.clip((parameter - before) / np.maximum(weights, np.finfo(float).tiny), 0.0, 1.0)
    return "certified", {"law": law, "chosen": chosen}, float((weights * chosen) @ calls)


@partial(jax.jit, static_argnames=("kind", "plan"))
def _run(kind, plan, arrays, update, coupling, values, evaluation_steps):
    """(metrics at the evaluations, sum over steps of the verified share of rollouts)."""
    reward = scheduled_reward(kind, plan.reward, values)
    plan = dataclasses.replace(plan, reward=reward)
    initial, weights = arrays.log_probs, arrays.weights
    zero = jnp.zeros((), initial.dtype)
    parts = (
        jnp.zeros((plan.trained, initial.shape[1]), initial.dtype),
        coupling.rest(initial.shape[1], initial.dtype),
    )
    state = State(*parts, zero, zero, parts if "previous_log_probs" in reward.card.needs else None)
    unused = jax.random.key(0)  # the mean field draws nothing

    def train(step, carry):
        state, spent = carry
        if not isinstance(reward, CertifiedAdvantage):
            logits = initial + coupling.reach(state.shared) + (state.private if plan.trained else 0.0)
            shares = reward.verified(
                jax.nn.log_softmax(logits, axis=-1), arrays.correct, no_answer=plan.no_answer, step=step
            )
            spent = spent + weights @ shares / jnp.sum(weights)
        return training_step(plan, arrays, update, coupling, None, state, step, unused), spent

    def measure(carry):
        state = carry[0]
        return evaluate(plan, arrays, coupling, state.shared, initial[: plan.trained] + state.private)

    (_, spent), metrics = evaluated_scan(train, measure, (state, zero), evaluation_steps)
    return metrics, spent
