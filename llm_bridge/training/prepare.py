"""A task and a model made ready for one another, checked before any work."""

from llm_bridge.models.context import fits_context
from llm_bridge.models.stop_strings import stop_at
from llm_bridge.tasks import spellable
from llm_bridge.tasks.form import for_tokenizer
from sharpening.errors import InputError


def prepared(task, loaded, settings, problems=None):
    """The task with its prompts as the model sees them; the model from now on ends completions where the task says.

    problems: those that the run will ask (None: all that the settings leave it).

    Raises: InputError for chats that the tokenizer's template cannot render, for a task that the tokenizer cannot
    spell or the context does not hold, and for stop strings where TRL leaves cut-off completions out of the loss.
    """
    check_stop(task, settings)
    task = for_tokenizer(task, loaded.reader)
    spellable(task, loaded.tokenizer)
    if problems is None:
        problems = sum(task.split(settings.eval_prompts, settings.dataset_size), [])
    fits_context(loaded, problems, settings.max_new_tokens or task.max_new_tokens)
    stop_at(loaded.model, getattr(task, "stop", ()))
    return task


def check_stop(task, settings) -> None:
    """Raise InputError for stop strings together with `mask_truncated_completions`."""
    stop = getattr(task, "stop", ())
    if stop and settings.mask_truncated_completions:
        raise InputError(
            "stop",
            ", ".join(map(repr, stop)),
            "TRL takes every completion without an end-of-sequence token for cut off, so those that end at a stop"
            " string would be left out of the loss",
            "Leave --stop or --mask-truncated-completions out",
        )
