"""What a reward is, and the registry: a new reward is one small file with one decorated class."""

from dataclasses import asdict, dataclass
from importlib.metadata import entry_points

from sharpening.errors import InputError

ENTRY_POINTS = "sharpening.rewards"
BRANCHES = (
    "intrinsic: certainty",
    "intrinsic: ensemble",
    "external: asymmetry",
    "external: self-verification",
    "external: unlabeled",
    "hybrid",
)
NEEDS = ("answers", "log_probs", "labels", "logits")


@dataclass(frozen=True)
class UnifiedForm:
    """Where a reward sits in r = psi((sign/|I|) sum over I of H(anchor_i, target_i)) (He et al. 2026), H the cross-entropy."""

    anchor: str
    target: str
    granularity: str
    sign: int
    psi: str


@dataclass(frozen=True)
class RewardCard:
    """What one must know of a reward before using it."""

    name: str
    branch: str
    known_as: tuple[str, ...]
    unified: UnifiedForm | None  # None: outside the unified form
    limit: str
    failure_mode: str
    needs: tuple[str, ...]
    source: str

    def __post_init__(self):
        if self.branch not in BRANCHES:
            raise InputError("branch", self.branch, f"known branches are {', '.join(BRANCHES)}")
        if not self.needs or set(self.needs) - set(NEEDS):
            raise InputError("needs", self.needs, f"it lists what the reward reads: {', '.join(NEEDS)}")
        if self.branch.startswith("intrinsic") and (self.unified is None or "labels" in self.needs):
            raise InputError("branch", self.branch, "an intrinsic reward has a unified form and reads no labels")
        for field in ("name", "limit", "failure_mode", "source"):
            if not getattr(self, field).strip():
                raise InputError(field, getattr(self, field), "it cannot be empty")

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


class Reward:
    """A reward: pure functions of arrays (NumPy, JAX or torch), without state.

    `exact` gives the reward of every answer under a known policy (the limit of many rollouts), `group` that of sampled rollouts.
    All take the same arguments and ignore those that `card.needs` does not list.
    """

    card: RewardCard

    @property
    def name(self) -> str:
        return self.card.name

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None):
        """Rewards (prompts, answers), from log_probs (prompts, answers) in nats and correct (prompts, answers) bool."""
        raise NotImplementedError

    def group(self, answers, is_correct=None, *, log_probs=None):
        """Rewards (prompts, rollouts), from answers, is_correct and log_probs (mean nats per token), all (prompts, rollouts)."""
        raise NotImplementedError

    def _need(self, argument: str, value):
        if value is None:
            raise InputError(argument, None, f"the reward {self.name!r} reads it", f"Give {argument}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


REWARDS: dict[str, Reward] = {}


def register_reward(cls: type[Reward]) -> type[Reward]:
    """Class decorator: put one instance into REWARDS under `cls.card.name`.

    Raises: InputError if the card is missing or the name belongs to another class.
    """
    card = getattr(cls, "card", None)
    if not isinstance(card, RewardCard):
        raise InputError("card", card, f"{cls.__name__} needs a RewardCard named `card`")
    known = REWARDS.get(card.name)
    if known is not None and (type(known).__module__, type(known).__qualname__) != (cls.__module__, cls.__qualname__):
        raise InputError("name", card.name, f"{type(known).__name__} already has it", "Choose another name")
    REWARDS[card.name] = cls()
    return cls


def load_entry_points() -> None:
    """Import and register the rewards that other packages announce in the entry-point group `sharpening.rewards`."""
    for entry in entry_points(group=ENTRY_POINTS):
        loaded = entry.load()
        if isinstance(loaded, type) and issubclass(loaded, Reward):
            register_reward(loaded)


def get_reward(name: str) -> Reward:
    """The registered reward of that name, those of installed packages included.

    Raises: InputError listing the known names.
    """
    if name not in REWARDS:
        load_entry_points()
    if name not in REWARDS:
        raise InputError("reward", name, f"known rewards are {', '.join(sorted(REWARDS))}", "Use reward 'majority'")
    return REWARDS[name]


def list_rewards() -> list[RewardCard]:
    """The cards of all known rewards, by name, those of installed packages included."""
    load_entry_points()
    return [REWARDS[name].card for name in sorted(REWARDS)]
