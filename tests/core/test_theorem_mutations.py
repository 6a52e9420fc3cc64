"""A theorem whose formula is made wrong fails, with a witness: at least one deliberate error for each."""

import importlib
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sharpening import (
    GRPO,
    HybridReward,
    KLProx,
    MajorityReward,
    NaturalGradient,
    Population,
    SoftmaxGradient,
    TrajectoryEntropyReward,
    VerdictStatus,
    check_theorems,
    exact_metrics,
    get_theorem,
    list_theorems,
    random_population,
)
from sharpening.theorems.s8_heaviest_cluster import ClusterReward
from sharpening.updates.advantages import group_advantages


def patch(owner, name, function):
    return lambda monkeypatch: monkeypatch.setattr(owner, name, function)


def negated(cls):
    original = cls.policy_direction
    return lambda self, *arguments: -original(self, *arguments)


def scaled(cls, factor):
    original = cls.policy_direction
    return lambda self, *arguments: factor * original(self, *arguments)


def least_likely(self, log_probs, correct=None, *, no_answer=None):
    return (log_probs == log_probs.min(axis=1, keepdims=True)).astype(log_probs.dtype)


def population_std(rewards, scale="none", eps=1e-4):
    rewards = jnp.asarray(rewards)
    return (rewards - rewards.mean(axis=-1, keepdims=True)) / (rewards.std(axis=-1, keepdims=True) + eps)


def ignores_false_positives(self, log_probs, correct=None, *, no_answer=None):
    original = HybridReward(self.tpr, 0.0, self.intrinsic_weight)
    return (
        1 - original.intrinsic_weight
    ) * self.tpr * correct + original.intrinsic_weight * MajorityReward().exact(
        log_probs, no_answer=no_answer
    )


def swapped_weights(self, log_probs, correct=None, *, no_answer=None):
    accepted = self.fpr + (self.tpr - self.fpr) * correct
    return self.intrinsic_weight * accepted + (1 - self.intrinsic_weight) * MajorityReward().exact(
        log_probs, no_answer=no_answer
    )


U4_MODULE = sys.modules[type(get_theorem("U4")).__module__]
ORIGINAL_CLUSTER = ClusterReward.exact
MUTATIONS = [
    ("S1", "step beta instead of 1/beta", patch(KLProx, "step_size", property(lambda self: self.beta))),
    ("S1", "wrong sign", patch(KLProx, "policy_direction", negated(KLProx))),
    ("S1", "advantage of the mass, not of the answer", patch(KLProx, "direction", lambda self, z, r, ref=None: jnp.exp(z) * r)),
    ("S2", "no pull to the reference", patch(KLProx, "direction", lambda self, z, r, ref=None: jnp.asarray(r))),
    ("S2", "half the pull", patch(KLProx, "direction", lambda self, z, r, ref=None: r + self.beta / 2 * jnp.where(z > -jnp.inf, ref - z, 0))),
    ("S3", "pi instead of log pi", patch(TrajectoryEntropyReward, "exact", lambda self, z, c=None, *, no_answer=None: np.exp(z))),
    ("S3", "wrong sign", patch(KLProx, "policy_direction", negated(KLProx))),
    ("S4", "wrong sign of KL-prox", patch(KLProx, "policy_direction", negated(KLProx))),
    ("S4", "wrong sign of natural gradient", patch(NaturalGradient, "policy_direction", negated(NaturalGradient))),
    ("S4", "wrong prompts", patch(KLProx, "direction", lambda self, z, r, ref=None: jnp.roll(jnp.asarray(r), 1, axis=0))),
    ("S5", "no baseline", patch(SoftmaxGradient, "direction", lambda self, z, r, ref=None: jnp.exp(z) * r)),
    ("S5", "wrong sign of GRPO", patch(GRPO, "policy_direction", negated(GRPO))),
    ("S6", "pi missing", patch(SoftmaxGradient, "direction", lambda self, z, r, ref=None: NaturalGradient().direction(z, r))),
    ("S6", "factor 2", patch(NaturalGradient, "policy_direction", scaled(NaturalGradient, 2.0))),
    ("S6", "GRPO without std", patch(GRPO, "policy_direction", SoftmaxGradient.policy_direction)),
    ("S6", "factor 0.9", patch(KLProx, "policy_direction", scaled(KLProx, 0.9))),
    ("S8", "mass of the other cluster", patch(ClusterReward, "exact", lambda self, z, c=None, **_: -ORIGINAL_CLUSTER(self, z))),
    ("S8", "mass of the answer", patch(ClusterReward, "exact", lambda self, z, c=None, **_: np.exp(z))),
    ("S9", "wrong sign of softmax gradient", patch(SoftmaxGradient, "policy_direction", negated(SoftmaxGradient))),
    ("S9", "wrong sign of KL-prox", patch(KLProx, "policy_direction", negated(KLProx))),
    ("F3", "population std in groups", patch(sys.modules[GRPO.__module__], "group_advantages", population_std)),
    ("F3", "no std", patch(sys.modules[GRPO.__module__], "group_advantages", lambda r, scale, eps: group_advantages(r))),
    ("F3", "sample std in the exact form", patch(GRPO, "policy_direction", scaled(GRPO, float(np.sqrt(63 / 64))))),
    ("U1", "rewards the least likely answer", patch(MajorityReward, "exact", least_likely)),
    ("U1", "half speed", patch(KLProx, "step_size", property(lambda self: 0.5 / self.beta))),
    ("U4", "accuracy instead", patch(U4_MODULE, "exact_metrics", lambda *a, **k: {"reward_accuracy": exact_metrics(*a, **k)["accuracy"]})),
    ("U4", "ignores ties and losers", patch(MajorityReward, "exact", least_likely)),
    ("U5", "rewards the least likely answer", patch(MajorityReward, "exact", least_likely)),
    ("U5", "wrong sign", patch(KLProx, "policy_direction", negated(KLProx))),
    ("X2", "false positives ignored", patch(HybridReward, "exact", ignores_false_positives)),
    ("X2", "weights swapped", patch(HybridReward, "exact", swapped_weights)),
    ("X2", "wrong sign", patch(KLProx, "policy_direction", negated(KLProx))),
]  # fmt: skip


