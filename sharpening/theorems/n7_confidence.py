"""N7: 'the more confident the prior, the later it collapses' is false: under shared drift the margin to the
attractor decides.
"""

from __future__ import annotations

import numpy as np

from sharpening.coupling import CompoundSymmetric
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

# answers besides the own one in the less confident policy; nats a step; steps
SPREAD, STEP, HORIZON = 100, 0.5, 15


def two_priors(mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(confident, doubtful) policies (prompts, 1 + SPREAD), log; column 0 is the attractor, column 1 the own
    answer.

    Confident: mass c = .55 + .4 `mass` on the own answer, all the rest on the attractor. Doubtful: .9 c on
    the own answer, the rest spread evenly over SPREAD answers, the attractor among them.
    """
    own = 0.55 + 0.4 * np.asarray(mass)
    confident = np.full((len(own), 1 + SPREAD), -np.inf)
    confident[:, 0], confident[:, 1] = np.log1p(-own), np.log(own)
    doubtful = np.repeat(np.log((1 - 0.9 * own) / SPREAD)[:, None], 1 + SPREAD, axis=1)
    doubtful[:, 1] = np.log(0.9 * own)
    return confident, doubtful


def steps_to_loss(policies: np.ndarray, attractor: int = 0) -> np.ndarray:
    """The step at which each policy's mode is lost, (prompts,), HORIZON + 1 if it is not: one driver prompt
    moves the shared logits.

    The driver is at consensus on the attractor up to 1e-6 and trains by KL-prox on the majority reward, every
    other prompt only listens: weight 0 in the batch, coupling CompoundSymmetric(private=0, shared=1).
    """
    driver = np.full((1, policies.shape[1]), np.log(1e-6 / (policies.shape[1] - 1)))
    driver[0, attractor] = np.log1p(-1e-6)
    now, listening = np.concatenate([driver, policies]), np.concatenate([[1.0], np.zeros(len(policies))])
    mode, update = policies.argmax(axis=1), KLProx(1 / STEP)
    lost = np.full(len(policies), HORIZON + 1)
    rewards = np.zeros_like(now)
    rewards[:, attractor] = 1.0
    for step in range(1, HORIZON + 1):
        direction = np.asarray(update.direction(now, rewards))
        _, shared = CompoundSymmetric(0.0, 1.0).mix(direction, listening)
        now = normalised(now + update.step_size * np.asarray(shared))
        gone = now[1:].argmax(axis=1) != mode
        lost = np.where(gone & (lost > HORIZON), step, lost)
    return lost


@register_theorem
class Confidence(Theorem):
    """A shared logit that rises by eta a step takes a prompt's mode when it exceeds log
    pi(mode)/pi(attractor): mass does not enter.

    For any mode masses p > q there are policies in the reverse order: (p, 1-p) has margin log p/(1-p), and q
    with the rest spread over M answers has log q M/(1-q), which is larger as soon as M > (1-q)/q p/(1-p).
    """

    name = "N7"
    title = "Counterexample: confidence does not order collapse"
    statement = (
        "'A more confident model collapses later' is false. Under a shared drift towards one answer a prompt"
        " loses its mode when the drift exceeds the margin log pi(mode)/pi(attractor). A policy with larger"
        " mode mass, larger majority ratio and smaller entropy can have the smaller margin, and then goes"
        " first, under the same drift: whatever p > q, spread the doubtful rest over more than"
        " p(1-q)/(q(1-p)) answers."
    )
    source = "against 'high confidence is safe'; proved here; seen on transformers of this package's zoo"
    assumptions = (HAS_LEADER,)

    def formula(self):
        import sympy as sp

        p, q, count = sp.symbols("p q M", positive=True)
        return sp.Gt(sp.log(q * count / (1 - q)), sp.log(p / (1 - p)))

    def derivation(self):
        import sympy as sp

        p, q, start, eta, t = sp.symbols("p q m eta t", positive=True)
        count = p * (1 - q) / (q * (1 - p))
        return {
            "the margin m falls by eta a step and is 0 at t = m/eta": (start - eta * t).subs(t, start / eta),
            "the margins are equal at M = p(1-q)/(q(1-p))": sp.simplify(q * count / (1 - q) - p / (1 - p)),
        }

    def claims(self, case: Case):
        population = case.population
        mass = np.exp(population.votable.max(axis=1))
        confident, doubtful = two_priors(mass)
        first, second = exact_metrics(confident), exact_metrics(doubtful)
        yield Claim.at_most(
            "the confident policy has the larger majority ratio",
            second["majority_ratio"] + 0.04,
            first["majority_ratio"],
        )
        yield Claim.at_most("and the smaller entropy", first["entropy"], second["entropy"] - 0.5)
        count = len(mass)
        lost = steps_to_loss(np.concatenate([confident, doubtful]))
        margins = np.concatenate([confident[:, 1] - confident[:, 0], doubtful[:, 1] - doubtful[:, 0]])
        wanted = np.floor(margins / STEP) + 1
        yield Claim.equal(
            "the confident mode is lost when the drift exceeds its margin", lost[:count], wanted[:count]
        )
        yield Claim.equal("and so is the doubtful one", lost[count:], wanted[count:])
        yield Claim.at_most("the confident one first", lost[:count] + 1, lost[count:])
