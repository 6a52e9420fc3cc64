"""Deliberate errors for the theorems of one prompt (S), finite rollouts (F) and the counterexamples to them
(N): each must be caught.
"""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from mutants.patches import patch, scaled, wrapped

from sharpening import (
    GRPO,
    KLProx,
    MajorityReward,
    NaturalGradient,
    SoftmaxGradient,
    VerdictStatus,
    get_reward,
    get_theorem,
    list_theorems,
    random_population,
)
from sharpening.logspace import normalised
from sharpening.theorems import (
    f1_wrong_majority,
    f2_fixation,
    f4_sampled_drift,
    f5_more_rollouts,
    f6_reversible_walk,
    f7_lucky_hits,
    n3_cancellation,
    n4_few_rollouts,
    n5_fixed_threshold,
    n6_first_come,
    n7_confidence,
    n9_rare_gain,
    s6_four_speeds,
    s7a_self_certainty,
    s7b_token_entropy,
    s7c_constant_rewards,
    s10_budget_attained,
    s11_budget_test,
    s14_ties,
    s16_pass_at_k,
    s17_entropy_and_reward,
    s18_coverage,
    s19_kl_anchor,
    s20_more_samples,
)
from sharpening.theorems.s8_heaviest_cluster import ClusterReward

SelfCertainty, TokenEntropy, Cluster = (
    type(get_reward("self-certainty")),
    type(get_reward("token-entropy")),
    ClusterReward.exact,
)


def drawn_token(self, tokens):
    return tokens.log_prob[:, :, 0]


def no_baseline(rewards, scale="none", eps=1e-4):
    return jnp.asarray(rewards)


def smoothed(self, log_probs, rewards, reference=None):
    """A step that mixes in the uniform policy."""
    return jnp.logaddexp(jnp.asarray(log_probs), jnp.log(1e-9)) - jnp.log1p(log_probs.shape[-1] * 1e-9)


def first_leader_takes_all(self, log_probs, correct=None, *, no_answer=None, **_):
    return (np.arange(log_probs.shape[1]) == log_probs.argmax(axis=1)[:, None]).astype(float)


def sees_the_order(self, answers, is_correct=None, **_):
    return n6_first_come.first_come_rewards(np.asarray(answers))


def naive_direction(self, log_probs, rewards, reference=None):
    probs = jnp.exp(log_probs)
    return probs * (rewards - jnp.sum(probs * rewards, axis=-1, keepdims=True))


def prefers_late(self, policy, rewards, reference=None):
    return rewards + jnp.arange(rewards.shape[1])[None, :] * 1e-9


def zero_at_collapse(metrics):
    return metrics | {"reward_accuracy": 0 * metrics["reward_accuracy"]}


def plug_in(successes, trials, level):
    return np.asarray(successes) / trials, np.asarray(successes) / trials


def two_sided_error(successes, trials, level, original=s11_budget_test.clopper_pearson):
    return original(successes, trials, 6 * level)


def without_ties(rollouts, num_answers, no_answer, original=f5_more_rollouts.vote_table):
    leads, _ = original(rollouts, num_answers, no_answer)
    return leads, leads.astype(float)


def whole_ties(log_mode, log_other, rollouts, original=f1_wrong_majority.binomial_error):
    """A tie counted as a wrong vote, not as half of one."""
    return original(log_mode, log_other, rollouts) + (rollouts % 2 == 0) * np.exp(
        (log_mode + log_other) * rollouts / 2
    )


def unrooted(votable, mode):
    ordered = np.sort(np.exp(votable), axis=1)
    return np.log1p(-np.minimum(ordered[:, -1] - ordered[:, -2], 1 - 1e-16))


def without_pi(self, policy, rewards, reference=None):
    return NaturalGradient().policy_direction(policy, rewards)


def tabular(self, log_probs, answers, rewards, reference=None):
    return KLProx().group_direction(log_probs, answers, rewards)


def forgetful(self, log_probs, answers, rewards, reference=None):
    moved = KLProx().group_direction(log_probs, answers, rewards)
    return jnp.where(moved == 0, -jnp.inf, moved)


