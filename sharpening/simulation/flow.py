"""Continuous time: the policies that an exact update follows as its step size goes to 0."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from sharpening.coupling import NoCoupling
from sharpening.errors import InputError
from sharpening.population import Population, as_floats
from sharpening.rewards import Reward
from sharpening.rewards.asking import check_form, check_labelled, exact_rewards
from sharpening.simulation.precision import precision_context
from sharpening.simulation.run import as_reward
from sharpening.simulation.settings import check_hashable
from sharpening.updates import Update, get_update
from sharpening.updates.kl_term import check_initial_reference
from sharpening.updates.reuse import check_fresh_rollouts

# nats per unit of time: losers that fall so fast, and hold less than its inverse, are 2e-12 or less before
# the end of their path
_FASTEST = 1e12
_MAX_STEPS = 20_000


def flow(
    population: Population | np.ndarray,
    reward: Reward | str,
    update: Update | str,
    times: Sequence[float] | np.ndarray,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-11,
) -> np.ndarray:
    """Log-probabilities at `times` of dz/dt = direction(pi, r(pi)), pi = softmax(z): (times, prompts,
    answers), nats.

    `population`: policies, or an array of their log-probabilities (prompts, answers); its prompts move alone,
    at the rate of `NoCoupling.private`. `times`: increasing, >= 0; time t is what t / step_size steps of the
    discrete update approximate, with an error of first order in the step size. `rtol`, `atol`: tolerances of
    a step of Dormand-Prince 8(7), on logits in nats.

    Logits, not probabilities, are integrated, so that nothing becomes negative and 1e-300 keeps its digits;
    exact ties stay ties. The natural gradient divided by the standard deviation reaches consensus in finite
    time (theorem S6: pi - 2 arcsin sqrt(p_0) for two answers). There the standard deviation is 0 and so is the
    signal: the policy stays, and its losers are at -infinity.

    Two answers, majority reward: p' = p(1-p), so the logit grows like time:

    >>> import numpy as np
    >>> from sharpening.updates import NaturalGradient
    >>> path = flow(np.log([[0.6, 0.4]]), "majority", NaturalGradient(), [0.0, 2.0])
    >>> np.abs(path[:, 0, 0] - path[:, 0, 1] - np.log(1.5)).round(8).tolist()
    [0.0, 2.0]

    Raises: InputError for bad times, prompts that are coupled, labels that the reward needs and the
    population lacks, a reward that depends on the step or on the previous policy (it has no flow), an update whose
    reference follows the policy, or a path too long for the tolerances. Source: theorem S6.
    """
    population = population if isinstance(population, Population) else Population(population)
    reward = as_reward(reward)
    update = get_update(update)
    times = _checked(population, reward, update, times)
    opaque = jax.tree_util.all_leaves([update])
    with precision_context("float64"):
        correct = None if population.correct is None else jnp.asarray(population.correct)
        start = jnp.asarray(population.log_probs)
        exact_rewards(reward, start, correct, no_answer=population.no_answer, reference=start)
        logits, end, failed = _paths(
            reward,
            update if opaque else None,
            population.no_answer,
            start,
            correct,
            None if opaque else update,
            float(population.coupling.private),
            jnp.asarray(times),
            rtol,
            atol,
        )
        logits, end, failed = np.asarray(logits), np.asarray(end), np.asarray(failed)
    if failed.any():
        rule = f"prompt {int(failed.argmax())} needs more than {_MAX_STEPS} steps of the integrator"
        rule += ", as it also would where its reward stops being finite"
        raise InputError(
            "times",
            times.tolist(),
            rule,
            "Choose earlier times or larger tolerances; a std of 0 inside the simplex needs eps > 0",
        )
    ended = np.isposinf(logits)
    return np.moveaxis(np.where(ended, end[:, None], logits), 0, 1)


def _checked(population: Population, reward: Reward, update: Update, times) -> np.ndarray:
    times = as_floats("times", times)
    if (
        times.ndim != 1
        or not times.size
        or not np.isfinite(times).all()
        or times[0] < 0
        or (np.diff(times) <= 0).any()
    ):
        raise InputError("times", times.tolist(), "they are finite numbers >= 0 that increase")
    if not isinstance(reward, Reward):
        raise InputError("reward", reward, "it is a reward or the name of one", "Use e.g. 'majority'")
    check_initial_reference(update, "a flow")
    check_fresh_rollouts(update, "a flow")
    if not isinstance(population.coupling, NoCoupling):
        raise InputError(
            "population", population.coupling, "a flow is that of one prompt", "Use coupling=NoCoupling()"
        )
    if {"step", "previous_log_probs"} & set(reward.card.needs):
        raise InputError(
            "reward", reward.name, "a reward that depends on the step or the previous policy has no flow"
        )
    check_form(reward, "exact")
    check_hashable(reward)
    check_labelled("population", reward, population.correct)
    return times


@partial(jax.jit, static_argnames=("reward", "opaque", "no_answer"))
def _paths(reward, opaque, no_answer, starts, correct, update, private, times, rtol, atol):
    """Log-probabilities (prompts, times, answers), +infinity after the end of a finite path; that end; which
    prompts failed.
    """
    update = opaque if update is None else update

    def one(start, correct):
        return _path(_velocity(reward, no_answer, start, correct, update, private), start, times, rtol, atol)

    return jax.vmap(one)(starts, correct)


def _velocity(reward, no_answer, start, correct, update, private):
    """dz/dt of one prompt as a function of how far its logits have moved from `start`; 0 for impossible
    answers.
    """

    def velocity(moved):
        log_probs = jax.nn.log_softmax(start + moved)[None]
        rewards = exact_rewards(
            reward,
            log_probs,
            None if correct is None else correct[None],
            no_answer=no_answer,
            reference=start[None],
        )
        direction = update.direction(log_probs, jnp.asarray(rewards, log_probs.dtype), start[None])[0]
        return private * jnp.where(start > -jnp.inf, direction, 0.0)

    return velocity


def _path(velocity, start, times, rtol, atol):
    def ends(t, moved, args, **_):
        speed, probs = velocity(moved), jax.nn.softmax(start + moved)
        return (jnp.max(jnp.abs(speed)) > _FASTEST) & (
            jnp.sum(jnp.where(speed < 0, probs, 0.0)) < 1 / _FASTEST
        )

    solved = diffrax.diffeqsolve(
        diffrax.ODETerm(lambda t, moved, args: velocity(moved)),
        diffrax.Dopri8(),
        t0=0.0,
        t1=times[-1],
        dt0=None,
        y0=jnp.zeros_like(start),
        saveat=diffrax.SaveAt(subs=[diffrax.SubSaveAt(ts=times), diffrax.SubSaveAt(t1=True)]),
        stepsize_controller=diffrax.ClipStepSizeController(
            diffrax.PIDController(rtol=rtol, atol=atol), step_ts=times
        ),
        event=diffrax.Event(ends),
        max_steps=_MAX_STEPS,
        throw=False,
    )
    at_times, (last,) = solved.ys
    known = (solved.result == diffrax.RESULTS.successful) | (solved.result == diffrax.RESULTS.event_occurred)
    end = jax.nn.log_softmax(jnp.where(velocity(last) >= 0, start + last, -jnp.inf))
    reached = jnp.isfinite(at_times).all(axis=1, keepdims=True)
    paths = jnp.where(reached, jax.nn.log_softmax(start[None] + at_times), jnp.inf)
    return jnp.where(times[:, None] > 0, paths, start[None]), end, ~known
