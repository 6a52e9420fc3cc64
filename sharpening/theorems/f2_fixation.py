"""F2: sampled majority steps can fix on the wrong answer: how often, exactly, and by a normal law with a
proved error.
"""

from __future__ import annotations

import math

import numpy as np

from sharpening.logspace import log_odds, log_sum
from sharpening.rewards import get_reward
from sharpening.theorems.assumptions import UNIQUE_MODE
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.finite_votes import group_directions, log_binomials
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.s6_four_speeds import TWO_ANSWERS
from sharpening.updates import KLProx, NaturalGradient, Update

GROUPS = (3, 8)
NEGLIGIBLE = 100.0  # nats: chances below e^-100 are returned as 0


def log_backward_ratio(odds: np.ndarray, rollouts: int) -> np.ndarray:
    """log of P(the mode loses the vote of a mixed group)/P(it wins it), (...,), nats; `odds`: its log-odds,
    (...,).
    """
    votes = np.arange(1, rollouts)
    terms = log_binomials(rollouts)[1:-1] + votes * np.asarray(odds, np.float64)[..., None]
    loses = log_sum(np.where(2 * votes < rollouts, terms, -np.inf))
    return loses - log_sum(np.where(2 * votes > rollouts, terms, -np.inf))


def margin_of_a_tie(rollouts: int) -> float:
    """kappa_N: mean vote margin |2n - N| of a group from a policy at 1/2, given that one side wins and not
    all agree: 1, 2, 5/3, ...
    """
    weights = [math.comb(rollouts, n) for n in range(rollouts + 1)]
    mixed = [n for n in range(1, rollouts) if 2 * n != rollouts]
    return sum(weights[n] * abs(2 * n - rollouts) for n in mixed) / sum(weights[n] for n in mixed)


def fixation_exponent(update: Update, rollouts: int) -> float:
    """kappa of any update: 2 E[step (n - N/2)] / E[step²] at policy 1/2, `step` the change of the log-odds
    per unit step size.

    A lead of L nats is lost for ever with probability about Phi(-L sqrt(kappa/eta)). `margin_of_a_tie` for
    KL-prox and natural gradient without std.
    """
    moved = group_directions(update, get_reward("majority"), np.log([0.5, 0.5]), rollouts)
    step = moved[:, 0] - moved[:, 1]
    # of n = 0..N votes for the first answer, the order of `group_directions`
    weights = np.exp(log_binomials(rollouts)) / 2**rollouts
    return float(
        2 * (weights * step * (np.arange(rollouts + 1) - rollouts / 2)).sum() / (weights * step**2).sum()
    )


def wrong_fixation(odds: np.ndarray, step: float, rollouts: int) -> np.ndarray:
    """P(sampled KL-prox steps of size `step` end at log-odds -infinity) from log-odds `odds`, (prompts,):
    exact.

    The log-odds walk on odds + step * k: up where the mode wins a mixed group, down where it loses. With
    gamma_k the product of the ratios of `log_backward_ratio` up to site k, the chance is sum_{k >= 0} gamma_k
    / sum over all k.
    """
    odds = np.asarray(odds, np.float64)
    reach = int(np.ceil(np.sqrt(2 * NEGLIGIBLE / (margin_of_a_tie(rollouts) * step)))) + 2
    start = np.clip(np.round(odds / step), -reach - 1, reach + 1)
    sites = np.arange(-reach, reach + 1)
    offset = np.where(np.abs(start) > reach, 0.0, odds - start * step)
    log_gamma = np.cumsum(log_backward_ratio(offset[:, None] + sites * step, rollouts), axis=1)
    gamma = np.exp(log_gamma - log_gamma.max(axis=1, keepdims=True))
    return np.where(sites >= start[:, None], gamma, 0.0).sum(axis=1) / gamma.sum(axis=1)


