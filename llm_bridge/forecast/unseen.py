"""What a planned run has that no run of the calibration had, and how much wider its intervals become for it.

The rule is a judgement, not a measurement: each kind of difference is taken for a source of error of its own,
independent of the others and as large as the calibration's whole error, so with k kinds the standard
deviation of log T, and the logs of both factors of an interval, are √(1 + k) times the calibrated ones.
Medians stay.
"""

import math
from dataclasses import replace

from llm_bridge.forecast.calibration.survival import CALIBRATED, Calibration
from llm_bridge.models.chat import pictures_of
from llm_bridge.training.planned import TrainerSettings

LARGEST = 330_000
"""Parameters of the largest model whose runs the shipped calibration was fitted on."""

LONGEST = 40
"""New tokens of the longest completions in those runs."""

CALIBRATED_FIELDS: dict[str, dict[str, tuple]] = {
    "a KL penalty": {"beta": (0.0,)},
    "another loss": {"loss_type": ("dapo",), "importance_sampling_level": ("token",)},
    "another scale of rewards": {
        "scale_rewards": ("group", "True"),
        "multi_objective_aggregation": ("sum_then_normalize",),
    },
    "weight decay": {"weight_decay": (0.0,)},
    "another clip norm": {"max_grad_norm": (1.0,)},
    "other betas of Adam": {"adam_beta1": (0.9,), "adam_beta2": (0.999,)},
    "another law of sampling": {
        "temperature": (1.0,),
        "top_p": (1.0,),
        "top_k": (0, None, -1),
        "min_p": (None, 0.0),
        "repetition_penalty": (1.0,),
    },
    "an entropy bonus or mask": {"entropy_coef": (0.0,), "top_entropy_quantile": (1.0,)},
    "16-bit arithmetic": {"bf16": (False,), "fp16": (False,)},
}
"""Kinds of difference by the fields of GRPOConfig that make them, with the values that the runs had."""


def size_kind(num_parameters: int) -> list[str]:
    """The kind of difference that a model's size makes."""
    if num_parameters <= LARGEST:
        return []
    return [f"a model of {num_parameters:,} parameters (the largest had {LARGEST:,})"]


def images_kind(task) -> list[str]:
    """The kind of difference that prompts with images make."""
    if not any(pictures_of(problem.prompt) for problem in task.problems[:1]):
        return []
    return ["prompts with images (they had texts alone)"]


def votes_kind(settings) -> list[str]:
    """The kind of difference that learning from fewer completions than vote makes."""
    if settings.train_rollouts is None:
        return []
    return [f"votes of {settings.rollouts} completions of which {settings.train_rollouts} are learnt from"]


def unseen_kinds(settings: TrainerSettings, *, num_parameters: int, clock, reward_known: bool) -> list[str]:
    """The kinds of difference of a planned run, each in a few words."""
    found, told = size_kind(num_parameters) + votes_kind(settings), settings.trl
    if "peft" in told:
        found.append(f"an adapter ({told['peft'].get('peft_type', 'PEFT')}) in place of all weights")
    if not reward_known:
        found.append(f"the reward {settings.reward} (they had {', '.join(CALIBRATED)})")
    if clock.sums is not None:
        found.append(
            f"a schedule of the learning rate ({told.get('lr_scheduler_type', 'given')}), which enters as the"
            " sum of its rates"
        )
    if _updates_a_batch(told) > 1:
        found.append(f"{_updates_a_batch(told):g} updates on one batch of completions{_clip_told(told)}")
    if (settings.max_new_tokens or 0) > LONGEST:
        found.append(f"completions of up to {settings.max_new_tokens} tokens (the longest had {LONGEST})")
    if settings.optimizer not in ("adam", "sgd"):
        found.append(f"the optimizer {settings.optimizer}")
    for kind, fields in CALIBRATED_FIELDS.items():
        changed = {
            name: told[name]
            for name, known in fields.items()
            if name in told and told[name] not in known and str(told[name]) not in known
        }
        if changed:
            found.append(f"{kind} ({', '.join(f'{name} = {value}' for name, value in changed.items())})")
    return found


def _updates_a_batch(told: dict) -> float:
    steps = told.get("steps_per_generation") or 1
    return steps * told.get("num_iterations", 1) / (told.get("gradient_accumulation_steps") or 1)


def _clip_told(told: dict) -> str:
    """Where ratios are clipped, if not where TRL does: it has a say in the second update on a batch alone."""
    low, high = told.get("epsilon", 0.2), told.get("epsilon_high")
    high = low if high is None else high
    return "" if (low, high) == (0.2, 0.2) else f", ratios clipped at 1 - {low:g} and 1 + {high:g}"


def widening(kinds) -> float:
    """√(1 + number of kinds): by how much the standard deviation of log T grows."""
    return math.sqrt(1 + len(kinds))


def widened(calibration: Calibration, kinds) -> Calibration:
    """The calibration with the failure times' spread, and so their intervals, wider by the rule above."""
    factor = widening(kinds)
    heads = {name: replace(head, spread=head.spread * factor) for name, head in calibration.heads.items()}
    return replace(calibration, heads=heads)


def unseen_told(kinds) -> list[str]:
    """One sentence for the verdict; none where the run is like those of the calibration."""
    if not kinds:
        return []
    return [
        f"No run of the calibration had {'; '.join(kinds)}. So its intervals are widened: the error of log T"
        f" counts {widening(kinds):.2f} times, √(1 + {len(kinds)}), one calibrated variance for each kind; a"
        " judgement, not measured."
    ]
