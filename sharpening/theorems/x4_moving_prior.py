"""X4: interleaved supervised or pre-training gradients pull the policy back; where the two forces balance,
and whether it holds.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.f3_lone_dissenter import TWO_VOTABLE
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, SoftmaxGradient

STRENGTHS = (0.1, 0.7, 4.0)
UPDATES = {"softmax gradient": SoftmaxGradient(), "GRPO": GRPO(1.0, "group", 0.0)}


def balance_masses(
    log_mode: np.ndarray, log_rest: np.ndarray, strength: float, update: str
) -> tuple[np.ndarray, np.ndarray]:
    """(log p*, log(1 - p*)): p* is the majority answer's mass where the vote's pull and `strength` times the
    supervised pull to q cancel.

    `log_mode`, `log_rest`: log q and log(1 - q), nats. Softmax gradient: p(1-p) = mu (p-q), p* = (1-mu +
    sqrt((1-mu)² + 4 mu q))/2.
    GRPO (eps = 0): sqrt(p(1-p)) = mu (p-q), p* = (1 + 2 mu² q + sqrt(1 + 4 mu² q (1-q))) / (2 (1 + mu²)). The
    only root in (q, 1); each of p* and 1 - p* is written without cancellation.
    """
    mu, q, r = strength, np.exp(log_mode), np.exp(log_rest)
    if update == "softmax gradient":
        root = np.sqrt((1 - mu) ** 2 + 4 * mu * q)
        log_p = np.log((1 - mu + root) / 2) if mu < 1 else np.log(2 * mu / (mu - 1 + root)) + log_mode
        return log_p, np.log(2 * mu / (1 + mu + root)) + log_rest
    root = np.sqrt(1 + 4 * mu**2 * q * r)
    log_p = np.log((1 + 2 * mu**2 * q + root) / (2 * (1 + mu**2)))
    return log_p, np.log(2 * mu**2 / (1 + 2 * mu**2 * r + root)) + 2 * log_rest


def balance_point(log_prior: np.ndarray, mode: np.ndarray, strength: float, update: str) -> np.ndarray:
    """log pi*, (prompts, answers), nats: p* on the mode, mu q_a / (mu + w) on the others, w = p* or, for
    GRPO, sqrt(p*/(1-p*)).
    """
    is_mode = np.arange(log_prior.shape[1]) == mode[:, None]
    log_p, log_y = balance_masses(
        log_mass(log_prior, is_mode), log_mass(log_prior, ~is_mode), strength, update
    )
    log_pull = log_p if update == "softmax gradient" else (log_p - log_y) / 2
    rest = np.log(strength) - np.logaddexp(np.log(strength), log_pull)
    return np.where(is_mode, log_p[:, None], log_prior + rest[:, None])


def objective(
    log_probs: np.ndarray, prior: np.ndarray, mode: np.ndarray, strength: float, update: str
) -> np.ndarray:
    """What the flow climbs while the mode stays: p + mu sum q log pi, for GRPO 2 arcsin sqrt(p) + mu sum q
    log pi; (prompts,).
    """
    p = np.minimum(np.exp(log_probs[np.arange(len(mode)), mode]), 1.0)
    gain = p if update == "softmax gradient" else 2 * np.arcsin(np.sqrt(p))
    with np.errstate(invalid="ignore"):
        return gain + strength * np.where(prior > 0, prior * log_probs, 0.0).sum(axis=1)


@register_theorem
class MovingPrior(Theorem):
    """The vote pulls to 1, the data back to their share q; they balance at one point, to which everything
    with that mode flows.
    """

    name = "X4"
    title = "A prior that pulls back"
    statement = (
        "Majority reward plus mu times the supervised gradient q - pi towards data of law q (a replay of"
        " pre-training: q = pi_0). Softmax gradient: they balance where the mode's mass solves p(1-p) = mu"
        " (p-q_m), p* = (1-mu + sqrt((1-mu)²+4 mu q_m))/2, and pi_a = mu q_a/(mu+p*) elsewhere; GRPO:"
        " sqrt(p(1-p)) = mu (p-q_m). So accuracy stops short of consensus, nearer to the prior the larger mu"
        " is. The balance is the only critical point and the maximum of the objective that the flow climbs"
        " while the mode stays, so it attracts. With two answers a wrong majority of data share q outlives"
        " the data iff mu (1-2q) < 1/2 (GRPO: < 1): labels alone (q = 0) must weigh more than half of the"
        " vote."
    )
    source = "proved here"
    assumptions = (UNIQUE_MODE, TWO_VOTABLE)

    def formula(self):
        import sympy as sp

        mu, q = sp.symbols("mu q", positive=True)
        return sp.Eq(sp.Symbol("p^*"), (1 - mu + sp.sqrt((1 - mu) ** 2 + 4 * mu * q)) / 2)

    def derivation(self):
        import sympy as sp

        mu, q, p, t = sp.symbols("mu q p t", positive=True)
        root = (1 - mu + sp.sqrt((1 - mu) ** 2 + 4 * mu * q)) / 2
        grpo = (1 + 2 * mu**2 * q + sp.sqrt(1 + 4 * mu**2 * q * (1 - q))) / (2 * (1 + mu**2))
        force = p * (1 - p) - mu * (p - q)
        other = sp.Symbol("q_a", positive=True)
        return {
            "p* solves p(1-p) = mu (p-q)": sp.expand(force.subs(p, root)),
            "GRPO's p* solves p(1-p) = mu² (p-q)²": sp.simplify(
                sp.expand((p * (1 - p) - mu**2 * (p - q) ** 2).subs(p, grpo))
            ),
            "an answer at mu q_a/(mu+p) feels no force: -pi p + mu (q_a - pi) = 0": (
                (-t * p + mu * (other - t)).subs(t, mu * other / (mu + p))
            ),
            "their masses add up to 1-p at p*": sp.simplify(
                (mu * (1 - q) / (mu + p) - (1 - p)).subs(p, root)
            ),
            "the force falls through 0 there: its slope is -sqrt((1-mu)² + 4 mu q)": (
                sp.diff(force, p).subs(p, root) + sp.sqrt((1 - mu) ** 2 + 4 * mu * q)
            ),
            "p* = 1/2 at mu (1-2q) = 1/2": (
                sp.simplify(root.subs(q, (1 - 1 / (2 * mu)) / 2) - sp.Rational(1, 2)).subs(mu, 3)
            ),
            "strong data: p* tends to q": sp.limit(root, mu, sp.oo) - q,
            "weak data: p* tends to 1": root.subs(mu, 0) - 1,
        }

    def claims(self, case: Case):
        population = case.population
        prior, mode, rows = population.probs, population.mode, np.arange(population.num_prompts)
        taught = np.where(np.arange(population.num_answers) != mode[:, None], population.votable, np.inf)
        taught = np.where(taught > -np.inf, taught, np.inf).argmin(axis=1)
        label = np.eye(population.num_answers)[taught]
        others = [
            population.log_probs,
            np.log(np.full(prior.shape, 1 / population.num_answers)),
            _mixed(population.log_probs),
        ]
        for name, update in UPDATES.items():
            for mu in STRENGTHS:
                force = lambda law, policy, mu=mu, update=update: _force(case, update, law, policy, mu)  # noqa: E731
                policy = balance_point(population.log_probs, mode, mu, name)
                told = f"({name}, mu = {mu})"
                yield Claim.equal(
                    f"the forces cancel at the balance point {told}", force(prior, policy), 0.0, absolute=1e-7
                )
                best = objective(policy, prior, mode, mu, name)
                for other in others:
                    yield Claim.at_most(
                        f"no policy has a higher objective {told}",
                        objective(other, prior, mode, mu, name),
                        best,
                    )
                limit = 0.5 if name == "softmax gradient" else 1.0
                two = np.full(prior.shape, -np.inf)
                two[rows, mode], two[rows, taught] = np.log(0.5 + 1e-6), np.log(0.5 - 1e-6)
                push = force(label, two)
                yield Claim.equal(
                    f"labels drive a wrong majority below one half iff mu > {limit} {told}",
                    np.sign(push[rows, mode] - push[rows, taught]),
                    np.sign(limit - mu),
                ).about_constants()


def _force(case: Case, update, law: np.ndarray, log_probs: np.ndarray, strength: float) -> np.ndarray:
    rewards = np.asarray(case.reward.exact(log_probs, no_answer=case.population.no_answer))
    return np.asarray(update.direction(log_probs, rewards)) + strength * (law - np.exp(log_probs))


def _mixed(log_prior: np.ndarray) -> np.ndarray:
    return np.logaddexp(log_prior, np.roll(log_prior, 1, axis=0)) - np.log(2)
