"""What a reward is: its card, and pure functions of arrays."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from sharpening.errors import InputError

BRANCHES = (
    "intrinsic: certainty",
    "intrinsic: ensemble",
    "external: asymmetry",
    "external: self-verification",
    "external: unlabeled",
    "hybrid",
)
NEEDS = {
    "answers": "answer ids (prompts, rollouts), -1 for no answer",
    "labels": "is_correct (prompts, rollouts) bool: true answers",
    "tokens": "TokenStatistics of every completion",
    "reference_log_probs": (
        "log-probability of every completion under the initial policy (prompts, rollouts), nats"
    ),
    "previous_log_probs": "the same under the policy before the last update",
    "clusters": "meaning-cluster ids (prompts, rollouts); default: the answers themselves",
    "states": (
        "the answers that the model would give after each part of its reasoning (prompts, rollouts, states)"
    ),
    "questions": "question ids (prompts,): rows with equal ids are rephrasings; default: every row its own",
    "voters": "id of the model that wrote each completion (prompts, rollouts); default: one model",
    "verdicts": "what a verifier says of each answer (prompts, rollouts), 0..1; default: is_correct",
    "step": "the number of updates before this one",
}
GRANULARITIES = ("tokens", "completion", "answer", "cluster")
PSI = {
    "identity": "x",
    "exp": "e^x",
    "N exp": "N e^x, N the number of rollouts in the group",
    "minus log V": "x - log V, V the size of the vocabulary",
    "minus log |Y|": "x - log |Y|, |Y| the number of completions of that length",
    "plus H(group)": "x + H, H the entropy of the group's answer frequencies",
}


PSI_TEXT = {
    "exp": "exp({})",
    "N exp": "N exp({})",
    "minus log V": "{} - log V",
    "minus log |Y|": "{} - log |Y|",
    "plus H(group)": "{} + H(group)",
}


@dataclass(frozen=True)
class UnifiedForm:
    """Where a reward sits in r = psi((sign/|I|) sum over I of H(anchor_i, target_i)) (He et al. 2026), H the
    cross-entropy in nats.

    `granularity` names I: "tokens" (the mean over the completion's tokens), "completion", "answer" or
    "cluster" (one term each). `psi`, increasing, is one of PSI. Raises: InputError for an unknown granularity
    or psi, and for a sign other than 1 and -1.
    """

    anchor: str
    target: str
    granularity: str
    sign: int
    psi: str

    def __post_init__(self):
        if self.sign not in (1, -1):
            raise InputError("sign", self.sign, "it is 1 or -1")
        for name, known in (("granularity", GRANULARITIES), ("psi", PSI)):
            if getattr(self, name) not in known:
                raise InputError(name, getattr(self, name), f"known ones are {', '.join(known)}")

    def __str__(self) -> str:
        inner = f"{'' if self.sign > 0 else '-'}H({self.anchor}; {self.target})"
        inner = f"mean over tokens of {inner}" if self.granularity == "tokens" else inner
        return PSI_TEXT.get(self.psi, "{}").format(inner)


_TEXTS = ("name", "branch", "limit", "failure_mode", "source", "title", "formula", "unit", "sign")


@dataclass(frozen=True)
class RewardCard:
    """What one must know of a reward before using it.

    `limit`: where exact training on flat categorical policies ends (one-token answers, prompts uncoupled);
    `needs`: what `group` reads, names of NEEDS; `verifier`: the name of the verifier in llm_bridge.verifiers
    that says its verdicts, or None;
    `unified`: its place in the unified form, or None where it has none. Raises: InputError for an incoherent
    card.
    """

    name: str
    branch: str
    known_as: tuple[str, ...]
    unified: UnifiedForm | None
    limit: str
    failure_mode: str
    needs: tuple[str, ...]
    source: str
    title: str = ""
    formula: str = ""
    unit: str = ""
    sign: str = ""
    verifier: str | None = None

    def __post_init__(self):
        for field in (*_TEXTS, "known_as", "needs"):
            value = getattr(self, field)
            texts = value if isinstance(value, tuple) and field in ("known_as", "needs") else (value,)
            if (field in ("known_as", "needs")) != isinstance(value, tuple) or not all(
                isinstance(text, str) for text in texts
            ):
                rule = "it is a tuple of texts" if field in ("known_as", "needs") else "it is a text"
                raise InputError(field, value, rule)
        if self.branch not in BRANCHES:
            raise InputError("branch", self.branch, f"known branches are {', '.join(BRANCHES)}")
        if not self.needs or set(self.needs) - set(NEEDS):
            raise InputError("needs", self.needs, f"it lists what the reward reads: {', '.join(NEEDS)}")
        if self.branch.startswith("intrinsic") and {"labels", "verdicts"} & set(self.needs):
            raise InputError("branch", self.branch, "an intrinsic reward reads neither labels nor verdicts")
        for field in ("name", "limit", "failure_mode", "source"):
            if not getattr(self, field).strip():
                raise InputError(field, getattr(self, field), "it cannot be empty")
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise InputError(
                "name",
                self.name,
                "it is lower-case words joined by hyphens",
                "Put the readable name into `title`",
            )
        if not self.title:
            object.__setattr__(self, "title", self.name.replace("-", " "))

    def as_dict(self) -> dict:
        """Plain data for JSON; `unified_form` is the unified form in one line, or None."""
        return asdict(self) | {"unified_form": None if self.unified is None else str(self.unified)}


class Reward:
    """A reward: pure functions of arrays (NumPy, JAX or torch), without state; settings, if any, are the
    fields of a frozen dataclass.

    `exact` gives the reward of every answer under a known policy (the limit of many rollouts), `group` that
    of sampled rollouts. Both take any signal by keyword and read those that `card.needs` lists.
    """

    card: RewardCard

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return self.card.name

    @property
    def settings(self) -> dict[str, str]:
        """Its settings as the text that `get_reward` reads."""
        return (
            {field.name: _text(getattr(self, field.name)) for field in fields(self)}
            if is_dataclass(self)
            else {}
        )

    @property
    def spec(self) -> str:
        """Text from which `get_reward` makes this reward again: its name, and the settings that are not the
        default ones.
        """
        defaults: dict[str, Any] = (
            {field.name: field.default for field in fields(self)} if is_dataclass(self) else {}
        )
        changed = [
            f"{name}={text}" for name, text in self.settings.items() if getattr(self, name) != defaults[name]
        ]
        return self.name + (f"({', '.join(changed)})" if changed else "")

    def exact(self, log_probs, correct=None, *, no_answer: int | None = None, **signals):
        """Rewards (prompts, answers) of flat categorical policies (one-token answers) under infinitely many
        rollouts.

        log_probs (prompts, answers), nats; correct (prompts, answers) bool; no_answer: the column that stands
        for "no answer".
        Signals: reference and previous (prompts, answers), nats; clusters (answers,) or (prompts, answers)
        int; questions (prompts,) int; step.
        """
        raise NotImplementedError

    def group(self, answers, is_correct=None, *, tokens=None, **signals):
        """Rewards (prompts, rollouts), from answers and is_correct (prompts, rollouts), tokens, and other
        signals of NEEDS.
        """
        raise NotImplementedError

    def _need(self, argument: str, value):
        if value is None and argument in ("correct", "is_correct") and not _labelled(self.card):
            rule = f"the reward {self.name!r} reads it, and its card does not list labels"
            fix = "List 'labels' in the `needs` of its card, under a branch that is not intrinsic"
            raise InputError(argument, None, rule, fix)
        if value is None:
            raise InputError(argument, None, f"the reward {self.name!r} reads it", f"Give {argument}")

    def __eq__(self, other) -> bool:
        return self is other or (type(self) is type(other) and not vars(self) and not vars(other))

    def __hash__(self) -> int:
        return hash(type(self)) if not vars(self) else id(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _labelled(card: RewardCard) -> bool:
    return bool({"labels", "verdicts"} & set(card.needs))


def _text(value: object) -> str:
    if isinstance(value, Reward):
        return value.spec
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    if isinstance(value, str) and (set(value) & set(",()\"'") or value != value.strip()):
        return f"'{value}'" if '"' in value else f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else str(value)
