"""U3: when accuracy rises and then falls, without any coupling; how often it can turn, and when it peaks."""

from __future__ import annotations

import numpy as np

from sharpening.logspace import log_mass, log_odds, logistic, normalised
from sharpening.theorems.assumptions import LABELLED, RESOLVED_MODE, UNCOUPLED, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers, two_kinds
from sharpening.theorems.numerics import path
from sharpening.theorems.registry import register_theorem
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

STEPS, GRID, NOISE, TIMES = 4, 96, 1e-12, (0.5, 2.0)
# with s - c and log-odds within these, slopes over s - c are exact to ROUNDING, relative
SEEN, FAR = 1e-6, 15.0
ROUNDING, CLOSE = 1e-9, 1e-5  # the latter: how near a turn must be found
SPEEDS = {  # update, f(p) for two answers, from log p(1-p)
    "natural gradient": (NaturalGradient(), lambda log_q: np.exp(log_q)),
    "natural gradient / std": (NaturalGradient(1.0, "group", 0.0), lambda log_q: np.exp(log_q / 2)),
    "softmax gradient": (SoftmaxGradient(), lambda log_q: 2 * np.exp(2 * log_q)),
    "GRPO": (GRPO(1.0, "group", 0.0), lambda log_q: 2 * np.exp(1.5 * log_q)),
}


def signed_law(population) -> tuple[np.ndarray, np.ndarray]:
    """(L, a): log-odds of each prompt's mode, and s - c, s = 1 if aligned else 0, c the correct share of the
    mass off the mode.
    """
    start, leaders, correct = population.log_probs, population.leaders, population.correct
    off, right = log_mass(start, ~leaders), log_mass(start, ~leaders & correct)
    with np.errstate(invalid="ignore"):
        c = np.where(off > -np.inf, np.exp(right - off), 0.0)
    return log_odds(start, leaders), np.where(off > -np.inf, (leaders & correct).any(axis=1) - c, 0.0)


def log_speed(odds: np.ndarray) -> np.ndarray:
    """log p(1-p) at log-odds, without overflow."""
    size = np.abs(odds)
    return -size - 2 * np.log1p(np.exp(-size))


