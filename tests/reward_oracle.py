"""Every reward again, in slow loops over one rollout at a time, from logits; imports nothing of ours."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np


@dataclass
class Case:
    """Everything a reward may read of P prompts with R rollouts of up to T tokens over a vocabulary of V."""

    answers: np.ndarray  # (P, R), -1 for no answer
    is_correct: np.ndarray
    logits: np.ndarray  # (P, R, T, V), logits[..., t, :] is what token t was drawn from
    token_ids: np.ndarray  # (P, R, T)
    mask: np.ndarray
    answer_mask: np.ndarray
    temperature: float
    reference_log_probs: np.ndarray  # (P, R)
    previous_log_probs: np.ndarray
    clusters: np.ndarray
    states: np.ndarray  # (P, R, S)
    questions: np.ndarray  # (P,)
    voters: np.ndarray
    verdicts: np.ndarray
    step: int

    def signals(self, *without):
        names = (
            "reference_log_probs previous_log_probs clusters states questions voters verdicts step".split()
        )
        return {name: getattr(self, name) for name in names if name not in without}


def random_case(seed, prompts=3, rollouts=6, tokens=4, vocabulary=5, states=3, temperature=0.7):
    """A case with ties, refusals, padding in the middle and at the end, and a completion without answer
    tokens.
    """
    rng = np.random.default_rng(seed)
    shape = (prompts, rollouts)
    answers = rng.integers(-1, 3, size=shape)
    mask = rng.random((*shape, tokens)) < 0.7
    mask[..., 0] = True
    answer_mask = rng.random(mask.shape) < 0.5  # marks positions without a token too
    answer_mask[0, 0] = False
    clusters = np.where(answers == 2, 1, answers) + 10
    return Case(
        answers=answers,
        is_correct=answers == rng.integers(0, 3, size=(prompts, 1)),
        logits=2 * rng.standard_normal((*shape, tokens, vocabulary)),
        token_ids=rng.integers(0, vocabulary, size=(*shape, tokens)),
        mask=mask,
        answer_mask=answer_mask,
        temperature=temperature,
        reference_log_probs=-3 * rng.random(shape),
        previous_log_probs=-3 * rng.random(shape),
        clusters=clusters,
        states=rng.integers(-1, 3, size=(*shape, states)),
        questions=np.arange(prompts) // 2,
        voters=rng.integers(0, 2, size=shape),
        verdicts=rng.integers(0, 5, size=shape) / 4,
        step=3,
    )


def policies(case, i, r):
    """[(probabilities, token, spells the answer)] of the tokens that exist."""
    rows = []
    for t in range(case.mask.shape[2]):
        if case.mask[i, r, t]:
            weights = [math.exp(z / case.temperature) for z in case.logits[i, r, t]]
            probs = [w / sum(weights) for w in weights]
            rows.append((probs, int(case.token_ids[i, r, t]), bool(case.answer_mask[i, r, t])))
    return rows


def token_table(case):
    """The fields of token statistics, (P, R, T) each, NaN where no token exists: nobody may read those."""
    fields = {
        name: np.full(case.mask.shape, np.nan)
        for name in ("log_prob", "entropy", "uniform_cross_entropy", "gap")
    }
    for i, r, t in zip(*np.nonzero(case.mask), strict=True):
        scaled = case.logits[i, r, t] / case.temperature
        log_probs = scaled - math.log(sum(math.exp(z) for z in scaled))
        top = sorted(np.exp(log_probs))
        fields["log_prob"][i, r, t] = log_probs[case.token_ids[i, r, t]]
        fields["entropy"][i, r, t] = -sum(math.exp(z) * z for z in log_probs)
        fields["uniform_cross_entropy"][i, r, t] = -sum(log_probs) / len(log_probs)
        fields["gap"][i, r, t] = top[-1] - top[-2]
    return fields


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def log_likelihood(case, i, r):
    return sum(math.log(probs[token]) for probs, token, _ in policies(case, i, r))


def elected(votes):
    """{answer: share of the pseudo-label} from {answer: votes}; ties shared, nobody without votes."""
    votes = {a: v for a, v in votes.items() if v > 0}
    leaders = [a for a in votes if votes[a] > max(votes.values()) - 1e-9]
    return {a: 1 / len(leaders) for a in leaders}


def count(case, i, rollouts=None):
    rollouts = range(case.answers.shape[1]) if rollouts is None else rollouts
    return Counter(int(case.answers[i, r]) for r in rollouts if case.answers[i, r] != -1)


def vote(case, i, r, votes):
    return elected(votes).get(int(case.answers[i, r]), 0.0) if case.answers[i, r] != -1 else 0.0


def rephrased(case, i, r, cross=False):
    votes = Counter()
    for j in range(len(case.questions)):
        if case.questions[j] == case.questions[i] and not (cross and j == i):
            votes += count(case, j)
    return vote(case, i, r, votes)


def weighted(case, i, r):
    votes = Counter()
    for voter in set(case.voters[i].tolist()):
        own = [s for s in range(case.answers.shape[1]) if case.voters[i, s] == voter]
        ballots = count(case, i, own)
        for answer, number in ballots.items():
            votes[answer] += number * max(ballots.values()) / len(own)
    return vote(case, i, r, votes)


def covo(case, i, r, form="vector"):
    if case.answers[i, r] == -1:
        return 0.0 if form == "vector" else -1.0
    pairs = []
    for s in range(case.answers.shape[1]):
        if case.answers[i, s] == case.answers[i, r]:
            states = case.states[i, s].tolist()
            strays = [k + 1 for k, state in enumerate(states) if state != case.answers[i, s]]
            consistency = 1 - len(strays) / len(states) if states else 1.0
            pairs.append((consistency, max(strays) / len(states) if strays else 0.0))
    if form == "linear":
        return mean(c for c, _ in pairs) - mean(v for _, v in pairs)
    return abs(mean(c * complex(math.cos(v), math.sin(v)) for c, v in pairs))


def confidence(case, i, r, threshold=0.0):
    ratio = max(count(case, i).values(), default=0) / case.answers.shape[1]
    return vote(case, i, r, count(case, i)) * ratio if ratio >= threshold else 0.0


def entropy_reduction(case, i, r):
    group = [int(a) for a in case.answers[i]]
    shares = {a: n / len(group) for a, n in Counter(group).items()}
    entropy = -sum(p * math.log(p) for p in shares.values())
    answered = [math.log(p) for a, p in shares.items() if a != -1]
    own = math.log(shares[group[r]]) if group[r] != -1 else min(answered, default=0.0)
    return entropy + own


def verdict(case, i, r, tpr=1.0, fpr=0.0):
    return 0.0 if case.answers[i, r] == -1 else float(case.verdicts[i, r])


def true(case, i, r):
    return float(case.answers[i, r] != -1 and bool(case.is_correct[i, r]))


def noisy(case, i, r, tpr, fpr, inner=true):
    return 0.0 if case.answers[i, r] == -1 else tpr * inner(case, i, r) + fpr * (1 - inner(case, i, r))


def majority(case, i, r):
    return vote(case, i, r, count(case, i))


def gated(case, i, r, threshold=0.7, external=true):
    sure = max(count(case, i).values(), default=0) >= threshold * case.answers.shape[1] - 1e-12
    return majority(case, i, r) if sure else external(case, i, r)


def scheduled(case, i, r, every=1, share=0.75):
    q = share if case.step % every == 0 else 0.0
    return q * true(case, i, r) + (1 - q) * majority(case, i, r)


def contrast(case, i, r, temperature=1.0):
    scores = [
        math.exp(mean(math.log(p[y]) for p, y, _ in policies(case, i, s)) / temperature)
        for s in range(case.answers.shape[1])
    ]
    return scores[r] / mean(scores)


def self_certainty(case, i, r):
    uniform = 1 / case.logits.shape[-1]
    return mean(sum(uniform * math.log(uniform / p) for p in probs) for probs, _, _ in policies(case, i, r))


def disparity(case, i, r):
    return mean(sorted(probs)[-1] - sorted(probs)[-2] for probs, _, spells in policies(case, i, r) if spells)


def cluster_share(case, i, r):
    if case.answers[i, r] == -1:
        return 0.0
    mine = [
        case.answers[i, s] != -1 and case.clusters[i, s] == case.clusters[i, r]
        for s in range(case.answers.shape[1])
    ]
    return mean(map(float, mine))


def kl_uniform(case, i, r):
    return sum(-math.log(len(probs)) - math.log(probs[token]) for probs, token, _ in policies(case, i, r))


GROUP = {
    "self-certainty": self_certainty,
    "trajectory-entropy": lambda c, i, r: mean(math.log(p[y]) for p, y, _ in policies(c, i, r)),
    "token-entropy": lambda c, i, r: mean(sum(x * math.log(x) for x in p) for p, _, _ in policies(c, i, r)),
    "probability": lambda c, i, r: math.prod(p[y] for p, y, _ in policies(c, i, r)),
    "probability-disparity": disparity,
    "self-contrastive": contrast,
    "self-contrastive(temperature=0.5)": lambda c, i, r: contrast(c, i, r, 0.5),
    "entropy-reduction": entropy_reduction,
    "kl-uniform": kl_uniform,
    "kl-reference": lambda c, i, r: c.reference_log_probs[i, r] - log_likelihood(c, i, r),
    "kl-previous": lambda c, i, r: c.previous_log_probs[i, r] - log_likelihood(c, i, r),
    "majority": majority,
    "rephrased-majority": rephrased,
    "rephrased-majority(cross=true)": lambda c, i, r: rephrased(c, i, r, True),
    "weighted-majority": weighted,
    "semantic-clusters": cluster_share,
    "trajectory-consistency": covo,
    "trajectory-consistency(form=linear)": lambda c, i, r: covo(c, i, r, "linear"),
    "pseudo-label-confidence": confidence,
    "pseudo-label-confidence(threshold=0.5)": lambda c, i, r: confidence(c, i, r, 0.5),
    "true": true,
    "symbolic-verifier": verdict,
    "exhaustive-teacher": verdict,
    "judge": verdict,
    "self-verification": verdict,
    "antiderivative": verdict,
    "next-token": verdict,
    "noisy-verifier": lambda c, i, r: noisy(c, i, r, 0.9, 0.1),
    "noisy-verifier(tpr=0.6, fpr=0.3, verifier=judge)": lambda c, i, r: noisy(c, i, r, 0.6, 0.3, verdict),
    "hybrid-weighted": lambda c, i, r: 0.75 * true(c, i, r) + 0.25 * majority(c, i, r),
    "hybrid-weighted(tpr=0.9, fpr=0.2, intrinsic_weight=0.5, intrinsic=token-entropy)": lambda c, i, r: (
        0.5 * noisy(c, i, r, 0.9, 0.2) + 0.5 * GROUP["token-entropy"](c, i, r)
    ),
    "hybrid-gated": gated,
    "hybrid-gated(external=noisy-verifier(tpr=0.8), threshold=0.5)": lambda c, i, r: gated(
        c, i, r, 0.5, lambda *at: noisy(*at, 0.8, 0.1)
    ),
    "hybrid-scheduled": scheduled,
    "hybrid-scheduled(every=2, share=0.9)": lambda c, i, r: scheduled(c, i, r, 2, 0.9),
}


def group(spec, case):
    """Rewards (P, R) of a case."""
    prompts, rollouts = case.answers.shape
    return np.array([[GROUP[spec](case, i, r) for r in range(rollouts)] for i in range(prompts)], dtype=float)
