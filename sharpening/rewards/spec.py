"""Rewards as text: "majority", "noisy-verifier(tpr=0.9, fpr=0.2)", and rewards inside rewards; quotes protect
commas and brackets.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

from sharpening.errors import InputError
from sharpening.rewards.base import Reward


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """The name and the settings, both as text: "name" or "name(key=value, ...)", where a value may hold
    brackets of its own.

    Raises: InputError if the brackets do not match or a setting is not key=value.
    """
    name, bracket, rest = spec.strip().partition("(")
    if not bracket:
        return name.strip(), {}
    if not rest.endswith(")"):
        raise InputError(
            "reward",
            spec,
            "settings stand in one pair of brackets after the name",
            "Write name(setting=value, ...)",
        )
    settings: dict[str, str] = {}
    for part in filter(str.strip, _split_at_commas(spec, rest[:-1])):
        key, equals, value = part.partition("=")
        key, value = key.strip().replace("-", "_"), value.strip()
        if not equals or not key.isidentifier() or not value:
            raise InputError(
                "reward",
                spec,
                f"{part.strip()!r} is not of the form setting=value",
                "Write name(setting=value, ...)",
            )
        if key in settings:
            raise InputError("reward", spec, f"the setting {key} is given twice")
        settings[key] = value
    return name.strip(), settings


def _split_at_commas(spec: str, text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote or character in "\"'":
            quote = "" if character == quote else quote or character
        else:
            depth += (character == "(") - (character == ")")
        if depth < 0:
            break
        if character == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    if depth or quote:
        raise InputError("reward", spec, "its brackets do not match" if depth else "a quote is not closed")
    return parts


def normal(name: str) -> str:
    """A name or title as it is compared: lower case, words joined by single hyphens."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower())


def with_settings(reward: Reward, settings: dict[str, str], parse_reward) -> Reward:
    """The reward with some settings changed; the type of each field's default decides how its text is read.

    `parse_reward` reads the text of a setting that is itself a reward. Raises: InputError naming the known
    settings, or, from the reward itself, the rule that a value breaks.
    """
    if not settings:
        return reward
    known: dict[str, Any] = (
        {field.name: getattr(reward, field.name) for field in fields(reward)} if is_dataclass(reward) else {}
    )
    for key, text in settings.items():
        if key not in known:
            rule = (
                f"settings of the reward {reward.name!r} are {', '.join(known)}"
                if known
                else f"the reward {reward.name!r} has no settings"
            )
            raise InputError(key, text, rule)
    settled: Any = reward  # a dataclass, as it has settings: more than its type says
    return replace(
        settled, **{key: _value(key, text, known[key], parse_reward) for key, text in settings.items()}
    )


def _value(key: str, text: str, default: object, parse_reward):
    if isinstance(default, Reward):
        return parse_reward(text)
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise InputError(key, text, "it is true or false")
        return text.lower() == "true"
    if isinstance(default, tuple):
        if not re.fullmatch(r"-?\d+( +-?\d+)*", text):
            raise InputError(key, text, "it is whole numbers with spaces between them")
        return tuple(map(int, text.split()))
    if isinstance(default, (int, float)):
        try:
            return type(default)(text)
        except ValueError:
            raise InputError(
                key, text, "it is a whole number" if isinstance(default, int) else "it is a number"
            ) from None
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
