"""The registry: a new reward is one small file with one decorated class, or an entry point of another
package.
"""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points
from types import ModuleType

from sharpening.errors import InputError
from sharpening.rewards.base import Reward, RewardCard
from sharpening.spec import normal, split_spec, with_settings

ENTRY_POINTS = "sharpening.rewards"
REWARDS: dict[str, Reward] = {}


def register_reward(cls: type[Reward]) -> type[Reward]:
    """Class decorator: put one instance, with default settings, into REWARDS under `cls.card.name`.

    Raises: InputError if the card is missing, the name belongs to another class, or a setting has no default.
    """
    card = getattr(cls, "card", None)
    if not isinstance(card, RewardCard):
        raise InputError("card", card, f"{cls.__name__} needs a RewardCard named `card`")
    known = REWARDS.get(card.name)
    if known is not None and (type(known).__module__, type(known).__qualname__) != (
        cls.__module__,
        cls.__qualname__,
    ):
        raise InputError("name", card.name, f"{type(known).__name__} already has it", "Choose another name")
    try:
        REWARDS[card.name] = cls()
    except TypeError as error:
        rule = f"{cls.__name__}() must give the reward with its default settings: {error}"
        raise InputError("reward", cls.__name__, rule, "Give every setting a default") from error
    return cls


def load_entry_points() -> None:
    """Import and register the rewards that other packages announce in the entry-point group
    `sharpening.rewards`.

    Warns: UserWarning naming an entry point that fails, gives no reward or registers a name that is taken: it
    is skipped, and the others work.
    """
    for entry in entry_points(group=ENTRY_POINTS):
        known = dict(REWARDS)
        try:
            loaded = entry.load()
            if isinstance(loaded, type) and issubclass(loaded, Reward):
                register_reward(loaded)
            elif REWARDS.keys() == known.keys() and not isinstance(loaded, ModuleType):
                raise InputError("reward", loaded, "it is a subclass of sharpening.Reward")
        except (Exception, SystemExit) as error:
            REWARDS.clear()
            REWARDS.update(known)
            warnings.warn(_skipped(entry, error), UserWarning, stacklevel=3)


def _skipped(entry, error: BaseException) -> str:
    name, value = getattr(entry, "name", "?"), getattr(entry, "value", "")
    package = getattr(getattr(entry, "dist", None), "name", "")
    where = f" ({value})" * bool(value) + f" of the package {package}" * bool(package)
    return (
        f"the rewards of the entry point {name!r}{where} are left out: {type(error).__name__}: {error}."
        " Mend or uninstall that package; all other rewards work"
    )


def _named(name: str) -> list[Reward]:
    """Rewards called so: by name or title first, else by a name in the literature."""
    wanted = normal(name)
    own = [reward for reward in REWARDS.values() if wanted in (reward.name, normal(reward.card.title))]
    return own or [reward for reward in REWARDS.values() if wanted in map(normal, reward.card.known_as)]


def get_reward(spec: str | Reward) -> Reward:
    """The reward of that text: its name, its title, or a name in the literature that only one has; with
    settings if wanted.

    "majority"; "Self-certainty"; "TTRL"; "noisy-verifier(tpr=0.9, fpr=0.2)";
    "hybrid-gated(intrinsic=majority, external=noisy-verifier(tpr=0.9), threshold=0.7)". Rewards of installed
    packages are included; a reward is returned as it is. Raises: InputError listing the known names or
    settings.
    """
    if isinstance(spec, Reward):
        return spec
    if not isinstance(spec, str):
        raise InputError("reward", spec, "it is a reward or the name of one", "Use reward 'majority'")
    name, settings = split_spec(spec)
    found = _named(name)
    if not found:
        load_entry_points()
        found = _named(name)
    if not found:
        raise InputError(
            "reward", name, f"known rewards are {', '.join(sorted(REWARDS))}", "Use reward 'majority'"
        )
    if len(found) > 1:
        raise InputError(
            "reward",
            name,
            f"several rewards are known by it: {', '.join(sorted(reward.name for reward in found))}",
            "Use one of those",
        )
    return with_settings(found[0], settings, get_reward)


def list_rewards() -> list[RewardCard]:
    """The cards of all known rewards, by name, those of installed packages included."""
    load_entry_points()
    return [REWARDS[name].card for name in sorted(REWARDS)]
