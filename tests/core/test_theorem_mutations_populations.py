"""Deliberate errors for the theorems of populations (U), external rewards (X), coupled prompts (C) and their
counterexamples (N).
"""

import jax.numpy as jnp
import numpy as np
import pytest
from mutants.patches import patch, scaled, wrapped

from sharpening import (
    GRPO,
    CompoundSymmetric,
    HybridReward,
    KLProx,
    LowRankPlusDiagonal,
    MajorityReward,
    NaturalGradient,
    SequentialTest,
    SoftmaxGradient,
    VerdictStatus,
    certified_plan,
    exact_metrics,
    get_theorem,
    list_theorems,
    random_population,
    vote_path,
)
from sharpening.theorems import (
    c1_speed_limit,
    c2_critical_size,
    c3_floor,
    c4_kernels,
    c5_adam,
    c6_strategies,
    c7_coexistence,
    c8_drift_or_diffusion,
    c9_private_sight,
    c10_finite_samples,
    u2_gained_minus_lost,
    u3_rise_then_fall,
    u5_no_collapse,
    u6_better_than_voting,
    x1_noisy_verifier,
    x3_certified_labels,
    x4_moving_prior,
    x5_half_a_verifier,
    x6_gate,
    x7_noise_flow,
)

OURS = (
    {f"U{n}" for n in (2, 3, 5, 6)} | {f"X{n}" for n in (1, 3, 4, 5, 6, 7)} | {f"C{n}" for n in range(1, 11)}
)


def metric(module, name, change):
    """One metric of `exact_metrics`, as that module sees it, changed."""
    return patch(
        module,
        "exact_metrics",
        lambda *a, **k: {
            key: change(value) if key == name else value for key, value in exact_metrics(*a, **k).items()
        },
    )


def mixed(cls, private=1.0, shared=1.0):
    original = cls.mix

    def mix(self, *arguments):
        own, everyone = original(self, *arguments)
        return private * own, shared * everyone

    return patch(cls, "mix", mix)


def least_likely(self, log_probs, correct=None, *, no_answer=None, **_):
    return (log_probs == log_probs.min(axis=1, keepdims=True)).astype(float)


def hybrid(function):
    return patch(
        HybridReward,
        "exact",
        lambda self, z, correct=None, *, no_answer=None, **_: function(self, z, correct, no_answer),
    )


def ignores_false_positives(self, log_probs, correct, no_answer):
    vote = MajorityReward().exact(log_probs, no_answer=no_answer)
    return (1 - self.intrinsic_weight) * self.tpr * correct + self.intrinsic_weight * vote


def swapped_rates(self, log_probs, correct, no_answer):
    return self.tpr + (self.fpr - self.tpr) * np.asarray(correct)


def swapped_weights(self, log_probs, correct, no_answer):
    accepted = self.fpr + (self.tpr - self.fpr) * np.asarray(correct)
    return self.intrinsic_weight * accepted + 0.9 * (1 - self.intrinsic_weight) * MajorityReward().exact(
        log_probs, no_answer=no_answer
    )


def without_bias_correction(mean_squares, beta2=0.999):
    running, factors = 0.0 * mean_squares[..., 0], []
    for t in range(mean_squares.shape[-1]):
        running = beta2 * running + (1 - beta2) * mean_squares[..., t]
        factors.append(
            np.sqrt(np.divide(mean_squares[..., 0], running, out=np.ones_like(running), where=running > 0))
        )
    return np.stack(factors, axis=-1)


def unrooted_peak(aligned, misaligned, ratio, original=u3_rise_then_fall.two_group_peak):
    return original(aligned, misaligned, ratio**2)


def without_scaling(self, dimensions, key=0):
    directions = np.random.default_rng(key).standard_normal((self.features.shape[-1], dimensions))
    return LowRankPlusDiagonal(np.asarray(self.features) @ directions, self.private)


def unweighted(self, directions, weights=None, prompts=slice(None), original=LowRankPlusDiagonal.mix):
    return original(self, directions, None, prompts)