def normal_fixation(odds: np.ndarray, step: float, exponent: float) -> np.ndarray:
    """Phi(-odds sqrt(exponent/step)), (prompts,): the small-step limit; `exponent` from
    `fixation_exponent`.
    """
    score = np.asarray(odds, np.float64) * math.sqrt(exponent / step)
    return np.array([math.erfc(one / math.sqrt(2)) / 2 for one in score])


def diffusion_fixation(odds: np.ndarray, step: float, rollouts: int, points: int = 20001) -> np.ndarray:
    """Kolmogorov's backward equation: integral from odds to infinity of exp(-int 2 mu/sigma²) over its
    integral everywhere.

    2 mu/sigma² = (2/step) (P(wins) - P(loses))/(P(wins) + P(loses)); trapezoids on `points` nodes. For 3
    rollouts it is the incomplete beta function I_q(2/step, 2/step), q the wrong answer's mass.
    """
    reach = 2 * math.sqrt(2 * NEGLIGIBLE * step / margin_of_a_tie(rollouts)) + NEGLIGIBLE * step
    grid = np.linspace(-reach, reach, points)
    slope = (2 / step) * np.tanh(-log_backward_ratio(grid, rollouts) / 2)
    width = grid[1] - grid[0]
    potential = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2) * width])
    density = np.exp(potential.min() - potential)
    right = np.concatenate([np.cumsum(((density[1:] + density[:-1]) / 2)[::-1])[::-1], [0.0]])
    return np.interp(odds, grid, right / right[0])


def _normal_density(score: np.ndarray) -> np.ndarray:
    return np.exp(-(score**2) / 2) / math.sqrt(2 * math.pi)


