"""N6: 'in a tie the answer that came first wins' is not harmless: rewards depend on the order, and two
rollouts teach pure noise.
"""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_logistic
from sharpening.metrics import NO_ANSWER, group_metrics, vote
from sharpening.rewards import get_reward
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import few_answers
from sharpening.theorems.finite_votes import SHORT_LIST, sampled_answers
from sharpening.theorems.registry import register_theorem
from sharpening.updates import KLProx

ROLLOUTS, STEPS, SITES = 8, 400, 30


def first_come_rewards(answers: np.ndarray) -> np.ndarray:
    """Majority reward with ties given to the leader that was sampled first, (prompts, rollouts), 0 or 1:
    TTRL's rule.
    """
    leads = vote(answers).is_leader
    first = np.take_along_axis(answers, leads.argmax(axis=1)[:, None], axis=1)
    return np.where(
        leads.any(axis=1, keepdims=True), (answers == first) & (answers != NO_ANSWER), False
    ).astype(float)


def lead_lost(mass: float, step: float, num_steps: int) -> float:
    """P(two rollouts with first-come ties have turned a lead) after `num_steps`: the log-odds go up or down
    with p(1-p) each; exact.
    """
    sites = np.arange(-SITES, SITES + 1)
    odds = np.log(mass / (1 - mass)) + step * sites
    chance = np.exp(log_logistic(odds) + log_logistic(-odds))
    law = (sites == 0).astype(float)
    for _ in range(num_steps):
        moved = law * chance
        law = law - 2 * moved
        law[1:] += moved[:-1]
        law[:-1] += moved[1:]
    return float(law[odds < 0].sum())


@register_theorem
class FirstCome(Theorem):
    """(a, b) rewards a and (b, a) rewards b: same answers, opposite steps; on average zero, so all that is
    left is a driftless walk.
    """

    name = "N6"
    title = "Counterexample: first come, first rewarded"
    statement = (
        "'Break ties of the vote by order of arrival' makes the reward depend on the order of the rollouts."
        " With two rollouts it moves the log-odds of two answers by +-1/beta with probability p(1-p) each: no"
        " drift at any p, so a lead of .6 to .4 is lost with probability .46 after 400 steps at beta = 1, and"
        " 1/2 in the limit; sharing the tie moves nothing. With a right and a wrong answer tied, label"
        " accuracy is 1 or 0 by order alone; shared, it is 1/2."
    )
    source = "against TTRL's tie rule; He et al. 2026 use it"
    assumptions = (HAS_LEADER, SHORT_LIST)

    def formula(self):
        import sympy as sp

        p = sp.Symbol("p", positive=True)
        return sp.Eq(sp.Symbol("E[dL]"), p * (1 - p) - (1 - p) * p, evaluate=False)

    def derivation(self):
        import sympy as sp

        p, eta = sp.symbols("p eta", positive=True)
        mean = sp.Rational(1, 2)
        return {
            "(a, b): the advantages are +1/2 and -1/2, so the log-odds rise by eta": (
                eta * ((1 - mean) - (0 - mean)) - eta
            ),
            "(b, a) lowers them as often: no drift": p * (1 - p) * eta - (1 - p) * p * eta,
            "shared, both earn 1/2: no advantage": mean - (mean + mean) / 2,
        }

    def constructed(self, rng):
        return few_answers(rng)

    def claims(self, case: Case):
        population, h = case.population, case.step_size
        log_probs, shared = population.log_probs, case.reward
        answers = sampled_answers(log_probs, ROLLOUTS)
        back = answers[:, ::-1]
        same = np.abs(np.asarray(shared.group(back))[:, ::-1] - np.asarray(shared.group(answers))).max(axis=1)
        yield Claim.equal("the shared vote does not see the order of the rollouts", same, 0.0)
        alone = vote(answers).num_leaders == 1
        agree = np.abs(first_come_rewards(answers) - np.asarray(shared.group(answers))).max(axis=1)
        yield Claim.equal("without a tie both rules agree", np.where(alone, agree, 0.0), 0.0).where(alone)
        count, update = population.num_answers, KLProx(1 / h)
        pairs = np.stack(np.meshgrid(np.arange(count), np.arange(count), indexing="ij"), axis=-1).reshape(
            -1, 2
        )
        law = np.exp(log_probs[:, pairs[:, 0]] + log_probs[:, pairs[:, 1]])
        start = np.broadcast_to(log_probs[0], (len(pairs), count))
        turns = np.asarray(update.group_direction(start, pairs, first_come_rewards(pairs)))
        still = np.asarray(update.group_direction(start, pairs, np.asarray(shared.group(pairs))))
        yield Claim.equal("two rollouts, first come: no drift", law @ turns, 0.0, absolute=1e-12)
        mixed = 1 - (np.exp(log_probs) ** 2).sum(axis=1)
        spread = law @ (turns**2).sum(axis=1)
        yield Claim.equal("but a variance of 1/2 whenever they differ", spread, mixed / 2, absolute=1e-12)
        yield Claim.equal(
            "two rollouts, shared: no motion", np.float64(np.abs(still).max()), 0.0, absolute=1e-12
        )
        yield Claim.equal(
            "a lead of .6 is lost in 400 steps with probability .464",
            lead_lost(0.6, 1.0, STEPS),
            0.464,
            absolute=6e-4,
        ).about_constants()
        tie, right = np.array([[0, 1]]), np.array([[True, False]])
        yield Claim.equal(
            "a tie of right and wrong has label accuracy 1/2",
            group_metrics(tie, right)["label_accuracy"][0],
            0.5,
        ).about_constants()
        yield Claim.equal(
            "by order it is 1 or 0", first_come_rewards(np.array([[0, 1], [1, 0]]))[:, 0].sum(), 2.0
        ).about_constants()
        yield Claim.equal(
            "the shipped majority reward shares", np.float64(np.ptp(get_reward("majority").group(tie))), 0.0
        ).about_constants()
