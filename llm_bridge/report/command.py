"""The command line of settings, options at their defaults left out unless they were given."""

import json
import shlex
from dataclasses import fields

from llm_bridge.forecast.result import ENGINE, ModelForecast
from llm_bridge.training.settings import RunSettings


def number_word(value) -> str:
    """A value as a word of a command line: floats short where that is exact."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def setting_words(name: str, value, *, default, given=()) -> list[str]:
    """The words that set `name`; none at its default, and for None, unless it is among `given`."""
    flag = name.replace("_", "-")
    if value is None:
        return []
    if isinstance(value, bool):
        wanted = value != default or name in given
        return [f"--{flag}" if value else f"--no-{flag}"] if wanted else []
    return [f"--{flag}", number_word(value)] if value != default or name in given else []


def command_line(
    command: str, model: str, task: str, settings: RunSettings, answer_pattern: str | None = None, *, given=()
) -> str:
    """The command line of these settings, those at their defaults left out where they are not among `given`.

    A learning rate that a model needs is always there: only the built-in models have one of their own.
    """
    from llm_bridge.models.built_in import names

    given = {*given} | (set() if model in names() else {"learning_rate"})
    words = ["sharpening", command, model, "--task", task]
    words += ["--answer-pattern", answer_pattern] if answer_pattern else []
    rewards = settings.config.get("reward_funcs", [settings.reward])
    for field in fields(RunSettings):
        value = getattr(settings, field.name)
        if field.name == "config":
            sets = {name: one for name, one in value.items() if name != "reward_funcs"}
            words += [word for name, one in sets.items() for word in ("--set", f"{name}={json.dumps(one)}")]
        elif field.name == "reward" and len(rewards) > 1:
            words += [word for one in rewards for word in ("--reward", one)]
        else:
            words += setting_words(field.name, value, default=field.default, given=given)
    return shlex.join(words)


def forecast_words(forecast: ModelForecast) -> str:
    """How a forecast was made beside its settings, with a space in front; "" where all of it is the default."""
    words = []
    if (pilots := len(forecast.pilot_records)) > 1:
        words += ["--pilots", str(pilots)]
    if (file := (forecast.calibration or {}).get("file", "shipped")) != "shipped":
        words += ["--calibration", file]
    if forecast.engine != ENGINE:
        words += ["--engine", forecast.engine]
    return f" {shlex.join(words)}" if words else ""
