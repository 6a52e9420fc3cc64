"""The audit of a reward: verdicts that theory knows, wicked rewards, and counterexamples that are small and
true.
"""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from sharpening import (
    InputError,
    KLProx,
    NaturalGradient,
    RewardCard,
    SoftmaxGradient,
    audit_reward,
    get_reward,
)
from sharpening.audit.steps import kl_prox, limit_share, softmax_gradient
from sharpening.audit.token_tree import LEAVES, TreeCase, leaf_log_probs, node_log_probs, statistics
from sharpening.rewards.certainty import TokenReward
from sharpening.testing import arbitrary_rewards, policies
from sharpening.trees import passes, shape
from sharpening.trees import statistics as tree_statistics

UPDATES = ("KL-prox", "softmax gradient")
SHARPENING = {f"{what} ({update})" for what in ("mode-monotone", "majorizing") for update in UPDATES} | {
    "comonotone",
    "order-preserving (KL-prox)",
}
HOUSE = {"finite", "invariant to relabelling", "prompt by prompt"}
EVERYTHING = HOUSE | SHARPENING | {
    "label-free", "nothing for no answer", "constant on one-token answers", "order-preserving (softmax gradient)", "fixes on the mode",
    "fixes on the heaviest cluster", "sensitive to tokens", "sensitive to length", "fixes on a token pattern",
}  # fmt: skip
INTRINSIC = HOUSE | {"label-free"}
VOTE = INTRINSIC | SHARPENING | {"nothing for no answer", "fixes on the mode"}
KNOWN = {
    "majority": VOTE,
    "weighted-majority": VOTE,
    "semantic-clusters": INTRINSIC | {"nothing for no answer", "fixes on the heaviest cluster"},
    "trajectory-entropy": (
        INTRINSIC | SHARPENING | {"fixes on the mode", "sensitive to tokens", "fixes on a token pattern"}
    ),
    "probability": (
        INTRINSIC
        | SHARPENING
        | {"fixes on the mode", "sensitive to tokens", "sensitive to length", "fixes on a token pattern"}
    ),
    "self-certainty": (
        EVERYTHING - {"fixes on the mode", "fixes on the heaviest cluster", "sensitive to length"}
    ),
    "token-entropy": (
        EVERYTHING - {"fixes on the mode", "fixes on the heaviest cluster", "sensitive to length"}
    ),
    "true": HOUSE | {"nothing for no answer"},
    "noisy-verifier(tpr=0.6, fpr=0.3)": HOUSE | {"nothing for no answer"},
}


class TotalLogProb(TokenReward):
    """The sum that is meant as a mean: long completions pay for their length."""

    card = RewardCard(
        "total", "intrinsic: certainty", (), None, "the mode", "length collapse", ("tokens",), "a test"
    )

    def of_tokens(self, tokens):
        return tokens.total(tokens.log_prob)


class LongWinded(TotalLogProb):
    def of_tokens(self, tokens):
        return tokens.total(tokens.entropy)


def by_position(log_probs):
    return np.broadcast_to(np.arange(log_probs.shape[1]) == 0, log_probs.shape).astype(float)


def first_mode(log_probs):
    return (np.arange(log_probs.shape[1]) == log_probs.argmax(axis=1)[:, None]).astype(float)


def batch_normalised(log_probs):
    probs = np.exp(log_probs)
    return probs - probs.mean(axis=0, keepdims=True)


def naive_log(log_probs):
    return np.log(np.exp(log_probs) ** 2)


def kind_to_close_rivals(log_probs):
    ordered = np.sort(log_probs, axis=1)
    gap = ordered[:, -1:] - ordered[:, -2:-1]
    return np.where((gap > 0) & (gap < 1e-9), (log_probs < ordered[:, -1:]).astype(float), np.exp(log_probs))


def punishes_the_mode_of_four(log_probs):
    return np.exp(log_probs) * (1 if log_probs.shape[1] < 4 else -1)


def counts_labels(log_probs, correct):
    return correct / np.maximum(correct.sum(axis=1, keepdims=True), 1)


