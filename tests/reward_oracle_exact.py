"""Every reward of known policies over one-token answers, again in slow loops; imports nothing of ours."""

import math
from dataclasses import dataclass, replace

import numpy as np

IMPOSSIBLE = -745.0


@dataclass
class Policies:
    """Policies over K answers for P prompts, and what rewards may be told beside them."""

    probs: np.ndarray  # (P, K)
    correct: np.ndarray
    reference: np.ndarray
    previous: np.ndarray
    clusters: np.ndarray  # (K,)
    questions: np.ndarray  # (P,)
    step: int
    no_answer: int | None

    @property
    def log_probs(self):
        with np.errstate(divide="ignore"):
            return np.log(self.probs)

    def signals(self):
        with np.errstate(divide="ignore"):
            logs = dict(reference=np.log(self.reference), previous=np.log(self.previous))
        return dict(
            no_answer=self.no_answer, clusters=self.clusters, questions=self.questions, step=self.step, **logs
        )

    def take(self, prompts, columns):
        """The same policies with prompts and answers in another order."""
        moved = {
            name: getattr(self, name)[prompts][:, columns]
            for name in ("probs", "correct", "reference", "previous")
        }
        silent = None if self.no_answer is None else list(columns).index(self.no_answer % len(columns))
        return replace(
            self,
            **moved,
            clusters=self.clusters[columns],
            questions=self.questions[prompts],
            no_answer=silent,
        )


def random_policies(seed, prompts=3, answers=5, *, faces=True):
    """Policies with ties, impossible answers (`faces`), at times a no-answer column."""
    rng = np.random.default_rng(seed)
    weights = rng.choice([1.0, 2.0, 2.0, 3.0, 5.0, 8.0], size=(3, prompts, answers))
    if faces:
        weights[0] *= rng.random((prompts, answers)) < 0.8
        weights[0, :, 0] = 2.0
    probs = weights / weights.sum(axis=2, keepdims=True)
    no_answer = [None, answers - 1, -2][seed % 3]
    return Policies(
        probs=probs[0],
        correct=rng.random((prompts, answers)) < 0.4,
        reference=probs[1],
        previous=probs[2],
        clusters=rng.integers(0, 3, size=answers),
        questions=np.arange(prompts) // 2,
        step=4,
        no_answer=no_answer,
    )


def silent(p, a):
    return p.no_answer is not None and a == p.no_answer % p.probs.shape[1]


def row(p, i):
    return [float(x) for x in p.probs[i]]


def log_of(p, i, a):
    """log pi(a); an impossible answer gets the least of the possible ones."""
    return math.log(p.probs[i, a] or min(x for x in row(p, i) if x > 0))


def entropy(p, i):
    return -sum(x * math.log(x) for x in row(p, i) if x > 0)


def leaders(p, masses):
    heard = {a: m for a, m in enumerate(masses) if m > 0 and not silent(p, a)}
    return [a for a in heard if heard[a] > max(heard.values()) * (1 - 1e-9)]


def elected(p, masses, a):
    found = leaders(p, masses)
    return 1 / len(found) if a in found else 0.0


def majority(p, i, a):
    return elected(p, row(p, i), a)


def rephrased(p, i, a, cross=False):
    rows = [j for j in range(len(p.questions)) if p.questions[j] == p.questions[i] and not (cross and j == i)]
    return elected(p, [sum(p.probs[j, b] for j in rows) for b in range(p.probs.shape[1])], a)


def ratio(p, i):
    return max((x for a, x in enumerate(row(p, i)) if not silent(p, a)), default=0.0)


def confidence(p, i, a, threshold=0.0):
    return majority(p, i, a) * ratio(p, i) if ratio(p, i) >= threshold else 0.0


def contrast(p, i, a, temperature=1.0):
    scores = [x ** (1 / temperature) for x in row(p, i)]
    return scores[a] / sum(x * s for x, s in zip(row(p, i), scores, strict=True))


def entropy_reduction(p, i, a):
    possible = [x for b, x in enumerate(row(p, i)) if x > 0 and not silent(p, b)]
    own = p.probs[i, a] if p.probs[i, a] > 0 and not silent(p, a) else min(possible, default=1.0)
    return entropy(p, i) + math.log(own)