def cases(name):
    return [random_population(2, case) for case in range(8)]


@pytest.fixture
def nothing_compiled():
    """A compiled simulation remembers the formulas it was made from."""
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.mark.thorough
class TestMutations:
    def test_every_theorem_has_one(self):
        """Here, or in a sibling of this file."""
        siblings = [path.stem for path in Path(__file__).parent.glob("test_theorem_mutations*.py")]
        known = {name for module in siblings for name, _, _ in importlib.import_module(module).MUTATIONS}
        assert known == {theorem.name for theorem in list_theorems()}

    @pytest.mark.parametrize(
        "name, mutate", [(n, f) for n, _, f in MUTATIONS], ids=[f"{n}: {what}" for n, what, _ in MUTATIONS]
    )
    def test_a_wrong_formula_is_caught(self, name, mutate, monkeypatch, request):
        if name in ("U1", "U5"):
            request.getfixturevalue("nothing_compiled")
        mutate(monkeypatch)
        verdicts = (get_theorem(name).check(population, step_size=3.0) for population in cases(name))
        failed = next((verdict for verdict in verdicts if verdict.status is VerdictStatus.FAILS), None)
        assert failed is not None
        witness = failed.witness
        assert witness.sentence and failed.as_dict()["status"] == "fails"
        assert np.isfinite([witness.found, witness.wanted]).all() and witness.found != witness.wanted
        assert (witness.prompt is None) == (witness.log_probs is None)

    def test_a_witness_is_enough_to_see_it_again(self, monkeypatch):
        monkeypatch.setattr(KLProx, "step_size", property(lambda self: self.beta))
        witness = get_theorem("S1").check(random_population(2, 1), step_size=3.0).witness
        again = (
            get_theorem("S1")
            .check(Population(np.array([witness.log_probs])), step_size=witness.step_size)
            .witness
        )
        assert again.found == pytest.approx(witness.found) and again.wanted == pytest.approx(witness.wanted)

    def test_a_report_counts_failures(self, monkeypatch):
        monkeypatch.setattr(KLProx, "policy_direction", negated(KLProx))
        (report,) = check_theorems(["S1"], cases=3)
        assert report.failed == 3 and not report.ok and report.outcome == "fails" and report.failed_case == 0
        assert report.as_dict()["witness"]["claim"] == report.witness.claim
