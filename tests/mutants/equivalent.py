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

START = "it is where the optimizer begins, and what it maximises has one top: it ends at the same place"
NEVER_LAST = (
    "a uniform number is below 1 by half a spacing or more, so its product with the total is below the total"
)
MEAN = "a mean of some numbers is above 0 exactly where their sum is"
SCALED = "all weights are scaled alike, and the largest weighted vote stays the largest"
FLOOR = "the floor of a chance that no longer fits into a number; twice as low a floor is as good"
COUNTLESS = "the term that it enters is multiplied by F(1 - F), which is 0 where this is used"

EQUIVALENT: dict[str, dict[str, str]] = {
    "sharpening.coupling": {
        "NoCoupling.for_batch: 0.0 -> 1.0": "only the private strength of this kernel is read",
        "LowRankPlusDiagonal.strategies: 0 -> 1": "a minimum with 1 is negative exactly where one with 0 is",
        "_square: (matrix + matrix.T) / 2 -> (matrix + matrix.T) * 2": "both matrices are scaled alike, and a fit reads their ratio",
        "_square: 2 (no. 3) -> 3": "both matrices are scaled alike, and a fit reads their ratio",
        "_solve: shared < 0 -> shared <= 0": (
            "at 0 the diagonal's own slope is negative here, and both branches then give no strength at all"
        ),
        "fit_compound_symmetric: 1 -> 0": "the matrices are symmetric, so rows and columns have the same sums",
    },
    "sharpening.simulation.sampling": {
        "sample_columns: 1 -> 0": "the root of the number of answers is 1 or more, since there is one",
        "sample_prompts: 1 (no. 2) -> 0": NEVER_LAST,
        "sample_prompts: len(weights) - 1 -> len(weights) + 1": NEVER_LAST,
        "epoch_schedule: -num_steps * prompts_per_step // num_prompts -> -num_steps * prompts_per_step * num_prompts": (
            "more epochs are shuffled than are needed, and cut off"
        ),
        "draw_prompts: weights[:n or None].reshape(-1, wordings).sum(axis=1)"
        " -> weights[:n or None].reshape(-1, wordings).mean(axis=1)": "prompts are drawn in proportion to these weights",
    },
    "sharpening.simulation.settings": {
        "Settings.check: population.prompt_weights[:size].sum() -> population.prompt_weights[:size].mean()": MEAN,
        "Settings.check: population.prompt_weights[size:].sum() -> population.prompt_weights[size:].mean()": MEAN,
        "Settings.check: wordings > 1 -> wordings >= 1": "every number is a multiple of 1",
        "Settings.check: 1 -> 0": "every number is a multiple of 1",
        "Settings.check: 1 (no. 2) -> 0": "a data set of no prompt has no weight, which the next check refuses by the same name",
        "Settings._check_update: 1 (no. 2) -> 0": "0 updates on a batch are no more than 1 either",
    },
    "sharpening.rewards.weighted_majority": {
        "WeightedMajorityReward.group: 0.0 -> 1.0": "only the dtype of this number is used",
        "WeightedMajorityReward.group: xp.sum(xp.astype(same_voter, dtype), axis=2)"
        " -> xp.mean(xp.astype(same_voter, dtype), axis=2)": SCALED,
        "WeightedMajorityReward.group: xp.sum(xp.astype(same_voter & same_answer, dtype), axis=2)"
        " -> xp.mean(xp.astype(same_voter & same_answer, dtype), axis=2)": SCALED,
        "WeightedMajorityReward.group: xp.sum(xp.where(same_answer, weight[:, None, :], zero), axis=2)"
        " -> xp.mean(xp.where(same_answer, weight[:, None, :], zero), axis=2)": SCALED,
        "WeightedMajorityReward.group: 64 -> 65": "the slack is a size, far above rounding and far below a vote, not a number",
        "WeightedMajorityReward.group: votes >= xp.max(votes, axis=1)[:, None] * (1 - slack)"
        " -> votes > xp.max(votes, axis=1)[:, None] * (1 - slack)": "the edge of the slack itself, which no sum of votes need hit",
    },
    "llm_bridge.forecast.calibration.features": {
        "Reading.of: prior.label_accuracy is not None and prior.accuracy is not None"
        " -> prior.label_accuracy is not None or prior.accuracy is not None": (
            "both are read from the same labels: a prior has both or neither"
        ),
        "Reading.at: set(mine) <= set(self.lengths) -> set(mine) < set(self.lengths)": (
            "no feature is a mean of all lengths that there are, so no set of its own is the whole"
        ),
    },
    "llm_bridge.forecast.calibration.fit": {
        "_size_weight: 1 (no. 2) -> 0": (
            "one level more than priors, beside an intercept: the ridge decides between equal fits, and the weight of"
            " the size is the same to the ridge"
        ),
        "chance: True -> False": STRICT,
    },
    "llm_bridge.forecast.calibration.likelihood": {
        "fit_log_logistic: low + high -> low - high": START,
        "fit_log_logistic: high - 0.7 -> high + 0.7": START,
        "objective: low > 0 -> low >= 0": "where the two conditions differ z is 0, and both forms are the same there",
        "objective: 1e-300 -> 2e-300": FLOOR,
        "objective: 0.0 -> 1.0": COUNTLESS,
    },
    "llm_bridge.forecast.calibration.survival": {
        "FailureTime.spread_at: True -> False": STRICT,
        "FailureTime.spread_at: True (no. 2) -> False": STRICT,
        "FailureTime.probability: z > -FARTHEST -> z >= -FARTHEST": "the edge itself, where the chance is 5e-131 or 0",
    },
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
