"""A run given by TRL's own names: `--config grpo.yaml`, as `trl grpo --config` reads it, and `--set key=value`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sharpening.errors import InputError

PANEL = "A run by TRL's own names"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE.yaml",
        help="The YAML that `trl grpo --config` reads: fields of GRPOConfig, ModelConfig (use_peft, lora_r, …)"
        " and reward_funcs. Options given beside it win.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Any field of these by its name; may be repeated, and wins over --config.",
        rich_help_panel=PANEL,
        show_default=False,
    ),
]


def given_fields(config: Path | None, pairs: list[str] | None) -> dict:
    """The fields that a file and `--set` give, values as YAML reads them.

    Raises: InputError for a file that cannot be read or holds no mapping, and a pair without "=".
    """
    return {**_file_fields(config), **_pairs(pairs or ())}


def _file_fields(config: Path | None) -> dict:
    import yaml  # type: ignore[import-untyped]

    if config is None:
        return {}
    fix = "Give the YAML file of a TRL run: one `field: value` a line"
    try:
        found = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError("config", str(config), f"it cannot be read ({reason})", fix) from error
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())[:200]
        raise InputError("config", str(config), f"it is not YAML ({told})", fix) from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise InputError("config", str(config), "it holds no mapping of fields to values", fix)
    if "env" in found:
        raise InputError(
            "config",
            "env",
            "a file does not change this command's environment",
            "Set the variables in the shell, and leave `env` out",
        )
    return found


def _pairs(pairs) -> dict:
    import yaml

    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InputError("set", pair, "it is no KEY=VALUE", "Write e.g. --set lr_scheduler_type=cosine")
        try:
            found[name.strip()] = _value(value)
        except yaml.YAMLError as error:
            raise InputError("set", pair, "its value is not YAML", "Quote the value") from error
    return found


def _value(text: str):
    """A value as YAML reads it; what stands in brackets as JSON first, for which 1e-6 is a number."""
    import yaml

    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    return yaml.safe_load(text)


def with_trl_fields(values: dict, given: dict, explicit) -> tuple[dict, dict]:
    """(settings with the fields put in, what else they say: model, task, epochs).

    explicit: names of options that the command line itself gave, which win.
    """
    from llm_bridge.training.planned import plain_value
    from llm_bridge.training.trl_fields import short_settings, typed

    argument = "config"
    fields = typed(given, argument)
    short, rest, unused = short_settings(fields, argument)
    if unused:
        told = ", ".join(unused)
        print(f"Note: not used here, since this command decides them itself: {told}.", file=sys.stderr)
    rewards = fields.get("reward_funcs")
    if rewards and "reward" not in explicit:
        short["reward"] = list(rewards)
    kept = {name: value for name, value in short.items() if name not in explicit}
    config = {name: plain_value(value) for name, value in rest.items()}
    if "prompts_per_step" in explicit or "rollouts" in explicit:
        _check_batch(config, {**values, **kept})
    other = {
        "model": fields.get("model_name_or_path"),
        "task": fields.get("dataset_name"),
        "epochs": fields.get("num_train_epochs") if "max_steps" not in {*short, *explicit} else None,
    }
    return {**values, **kept, "config": config}, other


def _check_batch(config: dict, values: dict) -> None:
    size = config.get("per_device_train_batch_size")
    if size is None:
        return
    asked = values["prompts_per_step"] * values["rollouts"]
    held = size * config.get("gradient_accumulation_steps", 1)
    if asked != held:
        raise InputError(
            "prompts_per_step",
            values["prompts_per_step"],
            f"with {values['rollouts']} rollouts a step has {asked} completions, and the configuration's batch"
            f" holds {held}",
            "Leave it out, or change per_device_train_batch_size",
        )


def several_rewards(values: dict) -> dict:
    """One reward becomes its text; of several the first is the run's own, and all are named in `config`.

    Raises: InputError if the first is a function of the user's, which no theory knows.
    """
    names = values["reward"]
    if isinstance(names, str):
        return values
    if len(names) == 1 and "." not in names[0]:
        return values | {"reward": names[0]}
    own = [name for name in names if "." not in name]
    if not own:
        raise InputError(
            "reward",
            ", ".join(names),
            "at least one must be a reward of this package: its votes are what a forecast judges",
            "Add e.g. --reward majority, or forecast your script's trainer: llm_bridge.forecast_trainer",
        )
    if own[0] != names[0]:
        raise InputError(
            "reward",
            names[0],
            "the first reward must be one of this package",
            f"Name {own[0]} first, and its weight first in reward_weights",
        )
    return values | {"reward": names[0], "config": values.get("config", {}) | {"reward_funcs": list(names)}}


def one_reward(names: str | list[str], form: str) -> str:
    """The reward of a form of a command that knows one only. Raises: InputError for several."""
    if isinstance(names, str):
        return names
    if len(names) > 1:
        raise InputError("reward", ", ".join(names), f"{form} reads one reward", "Name one")
    return names[0]
