"""Figures of verifiers and other rewards from outside (X1 to X6)."""

from functools import partial

import numpy as np

from sharpening.plots.theorems.canvas import draws
from sharpening.plots.theorems.walks import logit, majority_direction, policy, two_answers, walk
from sharpening.rewards import MajorityReward
from sharpening.rewards.hybrid import HybridReward
from sharpening.theorems.numerics import flow, take_step
from sharpening.theorems.x4_moving_prior import balance_masses
from sharpening.updates import GRPO, KLProx, SoftmaxGradient
from sharpening.verification.sequential_test import SequentialTest
from sharpening.verification.thresholds import gated_steps, hybrid_threshold, uniform_share, youden

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)
VERIFIERS = ((1.0, 0.0), (0.9, 0.3), (0.55, 0.4))
TRUTH = np.array([[True, False]])


def critical_weight(tpr: float, fpr: float) -> float:
    """The weight of the vote at which one KL-prox step keeps the ratio of truth and wrong mode: the root of
    two measured drifts.
    """
    start, drift = policy(0.3, 0.7), []
    for weight in (0.0, 1.0):
        after = take_step(KLProx(), HybridReward(tpr, fpr, weight), start, correct=TRUTH)
        drift.append(float((after - start)[0, 0] - (after - start)[0, 1]))
    return drift[0] / (drift[0] - drift[1]) if drift[0] > 0 > drift[1] else np.nan


@draws(
    "X1",
    "Log-odds of the right answer under verifiers of different noise: KL-prox steps (points) climb or fall"
    " along J/β a step (lines), J = TPR − FPR.",
)
def noisy_verifier(panel):
    step, start = np.arange(13), policy(0.2, 0.8)
    for colour, (tpr, fpr) in enumerate(((1.0, 0.0), (0.8, 0.6), (0.5, 0.5), (0.2, 0.7))):
        run, j = (
            walk(KLProx(2.0), start, 12, HybridReward(tpr, fpr, 0.0), correct=TRUTH)[:, 0],
            youden(tpr, fpr),
        )
        told = f"TPR {tpr:g}, FPR {fpr:g}: J = {j:.1f}"
        panel.law(lambda k, j=j: logit(0.2) + j * k / 2, step, run[:, 0] - run[:, 1], told, colour)
    panel.dress("KL-prox step, 1/β = ½", "log-odds of the right answer, nats", legend="upper left")


@draws(
    "X2",
    "Where a misaligned prompt ends when a share q of its rollouts is verified (points: KL-prox runs): right"
    " above 1/(1+J) (marked), wrong below, for three verifiers, drawn .02 apart.",
)
def hybrid_limit(panel):
    shares, start = np.linspace(0.4, 1.0, 31), policy(0.2, 0.8)
    for colour, (tpr, fpr) in enumerate(VERIFIERS):
        threshold = uniform_share(tpr, fpr)
        clear = shares[np.abs(shares - threshold) > 0.01]
        ends = [
            np.exp(
                walk(KLProx(1 / 4000.0), start, 3, HybridReward(tpr, fpr, float(1 - q)), correct=TRUTH)[
                    -1, 0, 0
                ]
            )
            for q in clear
        ]
        found = np.array(ends) + 0.02 * (1 - colour)
        law = lambda q, threshold=threshold, colour=colour: (q > threshold) + 0.02 * (1 - colour)  # noqa: E731
        panel.law(
            law, clear, found, f"J = {youden(tpr, fpr):.2g}", colour, mark=colour, tolerance=1e-6, nodes=600
        )
        panel.mark(threshold, f"{threshold:.2f}", low=False, left=True)
    panel.dress(
        "verified share of the rollouts q",
        "mass of the truth in the end",
        legend="below",
        columns=3,
        ylim=(-0.06, 1.16),
    )