def accuracy_slope(
    odds: np.ndarray, amplitudes: np.ndarray, weights: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Sign-true slope of accuracy at `times` under natural gradient: E[(s - c) p(1-p)] over the largest
    p(1-p), (times,).
    """
    used = (weights > 0) & (amplitudes != 0)
    if not used.any():
        return np.zeros(len(times))
    log_q = log_speed(odds[used] + times[:, None])
    return np.exp(log_q - log_q.max(axis=1, keepdims=True)) @ (weights * amplitudes)[used]


def accuracy_gain(
    odds: np.ndarray, amplitudes: np.ndarray, weights: np.ndarray, times: np.ndarray
) -> np.ndarray:
    """Accuracy(t) - Accuracy(0) = E[(s - c)(p_t - p_0)], (times,)."""
    size = np.where(np.isfinite(odds), odds, 700.0)
    return (logistic(size + times[:, None]) - logistic(size)) @ (weights * amplitudes)


def peak_time(odds: np.ndarray, amplitudes: np.ndarray, weights: np.ndarray) -> float:
    """The time (steps times learning rate, or times 1/beta) at which accuracy is highest: 0 if it never
    gains, infinity if its supremum is the end. Roots of the slope between the crossing times -L are found by
    bisection.
    """
    finite = odds[np.isfinite(odds) & (weights > 0)]
    last = max(0.0, float(-finite.min(initial=0.0))) + 60.0
    grid = np.unique(np.concatenate([np.linspace(0.0, last, 4 * GRID), np.clip(-finite, 0.0, last)]))
    slope = accuracy_slope(odds, amplitudes, weights, grid)
    tops = np.flatnonzero((slope[:-1] > 0) & (slope[1:] <= 0))
    low, high = grid[tops], grid[tops + 1]
    for _ in range(60):
        middle = (low + high) / 2
        rising = accuracy_slope(odds, amplitudes, weights, middle) > 0 if len(middle) else np.zeros(0, bool)
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    candidates = np.concatenate([[0.0], high, [np.inf]])
    times = np.where(np.isfinite(candidates), candidates, 1400.0)
    return float(candidates[accuracy_gain(odds, amplitudes, weights, times).argmax()])


def two_group_peak(aligned: np.ndarray, misaligned: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Peak of A s(a+t) - B s(b+t), s the logistic: t = log((e^(-b/2) - q e^(-a/2)) / (q e^(a/2) - e^(b/2))),
    q = sqrt(B/A).

    `aligned` a and `misaligned` b: log-odds of the modes, a > b; `ratio` B/A of the groups' weights times |s
    - c|. NaN where accuracy never turns: q outside e^((b-a)/2) .. e^((a-b)/2). Negative: the peak lies before
    the start.
    """
    q, gap = np.sqrt(ratio), np.asarray(aligned - misaligned)
    with np.errstate(invalid="ignore", divide="ignore"):
        turn = (
            np.log((1 - q * np.exp(-gap / 2)) / (q - np.exp(-gap / 2)))
            - (np.asarray(aligned) + misaligned) / 2
        )
        return np.where((gap > 0) & (q > np.exp(-gap / 2)) & (q < np.exp(gap / 2)), turn, np.nan)


def grpo_turns(aligned: np.ndarray, misaligned: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Turns of two groups with two answers under GRPO's flow, (2, ...): t = 2x, x the roots of 1 + (S_b + x)²
    = ratio^(2/3) (1 + (S_a + x)²).

    S = sinh(L/2) moves at speed 1/2 and p' = (1 + S²)^(-3/2)/4. NaN where there is no root: two turns, a peak
    and a trough, or none.
    """
    share, sa, sb = (
        np.asarray(ratio, np.float64) ** (2 / 3),
        np.sinh(np.asarray(aligned) / 2),
        np.sinh(np.asarray(misaligned) / 2),
    )
    a, b, c = 1 - share, sb - share * sa, 1 + sb**2 - share * (1 + sa**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        root = np.sqrt(b * b - a * c)
        return 2 * np.stack([(-b - root) / a, (-b + root) / a])


def sign_changes(values: np.ndarray, noise: float = 0.0) -> int:
    """How often the sign changes along `values`, those of size <= noise left out."""
    signs = np.sign(values[np.abs(values) > noise])
    return int((signs[1:] != signs[:-1]).sum())


@register_theorem
class RiseThenFall(Theorem):
    """dAccuracy/dt = E[f(P)(s - c)]; at most as many turns as s - c changes sign in the order in which
    prompts sharpen.
    """

    name = "U3"
    title = "Rise, then fall"
    statement = (
        "Uncoupled prompts, majority reward, continuous time: dAccuracy/dt = E[f(P)(s - c)], P the mode's"
        " mass with P' = f(P), s = 1 if aligned else 0, c the correct share of the mass off the mode (f as in"
        " S6 for two answers). Natural gradient and KL-prox: accuracy turns at most as often as s - c changes"
        " sign in the order of falling log-odds L of the mode, the order in which prompts sharpen. So if a"
        " threshold of L separates aligned (above) from misaligned prompts, accuracy rises and then falls,"
        " with one peak, iff E[P_0(1-P_0)(s-c)] > 0 > E[e^(-L)(s-c)]; the peak is the root of"
        " E[(s-c)/cosh²((L+t)/2)]. For one change of sign it is enough that f is concave, as p(1-p) and its"
        " root are. Softmax gradient and GRPO are concave only where p(1-p) exceeds 1/6 and 1/8: there"
        " accuracy can rise, fall, and rise again."
    )
    source = "proved here; Karlin 1968, Total Positivity, for the variation-diminishing property"
    assumptions = (LABELLED, UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, UNCOUPLED)

    def formula(self):
        import sympy as sp

        t, big_l, s, c = sp.symbols("t L s c", real=True)
        accuracy = sp.Derivative(sp.Function("Accuracy")(t), t)
        return sp.Eq(accuracy, sp.Function("E")((s - c) / (4 * sp.cosh((big_l + t) / 2) ** 2)))

    def derivation(self):
        import sympy as sp

        p, t, a, b, q = sp.symbols("p t a b q", positive=True)
        clock = sp.Symbol("theta", real=True)
        f, mass = sp.Function("f"), sp.Function("P")
        log_kernel = (
            sp.diff(sp.log(f(mass(clock))), clock)
            .subs(sp.Derivative(mass(clock), clock), f(mass(clock)))
            .doit()
        )
        second = sp.diff(log_kernel, clock).subs(sp.Derivative(mass(clock), clock), f(mass(clock))).doit()
        curvature = sp.diff(f(p), p, 2).subs(p, mass(clock)) * f(mass(clock))
        v = p * (1 - p)
        turn = sp.log((sp.exp(-b / 2) - q * sp.exp(-a / 2)) / (q * sp.exp(a / 2) - sp.exp(b / 2)))
        x, sa, sb = sp.symbols("x S_a S_b", real=True)
        z = sp.Symbol("z")
        s2, s3 = sp.Rational(3, 2), sp.Rational(1, 2)
        return {
            "along P' = f(P), (log f(P))'' = f''(P) f(P): the kernel is log-concave in time iff f is concave": (
                (second - curvature).doit()
            ),
            "f = p(1-p): f'' = -2": sp.diff(v, p, 2) + 2,
            "f = sqrt(p(1-p)): f'' = -(p(1-p))^(-3/2)/4": sp.diff(sp.sqrt(v), p, 2) + v ** (-s2) / 4,
            "f = 2p²(1-p)²: f'' = 4(1 - 6p(1-p)), convex in the tail": (
                sp.diff(2 * v**2, p, 2) - 4 * (1 - 6 * v)
            ),
            "f = 2(p(1-p))^(3/2): f'' = 3(1 - 8p(1-p))/(2 sqrt(p(1-p))), convex in the tail": (
                sp.diff(2 * v**s2, p, 2) - s2 * (1 - 8 * v) * v ** (-s3)
            ),
            "1/transform of the logistic density is sin(pi z)/(pi z), entire with real zeros only: a Polya frequency function (Schoenberg)": (
                sp.gamma(1 - z) * sp.gamma(1 + z) - sp.pi * z / sp.sin(sp.pi * z)
            ),
            "two groups: cosh((b+t)/2) = q cosh((a+t)/2) at the closed form of the peak": sp.simplify(
                ((sp.exp(b / 2 + t) + sp.exp(-b / 2)) - q * (sp.exp(a / 2 + t) + sp.exp(-a / 2))).subs(
                    t, turn
                )
            ),
            "GRPO: L' = 1/cosh(L/2), so S = sinh(L/2) moves at speed 1/2": (
                sp.diff(sp.sinh(a / 2), a) / sp.cosh(a / 2) - sp.Rational(1, 2)
            ),
            "GRPO: (1 + (S_b+x)²) - q (1 + (S_a+x)²) = (1-q) x² + 2 (S_b - q S_a) x + 1 + S_b² - q (1 + S_a²)": sp.expand(
                (1 + (sb + x) ** 2)
                - q * (1 + (sa + x) ** 2)
                - ((1 - q) * x**2 + 2 * (sb - q * sa) * x + 1 + sb**2 - q * (1 + sa**2))
            ),
            "rise, fall, rise: S_a = 1/2, S_b = 0, (B/A)^(2/3) = 7/10 has two turns after the start": (
                sp.Integer(
                    sum(
                        bool(turn_ > 0)
                        for turn_ in sp.solve(1 + x**2 - sp.Rational(7, 10) * (1 + (x + s3) ** 2), x)
                    )
                )
                - 2
            ),
        }

    def constructed(self, rng):
        return two_kinds(rng) if rng.random() < 0.7 else two_answers(rng)

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        start, correct = population.log_probs, population.labels
        odds, amplitudes = signed_law(population)
        two = (start > -np.inf).sum(axis=1) == 2
        if population.no_answer is not None:
            two &= start[:, population.no_answer] == -np.inf
        for name, (update, speed) in SPEEDS.items():
            holds = two | (name == "natural gradient")
            wanted = np.where(holds, speed(log_speed(odds)) * amplitudes, 0.0)
            found = np.where(holds, _slope(update, case.rewards(), start, correct), 0.0)
            told = f"accuracy of a prompt grows at f(P)(s - c) under {name}"
            yield Claim.equal(told, found, wanted, absolute=1e-12).where(holds & (wanted != 0))
        labels = dict(correct=correct, no_answer=population.no_answer)
        times = case.step_size * np.arange(1, STEPS + 1)
        for now, at in zip(
            path(KLProx(1 / case.step_size), case.reward, start, STEPS, **labels), times, strict=True
        ):
            found = weights @ (np.exp(log_mass(now, correct)) - np.exp(log_mass(start, correct)))
            yield Claim.equal(
                f"accuracy gained by time {at:g}",
                found,
                accuracy_gain(odds, amplitudes, weights, np.array([at]))[0],
            )
        yield from self._turns(odds, amplitudes, weights)
        yield from self._pairs(case, odds, amplitudes, two)

    def _turns(self, odds, amplitudes, weights):
        order = np.argsort(-np.where(np.isfinite(odds), odds, np.inf), kind="stable")
        signs = (weights * amplitudes)[order]
        grid = np.linspace(0.0, max(0.0, -float(odds[np.isfinite(odds)].min(initial=0.0))) + 40.0, GRID)
        gains = accuracy_gain(odds, amplitudes, weights, grid)
        yield Claim.at_most(
            "accuracy turns at most as often as s - c changes sign",
            sign_changes(np.diff(gains), NOISE),
            sign_changes(signs),
            absolute=0,
        ).where(sign_changes(signs) > 0)
        peak = peak_time(odds, amplitudes, weights)
        best = accuracy_gain(odds, amplitudes, weights, np.array([min(peak, 1400.0)]))[0]
        yield Claim.at_most("no time is better than the peak time", gains.max(), best, absolute=1e-12)
        if sign_changes(signs) == 1 and signs[signs != 0][0] > 0:
            first, last = accuracy_slope(odds, amplitudes, weights, np.array([0.0, 1400.0]))
            if min(abs(first), abs(last)) > NOISE:
                told = "it rises and then falls iff it starts up and ends down"
                yield Claim.equal(told, float(0 < peak < np.inf), float(first > 0 > last)).iff(
                    first > 0 > last
                )

    def _pairs(self, case, odds, amplitudes, two):
        """Two groups: give them the weights that balance their slopes at a time t, and the closed forms find
        t again.
        """
        population, rewards = case.population, case.rewards()
        able = case.applies & (np.abs(amplitudes) > SEEN) & (np.abs(odds) < FAR)
        for name, usable in (("natural gradient", able), ("GRPO", able & two)):
            rows = np.flatnonzero(usable)[np.argsort(odds[usable])]
            low, high = rows[: len(rows) // 2], rows[len(rows) - len(rows) // 2 :]
            apart = odds[high] - odds[low] > 1e-3
            for time in TIMES:
                speeds = np.ones(len(odds))
                moved = _advance(name, population.log_probs, rewards, odds, time)
                speeds[able] = (
                    _slope(SPEEDS[name][0], rewards, moved, population.correct)
                    / np.where(able, amplitudes, 1.0)
                )[able]
                ratio = speeds[high] / speeds[low]
                found, below, above = (
                    _nearest_turn(name, odds[high], odds[low], ratio * nearly, time)
                    for nearly in (1.0, 1 - ROUNDING, 1 + ROUNDING)
                )
                # Two prompts far out on the tail keep their ratio of slopes: where rounding alone moves the
                # turn, nothing is asked.
                sharp = ~(np.abs(above - below) > CLOSE) & ~(np.isnan(above - below) & ~np.isnan(found))
                miss = np.where(sharp, np.abs(found - time), 0.0)
                worst = float(np.where(apart, np.nan_to_num(miss, nan=np.inf), 0.0).max(initial=0.0))
                yield Claim.equal(
                    f"two groups under {name}: the closed form of the turn finds t = {time:g}",
                    worst,
                    0.0,
                    absolute=CLOSE,
                ).where((apart & sharp).any())


def _nearest_turn(name, aligned, misaligned, ratio, time) -> np.ndarray:
    """Of the closed form's turns the one nearest to `time`; NaN where there is none."""
    if name == "natural gradient":
        return two_group_peak(aligned, misaligned, ratio)
    first, second = grpo_turns(aligned, misaligned, ratio)
    return np.where(np.isnan(second) | (np.abs(first - time) <= np.abs(second - time)), first, second)


def _slope(update, rewards, log_probs, correct) -> np.ndarray:
    """d pi_c/dt of the flow, (prompts,): sum over correct answers of pi_a (g_a - sum_b pi_b g_b)."""
    direction = np.asarray(update.direction(log_probs, rewards))
    probs = np.exp(log_probs)
    mean = (probs * direction).sum(axis=1, keepdims=True)
    return np.where(correct, probs * (direction - mean), 0.0).sum(axis=1)


def _advance(name, log_probs, rewards, odds, time) -> np.ndarray:
    """The policies at `time`, for log-odds of the mode below FAR."""
    size = np.clip(odds, -FAR, FAR)
    grown = (
        time + 0 * size if name == "natural gradient" else 2 * np.arcsinh(np.sinh(size / 2) + time / 2) - size
    )
    return normalised(log_probs + rewards * grown[:, None])
