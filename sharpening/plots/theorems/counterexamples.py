"""Figures of claims that are false for one prompt or a finite group (N1 to N6, N8, N9)."""

from functools import partial

import numpy as np

from sharpening.metrics import exact_metrics
from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import listed_directions, logit, policy, sampled_walks, two_answers, walk
from sharpening.population import Population
from sharpening.theorems.f2_fixation import wrong_fixation
from sharpening.theorems.finite_votes import group_weights
from sharpening.theorems.n2_not_majorizing import EXAMPLE, EXAMPLE_REWARDS
from sharpening.theorems.n3_cancellation import EXAMPLE_SIZE, naive_step
from sharpening.theorems.n4_few_rollouts import straight_down
from sharpening.theorems.n6_first_come import first_come_rewards, lead_lost
from sharpening.theorems.n9_rare_gain import mean_excess
from sharpening.theorems.s8_heaviest_cluster import ClusterReward
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)


@draws(
    "N1",
    "Speed of the mode's logit against all else when the mode is a cluster of its own: negative for every"
    " update as soon as its mass is below one half.",
)
def dethroned(panel):
    mass = np.linspace(0.05, 0.95, 48)
    start, members = two_answers(logit(mass)), np.tile([False, True], (48, 1))
    rewards = np.asarray(ClusterReward(members=members).exact(start))
    laws = {
        "natural gradient: 2p − 1": (NaturalGradient(), lambda p: 2 * p - 1),
        "softmax gradient: 2p(1−p)(2p−1)": (SoftmaxGradient(), lambda p: 2 * p * (1 - p) * (2 * p - 1)),
        "GRPO: 2√(p(1−p)) sign(2p−1)": (
            GRPO(1.0, "group", 0.0),
            lambda p: 2 * np.sqrt(p * (1 - p)) * np.sign(2 * p - 1),
        ),
    }
    for colour, (told, (update, law)) in enumerate(laws.items()):
        direction = np.asarray(update.direction(start, rewards))
        panel.law(law, mass[1::3], (direction[:, 0] - direction[:, 1])[1::3], told, colour)
    panel.level(0.0)
    panel.mark(0.5, low=True)
    panel.dress("mass p of the mode, share", "growth of its log-odds, nats / time", legend="below", columns=2)


@draws(
    "N2",
    "A reward that is highest at the mode and at nine rare answers: one step lifts the mode and the rare"
    " answers by the same factor (points and line), and entropy rises.",
)
def not_majorizing(panel):
    sizes = np.linspace(0.0, 1.0, 11)
    after = np.array(
        [np.asarray(KLProx(1 / h).step(EXAMPLE, EXAMPLE_REWARDS))[0] if h else EXAMPLE[0] for h in sizes]
    )
    rewarded = float(np.exp(EXAMPLE[0]) @ EXAMPLE_REWARDS[0])
    factor = lambda h: h - np.log1p(rewarded * np.expm1(h))  # noqa: E731
    panel.law(factor, sizes, after[:, 0] - EXAMPLE[0, 0], "mode: log e^η/Z", 0)
    panel.law(factor, sizes[1::2], (after[:, 5] - EXAMPLE[0, 5])[1::2], "rarest answer: the same", 0, mark=1)
    entropy = exact_metrics(after)["entropy"] - exact_metrics(EXAMPLE)["entropy"]
    panel.line(sizes, entropy, "entropy", 1)
    panel.points(sizes, entropy, None, 1)
    panel.holds("at least", entropy[1:4], 1e-3)
    panel.level(0.0)
    panel.dress("step size η = 1/β", "change, nats", legend="upper left")


@draws(
    "N3",
    "Mass left on five modes of one fifth after a long softmax-gradient step: the package keeps it for every"
    " loser, the textbook formula in float64 hands it to losers below 10⁻¹⁷.",
)
def cancellation(panel):
    panel.logs(x=True)
    losers = np.geomspace(1e-20, 1e-12, 17)
    rewards = [0.8] * 5 + [0.0]
    naive = [sum(naive_step([0.2] * 5 + [float(one)], rewards, EXAMPLE_SIZE)[:5]) for one in losers]
    kept = [
        np.exp(
            np.asarray(SoftmaxGradient(EXAMPLE_SIZE).step(np.log([[0.2] * 5 + [one]]), np.array([rewards])))[
                0, :5
            ]
        ).sum()
        for one in losers
    ]
    panel.law(lambda m: 0 * m + 1.0, losers, kept, "sharpening", 1)
    panel.line(losers, naive, "r − Σ π r, left to right", 0, dashed=True)
    panel.points(losers, naive, None, 0, mark=1)
    panel.holds("at most", naive[0], 0.0)
    panel.dress(
        "mass of the loser, share",
        "mass of the modes after the step",
        legend="center right",
        ylim=(-0.05, 1.08),
    )


