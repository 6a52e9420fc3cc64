"""KL-regularisation to uniform: reward a completion for being unlikely, an entropy bonus."""

import math

from sharpening.rewards.base import RewardCard, UnifiedForm
from sharpening.rewards.certainty import TokenReward
from sharpening.rewards.registry import register_reward


@register_reward
class KLUniformReward(TokenReward):
    """r = sum_t [-log V - log pi(y_t)], nats; its mean over one-token answers is -KL(pi || uniform) = H(pi) -
    log V <= 0.

    The direction is policy to uniform, unlike self-certainty's. Meant beside another reward; alone it undoes
    the policy. On one-token answers r(a) = -log pi(a) - log K: KL-prox takes pi^(1 - 1/beta), which is
    uniform in the limit for beta > 1/2.
    Source: the entropy bonus of policy gradient (Williams & Peng 1991); named "KL-regularisation" in the
    summary of the field.
    """

    card = RewardCard(
        name="kl-uniform",
        title="KL-regularisation to uniform",
        branch="intrinsic: certainty",
        known_as=("entropy bonus",),
        unified=UnifiedForm(
            "completion, one-hot", "policy over completions", "completion", 1, "minus log |Y|"
        ),
        formula="sum_t [-log V - log pi(y_t)]",
        unit="nats",
        sign="mean <= 0; higher is less certain",
        limit="uniform over the answers that are possible",
        failure_mode=(
            "forgetting: rare tokens of no meaning are rewarded as much as rare answers; longer completions"
            " vary more"
        ),
        needs=("tokens",),
        source="entropy regularisation (Williams & Peng 1991)",
    )

    def of_tokens(self, tokens):
        """r (prompts, rollouts): minus the total of log pi(y_t) + log V."""
        return -tokens.total(tokens.log_prob + math.log(tokens.vocab_size))