@draws(
    "X3",
    "Verifier calls that certify one right answer at error level a (points: exact expectation of Wald's test)"
    " lie between what any test needs and Wald's bound (dashed).",
)
def certified_labels(panel):
    panel.logs(x=True)
    levels = np.geomspace(1e-6, 0.2, 12)
    for colour, (tpr, fpr) in enumerate(((0.9, 0.1), (0.7, 0.3))):
        tests = [SequentialTest(tpr, fpr, float(a), float(a)) for a in levels]
        calls = [test.characteristics(True).calls for test in tests]
        most, least = (
            np.array([getattr(test, name)(True) for test in tests]) for name in ("most_calls", "least_calls")
        )
        at = lambda values: lambda x: np.exp(np.interp(np.log(x), np.log(levels), np.log(values)))  # noqa: E731
        panel.bound(
            "at most", at(most), levels, calls, f"TPR {tpr:g}, FPR {fpr:g}", colour, bound_colour=colour
        )
        panel.bound("at least", at(least), levels, calls, None, colour, bound_colour=colour)
    panel.dress("error level a = b", "expected calls a certified answer", legend="upper right")


@draws(
    "X4",
    "Where the vote's pull and a supervised pull of strength μ to a data share q = .6 balance: flows run to"
    " their end (points), closed forms (lines).",
)
def moving_prior(panel):
    panel.logs(x=True)
    strengths, share = np.geomspace(0.2, 5.0, 8), 0.6
    for colour, (told, update) in enumerate(
        {"softmax gradient": SoftmaxGradient(), "GRPO": GRPO(1.0, "group", 0.0)}.items()
    ):
        vote = majority_direction(update)
        force = lambda now, vote=vote: vote(now) + strengths[:, None] * ([share, 1 - share] - np.exp(now))  # noqa: E731
        end = flow(force, two_answers(np.full(8, logit(share))), 100.0, 100)

        def law(mu, told=told):
            return np.array(
                [np.exp(balance_masses(np.log(share), np.log(1 - share), one, told)[0]) for one in mu]
            )

        panel.law(law, strengths, np.exp(end[:, 0]), told, colour, tolerance=1e-4)
    panel.level(share, "data: q = .6", left=True)
    panel.dress(
        "strength of the supervised gradient μ",
        "mass of the mode at balance p*",
        legend="upper right",
        ylim=(0.55, 1.03),
    )


@draws(
    "X5",
    "The weight of the vote at which steps stop rescuing a misaligned prompt, found from measured drifts"
    " (points), is J/(1+J) and never above one half.",
)
def half_a_verifier(panel):
    quality = np.linspace(0.1, 1.0, 10)
    for mark, fpr in enumerate((0.0, 0.2)):
        usable = quality[quality + fpr <= 1 + 1e-12] - 0.05 * mark
        found = [critical_weight(min(1.0, float(j + fpr)), fpr) for j in usable]
        panel.law(
            lambda j, fpr=fpr: np.array([hybrid_threshold(min(1.0, one), 0.0) for one in j]),
            usable,
            found,
            f"FPR {fpr:g}",
            mark,
            mark=mark,
        )
        panel.holds("at most", found, 0.5)
    panel.level(0.5, "one half", left=True)
    panel.dress(
        "verifier's J = TPR − FPR", "largest weight of the vote λ*", legend="lower right", ylim=(0, 0.56)
    )


@draws(
    "X6",
    "Steps for which a gate at γ = .9 verifies a prompt, by the first mass of its truth: runs (points) and"
    " ceil(β(logit γ − logit π_c)/J) (line); a wrong mode above γ is never looked at.",
)
def gate(panel):
    mass, level, (tpr, fpr) = np.linspace(0.03, 0.97, 48), 0.9, (0.9, 0.4)
    now, verified = two_answers(logit(mass)), np.zeros(48)
    truth = np.broadcast_to(TRUTH, now.shape)
    for _ in range(16):
        checked = np.exp(now.max(axis=1)) < level
        verified += checked
        rewards = np.where(
            checked[:, None], HybridReward(tpr, fpr, 0.0).exact(now, truth), MajorityReward().exact(now)
        )
        now = np.asarray(KLProx(1.0).step(now, rewards))
    seen = mass > 1 - level
    panel.law(
        lambda c: gated_steps(logit(c), level, tpr, fpr),
        mass[seen],
        verified[seen],
        "verified, ends right",
        1,
        span=(0.1001, 0.97),
        nodes=800,
    )
    panel.law(lambda c: 0 * c, mass[~seen], verified[~seen], "never verified, ends wrong", 0)
    panel.holds("equals", (now[:, 0] > now[:, 1]).astype(float), seen.astype(float))
    panel.mark(1 - level, "wrong mode at γ", low=True)
    panel.dress(r"first mass $\pi_c$ of the right answer, share", "verified steps", legend="upper right")
