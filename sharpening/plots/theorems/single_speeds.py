"""Figures of one prompt in continuous time: the four speeds and certainty as an objective (S6, S7a to
S7c).
"""

from functools import partial

import numpy as np

from sharpening.logspace import logistic
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import logit, majority_direction, policy, two_answers
from sharpening.rewards import get_reward
from sharpening.theorems.numerics import flow
from sharpening.theorems.s6_four_speeds import consensus_time, finite_time, inverse_square, inverse_time
from sharpening.theorems.s6_four_speeds import logistic as straight
from sharpening.theorems.s7a_self_certainty import complex_step, self_certainty_direction
from sharpening.theorems.s7b_token_entropy import certainty, token_entropy_direction
from sharpening.theorems.s7c_constant_rewards import second_token_rewards
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


@draws(
    "S6",
    "What is left to consensus, 1 − p, under four updates: points are Runge–Kutta runs of the package's"
    " directions, lines the closed forms.",
)
def four_speeds(panel):
    panel.logs(y=True)
    odds, end = logit(0.6), float(consensus_time(logit(0.6)))
    cases = (
        ("softmax gradient: 1/(2t)", SoftmaxGradient(), inverse_time, 12.0),
        ("GRPO: 1/t²", GRPO(1.0, "group", 0.0), inverse_square, 12.0),
        ("natural gradient, KL-prox: e⁻ᵗ", NaturalGradient(), straight, 12.0),
        ("natural gradient / std: finite", NaturalGradient(1.0, "group", 0.0), finite_time, 0.97 * end),
    )
    for colour, (told, update, solution, last) in enumerate(cases):
        times = np.linspace(0.0, last, 8)
        run = flow(majority_direction(update), two_answers(np.full(8, odds)), times, 48)
        left = lambda t, solution=solution: logistic(-solution(odds, t))  # noqa: E731
        span = (0.0, end - 2e-3) if solution is finite_time else None
        panel.law(left, times, np.exp(run[:, 1]), told, colour, span=span, logs=True, tolerance=1e-4)
    panel.dress(
        "time, steps × learning rate (or 1/β)",
        "mass off the mode 1 − p, share",
        legend="below",
        columns=2,
        ylim=(3e-6, 0.7),
    )


@draws(
    "S7a",
    "Gradient ascent on self-certainty, two answers: log-odds of the mode by Runge–Kutta (points) and"
    " sinh(L/2) = sinh(L₀/2) e^(t/2) (lines).",
)
def self_certainty_ascent(panel):
    times = np.linspace(0.0, 5.0, 9)
    for colour, mass in enumerate((0.8, 0.6, 0.52)):
        odds = float(logit(mass))
        run = flow(self_certainty_direction, two_answers(np.full(9, odds)), times, 48)
        law = lambda t, odds=odds: 2 * np.arcsinh(np.sinh(odds / 2) * np.exp(t / 2))  # noqa: E731
        panel.law(law, times, run[:, 0] - run[:, 1], f"p₀ = {mass:g}", colour, tolerance=1e-5)
    panel.dress("time, steps × learning rate", "log-odds L of the mode, nats", legend="upper left")


@draws(
    "S7b",
    "How fast the log-odds L of two answers grow: ascent on −H(π) at 2p(1−p)L (points: numerical gradient),"
    " between softmax gradient and self-certainty.",
)
def token_entropy_ascent(panel):
    odds = np.linspace(0.0, 8.0, 17)
    gradient = complex_step(certainty, two_answers(odds))
    panel.law(
        lambda x: 2 * logistic(x) * logistic(-x) * x, odds, gradient[:, 0] - gradient[:, 1], "−H(π): 2p(1−p)L"
    )
    grid = np.linspace(0.05, 8.0, 48)
    majority = majority_direction(SoftmaxGradient())(two_answers(grid))
    panel.line(grid, majority[:, 0] - majority[:, 1], "majority, softmax gradient: 2p(1−p)", 1, dashed=True)
    panel.line(grid, np.tanh(grid / 2), "self-certainty: 2p − 1", 2, dashed=True)
    panel.holds("equals", token_entropy_direction(two_answers(odds)), gradient, 1e-9)
    panel.dress(
        "log-odds L of the mode, nats", "dL/dt, nats per unit time", legend="center right", ylim=(-0.03, 1.05)
    )


@draws(
    "S7c",
    "Change of each logit in one step: self-certainty as a reward moves nothing where an answer is one token;"
    " of two tokens the first gains that has the surer sequel.",
)
def constant_rewards(panel):
    answers, log_probs = np.arange(1, 7), policy(0.3, 0.22, 0.18, 0.14, 0.1, 0.06)
    one = np.asarray(get_reward("self-certainty").exact(log_probs))
    moved = [
        np.asarray(update.step(log_probs, one))[0] - log_probs[0]
        for update in (KLProx(), SoftmaxGradient(), GRPO())
    ]
    for colour, (told, change) in enumerate(zip(("KL-prox", "softmax gradient", "GRPO"), moved, strict=True)):
        panel.law(
            lambda a: 0 * a,
            answers - 0.08 + 0.08 * colour,
            change,
            f"one token: {told}",
            colour + 1,
            mark=colour,
            nodes=0,
        )
    two = second_token_rewards(log_probs)
    direction = np.asarray(NaturalGradient().direction(log_probs, two))[0]
    wanted = two[0] - np.exp(log_probs[0]) @ two[0]
    panel.law(
        lambda a: np.interp(a, answers, wanted),
        answers,
        direction,
        "two tokens: natural gradient",
        0,
        nodes=0,
    )
    panel.holds("at least", np.diff(direction), 0.0)
    panel.axes.set_xticks(answers)
    panel.dress(
        "first token, by falling mass, surer sequel to the right",
        "change of the logit, nats",
        legend="upper left",
    )