class OneHalf:
    """A criterion that calls everything below one half a collapse."""

    def threshold(self, values, floor):
        return 0.5

    def holds(self, values, threshold):
        return values < threshold


MUTATIONS = [
    ("S6", "consensus time halved", wrapped(s6_four_speeds, "consensus_time", lambda time: time / 2)),
    ("S6", "softmax gradient twice as fast", scaled(SoftmaxGradient, 2.0)),
    ("S6", "consensus that moves", patch(NaturalGradient, "step", lambda self, z, r, ref=None: z - 1.0)),
    ("S7a", "factor 2", wrapped(s7a_self_certainty, "self_certainty_direction", lambda direction: 2 * direction)),
    ("S7a", "wrong sign", wrapped(s7a_self_certainty, "self_certainty_direction", lambda direction: -direction)),
    ("S7a", "bits for nats", wrapped(s7a_self_certainty, "self_certainty", lambda value: value * np.log(2))),
    ("S7a", "step beta instead of 1/beta", patch(KLProx, "step_size", property(lambda self: self.beta))),
    ("S7b", "wrong sign", wrapped(s7b_token_entropy, "token_entropy_direction", lambda direction: -direction)),
    ("S7b", "entropy left out", patch(s7b_token_entropy, "token_entropy_direction", lambda z: np.where(z > -np.inf, np.exp(z) * z, 0.0))),
    ("S7b", "pi missing in the update", patch(SoftmaxGradient, "policy_direction", without_pi)),
    ("S7c", "self-certainty reads the token", patch(SelfCertainty, "of_tokens", drawn_token)),
    ("S7c", "token entropy reads the token", patch(TokenEntropy, "of_tokens", drawn_token)),
    ("S7c", "no baseline in groups", patch(sys.modules[GRPO.__module__], "group_advantages", no_baseline)),
    ("S7c", "sequels in the wrong order", wrapped(s7c_constant_rewards, "second_token_rewards", lambda rewards: rewards[:, ::-1])),
    ("S8", "answers instead of clusters", patch(ClusterReward, "exact", lambda self, z, c=None, **_: np.exp(z))),
    ("S9", "wrong sign of GRPO", scaled(GRPO, -1.0)),
    ("S10", "wrong sign", scaled(KLProx, -1.0)),
    ("S10", "rest without its mass", patch(s10_budget_attained, "unspent", lambda now, start: np.logaddexp(0.0, -now))),
    ("S10", "rewards the first leader of a tie", patch(MajorityReward, "exact", first_leader_takes_all)),
    ("S11", "shares instead of bounds", patch(s11_budget_test, "clopper_pearson", plug_in)),
    ("S11", "bounds at six times the level", patch(s11_budget_test, "clopper_pearson", two_sided_error)),
    ("S11", "lower bound for upper", wrapped(s11_budget_test, "clopper_pearson", lambda pair: (pair[1], pair[0]))),
    ("S12", "natural gradient scaled", scaled(NaturalGradient, 1.01)),
    ("S12", "KL-prox group steps doubled", scaled(KLProx, 2.0, "group_direction")),
    ("S12", "softmax gradient halved", scaled(SoftmaxGradient, 0.5)),
    ("S13", "mixes in the uniform policy", patch(KLProx, "step", smoothed)),
    ("S13", "greedy step", patch(GRPO, "step", lambda self, z, r, ref=None: jnp.where(z == z.max(axis=1, keepdims=True), 0.0, -jnp.inf))),
    ("S13", "group step forgets who was not drawn", patch(NaturalGradient, "group_direction", forgetful)),
    ("S14", "rewards the first leader of a tie", patch(NaturalGradient, "policy_direction", prefers_late)),
    ("S14", "odd splits forgotten", wrapped(s14_ties, "tie_survives", lambda chance: chance / 2)),
    ("S14", "votes for the minority", scaled(KLProx, -1.0, "group_direction")),
    ("S15", "wrong sign of GRPO", scaled(GRPO, -1.0)),
    ("S15", "half of the Jeffreys divergence", scaled(KLProx, 0.5)),
    ("S15", "softmax gradient without a baseline", patch(SoftmaxGradient, "policy_direction", lambda self, p, r, ref=None: p.probs * r)),
    ("S16", "pass@1 for pass@k", patch(s16_pass_at_k, "pass_at_k", lambda log_wrong, k: -np.expm1(log_wrong / k))),
    ("S16", "wrong sign", scaled(KLProx, -1.0)),
    ("S17", "wrong sign", scaled(KLProx, -1.0)),
    ("S17", "losers without entropy", patch(s17_entropy_and_reward, "entropy_of_losers", lambda z, mode: np.zeros(len(z)))),
    ("S17", "rate per nat, not per e^H", patch(s17_entropy_and_reward, "exchange_rate", lambda odds, rest, gain: gain / (odds + rest))),
    ("S18", "union bound for the exact chance", patch(s18_coverage, "misses", lambda rest, n: np.maximum(1 + n * np.expm1(rest), 0.0))),
    ("S18", "one rollout too few", wrapped(s18_coverage, "rollouts_needed", lambda n: n - 1)),
    ("S18", "coverage of the losers", patch(s18_coverage, "coverage", lambda log_mode, weights: 1.0)),
    ("S16", "crossing one octave late", wrapped(s16_pass_at_k, "crossing", lambda k: 1e9 * k)),
    ("F1", "masses without square roots", patch(f1_wrong_majority, "log_chernoff", unrooted)),
    ("F1", "ties not shared", patch(f1_wrong_majority, "binomial_error", whole_ties)),
    ("F1", "shares of one rollout fewer", wrapped(f1_wrong_majority, "mode_vote_shares", lambda shares: shares[:, [0, *range(shares.shape[1] - 1)]])),
    ("F2", "majority of the minority", scaled(KLProx, -1.0, "group_direction")),
    ("F2", "ratio squared", wrapped(f2_fixation, "log_backward_ratio", lambda ratio: 2 * ratio)),
    ("F2", "the chance of the right answer", wrapped(f2_fixation, "wrong_fixation", lambda chance: 1 - chance)),
    ("F2", "kappa doubled", wrapped(f2_fixation, "margin_of_a_tie", lambda margin: 2 * margin)),
    ("F4", "no baseline", patch(sys.modules[GRPO.__module__], "group_advantages", no_baseline)),
    ("F4", "wrong sign of GRPO", scaled(GRPO, -1.0, "group_direction")),
    ("F4", "factor 2 forgotten", wrapped(f4_sampled_drift, "odds_drift", lambda drift: drift / 2)),
    ("F4", "ties go to the first", patch(MajorityReward, "group", sees_the_order)),
    ("F5", "ties not shared", patch(f5_more_rollouts, "vote_table", without_ties)),
    ("F5", "gain of the tie forgotten", wrapped(f5_more_rollouts, "share_gains", lambda gains: 0 * gains)),
    ("F5", "shares fall", wrapped(f5_more_rollouts, "mode_vote_shares", lambda shares: shares[:, ::-1])),
    ("F6", "wrong sign of GRPO", scaled(GRPO, -1.0, "group_direction")),
    ("F6", "no normaliser in the measure", patch(f6_reversible_walk, "log_conductance", lambda z, move: (z**2).sum(axis=-1) / (2 * move))),
    ("F6", "masses for the probit choice", patch(f6_reversible_walk, "probit_choice", lambda z, variance: np.exp(normalised(z)))),
    ("F6", "ties go to the first", patch(MajorityReward, "group", sees_the_order)),
    ("F7", "hits of the truth too", wrapped(f7_lucky_hits, "hits_of_label", lambda hits: 1 - hits)),
    ("F7", "wrong sign of softmax gradient", scaled(SoftmaxGradient, -1.0)),
    ("F7", "agreement left out", patch(f7_lucky_hits, "accuracy_lost", lambda probs, mode, right: right * mode * (right + mode))),
    ("F7", "lucky votes always lose", wrapped(f7_lucky_hits, "accuracy_of_three", lambda change: -abs(change))),
    ("S19", "rest of the reward without the std", patch(s19_kl_anchor, "rest", lambda odds, beta: odds + 1 / beta)),
    ("S19", "held at every weight", patch(s19_kl_anchor, "held_up_to", lambda beta: 1e9)),
    ("S19", "half the anchor", wrapped(sys.modules[GRPO.__mro__[2].__module__], "reverse_kl_gradient", lambda pull: pull / 2)),
    ("S20", "the prior at k samples", wrapped(s20_more_samples, "passed_by_prior", lambda passed: 0.5 * passed)),
    ("S20", "a bound for the mode only", patch(s20_more_samples, "most_passed", lambda right, mode, k: -np.expm1(k * np.log1p(-np.exp(right) / 2)))),
    ("S20", "slope without the mode", patch(s20_more_samples, "first_slope", lambda c, mass, aligned, k: k * (1 - c) ** (k - 1) * (aligned - c))),
    ("S8", "mass of the other cluster", patch(ClusterReward, "exact", lambda self, z, c=None, **_: -Cluster(self, z))),
    ("S8", "wrong sign of softmax gradient", scaled(SoftmaxGradient, -1.0)),
    ("N2", "wrong sign", scaled(KLProx, -1.0)),
    ("N2", "step beta instead of 1/beta", patch(KLProx, "step_size", property(lambda self: self.beta))),
    ("N3", "naive mean", patch(SoftmaxGradient, "direction", naive_direction)),
    ("N3", "a naive step that does not round", patch(n3_cancellation, "naive_step", lambda p, r, size: p)),
    ("N4", "never wrong", wrapped(n4_few_rollouts, "wrong_fixation", lambda chance: 0 * chance)),
    ("N4", "ratio squared", wrapped(f2_fixation, "log_backward_ratio", lambda ratio: 2 * ratio)),
    ("N5", "reward accuracy 0 after collapse", wrapped(n5_fixed_threshold, "exact_metrics", zero_at_collapse)),
    ("N5", "a threshold of one half", patch(n5_fixed_threshold, "get_criterion", lambda name: OneHalf())),
    ("N6", "ties shared", patch(n6_first_come, "first_come_rewards", lambda answers: np.asarray(MajorityReward().group(answers)))),
    ("N6", "the shipped vote sees the order", patch(MajorityReward, "group", sees_the_order)),
    ("N7", "drift half as fast", scaled(KLProx, 0.5)),
    ("N7", "the doubtful rest on the attractor", wrapped(n7_confidence, "two_priors", lambda pair: (pair[0], pair[0]))),
    ("N8", "softmax gradient without pi", patch(SoftmaxGradient, "policy_direction", without_pi)),
    ("N8", "KL-prox at half speed", scaled(KLProx, 0.5)),
    ("N9", "softmax gradient's bias too", patch(SoftmaxGradient, "group_direction", tabular)),
    ("N9", "excess forgotten", wrapped(n9_rare_gain, "mean_excess", lambda excess: 0.0)),
    ("N9", "no baseline", patch(sys.modules[KLProx.__module__], "group_advantages", no_baseline)),
]  # fmt: skip


