"""Run settings: one record shared by forecast, measure and compare, checked before any work is done."""

import numbers
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING

from llm_bridge.console.numbers import SEEDS, below, is_number, option, real, truth, whole
from sharpening.errors import InputError

if TYPE_CHECKING:
    from sharpening.rewards import Reward

RATES = (1e-30, 1e6)
"""Learning rates that 32-bit weights can be moved by."""
TEMPERATURES = (1e-6, 1e6)
"""Temperatures that leave 32-bit logits finite."""
COMPLETIONS = 100_000
"""The most completions of one optimizer step."""
PROMPTS = 10_000_000
"""The most prompts of a run, repeats counted: they are listed before the first step."""


@dataclass(frozen=True)
class RunSettings:
    """What a run of training is made of; the command line's options have the same names.

    `reward` is any text that `sharpening.get_reward` reads, and is kept in its canonical form ("TTRL" becomes
    "majority"). `dataset_size=None` draws fresh prompts for every step; an integer trains on that many
    prompts, again and again. `max_new_tokens=None` takes the task's own length. `eval_every` counts optimizer
    steps; with `eval_early` a run is evaluated after steps 1, 2, 3, 5, 8, 12, 16, 24, … first, until those are
    `eval_every` apart, so that early collapses are dated, too. `mask_truncated_completions`, as in TRL's GRPOConfig: completions that were cut off at
    `max_new_tokens` are left out of the loss; here they do not vote and count as no answer, too.

    `train_rollouts`: of the `rollouts` that vote, how many are learnt from (None: all), as TTRL votes on 64 and
    learns from 32. Left out of `as_dict` where it is None.

    `config`: whatever else of TRL's GRPOConfig, and of its ModelConfig for an adapter, a run sets, by TRL's own
    names; fields that have a short name here are set by it. Left out of `as_dict` where it is empty.

    Raises: InputError for a field of `config` that TRL does not know, and for a number that is not finite, not
    whole where it counts something, or beyond what a run can hold.
    """

    reward: str = "majority"
    prompts_per_step: int = 32
    rollouts: int = 8
    temperature: float = 1.0
    learning_rate: float = 5e-4
    optimizer: str = "adam"
    beta: float = 0.0
    dataset_size: int | None = None
    max_steps: int = 300
    seed: int = 0
    criterion: str = "relative"
    max_new_tokens: int | None = None
    eval_every: int = 15
    eval_prompts: int = 256
    mask_truncated_completions: bool = False
    eval_early: bool = False
    config: dict = field(default_factory=dict, hash=False)
    train_rollouts: int | None = None

    def __post_init__(self):
        self._check_counts()
        self._check_rates()
        for name in ("mask_truncated_completions", "eval_early"):
            truth(name, getattr(self, name))
        if self.optimizer not in ("adam", "sgd"):
            raise InputError(
                "optimizer", self.optimizer, "known optimizers are adam and sgd", "Use --optimizer adam"
            )
        self._check_products()
        self._check_criterion()
        self._check_config()
        if not isinstance(self.reward, str):
            raise InputError(
                "reward", self.reward, "it must be the text of a reward", "Use --reward majority"
            )
        self._keep("reward", self.parsed_reward.spec)
        if self.asks_rephrasings and self.prompts_per_step % 2:
            raise InputError(
                "prompts_per_step",
                self.prompts_per_step,
                f"the reward {self.reward} compares each question with one rephrasing of it",
                "Use an even --prompts-per-step",
            )

    def _check_config(self):
        if not isinstance(self.config, dict):
            raise InputError("config", self.config, "it maps names of TRL's fields to values", "Leave it out")
        if not self.config:
            return
        from llm_bridge.training.trl_fields import SHORT, check_names

        check_names(self.config, "config")
        if doubled := [name for name in self.config if name in SHORT]:
            raise InputError(
                "config",
                doubled[0],
                "it has a name of its own here",
                f"Set {SHORT[doubled[0]]}={self.config[doubled[0]]!r} of RunSettings",
            )

    def _check_criterion(self):
        from sharpening.collapse import CRITERIA

        if not isinstance(self.criterion, str) or self.criterion not in CRITERIA:
            raise InputError(
                "criterion",
                self.criterion,
                f"known criteria are {', '.join(CRITERIA)}",
                "Use --criterion relative",
            )

    def _check_counts(self):
        for name in ("prompts_per_step", "max_steps", "eval_every", "eval_prompts"):
            value = getattr(self, name)
            if is_number(value, numbers.Real) and not value > 0:
                rule = "it must be greater than zero"
                raise InputError(name, value, rule, f"Give {option(name)} a positive value")
            self._keep(name, whole(name, value, 1))
        if below(self.rollouts, 2):
            raise InputError(
                "rollouts",
                self.rollouts,
                "a vote of one rollout always agrees with itself, so it rewards everything alike",
                "Use --rollouts 2 or more (8 is usual)",
            )
        self._keep("rollouts", whole("rollouts", self.rollouts, 2))
        self._keep("seed", whole("seed", self.seed, 0, SEEDS - 1))
        for name in ("dataset_size", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None:
                self._keep(name, whole(name, value, 1, fix=f"Leave {option(name)} out for the default"))

    def _check_rates(self):
        for name, (low, high) in (("learning_rate", RATES), ("temperature", TEMPERATURES)):
            value = getattr(self, name)
            if is_number(value, numbers.Real) and value <= 0:
                rule = "it must be greater than zero"
                raise InputError(name, value, rule, f"Give {option(name)} a positive value")
            self._keep(name, real(name, value, low, high))
        if below(self.beta, 0):
            raise InputError(
                "beta",
                self.beta,
                "the KL weight cannot be negative",
                "Use --beta 0 to switch the KL term off",
            )
        self._keep("beta", real("beta", self.beta, 0.0, 1e6))

        if self.train_rollouts is not None:
            fix = "Leave --train-rollouts out to learn from all"
            self._keep("train_rollouts", whole("train_rollouts", self.train_rollouts, 2, self.rollouts, fix))
            if len(self.config.get("reward_funcs", ())) > 1:
                raise InputError(
                    "train_rollouts",
                    self.train_rollouts,
                    "of several rewards others reward every completion",
                    fix,
                )

    def _check_products(self):
        if self.dataset_size is not None and self.dataset_size < self.prompts_per_step:
            raise InputError(
                "dataset_size",
                self.dataset_size,
                f"a step needs prompts_per_step={self.prompts_per_step} different prompts",
                "Lower --prompts-per-step or raise --dataset-size",
            )
        if self.prompts_per_step * self.rollouts > COMPLETIONS:
            raise InputError(
                "rollouts",
                self.rollouts,
                f"a step of prompts_per_step={self.prompts_per_step} would hold"
                f" {self.prompts_per_step * self.rollouts} completions, and {COMPLETIONS} is the most",
                "Lower --rollouts or --prompts-per-step",
            )
        if self.max_steps * self.prompts_per_step > PROMPTS:
            raise InputError(
                "max_steps",
                self.max_steps,
                f"with prompts_per_step={self.prompts_per_step} the run would ask"
                f" {self.max_steps * self.prompts_per_step} prompts, and {PROMPTS} is the most",
                f"Use --max-steps {PROMPTS // self.prompts_per_step} or fewer",
            )

    def _keep(self, name, value):
        object.__setattr__(self, name, value)

    @cached_property
    def parsed_reward(self) -> "Reward":
        """What the text `reward` means, parsed once; no field, so neither compared nor written down."""
        from sharpening.rewards import get_reward

        return get_reward(self.reward)

    def __getstate__(self) -> dict:
        return {name: getattr(self, name) for name in self.names()}

    @property
    def asks_rephrasings(self) -> bool:
        """Whether the reward compares rephrasings of a question, so that half of a step's prompts are
        rephrasings.
        """
        return "questions" in self.parsed_reward.card.needs

    def as_dict(self) -> dict:
        """The settings as plain data, in the order of the fields."""
        unset = {name for name in ("config", "train_rollouts") if not getattr(self, name)}
        return {name: value for name, value in asdict(self).items() if name not in unset}

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))
