"""Where training on each reward ends: what its card claims about flat categorical policies, iterated to
convergence.

Updates are written out here in NumPy: KL-prox z' = z + r/beta, and softmax policy gradient z' = z + eta pi A,
A divided by its standard deviation for GRPO.
"""

import numpy as np
import pytest

from sharpening import REWARDS, get_reward

PRIOR = np.array([[0.35, 0.25, 0.22, 0.18], [0.1, 0.3, 0.25, 0.35]])
REFERENCE = np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.4, 0.3, 0.05]])
CORRECT = np.array([[False, True, False, True], [False, False, True, False]])
CLUSTERS = np.array([0, 1, 1, 2])  # masses .35 .47 .18 and .10 .55 .35: the modes lie elsewhere
QUESTIONS = np.array([0, 0])  # mean masses .225 .275 .235 .265: its mode is the mode of neither row


def restricted(kept, prior=PRIOR):
    mass = np.where(kept, prior, 0.0)
    return mass / mass.sum(axis=1, keepdims=True)


def at(*answers):
    return np.eye(4)[list(answers)]


MODE, TRUTH, WRONG = at(0, 3), restricted(CORRECT), restricted(~CORRECT)
LIMITS = {  # reward: (words of its card, where KL-prox ends)
    "self-certainty": ("stays put", PRIOR),
    "token-entropy": ("stays put", PRIOR),
    "probability-disparity": ("stays put", PRIOR),
    "trajectory-consistency": ("stays put", PRIOR),
    "kl-previous": ("stays put", PRIOR),
    "trajectory-entropy": ("the mode", MODE),
    "probability": ("the mode", MODE),
    "self-contrastive": ("the mode", MODE),
    "entropy-reduction": ("the mode", MODE),
    "pseudo-label-confidence": ("the mode", MODE),
    "weighted-majority": ("the mode", MODE),
    "majority": ("the initial majority answer", MODE),
    "rephrased-majority": ("the rephrasings' mean policy", at(1, 1)),
    "semantic-clusters": ("the heaviest cluster", restricted(CLUSTERS == 1)),
    "kl-uniform": ("uniform", np.full((2, 4), 0.25)),
    "kl-reference": ("the reference", REFERENCE),
    "true": ("correct answers", TRUTH),
    "symbolic-verifier": ("correct answers", TRUTH),
    "exhaustive-teacher": ("correct answers", TRUTH),
    "antiderivative": ("correct answers", TRUTH),
    "next-token": ("the text's own continuations", TRUTH),
    "judge": ("correct answers", TRUTH),
    "self-verification": ("correct answers", TRUTH),
    "noisy-verifier": ("correct answers", TRUTH),
    "hybrid-weighted": ("a correct answer", at(1, 2)),
    "hybrid-gated": ("exact verifier", TRUTH),
    "hybrid-scheduled": ("a correct answer", at(1, 2)),
}
VARIANTS = {  # the other branches of what the cards claim
    "judge(tpr=0.2, fpr=0.6)": WRONG,
    "self-verification(tpr=0.2, fpr=0.6)": WRONG,
    "noisy-verifier(tpr=0.2, fpr=0.6)": WRONG,
    "noisy-verifier(tpr=0.4, fpr=0.4)": PRIOR,
    "hybrid-weighted(intrinsic_weight=0.55)": MODE,
    "hybrid-weighted(tpr=0.9, fpr=0.5, intrinsic_weight=0.25)": at(1, 2),  # J/(1+J) = 0.286
    "hybrid-weighted(tpr=0.9, fpr=0.5, intrinsic_weight=0.36)": MODE,
    "hybrid-gated(threshold=0.3)": MODE,
    "hybrid-scheduled(every=2, share=0.8)": MODE,  # 0.4 < 1/2
    "hybrid-scheduled(every=3, share=1)": MODE,
    "hybrid-scheduled(every=3, share=1, intrinsic=token-entropy)": TRUTH,
    "pseudo-label-confidence(threshold=0.4)": PRIOR,
    "pseudo-label-confidence(threshold=0.34)": MODE,
    "semantic-clusters(of_answer=0 1 2 3)": restricted(CLUSTERS == 1),
    "self-contrastive(temperature=0.3)": MODE,
    "noisy-verifier(verifier=majority)": MODE,
}


def normalise(z):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def rewards_of(reward, z, before, step):
    told = dict(
        reference=np.log(REFERENCE), previous=before, clusters=CLUSTERS, questions=QUESTIONS, step=step
    )
    return np.asarray(reward.exact(z, CORRECT, **told))


def kl_prox(reward, prior=PRIOR, *, beta=2.0, steps=600):
    z = before = np.log(prior)
    for step in range(steps):
        z, before = normalise(z + rewards_of(reward, z, before, step) / beta), z
    return np.exp(z)


def policy_gradient(reward, *, rate, steps, scaled):
    z = before = np.log(PRIOR)
    for step in range(steps):
        pi, r = np.exp(z), rewards_of(reward, z, before, step)
        advantages = r - (pi * r).sum(axis=1, keepdims=True)
        if scaled:
            advantages = advantages / (np.sqrt((pi * advantages**2).sum(axis=1, keepdims=True)) + 1e-4)
        z, before = normalise(z + rate * pi * advantages), z
    return np.exp(z)


