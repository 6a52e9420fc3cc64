"""The unified form of He et al. 2026, evaluated as it is written on each card: does it give the reward?"""

import math
from collections import Counter

import numpy as np
import pytest
from reward_oracle import elected, log_likelihood, mean, policies, random_case, token_table

from sharpening import REWARDS, InputError, TokenStatistics, UnifiedForm, get_reward
from sharpening.rewards import GRANULARITIES, PSI

TOKEN_ANCHORS = {
    "uniform over the vocabulary": lambda probs, token: [1 / len(probs)] * len(probs),
    "sampled token, one-hot": lambda probs, token: [float(v == token) for v in range(len(probs))],
    "next-token policy": lambda probs, token: probs,
}


def ballots(case, i, voters=None):
    votes = Counter()
    for j in range(len(case.questions)) if voters is None else [i]:
        if case.questions[j] == case.questions[i]:
            votes.update(a for a in case.answers[j].tolist() if a != -1)
    return votes


def weighted(case, i):
    votes = Counter()
    for voter in set(case.voters[i].tolist()):
        own = [a for a, v in zip(case.answers[i].tolist(), case.voters[i], strict=True) if v == voter]
        heard = Counter(a for a in own if a != -1)
        for answer, number in heard.items():
            votes[answer] += number * max(heard.values()) / len(own)
    return votes


def frequencies(ids):
    return {value: number / len(ids) for value, number in Counter(ids).items()}


def likelihoods(case, i):
    scores = [
        math.exp(mean(math.log(p[y]) for p, y, _ in policies(case, i, r)))
        for r in range(case.answers.shape[1])
    ]
    return {r: score / sum(scores) for r, score in enumerate(scores)}


def surely(case, i):
    heard = Counter(a for a in case.answers[i].tolist() if a != -1)
    top = max(heard.values(), default=0) / case.answers.shape[1]
    return {a: share * top for a, share in elected(heard).items()}  # what is left over is "abstain"


def clusters(case, i):
    """A refusal is in no cluster, and counts among the rollouts."""
    return frequencies(
        [
            c if a != -1 else None
            for a, c in zip(case.answers[i].tolist(), case.clusters[i].tolist(), strict=True)
        ]
    )


TARGETS = {  # what probability the target gives the one-hot anchor's outcome
    "policy over completions": lambda case, i, r: math.exp(log_likelihood(case, i, r)),
    "softmax over the group of the mean log-probability": lambda case, i, r: likelihoods(case, i)[r],
    "uniform over the leading answers of the vote": lambda case, i, r: elected(ballots(case, i, [i])).get(
        case.answers[i, r], 0
    ),
    "uniform over the leading answers of all rephrasings": lambda case, i, r: elected(ballots(case, i)).get(
        case.answers[i, r], 0
    ),
    "uniform over the leading answers of the weighted vote": lambda case, i, r: elected(
        weighted(case, i)
    ).get(case.answers[i, r], 0),
    "the leaders' common frequency, shared among them, else abstain": lambda case, i, r: surely(case, i).get(
        case.answers[i, r], 0
    ),
    "answer frequencies of the group": lambda case, i, r: frequencies(case.answers[i].tolist())[
        case.answers[i, r]
    ],
    "cluster frequencies of the group": lambda case, i, r: (
        clusters(case, i)[case.clusters[i, r]] if case.answers[i, r] != -1 else 0
    ),
}
PSI_OF = {
    "identity": lambda x, case, i, r: x,
    "exp": lambda x, case, i, r: math.exp(x),
    "N exp": lambda x, case, i, r: case.answers.shape[1] * math.exp(x),
    "minus log V": lambda x, case, i, r: x - math.log(case.logits.shape[-1]),
    "minus log |Y|": lambda x, case, i, r: x - case.mask[i, r].sum() * math.log(case.logits.shape[-1]),
    "plus H(group)": lambda x, case, i, r: (
        x - sum(p * math.log(p) for p in frequencies(case.answers[i].tolist()).values())
    ),
}


def cross_entropy(anchor, target):
    return -sum(
        q * (math.log(p) if p > 0 else -math.inf) for q, p in zip(anchor, target, strict=True) if q > 0
    )


def unified(form, case, i, r):
    """psi((sign/|I|) sum over I of H(anchor, target)), read off the card."""
    if form.granularity == "tokens":
        assert form.target == "next-token policy"
        terms = [
            cross_entropy(TOKEN_ANCHORS[form.anchor](probs, token), probs)
            for probs, token, _ in policies(case, i, r)
        ]
    else:
        assert form.anchor == f"{form.granularity}, one-hot"
        terms = [cross_entropy([1.0], [TARGETS[form.target](case, i, r)])]
    return PSI_OF[form.psi](form.sign * mean(terms), case, i, r)


WITH_FORM = [name for name in sorted(REWARDS) if REWARDS[name].card.unified is not None]
INTRINSIC_WITHOUT = {"probability-disparity", "trajectory-consistency", "kl-reference", "kl-previous"}


@pytest.mark.parametrize("name", WITH_FORM)
def test_the_form_on_the_card_gives_the_reward(name):
    reward = get_reward(name)
    for seed in range(5):
        case = random_case(seed)
        tokens = TokenStatistics(
            mask=case.mask,
            answer_mask=case.answer_mask,
            vocab_size=case.logits.shape[-1],
            **token_table(case),
        )
        found = reward.group(case.answers, case.is_correct, tokens=tokens, **case.signals())
        for (i, r), value in np.ndenumerate(found):
            if name == "entropy-reduction" and case.answers[i, r] == -1:
                # "no answer" is an outcome of the entropy and earns the least, whatever its frequency
                continue
            assert value == pytest.approx(unified(reward.card.unified, case, i, r), rel=1e-9, abs=1e-12), (
                i,
                r,
            )


def test_the_form_is_sensitive_to_each_of_its_parts():
    """The comparison above would notice another anchor, sign or psi."""
    case = random_case(1)
    form = get_reward("self-certainty").card.unified
    right = unified(form, case, 0, 0)
    for other in (
        UnifiedForm("next-token policy", form.target, "tokens", 1, form.psi),
        UnifiedForm(form.anchor, form.target, "tokens", -1, form.psi),
        UnifiedForm(form.anchor, form.target, "tokens", 1, "identity"),
    ):
        assert abs(unified(other, case, 0, 0) - right) > 1e-3


def test_what_has_no_form_is_named():
    """External and hybrid rewards have none; of the intrinsic ones, a gap, an order of positions and two
    differences of targets.
    """
    without = {name for name in REWARDS if REWARDS[name].card.unified is None}
    assert {
        name for name in without if REWARDS[name].card.branch.startswith("intrinsic")
    } == INTRINSIC_WITHOUT
    assert {name for name in REWARDS if not REWARDS[name].card.branch.startswith("intrinsic")} <= without


def test_forms_read_as_text():
    assert (
        str(get_reward("majority").card.unified)
        == "exp(-H(answer, one-hot; uniform over the leading answers of the vote))"
    )
    shown = str(get_reward("self-certainty").card.unified)
    assert shown == "mean over tokens of H(uniform over the vocabulary; next-token policy) - log V"
    assert set(PSI) == set(PSI_OF) and len(GRANULARITIES) == 4


@pytest.mark.parametrize("change", [{"sign": 0}, {"granularity": "paragraph"}, {"psi": "cube"}], ids=str)
def test_an_unknown_part_is_refused(change):
    parts = dict(anchor="a", target="b", granularity="tokens", sign=1, psi="exp") | change
    with pytest.raises(InputError, match=next(iter(change))):
        UnifiedForm(**parts)
