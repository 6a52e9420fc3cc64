"""Figures of one prompt: what every step of any size keeps or raises (S4, S5, S9, S14, S15)."""

from functools import partial

import numpy as np

from sharpening.logspace import normalised
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import listed_directions, policy, walk
from sharpening.rewards import get_reward
from sharpening.theorems.finite_votes import group_weights
from sharpening.theorems.numerics import log_tails, relative_entropy, take_step
from sharpening.theorems.s14_ties import tie_survives
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)
PRIOR = (0.3, 0.22, 0.18, 0.14, 0.1, 0.06)


@draws(
    "S4",
    "Sums of the k smallest masses before and after KL-prox steps on log π: every curve lies below the one"
    " before, which is majorization.",
)
def majorization(panel):
    run = walk(KLProx(4.0), policy(*PRIOR), 8, "trajectory-entropy")[:, 0]
    count = np.arange(len(PRIOR) + 1)
    sums = np.concatenate([np.zeros((len(run), 1)), np.cumsum(np.sort(np.exp(run), axis=1), axis=1)], axis=1)
    for colour, k in enumerate((0, 2, 4, 8)):
        panel.line(count, sums[k], f"after {k} steps" if k else "before training", colour - 1 if k else None)
        panel.points(count, sums[k], None, colour - 1 if k else None)
    panel.holds("at most", sums[1:], sums[:-1])
    panel.dress("how many of the smallest answers k", "their mass, share", legend="upper left")


@draws(
    "S5",
    "Sums of the k smallest masses after one GRPO step of size η: none ever rises above its start (dashed),"
    " however long the step.",
)
def softmax_majorizes(panel):
    panel.logs(x=True)
    start, sizes = policy(*PRIOR), np.geomspace(0.01, 1000, 40)
    tails = np.array([np.exp(log_tails(take_step(GRPO(h), get_reward("majority"), start)))[0] for h in sizes])
    before = np.exp(log_tails(start))[0]
    for k in range(4):
        panel.bound(
            "at most",
            before[k],
            sizes,
            tails[:, k],
            f"{k + 1} smallest" if k else "the smallest",
            k,
            as_line=True,
        )
    softmax = np.array(
        [
            np.exp(log_tails(take_step(SoftmaxGradient(h), get_reward("trajectory-entropy"), start)))[0]
            for h in sizes
        ]
    )
    panel.holds("at most", softmax, before)
    panel.dress("step size η", "mass after one step, share", legend="below", columns=4)


@draws(
    "S9",
    "KL to the initial policy under four updates and the majority reward: all stay within the prior's"
    " min-entropy −log max π₀.",
)
def kl_budget(panel):
    start, step = policy(*PRIOR), np.arange(31)
    updates = {
        "natural / std": NaturalGradient(0.5, "group"),
        "KL-prox": KLProx(2.0),
        "GRPO": GRPO(0.5),
        "softmax gradient": SoftmaxGradient(0.5),
    }
    for colour, (told, update) in enumerate(updates.items()):
        run = walk(update, start, 30)[:, 0]
        spent = relative_entropy(run, np.broadcast_to(start, run.shape))
        panel.bound("at most", -np.log(PRIOR[0]), step, spent, told, colour, as_line=True)
        panel.holds("at least", np.diff(spent), 0.0)
    panel.level(-np.log(PRIOR[0]), "budget −log max π₀", left=True)
    panel.dress("step, η = 1/β = ½", "KL(π ‖ π₀), nats", legend="below", columns=4, ylim=(-0.03, 1.38))


@draws(
    "S14",
    "Chance that a sampled majority step leaves two answers of ½ each exactly equal: formula (line) and every"
    " group listed (points); exact steps always do.",
)
def ties(panel):
    sizes, half = np.array([2, 3, 4, 6, 12]), policy(0.5, 0.5)
    kept = []
    for n in sizes:
        moved = listed_directions(KLProx(), 2, int(n))
        kept.append(group_weights(half, int(n))[0][np.abs(moved[:, 0] - moved[:, 1]) < 1e-12].sum())
    for colour, (told, rest) in enumerate({"even groups": 0, "odd groups": 1}.items()):
        here = sizes % 2 == rest
        every = np.arange(2 + rest, 17, 2)
        law = lambda n, every=every: np.interp(n, every, [tie_survives(int(one)) for one in every])  # noqa: E731
        panel.law(
            law, sizes[here], np.array(kept)[here], told, colour, span=(every[0], every[-1]), nodes=len(every)
        )
    sizes, after = np.arange(2, 17, 2), take_step(KLProx(), get_reward("majority"), half)[0]
    panel.law(lambda n: 0 * n + 1.0, sizes, np.full(len(sizes), float(after[0] == after[1])), "exact step", 2)
    panel.dress("rollouts N", "chance that the tie stays", ylim=(-0.03, 1.05), legend="center right")


@draws(
    "S15",
    "Gain of the mean reward in one step of any size on fixed rewards: KL-prox gains β times the Jeffreys"
    " divergence (line), and no update ever loses.",
)
def no_step_too_long(panel):
    panel.logs(x=True)
    start, rewards, sizes = policy(0.5, 0.3, 0.2), np.array([[0.2, 1.0, -0.5]]), np.geomspace(0.02, 200, 20)
    mean = lambda log_probs: float((np.exp(log_probs) * rewards).sum())  # noqa: E731
    gain = lambda update: mean(np.asarray(update.step(start, rewards))) - mean(start)  # noqa: E731

    def jeffreys(size):
        after = normalised(start + np.reshape(size, (-1, 1)) * rewards)
        return (
            relative_entropy(after, start) + relative_entropy(np.broadcast_to(start, after.shape), after)
        ) / size

    panel.law(jeffreys, sizes, [gain(KLProx(1 / h)) for h in sizes], "KL-prox, natural gradient")
    for colour, (told, update) in enumerate(
        {"GRPO": GRPO, "softmax gradient": SoftmaxGradient}.items(), start=1
    ):
        gains = np.array([gain(update(h)) for h in sizes])
        panel.bound("at least", 0.0, sizes, gains, told, colour, as_line=True)
    panel.dress("step size η = 1/β", "gain of the mean reward", legend="upper left")