def test_every_reward_has_its_limit_here():
    assert set(LIMITS) == set(REWARDS)


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_kl_prox_ends_where_the_card_says(name):
    words, expected = LIMITS[name]
    assert words in get_reward(name).card.limit
    np.testing.assert_allclose(kl_prox(get_reward(name)), expected, atol=1e-6)


@pytest.mark.parametrize("spec", sorted(VARIANTS))
def test_kl_prox_ends_where_the_settings_say(spec):
    """Steps so small that no single one carries an answer over its rival: X2 is a law of the mean drift."""
    np.testing.assert_allclose(kl_prox(get_reward(spec), beta=20.0, steps=4000), VARIANTS[spec], atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(LIMITS) - {"kl-uniform", "kl-reference"}))
def test_grpo_ends_on_the_same_answers(name):
    """Softmax gradient does not keep proportions, so only the answers that keep mass are compared."""
    expected = LIMITS[name][1]
    found = policy_gradient(get_reward(name), rate=1.0, steps=1500, scaled=True)
    if expected is PRIOR:
        np.testing.assert_allclose(found, PRIOR, atol=1e-9)
    else:
        assert (np.where(expected > 0, found, 0).sum(axis=1) > 0.995).all()


@pytest.mark.parametrize("name", ["kl-uniform", "kl-reference"])
def test_policy_gradient_reaches_a_limit_inside_the_simplex(name):
    """Without division by the standard deviation, which would not vanish at the limit."""
    found = policy_gradient(get_reward(name), rate=0.5, steps=1500, scaled=False)
    np.testing.assert_allclose(found, LIMITS[name][1], atol=1e-6)


@pytest.mark.parametrize("name", [name for name, (_, end) in LIMITS.items() if end is MODE])
def test_exact_ties_stay_ties(name):
    tied = np.array([[0.3, 0.3, 0.3, 0.1], [0.2, 0.4, 0.4, 0.0]])
    with np.errstate(divide="ignore"):
        found = kl_prox(get_reward(name), tied)
    np.testing.assert_allclose(found, [[1 / 3, 1 / 3, 1 / 3, 0], [0, 0.5, 0.5, 0]], atol=1e-6)
    assert found[0, 0] == found[0, 1] == found[0, 2] and found[1, 1] == found[1, 2]


@pytest.mark.parametrize(
    "name, power", [("trajectory-entropy", 1.5), ("entropy-reduction", 1.5), ("kl-uniform", 0.5)]
)
def test_logarithmic_rewards_raise_the_policy_to_a_power(name, power):
    """Theory S3: pi_k is proportional to pi_0^((1 + 1/beta)^k); doubly exponential one way, to uniform the
    other.
    """
    for steps in (1, 3, 6):
        expected = np.exp(normalise(np.log(PRIOR) * power**steps))
        np.testing.assert_allclose(kl_prox(get_reward(name), steps=steps), expected, rtol=1e-9)


@pytest.mark.parametrize("beta, uniform", [(0.51, True), (0.49, False)])
def test_kl_to_uniform_needs_beta_above_one_half(beta, uniform):
    """|1 - 1/beta| < 1: smaller beta overshoots and oscillates ever further."""
    found = kl_prox(get_reward("kl-uniform"), beta=beta, steps=300)
    assert np.allclose(found, 0.25, atol=1e-3) == uniform


def test_a_policy_in_motion_is_braked_by_kl_to_the_previous():
    z, before = np.log(PRIOR), np.log(REFERENCE)
    moved = []
    for step in range(60):
        z, before = normalise(z + rewards_of(get_reward("kl-previous"), z, before, step) / 2.0), z
        moved.append(np.abs(z - before).max())
    assert moved[0] > 0.1 and moved[-1] < 1e-9
    assert np.abs(np.exp(z) - PRIOR).max() > 0.01


@pytest.mark.parametrize(
    "share, threshold, ends_right", [(0.69, 0.7, True), (0.71, 0.7, False), (0.71, 0.75, True)]
)
def test_the_gate_trusts_a_sure_vote_right_or_wrong(share, threshold, ends_right):
    prior = np.array([[share, 1 - share - 0.1, 0.05, 0.05]] * 2)
    found = kl_prox(get_reward(f"hybrid-gated(threshold={threshold})"), prior)[0]
    assert (found[[1, 3]].sum() > 0.999) == ends_right and (found[0] > 0.999) != ends_right


def test_he_2026_s_claim_is_too_strong():
    """'Intrinsic rewards converge to the initial mode': rephrasings, clusters and the KLs do not, and five
    never move.
    """
    intrinsic = [name for name in LIMITS if REWARDS[name].card.branch.startswith("intrinsic")]
    reach = [name for name in intrinsic if LIMITS[name][1] is MODE]
    assert len(intrinsic) == 16 and len(reach) == 7
