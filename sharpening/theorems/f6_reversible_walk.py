"""F6: which of many answers sampled GRPO fixes on: three rollouts walk reversibly, and the chances tend to a probit
choice.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import splu
from scipy.special import ndtr

from sharpening.logspace import log_sum, normalised
from sharpening.population import Population
from sharpening.rewards import get_reward
from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.f2_fixation import wrong_fixation
from sharpening.theorems.finite_votes import SHORT_LIST, count_vectors, group_directions, group_weights
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.x1_noisy_verifier import ALWAYS_ANSWERS
from sharpening.updates import GRPO, Update

UNIT = float(np.sqrt(4 / 27))  # what GRPO moves in a group of two and one, learning rate 1, sample std
THREE, FAR, DEEPEST = 3, 8.0, 50.0
WALKS = (1.0, 0.5)  # nats a move, of the walks that are solved
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(40)


def log_conductance(logits: np.ndarray, move: float) -> np.ndarray:
    """log of the reversible measure, 3 log sum e^z + |z|²/(2 h), (...,): `logits` (..., answers) whose sum no move
    changes, `move` h in nats.
    """
    return 3 * log_sum(logits) + (logits**2).sum(axis=-1) / (2 * move)


def win_rates(probs: np.ndarray) -> np.ndarray:
    """P(a gets two rollouts of three and b one) = 3 pi_a² pi_b, (..., a, b); 0 on the diagonal."""
    rates = 3 * probs[..., :, None] ** 2 * probs[..., None, :]
    return rates * (1 - np.eye(probs.shape[-1]))


def probit_choice(logits: np.ndarray, variance: float) -> np.ndarray:
    """P(answer a has the largest z_a + sqrt(variance) g_a), g independent normal, (prompts, answers)."""
    score = logits / np.sqrt(variance)
    found = []
    for a in range(logits.shape[1]):
        gaps = (score[:, a, None] - np.delete(score, a, axis=1))[:, :, None] + NODES
        found.append(ndtr(gaps).prod(axis=1) @ NODE_WEIGHTS)
    return np.stack(found, axis=1) / NODE_WEIGHTS.sum()


def choice_variance(update: Update, rollouts: int, num_answers: int) -> float:
    """v of the probit law per unit step size: E|dz|² / (2 E[dz . n]) over groups of the uniform policy, n the votes."""
    level = np.full(num_answers, -np.log(num_answers))
    moved = group_directions(update, get_reward("majority"), level, rollouts)
    weights, votes = group_weights(level[None], rollouts)[0], count_vectors(rollouts, num_answers)[0]
    return float(weights @ (moved**2).sum(axis=1) / (2 * weights @ (moved * votes).sum(axis=1)))


def _triangle(start: np.ndarray, move: float) -> tuple[np.ndarray, np.ndarray]:
    """Sites (sites, 3) of the walk around `start` within FAR nats, whole moves with sum 0, and their logits."""
    reach = int(np.ceil(FAR / move))
    pairs: np.ndarray = np.indices((2 * reach + 1, 2 * reach + 1)).reshape(2, -1).T - reach
    sites = np.concatenate([pairs, -pairs.sum(axis=1, keepdims=True)], axis=1)
    sites = sites[np.abs(sites).max(axis=1) <= reach]
    return sites, start - start.mean() + move * sites


def _outside(logits: np.ndarray, move: float) -> np.ndarray:
    """Chances far out, (sites, 3): the two heaviest answers play on by F2, the third is gone."""
    order = np.argsort(-logits, axis=1)
    rows, lead = np.arange(len(logits)), -np.diff(-np.sort(-logits, axis=1), axis=1)[:, 0]
    chances = np.zeros_like(logits)
    chances[rows, order[:, 1]] = wrong_fixation(lead, 2 * move, THREE)
    chances[rows, order[:, 0]] = 1 - chances[rows, order[:, 1]]
    return chances


def fixation_of_three(start: ArrayLike, move: float) -> tuple[np.ndarray, np.ndarray]:
    """P(the walk of three answers ends at each) from every site, (sites, 3), and the sites' logits: the harmonic
    functions of `win_rates`, solved as linear equations. The first site of logits `start` (centred) is the start.
    """
    sites, logits = _triangle(np.asarray(start, np.float64), move)
    order = np.argsort(np.abs(sites).max(axis=1), kind="stable")
    sites, logits = sites[order], logits[order]
    reach = np.abs(sites).max()
    place = np.full((2 * reach + 1, 2 * reach + 1), -1)
    place[sites[:, 0] + reach, sites[:, 1] + reach] = np.arange(len(sites))
    inner = np.flatnonzero(np.abs(sites).max(axis=1) < reach)
    rates = win_rates(np.exp(normalised(logits)))
    rows, columns, values = [inner], [inner], [np.ones(len(inner))]
    total = rates.sum(axis=(1, 2))
    for a, b in itertools.permutations(range(3), 2):
        there = sites[inner] + np.eye(3, dtype=int)[a] - np.eye(3, dtype=int)[b]
        rows.append(inner)
        columns.append(place[there[:, 0] + reach, there[:, 1] + reach])
        values.append(-rates[inner, a, b] / total[inner])
    edge = np.flatnonzero(np.abs(sites).max(axis=1) == reach)
    rows, columns, values = [*rows, edge], [*columns, edge], [*values, np.ones(len(edge))]
    right = np.zeros(logits.shape)
    right[edge] = _outside(logits[edge], move)
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return splu(csc_matrix(entries, shape=(len(sites), len(sites)))).solve(right), logits


@cache
def _from_the_middle(move: float) -> np.ndarray:
    return fixation_of_three(np.zeros(3), move)[0][0]


@register_theorem
class ReversibleWalk(Theorem):
    """Two rollouts against one move h from loser to winner; the pair (a beats b, b beats a) balances in a potential.

    Proof. GRPO's direction on a group is (share of a) A_a, since advantages sum to 0: +sqrt(4/27) for the answer with two
    rollouts, minus that for the one with one, 0 if all agree or all differ. Rates are 3 pi_a² pi_b. With Z the factor by
    which sum e^z grows, the way back has rate 3 pi_b² pi_a e^(-h) Z^(-3), so forth/back = e^(z_a - z_b + h) Z³, which
    is the ratio of e^(|z|²/(2h)) (sum e^z)³ at both ends, for any number of answers. The mean move is 3 h sum over b of pi_a
    pi_b (pi_a - pi_b) = 3 h pi_a (pi_a - sum pi²). Near the uniform policy and for small steps every sampled update that
    treats answers alike is dx = lambda x dt + noise, equal in all directions, so x e^(-lambda t) tends to the start plus
    a normal vector of variance v in each answer, and the largest wins.
    """

    name = "F6"
    title = "Which answer fixes, of any number"
    statement = (
        "GRPO on majority votes of 3 rollouts moves h = eta sqrt(4/27) nats from the answer with one vote to the"
        " answer with two, at rate 3 pi_a² pi_b, and nothing else: for any number of answers a reversible walk, in"
        " the measure (sum e^z)³ e^(|z|²/(2h)). Its mean step is 3h times the gradient of sum pi²/2, so on average"
        " agreement rises. The chance to fix on each answer is a harmonic function, 1/K each from the uniform policy."
        " From starts near it, as the step shrinks, it is a probit choice: P(z_a + sqrt(h) g_a is the largest), g independent"
        " normal, so a lead of a few sqrt(h) is nearly sure and the chances are not the masses. Two answers: the error is"
        " at most h/4 (F2). Three: it was below sqrt(h)/8 for h from 1/16 to 1, where the equations were solved, and"
        " chances were in the order of the masses. Other groups and sampled updates have the same law near the uniform"
        " policy with another variance."
    )
    source = (
        "proved here; for three answers the error of the probit law and the order are checked, not proved"
    )
    assumptions = (HAS_LEADER, ALWAYS_ANSWERS, SHORT_LIST)

    def formula(self):
        import sympy as sp

        a, b, h = sp.symbols("z_a z_b h", positive=True)
        noisy = lambda z, g: z + sp.sqrt(h) * sp.Symbol(g)  # noqa: E731
        return sp.Eq(sp.Symbol("P_a"), sp.Function("P")(sp.Ge(noisy(a, "g_a"), noisy(b, "g_b"))))

    def derivation(self):
        import sympy as sp

        z, h = sp.symbols("z_0:3", real=True), sp.Symbol("h", positive=True)
        total = lambda x: sum(sp.exp(one) for one in x)  # noqa: E731
        there = (z[0] + h, z[1] - h, z[2])
        measure = lambda x: total(x) ** 3 * sp.exp(sum(one**2 for one in x) / (2 * h))  # noqa: E731
        rate = lambda x, a, b: 3 * sp.exp(2 * x[a] + x[b]) / total(x) ** 3  # noqa: E731
        p = [sp.exp(one) / total(z) for one in z]
        agree = sum(one**2 for one in p)
        mean = sum(3 * h * (p[0] ** 2 * p[b] - p[b] ** 2 * p[0]) for b in (1, 2))
        k = sp.Symbol("K", positive=True)
        decided = 3 * k * (k - 1) / k**3  # the chance of two against one from K equal answers
        return {
            "the walk is reversible: measure times rate is the same both ways (3 answers)": sp.log(
                sp.expand_log(measure(z) * rate(z, 0, 1) / (measure(there) * rate(there, 1, 0)), force=True)
            ).simplify(),
            "the mean move is 3h times the gradient of sum pi²/2 (3 answers)": sp.simplify(
                mean - 3 * h * sp.diff(agree / 2, z[0])
            ),
            "v = E|dz|²/(2 E[dz . n]) is h, whatever K: |dz|² = 2h², dz . n = 2h - h": sp.simplify(
                decided * 2 * h**2 / (2 * decided * (2 * h - h)) - h
            ),
            "two answers: z_1 - z_2 moves by 2h, and the two normal terms have variance 2h: F2's law": (
                sp.sqrt(2 * h) ** 2 - (2 * h)
            ),
        }

    def constructed(self, rng):
        move = rng.choice(WALKS)
        num_answers = int(rng.choice([2, 3, 3, 4]))
        logits = rng.choice([0.3, 1.0, 2.0]) * np.sqrt(move) * rng.standard_normal((16, num_answers))
        return Population.from_logits(logits, np.arange(num_answers) == np.zeros((16, 1)))

    def claims(self, case: Case):
        start, eta = np.where(case.applies[:, None], case.population.log_probs, 0.0), case.step_size
        update, move, probs = GRPO(eta, eps=0.0), eta * UNIT, np.exp(start)
        yield from self._moves(case, update, start[:1])
        table = eta * group_directions(update, case.reward, start[0], THREE)
        agree = (probs**2).sum(axis=1, keepdims=True)
        yield Claim.equal(
            "the mean move is 3h pi_a (pi_a - sum pi²)",
            group_weights(start, THREE) @ table,
            3 * move * probs * (probs - agree),
            absolute=1e-12 * max(1.0, eta),
        )
        yield from self._balance(start, move)
        if start.shape[1] == 2:
            odds = start[:, 0] - start[:, 1]
            seen, odds = np.abs(odds) < DEEPEST, np.clip(odds, -DEEPEST, DEEPEST)
            exact = wrong_fixation(odds, 2 * move, THREE)
            law = probit_choice(np.stack([0 * odds, odds], axis=1), move)[:, 0]
            yield Claim.equal(
                "two answers: the probit law errs by at most h/4", exact, law, absolute=move / 4
            ).where(seen)
        if start.shape[1] == 3:
            yield from self._three(case)

    def _moves(self, case, update, start):
        """Two against one for every pair, and three different answers."""
        one = np.eye(start.shape[1])
        pairs = np.array(list(itertools.permutations(range(len(one)), 2)))
        groups = pairs[:, [0, 0, 1]]
        rewards = np.asarray(case.reward.group(groups))
        found = np.asarray(update.group_direction(np.repeat(start, len(groups), axis=0), groups, rewards))
        off = np.abs(found - UNIT * (one[pairs[:, 0]] - one[pairs[:, 1]])).max()
        yield Claim.equal("two rollouts against one move h from loser to winner", off, 0.0)
        if len(one) > 2:
            groups = np.array([[0, 1, 2]])
            still = update.group_direction(start, groups, np.asarray(case.reward.group(groups)))
            yield Claim.equal("three different answers move nothing", np.abs(np.asarray(still)).max(), 0.0)

    def _balance(self, start, move):
        counts, _ = count_vectors(THREE, start.shape[1])
        one = np.eye(start.shape[1])
        here = normalised(np.maximum(start, -DEEPEST))
        for a, b in itertools.islice(itertools.combinations(range(len(one)), 2), 4):
            there = here + move * (one[a] - one[b])
            forth = group_weights(here, THREE)[:, (counts == 2 * one[a] + one[b]).all(axis=1)]
            back = group_weights(normalised(there), THREE)[:, (counts == 2 * one[b] + one[a]).all(axis=1)]
            yield Claim.equal(
                "the walk is reversible: forth over back is the ratio of the measure",
                np.log(forth / back)[:, 0],
                log_conductance(there, move) - log_conductance(here, move),
                absolute=1e-6,
            )

    def _three(self, case):
        rng = case.rng()
        move = float(rng.choice(WALKS))
        chances, logits = fixation_of_three(np.sqrt(move) * rng.standard_normal(3), move)
        middle = np.abs(logits).max(axis=1) < FAR / 2
        chances, logits = chances[middle], logits[middle]
        ranked = np.take_along_axis(chances, np.argsort(logits, axis=1, kind="stable"), axis=1)
        yield Claim.at_most(
            "three answers: chances are in the order of the masses", -np.diff(ranked, axis=1).min(), 0.0
        )
        off = np.abs(chances - probit_choice(logits, move)).max()
        yield Claim.at_most(
            "three answers: the probit law errs by less than sqrt(h)/8", off, np.sqrt(move) / 8
        )
        level = np.abs(_from_the_middle(move) - 1 / 3).max()
        yield Claim.equal("from the uniform policy each fixes as often", level, 0.0).about_constants()
        number = choice_variance(GRPO(1.0, eps=0.0), THREE, 3)
        yield Claim.equal("the choice's variance is h", number, UNIT).about_constants()
