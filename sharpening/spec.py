"""Rewards and updates as text: "majority", "noisy-verifier(tpr=0.9, fpr=0.2)", and rewards inside rewards; quotes protect
commas and brackets.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any

from sharpening.errors import InputError


def split_spec(spec: str, kind: str = "reward") -> tuple[str, dict[str, str]]:
    """The name and the settings, both as text: "name" or "name(key=value, ...)", where a value may hold
    brackets of its own. `kind`: the argument that errors name.

    Raises: InputError if the brackets do not match or a setting is not key=value.
    """
    name, bracket, rest = spec.strip().partition("(")
    if not bracket:
        return name.strip(), {}
    if not rest.endswith(")"):
        raise InputError(
            kind,
            spec,
            "settings stand in one pair of brackets after the name",
            "Write name(setting=value, ...)",
        )
    settings: dict[str, str] = {}
    for part in filter(str.strip, _split_at_commas(spec, rest[:-1], kind)):
        key, equals, value = part.partition("=")
        key, value = key.strip().replace("-", "_"), value.strip()
        if not equals or not key.isidentifier() or not value:
            raise InputError(
                kind,
                spec,
                f"{part.strip()!r} is not of the form setting=value",
                "Write name(setting=value, ...)",
            )
        if key in settings:
            raise InputError(kind, spec, f"the setting {key} is given twice")
        settings[key] = value
    return name.strip(), settings


def _split_at_commas(spec: str, text: str, kind: str) -> list[str]:
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
        raise InputError(kind, spec, "its brackets do not match" if depth else "a quote is not closed")
    return parts


def normal(name: str) -> str:
    """A name or title as it is compared: lower case, words joined by single hyphens."""
    return re.sub(r"[\s_-]+", "-", name.strip().lower())


def with_settings(owner: Any, settings: dict[str, str], parse_reward, kind: str = "reward") -> Any:
    """The reward (or update) with some settings changed; the type of each field's default decides how its text
    is read.

    `parse_reward` reads the text of a setting that is itself a reward. Raises: InputError naming the known
    settings, or, from the reward itself, the rule that a value breaks.
    """
    if not settings:
        return owner
    known: dict[str, Any] = (
        {field.name: getattr(owner, field.name) for field in fields(owner)} if is_dataclass(owner) else {}
    )
    for key, text in settings.items():
        if key not in known:
            rule = (
                f"settings of the {kind} {owner.name!r} are {', '.join(known)}"
                if known
                else f"the {kind} {owner.name!r} has no settings"
            )
            raise InputError(key, text, rule)
    return replace(
        owner, **{key: _value(key, text, known[key], parse_reward) for key, text in settings.items()}
    )


def _value(key: str, text: str, default: object, parse_reward):
    if hasattr(default, "spec"):  # a reward inside a reward
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
    if default is None:  # a number that may be left out
        if text.lower() == "none":
            return None
        try:
            return float(text)
        except ValueError:
            raise InputError(key, text, "it is a number, or none") from None
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
