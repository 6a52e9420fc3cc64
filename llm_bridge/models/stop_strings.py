"""Stop strings: texts at which a completion ends. They are kept where transformers keeps them, in the model's
generation config.
"""

from collections.abc import Sequence


def stop_strings(model) -> tuple[str, ...]:
    """The texts at which the model's completions end, beside its end tokens."""
    found = getattr(getattr(model, "generation_config", None), "stop_strings", None) or ()
    return (found,) if isinstance(found, str) else tuple(found)


def stop_at(model, strings: Sequence[str]) -> None:
    """From now on completions of this model, and of its copies, end at these texts; nothing changes without any."""
    if strings:
        model.generation_config.stop_strings = list(strings)


def before_stop(text: str, strings: Sequence[str]) -> str:
    """The text up to the first of the stop strings in it; all of it where there is none."""
    found = [place for stop in strings if (place := text.find(stop)) >= 0]
    return text[: min(found)] if found else text
