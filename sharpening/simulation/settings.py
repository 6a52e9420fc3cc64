"""The settings of a simulation and the rules they obey, checked before any work."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Protocol, TypeGuard

import jax
import numpy as np

from sharpening.errors import InputError
from sharpening.population import Population, check_population, check_temperature
from sharpening.rewards import Reward
from sharpening.rewards.asking import check_form, check_labelled
from sharpening.simulation.plan import Plan
from sharpening.simulation.sampling import epoch_schedule
from sharpening.updates import Update

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

METHODS = ("exact", "sampled", "mean_field")
OPTIMIZERS = ("sgd", "adam")


class Prompts(Protocol):
    """What settings ask of a population, over answers or over sequences of tokens."""

    @property
    def num_prompts(self) -> int: ...

    @property
    def weights(self) -> np.ndarray | None: ...


@dataclass(frozen=True)
class Settings:
    """Keyword arguments of `sharpening.simulate`, which explains them. Raises: InputError for unknown names
    or bad sizes.
    """

    num_steps: int
    method: str = "exact"
    prompts_per_step: int = 32
    rollouts: int = 8
    dataset_size: int | None = None
    eval_every: int = 1
    optimizer: str = "sgd"
    precision: str = "float64"
    temperature: float = 1.0

    def __post_init__(self):
        for name, least in (("num_steps", 1), ("prompts_per_step", 1), ("rollouts", 2), ("eval_every", 1)):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
                raise InputError(name, value, f"it is an integer >= {least}")
            object.__setattr__(self, name, int(value))
        check_temperature(self.temperature)
        object.__setattr__(self, "temperature", float(self.temperature))
        for name, known in (
            ("method", METHODS),
            ("optimizer", OPTIMIZERS),
            ("precision", ("float64", "float32")),
        ):
            if getattr(self, name) not in known:
                raise InputError(name, getattr(self, name), f"known ones are {', '.join(known)}")

    def check(self, population: Population, reward: Reward, update: Update) -> None:
        """InputError if these settings do not fit the population, or the reward or update cannot be used on
        it.
        """
        check_population(population)
        if not isinstance(reward, Reward):
            raise InputError(
                "reward", reward, "it is a reward or the name of one", "Use sharpening.rewards.get_reward"
            )
        if not isinstance(update, Update):
            raise InputError(
                "update", update, "it is an update rule", "Use one of sharpening.updates, e.g. GRPO(1.0)"
            )
        self._check_update(reward, update)
        check_form(reward, "group" if self.method == "sampled" else "exact")
        check_hashable(reward)
        check_labelled("population", reward, population.correct)
        size, total = self.dataset_size, population.num_prompts
        wordings = rephrasings(population, reward)
        for name in ("prompts_per_step", "dataset_size"):
            value = getattr(self, name)
            if (
                wordings > 1
                and self.method != "exact"
                and isinstance(value, (int, np.integer))
                and value % wordings
            ):
                raise InputError(
                    name,
                    value,
                    f"each question comes with its {wordings} rephrasings",
                    f"Use a multiple of {wordings}",
                )
        if size is None:
            return
        if not isinstance(size, (int, np.integer)) or isinstance(size, bool) or not 1 <= size < total:
            rule = (
                f"the first dataset_size of {total} prompts are trained and the others, at least one, are"
                " evaluated"
            )
            raise InputError("dataset_size", size, rule, "Use a larger population or a smaller dataset_size")
        if not (population.prompt_weights[:size].sum() > 0 and population.prompt_weights[size:].sum() > 0):
            raise InputError("dataset_size", size, "trained and evaluated prompts both need some weight")

    def _check_update(self, reward: Reward, update: Update) -> None:
        if self.temperature != 1 and not getattr(update, "follows_logits", False):
            rule = (
                f"{update.name} is a step of the policy, not a gradient with respect to logits that T divides"
            )
            fix = "Use grpo or softmax_gradient, or simulate population.tempered(temperature) with the step you mean"
            raise InputError("temperature", self.temperature, rule, fix)
        updates = getattr(update, "num_iterations", 1)
        if updates > 1 and "previous_log_probs" in reward.card.needs:
            rule = f"{reward.name} compares with the policy one update earlier, and a batch is paid once"
            raise InputError("num_iterations", updates, rule, "Use num_iterations=1")

    def stands_still(self, coupling) -> bool:
        """Whether no evaluated policy can move: prompts are fresh, and none moves another."""
        if self.dataset_size is not None or self.method == "exact":
            return False
        return not (coupling.features.any() if hasattr(coupling, "features") else coupling.shared)

    def warn_if_still(self, coupling) -> None:
        """A UserWarning, which says why and what to do, if the curves are constant by construction."""
        if self.stands_still(coupling):
            warnings.warn(
                f"the curves are constant by construction: with method={self.method!r} and no dataset_size every"
                " prompt is fresh, and these prompts are not coupled, so no step reaches a prompt that is"
                " evaluated. Give dataset_size, or a population with a coupling whose shared part is above 0, such"
                " as CompoundSymmetric(private=1.0, shared=0.1)",
                UserWarning,
                stacklevel=4,
            )

    def trained(self, population: Prompts) -> int:
        """How many prompts keep a private part: the data set, or the whole population for "exact" without
        one, else none.
        """
        if self.dataset_size is not None:
            return int(self.dataset_size)
        return population.num_prompts if self.method == "exact" else 0

    def schedules(self, population: Prompts, keys: jax.Array, wordings: int = 1) -> np.ndarray | None:
        """Shuffled epochs of the trained questions, each with `wordings` prompts, (keys, num_steps, questions
        in a step); None where prompts are not taken in epochs.
        """
        if self.method != "sampled" or self.dataset_size is None or population.weights is not None:
            return None
        return np.stack(
            [
                epoch_schedule(
                    words, self.dataset_size // wordings, self.num_steps, self.prompts_per_step // wordings
                )
                for words in np.asarray(jax.random.key_data(keys))
            ]
        )

    def plan(self, population: Population, reward: Reward, update: Update | None) -> Plan:
        """What the compiled loop needs to know, and no more, so that runs share compilations; the update itself only
        where it is no JAX pytree.
        """
        sampled, trained = self.method == "sampled", self.trained(population)
        return Plan(
            method=self.method,
            trained=trained,
            prompts_per_step=self.prompts_per_step if self.method != "exact" else 0,
            rollouts=self.rollouts if sampled else 0,
            adam=self.optimizer == "adam",
            no_answer=population.no_answer,
            reward=reward,
            update=update if jax.tree_util.all_leaves([update]) else None,
            full=bool(np.isfinite(population.log_probs).all()),
            rephrasings=rephrasings(population, reward),
            anchored=getattr(update, "moves_reference", False),
            iterations=getattr(update, "num_iterations", 1),
        )


def check_hashable(reward: Reward) -> None:
    """InputError if the reward cannot be a key, which compiled loops are kept under."""
    try:
        hash(reward)
    except TypeError:
        rule = "it cannot be hashed, and simulations keep their compiled loops by the reward"
        fix = "Make it a frozen dataclass whose settings are numbers, texts, tuples or rewards"
        raise InputError("reward", reward.name, rule, fix) from None


def rephrasings(population: Population, reward: Reward) -> int:
    """How many prompts a step takes together: the wordings of a question, where the reward compares them."""
    return population.rephrasings if "questions" in reward.card.needs else 1


def plain_settings(value: object) -> dict:
    """An update, objective or coupling as plain data: its name and its fields, those of dataclasses inside too."""
    names = [field.name for field in fields(value)] if _is_record(value) else []
    told = {name: getattr(value, name) for name in names}
    return {"name": getattr(value, "name", type(value).__name__)} | {
        name: plain_settings(item) if _is_record(item) else item.item() if hasattr(item, "item") else item
        for name, item in told.items()
    }


def _is_record(value: object) -> TypeGuard[DataclassInstance]:
    return is_dataclass(value) and not isinstance(value, type)