def one_label_for_all(answers, *, private=1.0, shared=1.0, num_answers=None):
    """The rule's answers all read as label 0 of the first prompt: labels coupled, not strategies."""
    features = np.zeros((len(answers), num_answers, answers.shape[1]))
    features[:, answers[0], np.arange(answers.shape[1])] = np.sqrt(shared)
    return LowRankPlusDiagonal(features, private)


def rootless_strategies(
    answers, *, private=1.0, shared=1.0, num_answers=None, original=LowRankPlusDiagonal.strategies
):
    return original(answers, private=private, shared=shared**2, num_answers=num_answers)


def twice_coupled(population, *, private=None, shared=None):
    return vote_path(population, private=private, shared=2 * shared)


def without_root(log_mode, log_rest, strength, update):
    p = (1 - strength + np.abs(1 - strength) + 4 * strength * np.exp(log_mode)) / 4
    return np.log(p), np.log1p(-np.minimum(p, 1 - 1e-9))


def certifies_the_mode(tpr, fpr, cost, wrong_before, **settings):
    return certified_plan(tpr, fpr, cost, 0 * wrong_before, **settings)


def loser_wins(path):
    return type("Path", (), {"winner": 1 - min(path.winner, 1), "ends_in_consensus": True})


def loud_grpo(monkeypatch):
    powers = c7_coexistence.POWERS | {"GRPO": (GRPO(1.0, "group", 0.0), 2.0, 1.0)}
    monkeypatch.setattr(c7_coexistence, "POWERS", powers)


def equal_loudness(monkeypatch):
    monkeypatch.setattr(
        c6_strategies, "LOUDNESS", {update: np.ones_like for update in c6_strategies.LOUDNESS}
    )


def half_speed_limit(monkeypatch):
    monkeypatch.setattr(
        c1_speed_limit, "LIMITS", {update: 0.5 * limit for update, limit in c1_speed_limit.LIMITS.items()}
    )


