"""C6: prompts share strategies, not answers: which strategy wins, when that corrects and when it kills, with
distinct answers left high.
"""

from __future__ import annotations

import numpy as np

from sharpening.coupling import CompoundSymmetric, LowRankPlusDiagonal
from sharpening.logspace import normalised
from sharpening.metrics import exact_metrics
from sharpening.simulation.vote_path import vote_path
from sharpening.theorems.assumptions import LABELLED, RESOLVED_MODE, UNIQUE_MODE, WEIGHTED
from sharpening.theorems.base import Case, Theorem
from sharpening.theorems.claims import Claim
from sharpening.theorems.constructed import two_answers
from sharpening.theorems.coupled import FULL_SUPPORT, coupled_step, fresh_drift
from sharpening.theorems.numerics import beyond
from sharpening.theorems.registry import register_theorem
from sharpening.theorems.x1_noisy_verifier import ALWAYS_ANSWERS
from sharpening.updates import GRPO, KLProx, NaturalGradient, SoftmaxGradient

PRIVATE, SHARED, FAR, BEYOND = 0.6, 1.7, 3000.0, 4000.0
LOUDNESS = {  # two strategies at log-odds d: how fast a prompt pushes its own
    KLProx(): lambda d: np.ones_like(d),
    NaturalGradient(): lambda d: np.ones_like(d),
    SoftmaxGradient(): lambda d: 2 * np.exp(-np.abs(d) - 2 * np.log1p(np.exp(-np.abs(d)))),
    GRPO(1.0, "group", 0.0): lambda d: 2 * np.exp(-np.abs(d) / 2 - np.log1p(np.exp(-np.abs(d)))),
}


def rule_table(prompts: int, strategies: int) -> np.ndarray:
    """What strategy s answers to prompt x, (prompts, strategies): (s + x) mod strategies, so that one rule
    gives many answers.
    """
    return (np.arange(strategies)[None, :] + np.arange(prompts)[:, None]) % strategies


