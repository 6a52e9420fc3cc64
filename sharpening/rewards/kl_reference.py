"""KL-regularisation to a fixed reference: reward a completion for being likelier under the initial model than
now.
"""

from sharpening.rewards.base import RewardCard
from sharpening.rewards.divergence import DivergenceReward
from sharpening.rewards.registry import register_reward


@register_reward
class KLReferenceReward(DivergenceReward):
    """r = log pi_0(y) - log pi(y), nats, pi_0 the initial policy: the KL penalty of RLHF as a reward; its
    mean is -KL(pi || pi_0) <= 0.

    Outside the unified form: a difference of two cross-entropies with different targets. Beside a reward r'
    with weight beta it stops training at pi_0 exp(r'/beta) (theorem S2); alone it goes back to pi_0. Source:
    Ziegler et al. 2019; theorem S2.
    """

    exact_signal, group_signal = "reference", "reference_log_probs"
    card = RewardCard(
        name="kl-reference",
        title="KL-regularisation to a fixed reference",
        branch="intrinsic: certainty",
        known_as=("KL penalty", "KL in reward"),
        unified=None,
        formula="log pi_0(y) - log pi(y)",
        unit="nats",
        sign="mean <= 0; 0 at the reference",
        limit="the reference policy",
        failure_mode="holds right and wrong answers alike: no collapse, and no learning beyond 1/beta nats",
        needs=("tokens", "reference_log_probs"),
        source="Ziegler et al. 2019; He et al. 2026, KL ablation; theorem S2",
    )
