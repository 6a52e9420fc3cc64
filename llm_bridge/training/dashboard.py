"""The monitor's numbers where a trainer's own go: its log history, and every callback that reports."""

import sys
from types import FrameType

from transformers.trainer_callback import CallbackHandler

PREFIX = "collapse/"
"""In front of every name of the monitor's in a trainer's log."""


def logged(row: dict, met: bool, checkpoint: int | None, failed: int) -> dict[str, float]:
    """What is logged of an evaluation: its metrics by their names in the glossary; `criterion_met` 0 or 1;
    `checkpoint`, the step of the one to keep, where there is one; `failed_evaluations` so far.
    """
    values = {name: float(value) for name, value in row.items() if name != "step" and name[:1] != "_"}
    if row:
        values["criterion_met"] = float(met)
    if checkpoint is not None:
        values["checkpoint"] = float(checkpoint)
    values["failed_evaluations"] = float(failed)
    return {PREFIX + name: value for name, value in values.items()}


def report(args, state, control, values: dict[str, float]) -> None:
    """Write the values into the trainer's log history as a row of their own, and, unless it logs nothing, hand
    them to its callbacks, those of W&B and TensorBoard among them. What the trainer has gathered for its own
    next row stays as it is.
    """
    epoch = {} if state.epoch is None else {"epoch": state.epoch}
    state.log_history.append({**values, **epoch, "step": state.global_step})
    handler = _handler()
    if handler is not None and str(getattr(args.logging_strategy, "value", args.logging_strategy)) != "no":
        # Not by its on_log, after which the trainer would take its own row for written.
        handler.call_event("on_log", args, state, control, logs={**values, **epoch})


def _handler() -> CallbackHandler | None:
    """The handler of all callbacks that has called one of them. transformers hands a callback neither its trainer
    nor this, so it is found as the caller; None where something else called.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if isinstance(found := frame.f_locals.get("self"), CallbackHandler):
            return found
        frame = frame.f_back
    return None