class TestVerdicts:
    @pytest.mark.parametrize("reward", KNOWN)
    def test_they_match_theory(self, reward):
        audit = audit_reward(reward, cases=40)
        assert {finding.name for finding in audit.findings if finding.holds} == KNOWN[reward], str(audit)
        assert {finding.name for finding in audit.findings} == EVERYTHING

    @pytest.mark.parametrize("reward", [
        lambda z: np.exp(2 * z), lambda z: np.minimum(np.exp(z), 0.3), lambda z: np.sign(np.exp(z) - 0.25), lambda z: np.maximum(z, -50.0),
        lambda z: (z[:, :, None] > z[:, None, :]).sum(axis=2).astype(float),
    ], ids=["square", "capped", "threshold", "log", "rank"])  # fmt: skip
    def test_s4_and_s5_follow_from_comonotone(self, reward):
        audit = audit_reward(reward, cases=40)
        assert all(audit.holds(name) for name in SHARPENING), str(audit)

    def test_s8_the_mode_dies_in_a_light_cluster(self):
        finding = audit_reward("semantic-clusters", cases=0)["mode-monotone (KL-prox)"]
        assert len(finding.example["weights"]) == 3 and len(set(finding.example["clusters"])) == 2

    @pytest.mark.parametrize(
        "reward, longer, shorter",
        [(TotalLogProb(), 0, 68), (LongWinded(), 68, 0), (get_reward("probability"), 0, None)],
    )
    def test_which_length_is_preferred(self, reward, longer, shorter):
        evidence = audit_reward(reward, cases=20)["sensitive to length"].evidence
        assert f"the longer is preferred in {longer}," in evidence
        assert shorter is None or evidence.endswith(f"the shorter in {shorter}")

    def test_length_collapse_on_a_token_tree(self):
        evidence = audit_reward(TotalLogProb(), cases=20)["fixes on a token pattern"].evidence
        assert evidence.endswith("to 1 tokens") and "'.' goes from" in evidence


class TestWicked:
    @pytest.mark.parametrize("reward, broken", [
        (by_position, "invariant to relabelling"), (first_mode, "invariant to relabelling"), (first_mode, "comonotone"),
        (batch_normalised, "prompt by prompt"), (naive_log, "finite"), (counts_labels, "label-free"),
        (kind_to_close_rivals, "mode-monotone (KL-prox)"), (punishes_the_mode_of_four, "mode-monotone (softmax gradient)"),
        (lambda z: -z, "fixes on the mode"), (lambda z: 1 / 0, "finite"),
    ])  # fmt: skip
    def test_each_is_caught(self, reward, broken):
        audit = audit_reward(reward, cases=100)
        assert audit.holds(broken) is False, str(audit)

    def test_breaking_ties_by_order_still_keeps_the_mode(self):
        audit = audit_reward(first_mode, cases=100)
        assert audit.holds("comonotone") is False
        assert (
            audit.holds("mode-monotone (KL-prox)")
            and audit.holds("majorizing (KL-prox)")
            and audit.holds("fixes on the mode")
        )

    def test_what_only_random_cases_find_is_shrunk(self):
        assert len(audit_reward(punishes_the_mode_of_four, cases=100)["comonotone"].example["weights"]) == 4
        weights = audit_reward(kind_to_close_rivals, cases=100)["comonotone"].example["weights"]
        assert len(weights) == 2 and 0 < abs(weights[0] / weights[1] - 1) < 1e-9

    def test_a_vanishing_mass_breaks_the_naive_logarithm(self):
        weights = audit_reward(naive_log, cases=100)["finite"].example["weights"]
        assert len(weights) == 2 and min(weights) < 1e-150

    def test_a_reward_that_is_never_finite_says_nothing_else(self):
        audit = audit_reward(lambda z: z + np.nan, cases=5)
        assert audit.holds("finite") is False and audit.holds("comonotone") is None

    @pytest.mark.parametrize(
        "reward, cases", [(3, 10), ("majority", -1), ("majority", 1.5), ("no-such-reward", 10)]
    )
    def test_bad_input_is_refused(self, reward, cases):
        with pytest.raises(InputError):
            audit_reward(reward, cases=cases)

    def test_a_wrong_shape_is_told(self):
        assert "shape" in audit_reward(lambda z: z[:, :1], cases=2)["finite"].evidence