@draws(
    "N4",
    "Chance that sampled KL-prox steps from (.6, .4) end at the rarer answer, over odd numbers of rollouts:"
    " never 0 as the claim has it, at least that of walking straight down (dashed).",
)
def few_rollouts(panel):
    panel.logs(y=True)
    size, odds = np.arange(3, 42, 2), np.array([logit(0.6)])
    for colour, step in enumerate((1.0, 0.25)):
        chance = [wrong_fixation(odds, step, int(n))[0] for n in size]
        down = lambda n, step=step: np.array([straight_down(odds, step, int(one))[0] for one in n])  # noqa: E731
        panel.bound("at least", down, size, chance, f"1/β = {step:g}", colour, bound_colour=colour, logs=True)
        panel.holds("at most", np.diff(chance), 0.0)
    panel.dress("rollouts N", "chance of the wrong limit", legend="upper right", ylim=(3e-3, 0.6))


@draws(
    "N5",
    "Reward accuracy after a total collapse to the commonest answer, over the number of answers: the base"
    " rate 1/K (line, one-answer policies as points), above the 1 % rule up to 100 answers.",
)
def fixed_threshold(panel):
    panel.logs(x=True, y=True)
    sizes, found = np.array([2, 5, 10, 30, 100, 300]), []
    for count in sizes:
        truth = np.eye(count, dtype=bool)
        with np.errstate(divide="ignore"):
            gone = np.log((np.arange(count) == 0).astype(float)) * np.ones((count, 1))
        gone = Population(gone, truth).log_probs
        found.append(exact_metrics(gone, truth)["reward_accuracy"].mean())
    panel.law(lambda k: 1 / k, sizes, found, "after total collapse", logs=True)
    panel.level(0.01, "“collapse” at 1 %", left=True)
    panel.mark(100.0, "K = 100", left=True)
    panel.dress("number of answers K", "reward accuracy, share")


@draws(
    "N6",
    "A lead of .6 to .4 under two rollouts a step: with ties to the first arrival it is lost ever more often"
    " (line: exact walk, points: 600 runs), with shared ties nothing moves.",
)
def first_come(panel):
    steps, odds = np.array([5, 20, 60]), np.full(600, logit(0.6))
    lost = (sampled_walks(KLProx(), odds, rollouts=2, at=steps, reward=first_come_rewards) < 0).mean(axis=1)
    law = lambda n: np.array([lead_lost(0.6, 1.0, int(one)) for one in n])  # noqa: E731
    panel.law(law, steps, lost, "first come", span=(0, 60), nodes=61, tolerance=4 * 0.5 / 600**0.5)
    still = (sampled_walks(KLProx(), odds, rollouts=2, at=steps[:2]) < 0).mean(axis=1)
    panel.law(lambda n: 0 * n, steps[:2], still, "tie shared", 1, span=(0, 60))
    panel.level(0.5, "limit ½", left=True)
    panel.dress(
        "KL-prox step, β = 1", "chance that the lead is lost", legend="center right", ylim=(-0.02, 0.56)
    )


@draws(
    "N8",
    "Mass off the mode over steps: softmax gradient and GRPO (points) stay above their bounds (dashed), which"
    " fall as powers of the step; only KL-prox is geometric.",
)
def not_geometric(panel):
    panel.logs(x=True, y=True)
    size, start, step = 0.5, policy(0.5, 0.3, 0.2), np.unique(np.geomspace(1, 100, 12).astype(int))
    bounds = {
        "softmax gradient": (SoftmaxGradient(size), lambda k: 1 / (2 + 2 * size * k * np.exp(2 * size))),
        "GRPO": (GRPO(size), lambda k: 1 / (np.sqrt(2) + size * k * np.exp(size)) ** 2),
    }
    for colour, (told, (update, bound)) in enumerate(bounds.items()):
        run = np.exp(walk(update, start, 100)[step, 0, 1:]).sum(axis=1)
        panel.bound("at least", bound, step, run, told, colour, bound_colour=colour, logs=True)
    prox = np.exp(walk(KLProx(1 / size), start, 24)[1:, 0, 1:]).sum(axis=1)
    panel.law(lambda k: 1 / (1 + np.exp(size * k)), np.arange(1, 25), prox, "KL-prox: e^(−k/β)", 2, logs=True)
    panel.dress("step k, η = 1/β = ½", "mass off the mode, share", legend="lower left")


@draws(
    "N9",
    "Mean drift of the log-odds of an answer that nobody draws against two tied leaders: it rises under"
    " sampled KL-prox (points: every group listed, line: E[M − ½]), not under the softmax gradient.",
)
def rare_gain(panel):
    sizes, policies = np.array([2, 3, 4, 6, 12]), policy(0.5 - 5e-7, 0.5 - 5e-7, 1e-6)
    for colour, (told, update) in enumerate(
        {"KL-prox": KLProx(), "softmax gradient": SoftmaxGradient()}.items()
    ):
        drift = [group_weights(policies, int(n))[0] @ listed_directions(update, 3, int(n)) for n in sizes]
        gain = [float(one[2] - one[0]) for one in drift]
        law = (lambda n: np.array([mean_excess(int(one)) for one in n])) if not colour else (lambda n: 0 * n)
        panel.law(law, sizes, gain, told, colour, span=(2, 16), nodes=15, tolerance=2 * 12 * 1e-6)
    panel.dress("rollouts N", "drift of the rare answer, nats per η", legend="center right")
