"""Update rules: how rewards move a policy. Each is a direction in logit space and a step size."""

from sharpening.errors import InputError
from sharpening.updates.base import Update
from sharpening.updates.grpo import GRPO
from sharpening.updates.kl_prox import KLProx
from sharpening.updates.natural_gradient import NaturalGradient
from sharpening.updates.softmax_gradient import SoftmaxGradient

UPDATES = {cls.name: cls for cls in (GRPO, KLProx, NaturalGradient, SoftmaxGradient)}


def get_update(name: str, **settings) -> Update:
    """The update of that name with these settings. Raises: InputError that lists the known names."""
    if name not in UPDATES:
        raise InputError("update", name, f"known updates are {', '.join(sorted(UPDATES))}")
    return UPDATES[name](**settings)


__all__ = ["GRPO", "KLProx", "NaturalGradient", "SoftmaxGradient", "UPDATES", "Update", "get_update"]
