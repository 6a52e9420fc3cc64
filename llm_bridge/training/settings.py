"""Run settings: one record shared by forecast, measure and compare, checked before any work is done."""

from dataclasses import asdict, dataclass, fields

from sharpening.errors import InputError


@dataclass(frozen=True)
class RunSettings:
    """What a run of training is made of; the command line's options have the same names.

    `reward` is any text that `sharpening.get_reward` reads, and is kept in its canonical form ("TTRL" becomes
    "majority"). `dataset_size=None` draws fresh prompts for every step; an integer trains on that many
    prompts, again and again. `max_new_tokens=None` takes the task's own length. `eval_every` counts optimizer
    steps.
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

    def __post_init__(self):
        positive = (
            "prompts_per_step",
            "max_steps",
            "eval_every",
            "eval_prompts",
            "learning_rate",
            "temperature",
        )
        for name in positive:
            if not getattr(self, name) > 0:
                raise InputError(
                    name,
                    getattr(self, name),
                    "it must be greater than zero",
                    f"Give --{name.replace('_', '-')} a positive value",
                )
        if self.rollouts < 2:
            raise InputError(
                "rollouts",
                self.rollouts,
                "a vote of one rollout always agrees with itself, so it rewards everything alike",
                "Use --rollouts 2 or more (8 is usual)",
            )
        if self.beta < 0:
            raise InputError(
                "beta",
                self.beta,
                "the KL weight cannot be negative",
                "Use --beta 0 to switch the KL term off",
            )
        if self.optimizer not in ("adam", "sgd"):
            raise InputError(
                "optimizer", self.optimizer, "known optimizers are adam and sgd", "Use --optimizer adam"
            )
        for name in ("dataset_size", "max_new_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    name,
                    value,
                    "it must be at least 1",
                    f"Leave --{name.replace('_', '-')} out for the default",
                )
        if self.dataset_size is not None and self.dataset_size < self.prompts_per_step:
            raise InputError(
                "dataset_size",
                self.dataset_size,
                f"a step needs prompts_per_step={self.prompts_per_step} different prompts",
                "Lower --prompts-per-step or raise --dataset-size",
            )
        from sharpening.collapse import CRITERIA

        if self.criterion not in CRITERIA:
            raise InputError(
                "criterion",
                self.criterion,
                f"known criteria are {', '.join(CRITERIA)}",
                "Use --criterion relative",
            )
        from sharpening.rewards import get_reward

        object.__setattr__(self, "reward", get_reward(self.reward).spec)
        if self.asks_rephrasings and self.prompts_per_step % 2:
            raise InputError(
                "prompts_per_step",
                self.prompts_per_step,
                f"the reward {self.reward} compares each question with one rephrasing of it",
                "Use an even --prompts-per-step",
            )

    @property
    def asks_rephrasings(self) -> bool:
        """Whether the reward compares rephrasings of a question, so that half of a step's prompts are
        rephrasings.
        """
        from sharpening.rewards import get_reward

        return "questions" in get_reward(self.reward).card.needs

    def as_dict(self) -> dict:
        """The settings as plain data, in the order of the fields."""
        return asdict(self)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in fields(cls))
