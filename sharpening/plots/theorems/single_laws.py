"""Figures of one prompt: laws in closed form, step by step (S1 to S3, S8, S10, S12, S13)."""

from functools import partial

import numpy as np

from sharpening.logspace import log_odds, logistic
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import logit, policy, walk
from sharpening.theorems.numerics import relative_entropy
from sharpening.theorems.s8_heaviest_cluster import ClusterReward
from sharpening.updates import KLProx, NaturalGradient, SoftmaxGradient

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)
MASSES = (0.45, 0.35, 0.2)


@draws(
    "S1",
    "Masses of three answers over twelve KL-prox steps with 1/β = ½ nat: the points are steps, the lines the"
    " logit law.",
)
def logit_law(panel):
    step, start = np.arange(13), policy(*MASSES)
    run = np.exp(walk(KLProx(2.0), start, 12))[:, 0]
    mode = lambda k: logistic(logit(MASSES[0]) + k / 2)  # noqa: E731
    panel.law(mode, step, run[:, 0], "majority answer")
    for answer in (1, 2):
        share = MASSES[answer] / (1 - MASSES[0])
        panel.law(
            lambda k, share=share: share * (1 - mode(k)), step, run[:, answer], f"answer {answer + 1}", answer
        )
    panel.dress("KL-prox step k", "mass, share", ylim=(-0.03, 1.03), legend="center right")


@draws(
    "S2",
    "With the initial policy as reference the majority answer stops 1/β above its prior at once (lines:"
    " formula, points: steps); with the previous policy it goes on to 1.",
)
def fixed_reference(panel):
    step, start = np.arange(1, 11), policy(*MASSES)
    for colour, beta in enumerate((0.5, 1.0, 2.0)):
        run = np.exp(walk(KLProx(beta, reference="initial"), start, 10))[1:, 0, 0]
        stays = lambda k, beta=beta: logistic(logit(MASSES[0]) + 1 / beta + 0 * k)  # noqa: E731
        panel.law(stays, step, run, f"initial reference, β = {beta:g}", colour)
    moving = np.exp(walk(KLProx(2.0), start, 10))[:, 0, 0]
    panel.line(np.arange(11), moving, "previous reference, β = 2", -1, dashed=True)
    panel.level(MASSES[0], "prior")
    panel.dress(
        "KL-prox step", "mass of the majority answer, share", ylim=(0.4, 1.02), legend="below", columns=2
    )


@draws(
    "S3",
    "Under the reward log π the log-odds of any two answers grow by the factor 1 + 1/β a step, here β = 2.",
)
def entropy_powers(panel):
    panel.logs(y=True)
    step, run = np.arange(9), walk(KLProx(2.0), policy(0.5, 0.3, 0.2), 8, "trajectory-entropy")[:, 0]
    for colour, (one, other, told) in enumerate(
        ((0, 2, "mode : third"), (0, 1, "mode : second"), (1, 2, "second : third"))
    ):
        first = run[0, one] - run[0, other]
        panel.law(
            lambda k, first=first: first * 1.5**k, step, run[:, one] - run[:, other], told, colour, logs=True
        )
    panel.dress("KL-prox step k", "log-odds, nats")


@draws(
    "S8",
    "A mode alone in its cluster dies when its mass is below one half and wins above it, although the reward"
    " is intrinsic in both cases.",
)
def heaviest_cluster(panel):
    step, size = np.arange(13), 1.5
    for colour, mass in enumerate((0.6, 0.48, 0.4)):
        start = policy(mass, (1 - mass) * 0.6, (1 - mass) * 0.4)
        reward = ClusterReward(members=np.array([[False, True, True]]))
        run = np.exp(walk(KLProx(1 / size), start, 12, reward))[:, 0, 0]
        odds = [logit(mass)]
        for _ in range(12):
            odds.append(odds[-1] + size * np.tanh(odds[-1] / 2))
        law = logistic(odds)
        panel.law(
            lambda k, law=law: np.interp(k, step, law), step, run, f"mode's mass {mass:g}", colour, nodes=0
        )
    panel.level(0.5)
    panel.dress(
        "KL-prox step, 1/β = 1.5 nats",
        "mass of the initial mode, share",
        ylim=(-0.03, 1.03),
        legend="below",
        columns=3,
    )


