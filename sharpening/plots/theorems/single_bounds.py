"""Figures of one prompt: KL to the initial policy, and pass@k against the prior's (S19, S20)."""

from functools import partial

import numpy as np

from sharpening.logspace import log_mass, log_odds, logistic
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import logit, policy, two_answers, walk
from sharpening.rewards import get_reward
from sharpening.theorems.s16_pass_at_k import pass_at_k
from sharpening.theorems.s19_kl_anchor import held_up_to, rest
from sharpening.theorems.s20_more_samples import most_passed, passed_by_prior
from sharpening.updates import GRPO, KLProx

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)
STEPS = 200


@draws(
    "S19",
    "Where exact GRPO with KL to the initial policy rests, against the first log-odds of the mode: runs of 200"
    " steps (points) and the lower root of β(x − x₀) = 2 cosh(x/2) (lines), which end where nothing holds any more.",
)
def kl_anchor(panel):
    vote, shown = get_reward("majority"), np.array([[True, False]])
    for colour, beta in enumerate((2.0, 4.0, 8.0)):
        most = held_up_to(beta)
        first = np.linspace(0.02, most - 0.4, 6)
        now = start = two_answers(first)
        update = GRPO(3 / beta, eps=0.0, beta=beta)
        for _ in range(STEPS):
            now = np.asarray(update.step(now, vote.exact(now), start))
        law = lambda x, beta=beta: rest(x, beta)  # noqa: E731
        told = f"β = {beta:g}, X = {most:.2f}"
        panel.law(law, first, log_odds(now, shown), told, colour, tolerance=1e-3, span=(0.0, most - 1e-6))
    panel.dress("log-odds x₀ of the mode before, nats", "log-odds x at rest, nats", legend="upper left")


@draws(
    "S20",
    "Pass@k of a right answer of mass .05 that is the mode, along sharpening (points), below its bound (dashed"
    " grey) and below e/(e − 1) times what k/p samples of the prior pass.",
)
def more_samples(panel):
    panel.logs(x=True)
    start, k = policy(0.05, *[0.95 / 20] * 20), np.arange(1, 41)
    right, top = np.log([0.05]), np.log([0.05])
    for colour, steps in enumerate((0, 2, 4)):
        now = walk(KLProx(1.0), start, steps)[-1]
        found = np.array([pass_at_k(log_mass(now[:, 1:], np.ones((1, 20), bool)), int(n))[0] for n in k])
        mass = logistic(logit(0.05) + steps)
        panel.law(
            lambda x, mass=mass: 1 - (1 - mass) ** x, k, found, f"after {steps} steps", colour, mark=colour
        )
        panel.holds("at most", found, np.array([most_passed(right, top, int(n))[0] for n in k]))
        prior = np.array([passed_by_prior(right, top, int(n))[0] for n in k])
        panel.holds("at most", (1 - np.exp(-1)) * found, prior)
    panel.line(k, prior, "prior, k/p samples", -1, dashed=True)
    panel.dress("samples k", "pass@k", legend="lower right", ylim=(-0.03, 1.06))