@pytest.mark.thorough
class TestMutations:
    def test_every_theorem_of_these_has_two(self):
        names = [name for name, _, _ in MUTATIONS]
        ours = (
            {f"S{n}" for n in ("7a", "7b", "7c", *range(10, 21))}
            | {"F1", "F2", "F4", "F5", "F6", "F7"}
            | {f"N{n}" for n in range(2, 10)}
        )
        assert ours <= {theorem.name for theorem in list_theorems()} and all(
            names.count(name) >= 2 for name in ours
        )

    @pytest.mark.parametrize(
        "name, mutate", [(n, f) for n, _, f in MUTATIONS], ids=[f"{n}: {what}" for n, what, _ in MUTATIONS]
    )
    def test_a_wrong_formula_is_caught(self, name, mutate, monkeypatch):
        mutate(monkeypatch)
        tries = [(case, size) for size in (3.0, 0.1) for case in range(8)]
        verdicts = (
            get_theorem(name).check(random_population(2, case), step_size=size) for case, size in tries
        )
        failed = next((verdict for verdict in verdicts if verdict.status is VerdictStatus.FAILS), None)
        assert failed is not None
        assert failed.witness.sentence and not np.isnan([failed.witness.found, failed.witness.wanted]).any()
        assert failed.witness.found != failed.witness.wanted