@draws(
    "S10",
    "KL spent against the mass P of the leaders: majority steps walk along the binary divergence up to −log(m"
    " π₀), log m nats less for m tied modes.",
)
def budget_attained(panel):
    for colour, (tied, rest) in enumerate(((1, (0.16,) * 5), (2, (0.15,) * 4), (3, (0.4 / 3,) * 3))):
        start = policy(*(0.2,) * tied, *rest)
        first = 0.2 * tied
        run = walk(KLProx(1 / tied), start, 9)[:, 0]
        mass = np.exp(run[:, :tied]).sum(axis=1)
        spent = lambda p, q=first: p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))  # noqa: E731
        kl = relative_entropy(run, np.broadcast_to(start, run.shape))
        panel.law(spent, mass, kl, f"m = {tied} mode{'s' * (tied > 1)} of .2", colour, span=(first, 1 - 1e-9))
        panel.holds("at least", np.diff(mass), 0.0)
        panel.level(-np.log(first), f"−log {first:g}", left=True)
    panel.dress(
        "mass P of the leaders, share",
        "KL(π ‖ π₀), nats",
        legend="below",
        columns=3,
        xlim=(0.15, 1.02),
        ylim=(-0.05, 1.78),
    )


@draws(
    "S12",
    "One step on fixed rewards, any step size: KL-prox (dots) and natural gradient (squares) land on the same"
    " line π exp(ηr)/Z; the softmax gradient (dashed) does not.",
)
def one_map(panel):
    panel.logs(x=True)
    start, rewards, sizes = policy(0.5, 0.3, 0.2), np.array([[0.2, 1.0, -0.5]]), np.geomspace(0.05, 20, 12)
    step = lambda update: np.exp(np.asarray(update.step(start, rewards)))[0]  # noqa: E731
    prox, natural = (
        np.array([step(KLProx(1 / h)) for h in sizes]),
        np.array([step(NaturalGradient(h)) for h in sizes]),
    )
    softmax = np.array([step(SoftmaxGradient(h)) for h in sizes])

    def law(size, answer):
        weights = np.exp(start + np.reshape(size, (-1, 1)) * rewards)
        return weights[:, answer] / weights.sum(axis=1)

    for answer, reward in enumerate(rewards[0]):
        panel.law(lambda size, a=answer: law(size, a), sizes, prox[:, answer], f"reward {reward:g}", answer)
        panel.law(lambda size, a=answer: law(size, a), sizes[::2], natural[::2, answer], None, answer, mark=1)
        panel.line(sizes, softmax[:, answer], None, answer, dashed=True)
    panel.dress("step size η = 1/β, nats per reward", "mass after one step, share", legend="below", columns=3)


@draws(
    "S13",
    "Under the true reward a right answer of mass 10⁻¹² comes back after log 10¹² nats, one of mass 0 never"
    " does.",
)
def faces(panel):
    step = np.arange(0, 41, 2)
    for colour, mass in enumerate((1e-2, 1e-6, 1e-12, 0.0)):
        start = policy(mass, 1 - mass)
        run = np.exp(walk(KLProx(1.0), start, 40, "true", correct=np.array([[True, False]])))[::2, 0, 0]
        with np.errstate(divide="ignore"):
            odds = float(log_odds(start, np.array([[True, False]]))[0])
        panel.law(lambda k, odds=odds: logistic(odds + k), step, run, f"π₀ = {mass:g}", colour)
    panel.dress(
        "KL-prox step on the true reward, β = 1",
        "mass of the right answer, share",
        ylim=(-0.03, 1.03),
        legend="below",
        columns=4,
    )
