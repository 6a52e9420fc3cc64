"""What a CollapseMonitor is given, checked before any training."""

import numbers

from llm_bridge.console.numbers import SEEDS, real, truth, whole
from llm_bridge.logs.finding import LEVELS
from llm_bridge.training.settings import TEMPERATURES
from sharpening.collapse import CRITERIA
from sharpening.errors import InputError

DEFAULT_LEVEL = "default"
"""Of `collapse_level`: critical, unless a criterion is named."""
ENDING = LEVELS[LEVELS.index("warning") :]


def check_sampling(rollouts, temperature, max_new_tokens, seed, initial_rollouts=64) -> None:
    """Raise InputError unless votes can be drawn with these numbers."""
    usual = "Use the value of your training configuration"
    if isinstance(rollouts, numbers.Real) and rollouts < 2:
        raise InputError(
            "rollouts", rollouts, "a vote of one rollout always agrees with itself", "Use 8 rollouts"
        )
    whole("rollouts", rollouts, 2, fix=usual)
    for name, value in (("temperature", temperature), ("max_new_tokens", max_new_tokens)):
        if isinstance(value, numbers.Real) and value <= 0:
            raise InputError(name, value, "it must be greater than zero", usual)
    real("temperature", temperature, *TEMPERATURES, fix=usual)
    whole("max_new_tokens", max_new_tokens, 1, fix=usual)
    whole("seed", seed, 0, SEEDS - 1, fix=usual)
    whole("initial_rollouts", initial_rollouts, 2, fix="Leave it out for 64")


def check_watching(criterion: str, labelled: bool, reference, **numbers_and_flags) -> None:
    """Raise InputError for a criterion that is unknown or cannot be measured, and for numbers and flags that are
    none.
    """
    if criterion not in CRITERIA:
        raise InputError(
            "criterion",
            criterion,
            f"known criteria are {', '.join(CRITERIA)}",
            "Use mode_retention if there are no labels",
        )
    for name, value in numbers_and_flags.items():
        if name in ("eval_every", "patience"):
            whole(name, value, 1, fix=f"Leave {name} out for the default")
        else:
            truth(name, value)
    if CRITERIA[criterion].needs_labels and not labelled:
        raise InputError(
            "criterion",
            criterion,
            "it needs true answers, and there are none",
            "Pass answers=[...] or use mode_retention",
        )
    if CRITERIA[criterion].metric == "excess_kl" and reference is False:
        raise InputError(
            "reference", reference, "excess_kl is measured against the initial model", "Leave reference out"
        )


def check_level(level) -> None:
    """Raise InputError unless this is a level that can end a run, or None."""
    if level not in (None, *ENDING):
        rule = f"levels that can end a run are {', '.join(ENDING)}, and None for none"
        raise InputError("collapse_level", level, rule, "Leave it out for critical")


def not_one_set(prompts) -> InputError:
    return InputError(
        "prompts",
        prompts,
        "the monitor needs evaluation prompts",
        "Pass prompts=[...] (or evaluator=..., not both)",
    )