@register_theorem
class Fixation(Theorem):
    """The log-odds are a birth-death chain of step 1/beta; 3 rollouts give its scale function as a midpoint
    sum of a normal density.

    Proof of the error for N = 3 (N = 4 with eta/2 for the variance). The ratio is e^-L, so gamma_k is the
    normal density at the midpoint of cell k in units of sqrt(eta), cells of width sqrt(eta). A midpoint rule
    errs per cell by the integral of K f'', 0 <= K <= width²/8, so numerator and denominator err by at most
    (eta/8) times the integral of |phi''|, 2 phi(1) = .484 on a half line: together less than eta/8. The first
    term of Euler and Maclaurin is -(eta/24) x phi(x), x = L/sqrt(eta): at most .0101 eta.
    """

    name = "F2"
    title = "Fixation on the wrong answer"
    statement = (
        "Two answers, N rollouts, majority reward: sampled KL-prox (natural-gradient) steps move the log-odds"
        " by exactly +-1/beta, and fix on the initially rarer answer with probability sum_{k>=0} g_k / sum_k"
        " g_k, g_k the product of P(mode loses)/P(mode wins) up to site k. As the step eta = 1/beta shrinks"
        " this is Phi(-L_0 sqrt(kappa/eta)) + O(eta), kappa the mean vote margin of a mixed group at 1/2 (1"
        " for N = 3, 2 for N = 4, 5/3 for N = 5); for N = 3 the error is below eta/8, and -(eta/24) x phi(x)"
        " to first order, x = L_0/sqrt(eta). Every sampled update has such a kappa."
    )
    source = "proved here"
    assumptions = (UNIQUE_MODE, TWO_ANSWERS)

    def formula(self):
        import sympy as sp

        odds, kappa, eta = sp.symbols("L_0 kappa eta", positive=True)
        return sp.Eq(sp.Symbol("P"), sp.Function("Phi")(-odds * sp.sqrt(kappa / eta)) + sp.Function("O")(eta))

    def derivation(self):
        import sympy as sp

        odds, eta, h = sp.symbols("L eta h", positive=True)
        k, j = sp.symbols("k j", integer=True, positive=True)
        x = sp.Symbol("x", real=True)
        p = 1 / (1 + sp.exp(-odds))
        three = (3 * p * (1 - p) ** 2) / (3 * p**2 * (1 - p))
        four = (4 * p * (1 - p) ** 3) / (4 * p**3 * (1 - p))
        exponent = sp.summation(odds + j * eta, (j, 1, k))
        density = sp.exp(-(x**2) / 2)
        cell = sp.integrate(density.series(x, 0, 6).removeO(), (x, -h / 2, h / 2))
        up, down, below, above = sp.symbols("u d g_b g_a", positive=True)
        scale = (4 / eta) * sp.log(sp.cosh(odds / 2))
        return {
            "3 rollouts: loses/wins = e^-L": (three - sp.exp(-odds)).rewrite(sp.exp),
            "4 rollouts: e^-2L": (four - sp.exp(-2 * odds)).rewrite(sp.exp),
            "so -log g_k = ((L_0 + k eta + eta/2)² - (L_0 + eta/2)²)/(2 eta): a normal density at the midpoint of cell k": sp.expand(
                exponent - ((odds + k * eta + eta / 2) ** 2 - (odds + eta / 2) ** 2) / (2 * eta)
            ),
            "sums of g are harmonic: u (rise above) = d (rise below) when g_above = g_below d/u": (
                (up * above - down * below).subs(above, below * down / up)
            ),
            "a cell exceeds its midpoint value by h³/24 phi'' to leading order": (
                sp.limit((cell - h) / h**3, h, 0) - sp.diff(density, x, 2).subs(x, 0) / 24
            ),
            "diffusion, 3 rollouts: 2 mu/sigma² = (2/eta) tanh(L/2) has the potential (4/eta) log cosh(L/2)": (
                sp.diff(scale, odds) - 2 / eta * sp.tanh(odds / 2)
            ),
            "whose density in p is (p(1-p))^(2/eta - 1): the beta function": (
                sp.log(sp.cosh(odds / 2) ** 2 * 4 * p * (1 - p)).rewrite(sp.exp)
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        eta = case.step_size
        odds = np.where(case.applies, log_odds(case.population.log_probs, case.population.leaders), 1.0)
        for n in GROUPS:
            votes = np.arange(n + 1)
            wanted = np.where((votes == 0) | (votes == n), 0, np.sign(2 * votes - n))
            for update in (KLProx(1 / eta), NaturalGradient(eta)):
                moved = group_directions(update, case.reward, np.log([0.5, 0.5]), n)
                error = np.abs(moved[:, 0] - moved[:, 1] - wanted).max()
                yield Claim.equal(
                    f"{update.name}: the log-odds move by +-1 unit step, 0 if all agree or tie (N = {n})",
                    error,
                    0.0,
                ).about_constants()
            ratio = np.exp(np.clip(log_backward_ratio(odds, n), -700, 700))
            here, up, down = (wrong_fixation(odds + shift * eta, eta, n) for shift in (0, 1, -1))
            balance = (up + ratio * down) / (1 + ratio)
            yield Claim.equal(
                f"the chance is its own mean after a step (N = {n})", here, balance, absolute=1e-12
            )
            yield Claim.equal(
                f"and 1 minus that of the other answer (N = {n})",
                here,
                1 - wrong_fixation(-odds, eta, n),
                absolute=1e-12,
            )
            yield Claim.equal(
                f"kappa is the mean margin (N = {n})", fixation_exponent(KLProx(), n), margin_of_a_tie(n)
            ).about_constants()
        for n, width in ((3, eta), (4, eta / 2)):
            score, cell = odds / np.sqrt(width), (eta * eta) / width
            exact, normal = wrong_fixation(odds, eta, n), normal_fixation(odds, eta, margin_of_a_tie(n))
            yield Claim.equal(
                f"the normal law errs by less than {'eta/8' if n == 3 else 'eta/4'} (N = {n})",
                exact,
                normal,
                absolute=cell / 8,
            )
            first = normal - cell / 24 * score * _normal_density(score)
            yield Claim.equal(
                f"and with its first correction by less than eta² (N = {n})",
                exact,
                first,
                absolute=cell**2 / 50 + 1e-12,
            )