def cluster_mass(p, i, a):
    members = [b for b in range(p.probs.shape[1]) if p.clusters[b] == p.clusters[a] and not silent(p, b)]
    return 0.0 if silent(p, a) else sum(p.probs[i, b] for b in members)


def accepted(p, i, a, tpr=1.0, fpr=0.0):
    return 0.0 if silent(p, a) else (tpr if p.correct[i, a] else fpr)


def verifier(tpr, fpr):
    return lambda p, i, a: accepted(p, i, a, tpr, fpr)


def self_certainty(p, i, a):
    size = p.probs.shape[1]
    return sum(-math.log(size) - (math.log(x) if x > 0 else IMPOSSIBLE) for x in row(p, i)) / size


def disparity(p, i, a):
    top = sorted(row(p, i))
    return top[-1] - top[-2]


def gap(other, p, i, a):
    return (math.log(other[i, a]) if other[i, a] > 0 else IMPOSSIBLE) - log_of(p, i, a)


def gated(p, i, a, threshold=0.7, external=accepted):
    return majority(p, i, a) if ratio(p, i) >= threshold else external(p, i, a)


def scheduled(p, i, a, every=1, share=0.75):
    q = share if p.step % every == 0 else 0.0
    return q * accepted(p, i, a) + (1 - q) * majority(p, i, a)


EXACT = {
    "self-certainty": self_certainty,
    "trajectory-entropy": log_of,
    "token-entropy": lambda p, i, a: -entropy(p, i),
    "probability": lambda p, i, a: math.exp(log_of(p, i, a)),
    "probability-disparity": disparity,
    "self-contrastive": contrast,
    "self-contrastive(temperature=0.5)": lambda p, i, a: contrast(p, i, a, 0.5),
    "entropy-reduction": entropy_reduction,
    "kl-uniform": lambda p, i, a: -math.log(p.probs.shape[1]) - log_of(p, i, a),
    "kl-reference": lambda p, i, a: gap(p.reference, p, i, a),
    "kl-previous": lambda p, i, a: gap(p.previous, p, i, a),
    "majority": majority,
    "rephrased-majority": rephrased,
    "rephrased-majority(cross=true)": lambda p, i, a: rephrased(p, i, a, True),
    "weighted-majority": majority,
    "semantic-clusters": cluster_mass,
    "trajectory-consistency": lambda p, i, a: 0.0 if silent(p, a) else 1.0,
    "trajectory-consistency(form=linear)": lambda p, i, a: -1.0 if silent(p, a) else 1.0,
    "pseudo-label-confidence": confidence,
    "pseudo-label-confidence(threshold=0.5)": lambda p, i, a: confidence(p, i, a, 0.5),
    "true": accepted,
    "symbolic-verifier": accepted,
    "exhaustive-teacher": accepted,
    "judge": verifier(0.9, 0.1),
    "self-verification": verifier(0.8, 0.3),
    "antiderivative": accepted,
    "next-token": accepted,
    "noisy-verifier": verifier(0.9, 0.1),
    "noisy-verifier(tpr=0.6, fpr=0.3, verifier=judge)": verifier(0.3 + 0.3 * 0.9, 0.3 + 0.3 * 0.1),
    "hybrid-weighted": lambda p, i, a: 0.75 * accepted(p, i, a) + 0.25 * majority(p, i, a),
    "hybrid-weighted(tpr=0.9, fpr=0.2, intrinsic_weight=0.5, intrinsic=token-entropy)": lambda p, i, a: (
        0.5 * accepted(p, i, a, 0.9, 0.2) - 0.5 * entropy(p, i)
    ),
    "hybrid-gated": gated,
    "hybrid-gated(external=noisy-verifier(tpr=0.8), threshold=0.5)": lambda p, i, a: gated(
        p, i, a, 0.5, verifier(0.8, 0.1)
    ),
    "hybrid-scheduled": scheduled,
    "hybrid-scheduled(every=2, share=0.9)": lambda p, i, a: scheduled(p, i, a, 2, 0.9),
}


def exact(spec, policies):
    """Rewards (P, K) of policies."""
    prompts, answers = policies.probs.shape
    return np.array(
        [[EXACT[spec](policies, i, a) for a in range(answers)] for i in range(prompts)], dtype=float
    )
