"""Rewards made of rewards: their card lists what all of their parts read."""

from __future__ import annotations

from dataclasses import replace

from sharpening.errors import InputError
from sharpening.rewards.base import NEEDS, Reward


def needs_of(reward: Reward, *parts: Reward, own: tuple[str, ...] = ("answers",)) -> None:
    """Give this instance a card of its own, whose `needs` are its own and those of its parts, in the order of
    NEEDS.

    If one part alone names a verifier, so does the card. Raises: InputError if a part is no reward.
    """
    for part in parts:
        if not isinstance(part, Reward):
            raise InputError(
                "reward",
                part,
                f"the parts of {type(reward).__name__} are rewards",
                "Use sharpening.get_reward",
            )
    wanted = set(own).union(*(part.card.needs for part in parts))
    verifiers = {part.card.verifier for part in parts} - {None}
    needs = tuple(name for name in NEEDS if name in wanted)
    object.__setattr__(
        reward,
        "card",
        replace(type(reward).card, needs=needs, verifier=verifiers.pop() if len(verifiers) == 1 else None),
    )
