"""The Model Collapse Step (MCS) of He et al. 2026 by their protocol, on the measuring instrument of `measure`.

MCS = min{t : reward accuracy(t) < 1 %}, t in batches of 64 prompts × 8 rollouts, majority votes, temperature 1, no KL.

How we depart from He et al. 2026: reward accuracy is read on fixed held-out prompts, at every evaluation, and not on the
batch in training, so the step is known to within one evaluation (`after` < MCS <= `step`); the learning rate is the
user's. They give "mini-batch 1" for the aggressive setting and count training batches: here each batch of 64 prompts
is then learnt from in 64 updates of 8 completions, and a step is still one batch.
"""

from dataclasses import dataclass, fields
from pathlib import Path

from llm_bridge.console.numbers import truth, whole
from llm_bridge.training.measurement import Measurement
from llm_bridge.training.settings import RunSettings
from sharpening.collapse import Outcome, collapse_step
from sharpening.errors import InputError

PROMPTS, ROLLOUTS = 64, 8
"""A batch of the protocol: prompts, and completions of each."""
MAX_STEPS = 400
"""Batches unless told otherwise: just beyond the latest published collapse."""
EVAL_EVERY = {False: 5, True: 1}
"""Batches between evaluations, by `aggressive`."""
FREE = (
    "learning_rate optimizer dataset_size max_steps seed max_new_tokens eval_every eval_prompts"
    " mask_truncated_completions"
).split()
"""Settings that the protocol leaves to the user."""
CRITERION = "absolute"

PUBLISHED = {
    "OLMo-2-1124-7B": 34,
    "Meta-Llama-3.1-8B": 40,
    "Qwen2.5-Math-1.5B": 160,
    "Qwen2.5-1.5B": 221,
    "Qwen2.5-7B": 245,
    "Qwen3-1.7B-Base": 280,
    "Qwen3-8B-Base": 383,
}
"""MCS with default settings on DAPO-17k, He et al. 2026."""


def mcs_settings(
    *, aggressive: bool = False, max_steps: int = MAX_STEPS, eval_every: int | None = None, **free
) -> RunSettings:
    """The protocol as settings of a run. `max_steps` and `eval_every` (default: 5, aggressive 1) count batches of 64
    prompts; `free`: the other settings in FREE.

    Raises: InputError for a setting that the protocol fixes, and as RunSettings does.
    """
    truth("aggressive", aggressive)
    if fixed := [name for name in free if name not in FREE]:
        known = {field.name for field in fields(RunSettings)}
        rule = "the protocol fixes it" if fixed[0] in known else "a run has no such setting"
        raise InputError(
            fixed[0],
            free[fixed[0]],
            f"{rule}; free are {', '.join(FREE)}",
            "Use `measure` for a run of another kind",
        )
    every = EVAL_EVERY[aggressive] if eval_every is None else eval_every
    max_steps, every = whole("max_steps", max_steps, 1), whole("eval_every", every, 1)
    size = free.get("dataset_size")
    if size is not None and whole("dataset_size", size, 1) < PROMPTS:
        raise InputError(
            "dataset_size",
            size,
            f"a batch needs {PROMPTS} different prompts",
            "Raise it, or leave it out for fresh prompts",
        )
    shape: dict = {"prompts_per_step": PROMPTS}
    updates = updates_per_batch(aggressive)
    if aggressive:
        mini = {"per_device_train_batch_size": ROLLOUTS, "gradient_accumulation_steps": 1}
        shape = {"prompts_per_step": 1, "config": mini | {"steps_per_generation": updates}}
    return RunSettings(
        reward="majority",
        rollouts=ROLLOUTS,
        temperature=1.0,
        beta=0.0,
        criterion=CRITERION,
        max_steps=max_steps * updates,
        eval_every=every * updates,
        **shape,
        **free,
    )


def updates_per_batch(aggressive: bool) -> int:
    """Optimizer updates of one batch: 1, and with aggressive settings one for each of its prompts."""
    return PROMPTS if aggressive else 1


