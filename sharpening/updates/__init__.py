"""Update rules: how rewards move a policy. Each is a direction in logit space and a step size."""

from dataclasses import fields, replace
from typing import Any, cast

from sharpening.errors import InputError
from sharpening.spec import normal, split_spec, with_settings
from sharpening.updates.base import Update
from sharpening.updates.grpo import GRPO
from sharpening.updates.kl_prox import KLProx
from sharpening.updates.natural_gradient import NaturalGradient
from sharpening.updates.softmax_gradient import SoftmaxGradient

UPDATES = {cls.name: cls for cls in (GRPO, KLProx, NaturalGradient, SoftmaxGradient)}


def get_update(spec: str | Update, **settings) -> Update:
    """The update of that text: "grpo", "kl_prox(beta=0.1, reference=initial)"; an update stays as it is.

    `settings`, by keyword, win over those in the text. Raises: InputError that lists the known names or settings,
    or from the update itself the rule that a value breaks.
    """
    if not isinstance(spec, str):
        if isinstance(spec, type) or not isinstance(spec, Update):
            raise InputError(
                "update", spec, "it is an update rule or the name of one", 'Use e.g. GRPO(1.0) or "grpo"'
            )
        return replace(cast(Any, spec), **settings) if settings else spec
    name, told = split_spec(spec, "update")
    name = normal(name).replace("-", "_")
    if name not in UPDATES:
        raise InputError("update", spec, f"known updates are {', '.join(sorted(UPDATES))}")
    known = {field.name for field in fields(cast(Any, UPDATES[name]))}
    for key, value in settings.items():
        if key not in known:
            raise InputError(key, value, f"settings of the update {name!r} are {', '.join(sorted(known))}")
    update = with_settings(UPDATES[name](), told, get_update, "update")
    return replace(update, **settings) if settings else update


__all__ = ["GRPO", "KLProx", "NaturalGradient", "SoftmaxGradient", "UPDATES", "Update", "get_update"]