class TestCounterexamples:
    @pytest.mark.parametrize("reward", [by_position, punishes_the_mode_of_four])
    def test_hypothesis_finds_none_with_fewer_answers(self, reward):
        hunt = settings(
            max_examples=3000,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        found = find(policies(1), lambda z: not comonotone_slowly(z[0], reward(z)[0]), settings=hunt)
        weights = audit_reward(reward, cases=100)["comonotone"].example["weights"]
        assert len(weights) == found.shape[1]
        with np.errstate(divide="ignore"):
            log_probs = np.log([np.array(weights) / np.sum(weights)])
        assert not comonotone_slowly(log_probs[0], reward(log_probs)[0])

    @pytest.mark.parametrize("reward", ["true", "semantic-clusters", by_position])
    def test_no_answer_can_be_left_out(self, reward):
        weights = audit_reward(reward, cases=30)["mode-monotone (KL-prox)"].example["weights"]
        assert len(weights) == (3 if reward == "semantic-clusters" else 2) and all(
            weight in (1.0, 2.0) for weight in weights
        )

    def test_the_same_seed_gives_the_same_report(self):
        one, same = (audit_reward(kind_to_close_rivals, cases=20, seed=3) for _ in range(2))
        assert one == same and str(one) == str(same)

    def test_a_report_is_json_and_fits_the_page(self):
        audit = audit_reward("self-certainty", cases=10)
        assert json.loads(json.dumps(audit.as_dict()))["findings"][0]["name"] == "finite"
        lines = str(audit).splitlines()
        assert max(map(len, lines)) <= 150 and all(
            any(line.startswith(name) for line in lines) for name in EVERYTHING
        )
        with pytest.raises(KeyError, match="comonotone"):
            audit.holds("no such property")


def comonotone_slowly(log_probs, rewards):
    possible = [a for a in range(len(rewards)) if log_probs[a] > -np.inf]
    return all(
        (rewards[a] <= rewards[b] + 1e-9 if log_probs[a] < log_probs[b] else abs(rewards[a] - rewards[b]) < 1e-9)
        for a in possible for b in possible if log_probs[a] <= log_probs[b]
    )  # fmt: skip


class TestParts:
    @settings(max_examples=25)
    @given(st.data(), st.sampled_from([0.1, 1.0, 10.0]))
    def test_its_steps_are_those_of_the_updates(self, data, size):
        log_probs = data.draw(policies(1, 4))
        rewards = data.draw(arbitrary_rewards(log_probs))
        for ours, update in (
            (kl_prox, KLProx(1 / size)),
            (kl_prox, NaturalGradient(size)),
            (softmax_gradient, SoftmaxGradient(size)),
        ):
            theirs = np.asarray(update.step(jnp.asarray(log_probs), jnp.asarray(rewards)))[0]
            mine = ours(log_probs[0], rewards[0], size)
            possible = theirs > -np.inf
            assert (
                mine[possible] == pytest.approx(theirs[possible], abs=1e-9, rel=1e-12)
                and (mine[~possible] == -np.inf).all()
            )

    def test_limits_of_known_dynamics(self):
        start, mode = np.log([0.5, 0.3, 0.2]), np.array([True, False, False])
        assert limit_share(start, mode, lambda now, _: now) == pytest.approx(1.0)
        assert limit_share(start, mode, lambda now, _: -now) == pytest.approx(1 / 3)
        assert limit_share(start, mode, lambda now, _: -np.exp(now)) == pytest.approx(1 / 3)
        assert limit_share(start, mode, lambda now, _: 0.0 * now) == pytest.approx(0.5)
        assert limit_share(start, mode, lambda now, _: np.array([0.0, 0.0, 1.0])) == pytest.approx(
            0.0, abs=1e-6
        )

    @settings(max_examples=5)
    @given(st.lists(st.integers(1, 9), min_size=9, max_size=9))
    def test_its_token_tree_is_the_library_s(self, weights):
        tree = TreeCase(tuple(tuple(map(float, weights[i : i + 3])) for i in (0, 3, 6)))
        sizes = shape.TreeShape(2, 2)
        order = [LEAVES.index(tuple(int(token) for token in row if token >= 0)) for row in sizes.tokens]
        nodes = jnp.asarray(tree.log_probs)[None]
        leaves = leaf_log_probs(tree.log_probs)
        assert leaves[order] == pytest.approx(np.asarray(passes.leaf_log_probs(sizes, nodes))[0])
        assert node_log_probs(leaves) == pytest.approx(tree.log_probs)
        mine, theirs = statistics(tree.log_probs), tree_statistics.leaf_statistics(sizes, nodes)
        for name in ("log_prob", "entropy", "uniform_cross_entropy", "gap"):
            assert mine.mean(getattr(mine, name))[0][order] == pytest.approx(
                np.asarray(theirs.mean(getattr(theirs, name)))[0], abs=1e-12
            )
