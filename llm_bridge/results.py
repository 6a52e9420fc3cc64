"""What the two journeys hand over: a forecast of a model, and a measured run of it, about the same task and settings."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_bridge.settings import RunSettings

if TYPE_CHECKING:
    from sharpening.collapse import CollapseStep, Outcome
    from sharpening.trajectory import Trajectory

COST_UNITS = {"generated_tokens": "tokens", "forward_tokens": "tokens", "backward_tokens": "tokens", "seconds": "s"}

VOICES = {
    "uncoupled": "each prompt sharpens alone (He et al. 2026, Theorem 1, from the measured prior); "
    "nothing can bring it below the share of aligned prompts",
    "coupled": "prompts share parameters: private and shared pulls, measured from the model's own gradients, drive a mean field",
    "pilot": "a few steps of the run itself on a throwaway copy, ever larger; its curves, dated by failure times fitted on measured runs",
    "radius": "a plain baseline: how much weight noise the answers survive, over how far the optimizer moves a weight per step",
}

VERDICTS = {
    "improves": ("good", "It should improve, and hold"),
    "stable": ("good", "It should hold"),
    "rise_then_fall": ("caution", "It should improve first, then collapse"),
    "uncertain": ("caution", "It is too close to call"),
    "collapse": ("bad", "It should collapse"),
    "no_signal": ("neutral", "Nothing to sharpen here"),
}
"""Verdict codes (what `ModelForecast.verdict` holds and the JSON shows) -> (tone, headline)."""


OTHERS = "What others measured, on other models: for orientation, not a forecast"
REFERENCES = (
    "He et al. 2026 (arXiv 2603.08660) trained for 600 steps of 32 prompts on data sets of 32, 128, 512, 2,048, 8,192 and 16,384: those of 32 and "
    "128 never collapsed, those of 512 and more did.",
    "Their seven models reached the model collapse step (MCS: reward accuracy below 1 %) between step 34 (OLMo-2-1124-7B) and 383 (Qwen3-8B-Base).",
    "Two rules of thumb go further than that: \"MCS above 10,000 steps is stable\" lies beyond every model they measured, and \"safe up to 1,000 "
    "examples\" beyond the 128 that held.",
)
"""Shown beside a forecast under the title OTHERS, never used by it."""


@dataclass(frozen=True)
class ForecastStep:
    """When a criterion should be met: the central step, and an interval [low, high] meant to hold the measured step.

    `level`: the probability with which it should; `step=None` unless the outcome is COLLAPSED; `low` and `high` in optimizer
    steps; `high=None` beside a `low` means "beyond the horizon".
    """

    criterion: str
    step: int | None
    outcome: "Outcome"
    low: int | None = None
    high: int | None = None
    level: float | None = None
    horizon: int | None = None


@dataclass(frozen=True)
class ModelForecast:
    """Everything `sharpening forecast` found before any training.

    `voices` maps "uncoupled", "coupled", "radius" and, where the reward is one it knows, "pilot" to predicted trajectories; `speaker` names
    the one whose steps are `collapse`. `verdict` is a code of VERDICTS (any other text is shown as it stands); `alignment` is the share of
    prompts whose initial mode is correct (None without labels); `coupling` and `prior` are plain numbers by name. `sensitivity`: what other settings
    would change, one row each (setting, median step of the criterion, chance that it is met within the budget); `safe_learning_rate`: the
    largest one whose chance of collapse within the budget is small (None where it is not known). `pilots`: copies whose pilots speak.
    """

    model: str
    task: str
    settings: RunSettings
    voices: "dict[str, Trajectory]"
    speaker: str
    why_speaker: str
    collapse: dict[str, ForecastStep]
    voices_collapse: "dict[str, dict[str, CollapseStep]]"
    verdict: str
    reasons: list[str]
    alignment: "float | dict | None" = None
    coupling: dict = field(default_factory=dict)
    prior: dict = field(default_factory=dict)
    cost: dict = field(default_factory=dict)
    sensitivity: list[dict] = field(default_factory=list)
    safe_learning_rate: float | None = None
    pilots: int = 0

    @property
    def trajectory(self) -> "Trajectory":
        """The speaker's predicted trajectory: the forecast's `curve`."""
        return self.voices[self.speaker]


@dataclass(frozen=True)
class Measurement:
    """Everything `sharpening measure` found by training: one measured trajectory and what it cost.

    `interrupted=True`: the run stopped before `settings.max_steps`, where the trajectory ends; the same command resumes it.
    """

    model: str
    task: str
    settings: RunSettings
    trajectory: "Trajectory"
    cost: dict = field(default_factory=dict)
    interrupted: bool = False

    @property
    def collapse(self) -> "dict[str, CollapseStep]":
        """Every criterion on the measured trajectory."""
        from sharpening.collapse import collapse_steps

        return collapse_steps(self.trajectory)
