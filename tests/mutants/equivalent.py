"""Errors that no test can notice, each with the reason: module -> error -> why."""

TWO_AXES = "the arrays are (prompts, answers) or (prompts, rollouts) here, so the last axis is axis 1"
DISCARDED = (
    "this branch of the inner where is thrown away by the outer one, which is 0 there; it only keeps a"
    " division by 0 from being formed"
)
MEMORY = "it changes how many groups are compared at a time, and so memory only"
AT_ONE = "where the two conditions differ the count is 1, and dividing by it or by 1 is the same"
AT_ZERO = "where the two conditions differ the number is 0, which is what the other branch gives"
STRICT = "both sequences come from the same array, so their lengths cannot differ"

EQUIVALENT: dict[str, dict[str, str]] = {
    "sharpening.updates.advantages": {
        "divide_by_std: std > 0 (no. 2) -> std >= 0": DISCARDED,
        "divide_by_std: 1.0 (no. 2) -> 2.0": DISCARDED,
        "score_direction: -1 -> 1": TWO_AXES,
        "score_direction: -1 (no. 2) -> 1": TWO_AXES,
        "score_direction: -1 (no. 3) -> 1": TWO_AXES,
    },
    "sharpening.updates.kl_prox": {"KLProx.policy_group_direction: -1 -> 1": TWO_AXES},
    "sharpening.updates.natural_gradient": {"NaturalGradient.policy_group_direction: -1 -> 1": TWO_AXES},
    "sharpening.metrics": {
        "_float: 0.0 -> 1.0": "only the dtype of this number is used",
        "_blocks: _MAX_PAIRS // rollouts ** 2 -> _MAX_PAIRS * rollouts ** 2": MEMORY,
        "_blocks: rollouts ** 2 -> rollouts * 2": MEMORY,
        "_blocks: 2 -> 3": MEMORY,
        "_blocks: 0 (no. 2) -> 1": "an empty slice of no prompts, whichever its ends",
        "_blocks: 0 (no. 3) -> 1": "an empty slice of no prompts, whichever its ends",
        "_vote: 0 (no. 2) -> 1": AT_ONE,
        "_retained: 0 -> 1": AT_ONE,
        "group_metrics: 0 -> 1": AT_ONE,
        "majority_share: 0 -> 1": AT_ONE,
        "leading_answers: True -> False": STRICT,
        "leading_answers: True (no. 2) -> False": STRICT,
        "exact_metrics: xp.abs(xp.sum(xp.exp(array), axis=1) - 1) < 0.001 -> xp.abs(xp.sum(xp.exp(array), axis=1) - 1) <= 0.001": (
            "the tolerance itself, which no row of floating-point numbers need hit"
        ),
        "exact_metrics: kl > 0 -> kl >= 0": AT_ZERO,
        "exact_metrics: excess > 0 -> excess >= 0": AT_ZERO,
        "exact_metrics: num_initial > 0 -> num_initial >= 0": (
            "without an initial leader -infinity is added, so the excess is 0 whatever the KL"
        ),
    },
}
