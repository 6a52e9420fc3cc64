"""Rewards as text: names, titles, names in the literature, settings, nesting; and what is refused, with the
known names.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpening import (
    REWARDS,
    HybridGatedReward,
    HybridReward,
    HybridScheduledReward,
    InputError,
    JudgeReward,
    MajorityReward,
    NoisyVerifierReward,
    RephrasedMajorityReward,
    SelfCertaintyReward,
    SemanticClustersReward,
    TrajectoryConsistencyReward,
    TrueReward,
    get_reward,
)

share = st.floats(0, 1)
plain = st.sampled_from(sorted(REWARDS)).map(get_reward)
judge = st.builds(JudgeReward, share, share, st.text("ab /.,()='", max_size=8))
noisy = st.builds(NoisyVerifierReward, share, share, plain)
rewards = st.recursive(
    plain | noisy | judge,
    lambda parts: st.one_of(
        st.builds(HybridReward, share, share, share, parts, parts),
        st.builds(HybridGatedReward, parts, parts, share),
        st.builds(HybridScheduledReward, st.integers(1, 99), share, parts, parts),
        st.builds(NoisyVerifierReward, share, share, parts),
    ),
    max_leaves=4,
)


@given(rewards)
def test_the_text_of_a_reward_makes_it_again(reward):
    again = get_reward(reward.spec)
    assert again == reward and hash(again) == hash(reward) and again.spec == reward.spec
    assert again.card == reward.card


@pytest.mark.parametrize(
    "text, reward",
    [
        ("majority", MajorityReward()),
        ("Majority voting", MajorityReward()),
        (" SELF certainty ", SelfCertaintyReward()),
        ("self_certainty", SelfCertaintyReward()),
        ("TTRL", MajorityReward()),
        ("r-zero", MajorityReward()),
        ("RLV\u03b5R", NoisyVerifierReward()),
        ("Exact Verifier", TrueReward()),
        ("judge()", JudgeReward()),
        ("Co-Reward(cross=TRUE)", RephrasedMajorityReward(cross=True)),
        ("noisy-verifier(tpr=0.9, fpr=0.2)", NoisyVerifierReward(0.9, 0.2)),
        ("noisy-verifier( fpr = 2e-1 )", NoisyVerifierReward(0.9, 0.2)),
        ("hybrid-weighted(intrinsic-weight=1)", HybridReward(intrinsic_weight=1.0)),
        ("semantic-clusters(of_answer=0 0 1)", SemanticClustersReward((0, 0, 1))),
        ("judge(model='a (b), c')", JudgeReward(model="a (b), c")),
        ("covo(form=linear)", TrajectoryConsistencyReward("linear")),
        (
            (
                "hybrid-gated(intrinsic=majority, external=noisy-verifier(tpr=0.9, verifier=judge(tpr=0.8)),"
                " threshold=0.75)"
            ),
            HybridGatedReward(MajorityReward(), NoisyVerifierReward(0.9, 0.1, JudgeReward(0.8)), 0.75),
        ),
    ],
)
def test_texts(text, reward):
    assert get_reward(text) == reward
    assert get_reward(reward) is reward


def test_every_title_and_every_unshared_name_finds_its_reward():
    names = [name for reward in REWARDS.values() for name in reward.card.known_as]
    for reward in REWARDS.values():
        assert get_reward(reward.card.title) is reward
        for name in reward.card.known_as:
            if names.count(name) == 1:
                assert get_reward(name) is reward


@pytest.mark.parametrize(
    "text, told",
    [
        ("majorty", "antiderivative.*majority.*true"),
        ("EM-RL", "token-entropy, trajectory-entropy"),
        ("majority(tpr=1)", "no settings"),
        ("noisy-verifier(rate=1)", "tpr, fpr, verifier"),
        ("noisy-verifier(tpr=high)", "number"),
        ("noisy-verifier(tpr=1.5)", "tpr.*0..1"),
        ("noisy-verifier(tpr=nan)", "tpr.*0..1"),
        ("noisy-verifier(verifier=nobody)", "known rewards"),
        ("noisy-verifier(tpr=0.5, tpr=0.6)", "twice"),
        ("noisy-verifier(0.5)", "setting=value"),
        ("noisy-verifier(tpr=)", "setting=value"),
        ("noisy-verifier(tpr=0.5", "brackets"),
        ("noisy-verifier(tpr=0.5))", "brackets"),
        ("judge(model='a)", "quote"),
        ("noisy-verifier(verifier=judge(tpr=0.5)", "brackets"),
        ("rephrased-majority(cross=maybe)", "true or false"),
        ("hybrid-scheduled(every=2.5)", "whole number"),
        ("hybrid-scheduled(every=0)", "every"),
        ("semantic-clusters(of_answer=a b)", "whole numbers"),
        ("trajectory-consistency(form=cubic)", "vector, linear"),
        ("self-contrastive(temperature=0)", "temperature"),
        ("self-contrastive(temperature=inf)", "temperature"),
        ("pseudo-label-confidence(threshold=-1)", "threshold"),
        ("hybrid-gated(threshold=2)", "threshold"),
        ("", "known rewards"),
        (3, "name of one"),
    ],
)
def test_what_is_refused(text, told):
    with pytest.raises(InputError, match=told):
        get_reward(text)


def test_a_card_lists_what_all_parts_read():
    mixed = get_reward("hybrid-gated(intrinsic=kl-reference, external=noisy-verifier(verifier=judge))")
    assert (
        mixed.card.needs == ("answers", "tokens", "reference_log_probs", "verdicts")
        and mixed.card.verifier == "judge"
    )
    assert get_reward("hybrid-gated").card.needs == ("answers", "labels")
    assert "step" in get_reward("hybrid-scheduled(intrinsic=probability)").card.needs
    with pytest.raises(InputError, match="parts of HybridReward"):
        HybridReward(intrinsic="majority")