def in_answers(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Values of strategies, (prompts, strategies), put at the answers that they give."""
    out = np.empty_like(values)
    out[np.arange(len(values))[:, None], table] = values
    return out


@register_theorem
class Strategies(Theorem):
    """Couple strategies and everything that is true of labels is true of rules; only distinct answers do not
    see it.
    """

    name = "C6"
    aliases = ("N11",)
    title = "Strategies, not answers"
    statement = (
        "Prompt x answers a_x(s) by strategy s, and prompts share the strategies' logits (kernel features e_s"
        " at a_x(s)). (a) If a prompt's strategies answer differently, the model is compound symmetry with"
        " labels renamed: all of part C holds with strategy for answer. (b) Fresh prompts under KL-prox:"
        " strategy s drifts at the share of prompts on which it agrees with the vote; with two strategies the"
        " one that leads on most prompts wins. Elsewhere prompts count by loudness: sech(d/2) under GRPO,"
        " sech²(d/2)/2 under softmax gradient at log-odds d, so the undecided choose, and the learning rule"
        " decides as well as the prior. (c) At consensus on s accuracy is b_s = P(a_x(s) is right), and"
        " distinct answers are as many as s gives. Coupling corrects iff the winner has b_s > alpha, kills"
        " iff b_s < alpha. So 'a collapsed model gives fewer distinct answers' is false: if strategy s gives each prompt a"
        " label of its own ('repeat the subject'), distinct answers are as many as prompts before and after, entropy falls"
        " to 0 and accuracy to b_s, 0 for a rule that is wrong everywhere. Mode retention and excess KL see it: retention"
        " ends at the rule's initial share of modes, and a prompt that it turned has spent -log pi_0(rule), more than its budget."
    )
    source = "proved here; seen on SmolLM2-135M-Instruct ('the capital of France is France')"
    assumptions = (LABELLED, UNIQUE_MODE, RESOLVED_MODE, WEIGHTED, FULL_SUPPORT, ALWAYS_ANSWERS)

    def formula(self):
        import sympy as sp

        s = sp.Symbol("s")
        agree = sp.Function("P")(sp.Eq(sp.Symbol("a_x(s)"), sp.Symbol("vote_x"), evaluate=False))
        return sp.Eq(
            sp.Derivative(sp.Function("u")(s), sp.Symbol("t")), sp.Symbol("kappa_s") * agree, evaluate=False
        )

    def derivation(self):
        import sympy as sp

        d = sp.Symbol("d", real=True)
        p = 1 / (1 + sp.exp(-d))
        kappa, first, second = sp.symbols("kappa_s s_1 s_2", positive=True)
        share, q, top = sp.symbols("m pi_s pi_m", positive=True)
        x, place, n, k = sp.symbols("x s n K", integer=True, nonnegative=True)
        label = x * k + place
        return {
            "GRPO: 2 sqrt(p(1-p)) = sech(d/2)": sp.simplify(
                (4 * p * (1 - p) - 1 / sp.cosh(d / 2) ** 2).rewrite(sp.exp)
            ),
            "softmax gradient: 2p(1-p) = sech²(d/2)/2": sp.simplify(
                (2 * p * (1 - p) - 1 / sp.cosh(d / 2) ** 2 / 2).rewrite(sp.exp)
            ),
            "features sqrt(kappa_s) e_s: two answers of one strategy have K = kappa_s, of two strategies 0": (
                sp.sqrt(kappa) ** 2 * sp.KroneckerDelta(1, 1) - kappa + sp.KroneckerDelta(1, 2)
            ),
            "label (x, s) = x K + s, 0 <= s < K: those of two prompts differ by K (x' - x) + s' - s, never 0": sp.expand(
                label.subs({x: x + n, place: place + 1}) - label - (n * k + 1)
            ),
            "excess KL of a turned prompt at consensus: -log pi_0(rule) + log pi_0(mode)": sp.expand_log(
                -sp.log(q) + sp.log(top) - sp.log(top / q)
            ),
            "two strategies: u_1 - u_2 drifts at m - (1-m), upwards iff m > 1/2": (
                sp.solve(share - (1 - share), share)[0] - sp.Rational(1, 2)
            ),
        }

    def constructed(self, rng):
        return two_answers(rng)

    def claims(self, case: Case):
        population, weights = case.population, case.restricted().prompt_weights
        start = population.log_probs
        table = rule_table(*start.shape)
        yield from self._renaming(case, table, weights)
        shares = weights @ population.leaders
        drift = fresh_drift(case, KLProx(), start, weights, CompoundSymmetric(0.0, 1.0))
        yield Claim.equal(
            "KL-prox: a strategy drifts at its share of modes", np.abs(drift + 1 - shares).max(), 0.0
        )
        yield from self._agreement(case, weights)
        used = case.restricted().select(np.flatnonzero(case.applies))
        path = vote_path(used, private=0.0, shared=1.0)
        if start.shape[1] == 2:
            odds = start[:, 0] - start[:, 1]
            for update, loudness in LOUDNESS.items():
                found = fresh_drift(case, update, start, weights, CompoundSymmetric(0.0, 1.0))
                wanted = float(weights @ np.where(case.applies, np.sign(odds) * loudness(odds), 0.0))
                yield Claim.equal(
                    f"two strategies: drift is the loudness of their prompts ({update.name})",
                    found[0] - found[1],
                    wanted,
                )
            if abs(shares[0] - shares[1]) > 1e-9:
                yield Claim.equal(
                    "KL-prox: the strategy that leads on most prompts wins",
                    path.winner,
                    float(shares.argmax()),
                )
        if path.ends_in_consensus:
            yield from self._end(case, table, path.winner, weights)
        yield from self._own_labels(used)

    def _renaming(self, case, table, weights):
        population = case.population
        kernel = LowRankPlusDiagonal.strategies(
            table, private=PRIVATE, shared=SHARED, num_answers=population.num_answers
        )
        renamed = in_answers(population.log_probs, table)
        for update in (KLProx(1 / case.step_size), GRPO(case.step_size, "group", 0.0)):
            ends = []
            for start, coupling in (
                (population.log_probs, CompoundSymmetric(PRIVATE, SHARED)),
                (renamed, kernel),
            ):
                own, shared = np.zeros_like(start), np.asarray(coupling.rest(population.num_answers))
                own, shared = coupled_step(case, update, start, weights, coupling, own, shared)
                ends.append(normalised(start + own + np.asarray(coupling.reach(shared))))
            yield Claim.equal(
                f"coupled strategies are coupled labels with other names ({update.name})",
                ends[1],
                in_answers(ends[0], table),
                absolute=1e-8,
            )

    def _agreement(self, case, weights):
        """Strategies 0 and 1 give the same answer on every other prompt: the vote pools them."""
        start = case.population.log_probs
        same = (np.arange(len(start)) % 2 == 0)[:, None]
        pooled = np.logaddexp(start[:, 0], start[:, 1])[:, None]
        answers = np.where(same & (np.arange(start.shape[1]) < 2), pooled, start)
        reward = (answers >= answers.max(axis=1, keepdims=True) - 1e-12).astype(float)
        direction = np.where(case.applies[:, None], np.asarray(KLProx().direction(start, reward)), 0.0)
        drift = np.asarray(CompoundSymmetric(0.0, 1.0).mix(direction, weights)[1])
        yield Claim.equal(
            "a strategy drifts at its agreement with the vote",
            np.abs(drift + 1 - weights @ np.where(case.applies[:, None], reward, 0)).max(),
            0.0,
        )

    def _end(self, case, table, winner, weights):
        population = case.population
        used = np.flatnonzero(case.applies)
        far = in_answers(population.log_probs + FAR * (np.arange(population.num_answers) == winner), table)
        truth = in_answers(population.correct, table)
        metrics = exact_metrics(normalised(far)[used], truth[used])
        base = float(weights @ population.correct[:, winner])
        yield Claim.equal(
            "accuracy ends at the share of prompts on which the winner is right",
            float(weights[used] @ metrics["accuracy"]),
            base,
        )
        yield Claim.equal(
            "distinct answers are those that the winner gives",
            float(metrics["distinct_answers"]),
            float(len(np.unique(table[used, winner]))),
        )
        gain = float(weights[used] @ metrics["accuracy"]) - case.restricted().alignment
        if abs(base - case.restricted().alignment) > 1e-9:
            yield Claim.equal(
                "coupling corrects iff the winner is right more often than the modes",
                float(gain > 0),
                float(base > case.restricted().alignment),
            ).iff(base > case.restricted().alignment)

    @staticmethod
    def _own_labels(used):
        """Strategy s gives each prompt a label that no other prompt uses, and one strategy takes all."""
        prompts, strategies = used.log_probs.shape
        table = np.arange(prompts)[:, None] * strategies + np.arange(strategies)
        kernel = LowRankPlusDiagonal.strategies(table, private=0.0, num_answers=prompts * strategies)
        start, truth = (
            np.full((prompts, prompts * strategies), -np.inf),
            np.zeros((prompts, prompts * strategies), bool),
        )
        rows = np.arange(prompts)[:, None]
        start[rows, table], truth[rows, table] = used.log_probs, used.correct
        weights = used.prompt_weights
        right = weights @ used.correct
        rule = int(right.argmin())
        end = normalised(
            start + np.asarray(kernel.reach(beyond(used.log_probs, BEYOND) * np.eye(strategies)[rule]))
        )
        before, after = exact_metrics(start, truth, start), exact_metrics(end, truth, start)
        yield Claim.equal(
            "as many distinct answers as prompts before", float(before["distinct_answers"]), prompts
        )
        yield Claim.equal("and after", float(after["distinct_answers"]), prompts)
        yield Claim.equal(
            "accuracy ends where the rule is right", float(weights @ after["accuracy"]), right[rule]
        )
        yield Claim.equal("entropy ends at 0", float(np.max(after["entropy"])), 0.0)
        held = used.mode == rule
        yield Claim.equal(
            "retention ends at the rule's initial share of modes",
            float(weights @ after["mode_retention"]),
            float(weights @ held),
        )
        budget = -used.log_probs.max(axis=1)
        spent = -used.log_probs[:, rule]
        yield Claim.equal(
            "excess KL ends at the mode's lead over the rule",
            float(np.abs(after["excess_kl"] - (spent - budget)).max()),
            0.0,
        )
        yield Claim.at_most(
            "which is above 0 where the rule turned the prompt",
            float(np.where(held, 0.0, budget - spent).max()),
            0.0,
        )
