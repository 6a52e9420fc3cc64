"""Which checkpoint of a watched run is to be kept, and how it survives `save_total_limit`."""

from pathlib import Path

import numpy as np

from llm_bridge.logs.finding import Finding, is_at_least
from llm_bridge.logs.own import read_monitor
from llm_bridge.logs.stopping import stopping
from llm_bridge.training.checkpoints import numbered
from sharpening.collapse import CRITERIA
from sharpening.errors import InputError
from sharpening.trajectory import Trajectory


def advice(rows: list[dict], floor: float | None, path: Path) -> dict[str, Finding]:
    """What `sharpening monitor` says of these evaluations on when to stop, by name: `stop`, `keep_checkpoint`, …

    rows: as the monitor's file holds them.
    """
    return {finding.name: finding for finding in stopping(read_monitor({"rows": rows, "floor": floor}, path))}


def last_good_step(advised: dict[str, Finding], curve: Trajectory, criterion: str) -> int:
    """The last evaluation before anything went wrong, or simply the last one: the step that is advised to keep, and
    none at or after which `criterion` holds up to now.
    """
    keep = advised.get("keep_checkpoint")
    steps = [keep.step] if keep is not None and keep.step is not None else []
    return min([_before(curve, criterion), *steps])


def reached(advised: dict[str, Finding], level: str | None) -> Finding | None:
    """The advice to stop, where it is at this level or above; None for a level of None."""
    stop = advised.get("stop")
    if level is None or stop is None or not is_at_least(stop.level, level):
        return None
    return stop


def _before(curve: Trajectory, criterion: str) -> int:
    """The last step, or where the criterion holds there the last evaluation before it came to hold."""
    rule, steps = CRITERIA[criterion], curve.step
    if not curve.has(rule.metric) or (rule.needs_floor and curve.floor is None):
        return int(steps[-1])
    values = curve[rule.metric]
    holds = rule.holds(values, rule.threshold(values, curve.floor))
    if not holds[-1]:
        return int(steps[-1])
    if rule.kind == "peak":
        return int(steps[int(np.argmax(values))])
    free = np.flatnonzero(~holds)
    return int(steps[free[-1]]) if len(free) else int(steps[0])


def kept_step(output_dir: Path, good: int, before: int | None) -> int | None:
    """The newest checkpoint in the folder that is no later than step `good`; without any, the one that was kept
    before, if it is still there.
    """
    found = numbered(output_dir)
    usable = [step for step in found if step <= good]
    return max(usable) if usable else (before if before in found else None)


def is_pinned_here(args) -> bool:
    """Whether the best checkpoint of the trainer's state is free for the one to keep: no metric of the user's
    own chooses it.
    """
    return args.metric_for_best_model is None


def pin(state, folder: Path) -> None:
    """Name the checkpoint in the trainer's state as its best, which `save_total_limit` spares and
    `load_best_model_at_end` loads.
    """
    state.best_global_step = int(folder.name.rpartition("-")[2])
    state.best_model_checkpoint = str(folder)


def check_load_at_end(args, kind: str | None) -> None:
    """Raise InputError where the trainer could not load the checkpoint to keep at the end."""
    rule = None
    if not is_pinned_here(args):
        rule = f"the trainer loads its own best checkpoint, by {args.metric_for_best_model}"
    elif str(getattr(args.save_strategy, "value", args.save_strategy)) == "no":
        rule = "the trainer saves no checkpoint (save_strategy is no)"
    elif args.save_only_model and kind in ("FSDP1", "FSDP2", "ZeRO-3"):
        rule = f"{kind} cannot load a checkpoint that holds the model alone (save_only_model)"
    if rule is not None:
        raise InputError("load_kept_at_end", True, rule, "Change that, or leave load_kept_at_end out")
