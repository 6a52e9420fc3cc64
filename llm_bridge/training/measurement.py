"""What `sharpening measure` hands over."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_bridge.training.settings import RunSettings

if TYPE_CHECKING:
    from sharpening.collapse import CollapseStep
    from sharpening.trajectory import Trajectory


@dataclass(frozen=True)
class Measurement:
    """Everything `sharpening measure` found by training: one measured trajectory and what it cost.

    `interrupted=True`: the run stopped before `settings.max_steps`, where the trajectory ends; the same
    command resumes it. `notes`: sentences to know the result by, such as prompts that were left out.
    `trl`: the fields of TRL's configuration that matter, defaults included.
    """

    model: str
    task: str
    settings: RunSettings
    trajectory: "Trajectory"
    cost: dict = field(default_factory=dict)
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    trl: dict = field(default_factory=dict)

    @property
    def collapse(self) -> "dict[str, CollapseStep]":
        """Every criterion on the measured trajectory."""
        from sharpening.collapse import collapse_steps

        return collapse_steps(self.trajectory)