MUTATIONS = [
    ("U2", "wrong sign", scaled(KLProx, -1.0)),
    ("U2", "progress always at its end", wrapped(u2_gained_minus_lost, "progress", np.ones_like)),
    ("U2", "misaligned prompts gain", wrapped(u2_gained_minus_lost, "correct_share", lambda share: 1 - share)),
    ("U3", "speed p for p(1-p)", wrapped(u3_rise_then_fall, "log_speed", lambda log_q: log_q / 2)),
    ("U3", "ratio not rooted", patch(u3_rise_then_fall, "two_group_peak", unrooted_peak)),
    ("U3", "GRPO's turns at half their times", wrapped(u3_rise_then_fall, "grpo_turns", lambda turns: 0.5 * turns)),
    ("U3", "peak at the start", patch(u3_rise_then_fall, "peak_time", lambda *law: 0.0)),
    ("U3", "natural gradient twice as fast", scaled(NaturalGradient, 2.0)),
    ("U6", "rewards the least likely answer", patch(MajorityReward, "exact", least_likely)),
    ("U6", "pass@k falls with k", patch(u6_better_than_voting, "pass_at", lambda z, c, k: np.where(c, np.exp(z), 0).sum(axis=1) ** k)),
    ("U6", "the minority wins the vote", wrapped(u6_better_than_voting, "vote_of", lambda chance: 1 - chance)),
    ("U6", "wrong sign", scaled(KLProx, -1.0)),
    ("X1", "false positives ignored", hybrid(ignores_false_positives)),
    ("X1", "rates swapped", hybrid(swapped_rates)),
    ("X1", "J from TPR alone", patch(x1_noisy_verifier, "youden", lambda tpr, fpr: tpr)),
    ("X1", "no baseline in groups", patch(x1_noisy_verifier, "group_advantages", lambda rewards, scale, eps: jnp.asarray(rewards))),
    ("X1", "softmax gradient twice as fast", scaled(SoftmaxGradient, 2.0)),
    ("X3", "half the evidence", patch(SequentialTest, "upper", property(lambda self: -np.log(self.false_accept) / 2))),
    ("X3", "levels swapped", patch(SequentialTest, "lower", property(lambda self: -0.5))),
    ("X3", "acceptances count double", patch(SequentialTest, "gain", property(lambda self: 2 * np.log(self.tpr / max(self.fpr, 1e-3))))),
    ("X3", "calls of the first test only", patch(x3_certified_labels, "certified_plan", certifies_the_mode)),
    ("X3", "step beta instead of 1/beta", patch(KLProx, "step_size", property(lambda self: self.beta))),
    ("X4", "no root", patch(x4_moving_prior, "balance_masses", without_root)),
    ("X4", "softmax gradient twice as strong", scaled(SoftmaxGradient, 2.0)),
    ("X4", "GRPO without std", patch(GRPO, "policy_direction", SoftmaxGradient.policy_direction)),
    ("X4", "objective upside down", wrapped(x4_moving_prior, "objective", lambda value: -value)),
    ("X5", "weights swapped", hybrid(swapped_weights)),
    ("X5", "threshold J", patch(x5_half_a_verifier, "hybrid_threshold", lambda tpr, fpr: tpr - fpr)),
    ("X5", "wrong sign of softmax gradient", scaled(SoftmaxGradient, -1.0)),
    ("X6", "one step too many", wrapped(x6_gate, "gated_steps", lambda steps: steps + 1)),
    ("X6", "false positives ignored", hybrid(ignores_false_positives)),
    ("X6", "half speed", patch(KLProx, "step_size", property(lambda self: 0.5 / self.beta))),
    ("C1", "the shared part counts double", mixed(CompoundSymmetric, shared=2.0)),
    ("C1", "gaps doubled", wrapped(c1_speed_limit, "earliest_turn", lambda gaps: 2 * gaps)),
    ("C1", "half the speed limit", half_speed_limit),
    ("C1", "sampled groups three times as fast", scaled(GRPO, 3.0, "group_direction")),
    ("C2", "critical ratio doubled", wrapped(c2_critical_size, "critical_ratio", lambda ratio: 2.1 * ratio)),
    ("C2", "no private part", mixed(CompoundSymmetric, private=0.0)),
    ("C2", "first turn too early", patch(c2_critical_size, "vote_path", twice_coupled)),
    ("C3", "a floor of 0", metric(c3_floor, "reward_accuracy", lambda value: 0 * value)),
    ("C3", "accuracy of the others", metric(c3_floor, "accuracy", lambda value: 1 - value)),
    ("C3", "collapse at any threshold", wrapped(c3_floor, "collapse_step", lambda found: type("Step", (), {"outcome": c3_floor.Outcome.COLLAPSED}))),
    ("C4", "weights ignored", patch(LowRankPlusDiagonal, "mix", unweighted)),
    ("C4", "projection not scaled", patch(LowRankPlusDiagonal, "project", without_scaling)),
    ("C4", "private part halved", mixed(LowRankPlusDiagonal, private=0.5)),
    ("C4", "wrong sign", patch(c4_kernels, "kernel_energy", lambda *a, original=c4_kernels.kernel_energy: -original(*a))),
    ("C5", "no bias correction", patch(c5_adam, "adam_factors", without_bias_correction)),
    ("C5", "the inverse factor", wrapped(c5_adam, "adam_factors", lambda factors: 1 / factors)),
    ("C5", "no square root", wrapped(c5_adam, "adam_factors", lambda factors: factors**2)),
    ("C6", "strength not rooted", patch(LowRankPlusDiagonal, "strategies", rootless_strategies)),
    ("C6", "all prompts equally loud", equal_loudness),
    ("C6", "strategies not renamed", patch(c6_strategies, "in_answers", lambda values, table: values)),
    ("C6", "the loser", wrapped(c6_strategies, "vote_path", loser_wins)),
    ("C8", "steps without coherence", wrapped(c8_drift_or_diffusion, "walk", lambda found: (found[0], 0.0))),
    ("C8", "half the mean square", wrapped(c8_drift_or_diffusion, "walk", lambda found: (found[0] / 2, found[1]))),
    ("C8", "t products too many", patch(c8_drift_or_diffusion, "squared_displacement", lambda t, q, rho, eta: eta**2 * q * t * (1 + t * rho))),
    ("C8", "drift alone", patch(c8_drift_or_diffusion, "slope", lambda t, rho: -1.0)),
    ("C8", "passage of diffusion", patch(c8_drift_or_diffusion, "passage", lambda r, q, rho, eta: (r / eta) ** 2 / q)),
    ("C9", "first move too late", wrapped(c9_private_sight, "first_move", lambda time: 1.1 * time)),
    ("C9", "the shared part counts double", mixed(CompoundSymmetric, shared=2.0)),
    ("C9", "no private part", mixed(CompoundSymmetric, private=0.0)),
    ("C9", "sight that is always blind", wrapped(c9_private_sight, "blind_share", lambda share: 1.0)),
    ("C10", "half the error of a share", wrapped(c10_finite_samples, "share_error", lambda eps: eps / 2)),
    ("C10", "a fortieth of the groups", wrapped(c10_finite_samples, "groups_needed", lambda n: max(1, n // 40))),
    ("C10", "groups twice as loud", wrapped(c10_finite_samples, "group_chances", lambda pair: (3 * pair[0], pair[1]))),
    ("X7", "std of the answers, not of verdicts", patch(x7_noise_flow, "verdict_std", lambda right, tpr, fpr: np.sqrt(right * (1 - right)))),
    ("X7", "time without the noise", wrapped(x7_noise_flow, "time_between", lambda time: time / 2)),
    ("X7", "a verifier that is right", patch(x7_noise_flow, "accepted", lambda right, tpr, fpr: 0.01 + 0.98 * right)),
    ("C7", "GRPO twice as loud", loud_grpo),
    ("C7", "balance on the wrong side", wrapped(c7_coexistence, "coexistence_point", lambda point: -point)),
    ("C7", "groups that cheer each other on", patch(c7_coexistence, "two_group_drift", lambda w, a, b, u, scale, power: w * np.cosh(u))),
    ("U5", "retention is always 1", metric(u5_no_collapse, "mode_retention", np.ones_like)),
    ("U5", "wrong sign of softmax gradient", scaled(SoftmaxGradient, -1.0)),
    ("U5", "consensus on the commonest answer", metric(u5_no_collapse, "reward_accuracy", lambda value: np.ones_like(value))),
    ("C6", "labels coupled instead of strategies", patch(LowRankPlusDiagonal, "strategies", one_label_for_all)),
    ("C6", "excess without the budget", metric(c6_strategies, "excess_kl", lambda value: value + 1)),
    ("C2", "ratio half as critical", wrapped(c2_critical_size, "critical_ratio", lambda ratio: ratio / 2)),
    ("C2", "a universal size", patch(c2_critical_size, "critical_size", lambda *a: 128.0)),
]  # fmt: skip


@pytest.mark.thorough
class TestMutations:
    def test_every_one_of_ours_has_two(self):
        names = [name for name, _, _ in MUTATIONS]
        assert set(names) == OURS <= {theorem.name for theorem in list_theorems()}
        assert min(names.count(name) for name in OURS) >= 2

    @pytest.mark.parametrize(
        "name, mutate", [(n, f) for n, _, f in MUTATIONS], ids=[f"{n}: {what}" for n, what, _ in MUTATIONS]
    )
    def test_a_wrong_formula_is_caught(self, name, mutate, monkeypatch):
        mutate(monkeypatch)
        verdicts = (get_theorem(name).check(random_population(2, case), step_size=3.0) for case in range(8))
        failed = next((verdict for verdict in verdicts if verdict.status is VerdictStatus.FAILS), None)
        assert failed is not None and failed.witness.sentence and failed.as_dict()["status"] == "fails"