@dataclass(frozen=True)
class ModelCollapseStep:
    """What the protocol found. Steps are batches of 64 prompts × 8 rollouts, not optimizer updates.

    step: the first evaluation with reward accuracy below 1 %; None unless `outcome` is COLLAPSED. after: the last
    evaluation before it, so that the MCS lies in (after, step]. batches: how far the run went. lowest: the lowest
    reward accuracy at any evaluation. lasting: whether reward accuracy was below 1 % at the next evaluation too; None
    without a step, and where the run ended there.
    """

    step: int | None
    after: int | None
    outcome: Outcome
    batches: int
    aggressive: bool
    lowest: float
    lasting: bool | None
    measurement: Measurement

    @property
    def text(self) -> str:
        """ "280", "more than 400 steps", or why there is no step."""
        match self.outcome:
            case Outcome.COLLAPSED:
                return str(self.step)
            case Outcome.CENSORED:
                return f"more than {self.batches} steps"
        return "none: the initial model has a reward accuracy below 1 %"

    def standing(self) -> dict[str, list[str]] | None:
        """Published models by where their MCS lies: `below` ours, `above` it, or `undecided` (inside one evaluation,
        or beyond the end of a run that held). None for aggressive settings, which have no published table, and where
        there is nothing to compare.
        """
        if self.aggressive or self.outcome not in (Outcome.COLLAPSED, Outcome.CENSORED):
            return None
        sure = self.batches if self.after is None else self.after
        found: dict[str, list[str]] = {"below": [], "above": [], "undecided": []}
        for name, step in PUBLISHED.items():
            side = "below" if step <= sure else "undecided"
            if self.step is not None and step > self.step:
                side = "above"
            found[side].append(name)
        return found


def model_collapse_step(measurement: Measurement) -> ModelCollapseStep:
    """Read the MCS off a measured run of `mcs_settings`.

    Raises: InputError for a run of other settings, and one without true answers.
    """
    settings, trajectory = measurement.settings, measurement.trajectory
    aggressive = settings.prompts_per_step == 1
    try:
        own = {name: getattr(settings, name) for name in FREE if name not in ("max_steps", "eval_every")}
        same = mcs_settings(aggressive=aggressive, **own).config == settings.config
    except InputError:
        same = False
    fixed = (settings.reward, settings.rollouts, settings.temperature, settings.beta)
    if not same or fixed != ("majority", ROLLOUTS, 1.0, 0.0) or settings.prompts_per_step not in (1, PROMPTS):
        raise InputError(
            "settings",
            settings.as_dict(),
            "the run did not follow the protocol",
            "Make them with mcs_settings",
        )
    if not trajectory.has("reward_accuracy"):
        raise _unlabelled(measurement.task)
    found = collapse_step(trajectory, CRITERION, patience=1)
    updates = updates_per_batch(aggressive)
    steps, values = trajectory.step // updates, trajectory["reward_accuracy"]
    step = after = lasting = None
    if found.step is not None:
        place = int((trajectory.step == found.step).argmax())
        step, after = int(steps[place]), int(steps[place - 1])
        lasting = bool(values[place + 1] < found.threshold) if place + 1 < len(values) else None
    return ModelCollapseStep(
        step,
        after,
        found.outcome,
        trajectory.horizon // updates,
        aggressive,
        float(values.min()),
        lasting,
        measurement,
    )


def measure_mcs(
    model: str,
    task,
    *,
    learning_rate: float,
    output_dir: Path,
    aggressive: bool = False,
    progress=None,
    **settings,
) -> ModelCollapseStep:
    """Train `model` on `task` by the protocol and find its Model Collapse Step. It ends once reward accuracy was below
    1 % at two evaluations; the folder, its checkpoints and resuming are those of `measure`.

    settings: as `mcs_settings` takes them.

    Raises: InputError for a task without true answers, and as `mcs_settings` and `measure` do.
    """
    from llm_bridge.training.measure import measure

    chosen = mcs_settings(learning_rate=learning_rate, aggressive=aggressive, **settings)
    check_labelled(task)
    return model_collapse_step(
        measure(model, task, chosen, output_dir=output_dir, progress=progress, stop_on_collapse=True)
    )


def check_labelled(task) -> None:
    """Raise InputError for a task without true answers: reward accuracy compares with them."""
    if not task.labelled:
        raise _unlabelled(task.name)


def _unlabelled(name: str) -> InputError:
    return InputError(
        "task",
        name,
        "reward accuracy compares votes with true answers, and there are none",
        "Add answers, or use `sharpening measure --criterion mode_retention`",
    )
