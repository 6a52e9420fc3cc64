"""F5: one more rollout never lowers the mode's share of the vote, and changes any answer's share only where
it ties.
"""

from __future__ import annotations

import numpy as np

from sharpening.theorems.assumptions import HAS_LEADER
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import few_answers
from sharpening.theorems.finite_votes import SHORT_LIST, count_vectors, group_weights, mode_vote_shares
from sharpening.theorems.registry import register_theorem

MOST, LISTED = 8, (2, 3, 5)


def vote_table(rollouts: int, num_answers: int, no_answer: int | None) -> tuple[np.ndarray, np.ndarray]:
    """For every count vector: who leads, (ways, answers) bool, and each answer's share of the vote, (ways,
    answers).
    """
    counts = count_vectors(rollouts, num_answers)[0].copy()
    if no_answer is not None:
        counts[:, no_answer] = 0
    leads = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    return leads, leads / np.maximum(leads.sum(axis=1, keepdims=True), 1)


def share_gains(log_probs: np.ndarray, rollouts: int, no_answer: int | None = None) -> np.ndarray:
    """E[1[a leads](p_a - mean of the leaders' p)] + P(no vote) p_a over groups of `rollouts`, (prompts,
    answers): F5's identity.
    """
    leads, shares = vote_table(rollouts, log_probs.shape[1], no_answer)
    probs = np.exp(log_probs)
    if no_answer is not None:
        probs[:, no_answer] = 0.0
    weights = group_weights(log_probs, rollouts)
    mean = probs @ shares.T
    nobody = weights @ ~leads.any(axis=1)
    return probs * (weights @ leads) - (weights * mean) @ leads + nobody[:, None] * probs


@register_theorem
class MoreRollouts(Theorem):
    """s_a(N+1) - s_a(N) = E_N[1[a in T] (p_a - mean over T of p)], T the leaders of N rollouts: >= 0 for the
    mode.

    Proof. Let B be the answers one vote behind the leaders T, t = |T|. The next rollout changes a's share 1[a
    in T]/t in four ways: from T, drawn itself: +(1 - 1/t); another of T drawn: -1/t, together (1/t) sum over
    b in T of (p_a - p_b); from B, drawn itself: +1/(t+1); from T, with b in B drawn: -(1/t - 1/(t+1)) =
    -1/(t(t+1)). The last two cancel: swapping the counts of a in B with those of a leader b maps a group of
    weight w onto one of weight w p_a/p_b with a in T and b in B; there the loss is w (p_a/p_b) p_b/(t(t+1)),
    and over the t leaders b that sums to the gain w p_a/(t+1). A silent rollout changes nothing; from no
    votes at all a gains p_a.
    """

    name = "F5"
    title = "Every extra rollout helps the mode"
    statement = (
        "With ties shared, answer a's expected share of the vote changes from N to N+1 rollouts by E_N[1[a"
        " leads](p_a - mean p of the leaders)] exactly (plus p_a where nobody has voted yet). So the mode's"
        " share never falls, starts at p_1 for N = 1 (and 2, if nobody is silent), and rises strictly when it"
        " can tie with a rarer answer: any number of answers, not two only."
    )
    source = "here; Condorcet's jury theorem for the plurality of several answers"
    assumptions = (HAS_LEADER,)

    def formula(self):
        import sympy as sp

        gain, p, mean, lead = sp.symbols("Delta_a p_a pbar_T 1_T")
        return sp.Eq(gain, sp.Function("E")(lead * (p - mean)))

    def derivation(self):
        import sympy as sp

        p = sp.symbols("p_0:3", positive=True)
        a, t = sp.symbols("p_a t", positive=True)

        def share(n):
            total = 0
            for i in range(n + 1):
                for j in range(n + 1 - i):
                    counts = (i, j, n - i - j)
                    ways = sp.factorial(n) / sp.prod([sp.factorial(c) for c in counts])
                    if i == max(counts):
                        total += (
                            ways * p[0] ** i * p[1] ** j * p[2] ** (n - i - j) / sum(c == i for c in counts)
                        )
            return total

        ties = p[0] * p[1] * (p[0] - p[1]) + p[0] * p[2] * (p[0] - p[2])
        return {
            "from 2 to 3 rollouts the share grows by the sum over b of p_0 p_b (p_0 - p_b) (3 answers)": (
                sp.expand(share(3) - share(2) * sum(p) - ties)
            ),
            "from 1 to 2 not at all": sp.expand(share(2) - share(1) * sum(p)),
            "drawn from B: t losses of p_a/(t(t+1)) are the gain p_a/(t+1)": sp.simplify(
                t * a / (t * (t + 1)) - a / (t + 1)
            ),
        }

    def constructed(self, rng):
        return few_answers(rng)

    def claims(self, case: Case):
        population = case.population
        log_probs, mode, no_answer = population.log_probs, population.mode, population.no_answer
        rows = np.arange(population.num_prompts)
        shares = mode_vote_shares(log_probs, mode, MOST, no_answer)
        yield Claim.at_most(
            "the mode's share never falls with another rollout", shares[:, :-1], shares[:, 1:], absolute=1e-14
        )
        yield Claim.equal("it starts at p_1", shares[:, 0], np.exp(log_probs)[rows, mode], absolute=1e-14)
        if not SHORT_LIST.holds(case):
            return
        for n in LISTED:
            before, after = (
                group_weights(log_probs, m) @ vote_table(m, log_probs.shape[1], no_answer)[1]
                for m in (n, n + 1)
            )
            gains = share_gains(log_probs, n, no_answer)
            yield Claim.equal(
                f"share gained from {n} to {n + 1} rollouts, every answer",
                after - before,
                gains,
                absolute=1e-13,
            )
            yield Claim.equal(
                "the listed groups and the series agree", after[rows, mode], shares[:, n], absolute=1e-13
            )
