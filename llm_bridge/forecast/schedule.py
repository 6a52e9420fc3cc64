"""`sharpening schedule MODEL`: probe a model as a forecast does, then search the cheapest verification of its
run.
"""

from dataclasses import dataclass, field
from typing import TypedDict

from llm_bridge.console.progress import NullProgress
from llm_bridge.console.quiet import quiet_libraries
from llm_bridge.forecast.probe import probe_model
from llm_bridge.forecast.theory import radius_voice, step_size
from llm_bridge.models.loading import fitting_threads, load_model
from llm_bridge.training.prepare import prepared
from llm_bridge.training.reward_function import check_reward
from llm_bridge.training.settings import RunSettings
from sharpening.collapse import CollapseStep, collapse_step
from sharpening.coupling import CompoundSymmetric
from sharpening.errors import InputError
from sharpening.rewards import Reward
from sharpening.verification.results import ScheduleSearch
from sharpening.verification.search import assume_labels, cheapest_schedule, check_search


@dataclass(frozen=True)
class ModelSchedule:
    """What `sharpening schedule` found for a model.

    `search`: in the coupled mean field, which alone sees what a verifier does; `other_voice`: when the
    retention radius, which does not, expects the run without a verifier to collapse (None where it was not
    measured); `wrong_modes`: the share that was assumed, None with labels; `notes`: sentences on how the task was
    read.
    """

    model: str
    task: str
    settings: RunSettings
    verifier: dict
    search: ScheduleSearch
    notes: list[str]
    other_voice: CollapseStep | None = None
    wrong_modes: float | None = None
    alignment: float | None = None
    coupling: dict = field(default_factory=dict)
    prior: dict = field(default_factory=dict)
    cost: dict = field(default_factory=dict)


class _Calls(TypedDict):
    tpr: float
    fpr: float
    cost: float


class _Run(TypedDict):
    criterion: str
    reward: Reward
    prompts_per_step: int
    rollouts: int
    num_steps: int
    least_accuracy: float | None
    error: float
    safety: float


@quiet_libraries()
def schedule_model(
    model: str,
    task,
    settings: RunSettings,
    *,
    tpr: float,
    fpr: float,
    cost: float = 1.0,
    wrong_modes: float | None = None,
    least_accuracy: float | None = None,
    error: float = 0.05,
    safety: float = 1.5,
    progress=None,
) -> ModelSchedule:
    """The cheapest verification of a run of `model` on `task` with `settings`, before any training:
    `cheapest_schedule` on the probed population.

    `tpr`, `fpr`, `cost`: of one verifier call; without true answers `wrong_modes` says on what share of the
    prompts the majority answer is assumed to be wrong. Raises: InputError as `forecast_model` and
    `cheapest_schedule`, for a task without true answers and no `wrong_modes`, and for one with both.
    """
    progress = progress or NullProgress()
    verifier: _Calls = {"tpr": tpr, "fpr": fpr, "cost": cost}
    run: _Run = {
        "criterion": settings.criterion,
        "reward": settings.parsed_reward,
        "prompts_per_step": settings.prompts_per_step,
        "rollouts": settings.rollouts,
        "num_steps": settings.max_steps,
        "least_accuracy": least_accuracy,
        "error": error,
        "safety": safety,
    }
    check_labels(task, wrong_modes)
    check_search(**verifier, **run)
    check_reward(settings.parsed_reward, task)
    loaded = load_model(model)
    task = prepared(task, loaded, settings)
    with fitting_threads(loaded):
        probe = probe_model(loaded, task, settings, progress=progress)
    population = probe.population if wrong_modes is None else assume_labels(probe.population, wrong_modes)
    if population.correct is None:
        raise _unlabelled(task)
    kernel = CompoundSymmetric(probe.kernel.private, probe.kernel.shared).for_batch(settings.prompts_per_step)
    bar = progress.start("schedules", 1)
    search = cheapest_schedule(
        population.replace(coupling=kernel),
        **verifier,
        **run,
        learning_rate=step_size(probe, settings),
        dataset_size=settings.dataset_size,
        eval_every=settings.eval_every,
        optimizer=settings.optimizer,
    )
    bar.close()
    other = collapse_step(radius_voice(probe, settings), settings.criterion)
    return ModelSchedule(
        model,
        task.name,
        settings,
        dict(verifier),
        search,
        list(task.notes),
        other,
        wrong_modes,
        float(population.alignment),
        probe.kernel.as_dict(),
        probe.prior.as_dict(),
        probe.cost.as_dict(),
    )


def check_labels(task, wrong_modes: float | None) -> None:
    """InputError unless the task has true answers or an assumed share of wrong modes, and not both."""
    if wrong_modes is None:
        if not task.labelled:
            raise _unlabelled(task)
        return
    if task.labelled:
        raise InputError(
            "wrong_modes",
            wrong_modes,
            f"task {task.name} has true answers, which say where its modes are wrong",
            "Leave it out",
        )
    if not 0 <= wrong_modes <= 1:
        raise InputError("wrong_modes", wrong_modes, "it is a share of the prompts, in 0..1")


def _unlabelled(task) -> InputError:
    rule = (
        f"task {task.name} has no true answers, and what a verifier does depends on how often the majority"
        " answer is wrong"
    )
    return InputError(
        "wrong_modes", None, rule, "Give an assumed share, e.g. --wrong-modes 0.3, or a data set with answers"
    )
