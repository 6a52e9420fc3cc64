"""What the two journeys hand over: a forecast of a model, and a measured run of it, about the same task and
settings.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from llm_bridge.training.settings import RunSettings

if TYPE_CHECKING:
    from sharpening.collapse import CollapseStep, Outcome
    from sharpening.trajectory import Trajectory


ENGINE = "transformers"
"""What draws the answers of the unchanged model where nothing else is asked."""


@dataclass(frozen=True)
class ForecastStep:
    """When a criterion should be met: the central step, and an interval [low, high] meant to hold the
    measured step.

    `level`: the probability with which it should; `step=None` unless the outcome is COLLAPSED; `low` and
    `high` in optimizer steps; `high=None` beside a `low` means "beyond the horizon".
    """

    criterion: str
    step: int | None
    outcome: "Outcome"
    low: int | None = None
    high: int | None = None
    level: float | None = None
    horizon: int | None = None


@dataclass(frozen=True, repr=False)
class ModelForecast:
    """Everything `sharpening forecast` found before any training.

    `voices` maps "uncoupled", "coupled", "radius" and, where the reward is one it knows, "pilot" to predicted
    trajectories; `speaker` names the one whose steps are `collapse`. `advice`: what to do, the most important sentence
    first, and `stop_by`: the step by which to stop (None where the run may go on); `reasons`: why. `verdict` is a code of VERDICTS (any
    other text is shown as it stands); `alignment` is the share of prompts whose initial mode is correct (None
    without labels); `coupling` and `prior` are plain numbers by name. `sensitivity`: what other settings
    would change, one row each (setting, median step of the criterion, chance that it is met within the
    budget); `safe_learning_rate`: the largest one whose chance of collapse within the budget is small (None
    where it is not known). `pilots`: copies whose pilots speak. `pilot_records`: what every pilot saw, silent
    ones included, `weight_noise`: what noise did to its answers, and `problems`: what tells the data set; for
    `sharpening calibrate`. `distribution`: criterion to P(T ≤ step) as numbers
    (`llm_bridge.forecast.calibration.voice.distribution`; empty where no calibration speaks), `fates`: the
    chance of every way a run may go (`llm_bridge.forecast.calibration.outcome.FATES`), `constant`: the one
    answer that pilots ended in (`llm_bridge.forecast.words.constant_end`). `calibration`:
    which one dates the steps (None where none does). `notes`: sentences to know the forecast by, such as
    prompts that were left out. `trl`: the fields of TRL's configuration that matter, defaults included. `engine`: what
    drew the answers of the unchanged model (`llm_bridge.sampling.engine`).
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
    advice: list[str] = field(default_factory=list)
    stop_by: int | None = None
    alignment: "float | dict | None" = None
    coupling: dict = field(default_factory=dict)
    prior: dict = field(default_factory=dict)
    cost: dict = field(default_factory=dict)
    sensitivity: list[dict] = field(default_factory=list)
    safe_learning_rate: float | None = None
    pilots: int = 0
    pilot_records: list[dict] = field(default_factory=list)
    weight_noise: dict = field(default_factory=dict)
    distribution: dict = field(default_factory=dict)
    fates: dict = field(default_factory=dict)
    constant: dict | None = None
    problems: str | None = None
    calibration: dict | None = None
    notes: list[str] = field(default_factory=list)
    trl: dict = field(default_factory=dict)
    engine: str = ENGINE

    def __repr__(self) -> str:
        lines = [self._heading(), *(f"  {line}" for line in self.advice + self.reasons[:3])]
        steps = [f"  {name:<18}{told}" for name, told in self._steps().items()]
        return "\n".join([*lines, *steps, repr(self.trajectory)])

    def _repr_html_(self) -> str:
        """What to do, the step of every criterion and the speaker's curves as small tables, for notebooks."""
        from sharpening.trajectory_text import facts_table

        facts = {"to do": "\n".join(self.advice), "why": "\n".join(self.reasons[:3])}
        shown = {name: told for name, told in facts.items() if told} | self._steps()
        return facts_table(self._heading(), shown) + self.trajectory._repr_html_()

    def _heading(self) -> str:
        return f"Forecast of {self.model} on {self.task}: {self.verdict}; the {self.speaker} voice speaks"

    def _steps(self) -> dict[str, str]:
        told = {}
        for name, found in self.collapse.items():
            if found.outcome.value == "unavailable":
                continue
            step = f"step {found.step}" if found.step is not None else found.outcome.value
            ends = (found.low, "later" if found.high is None else found.high)
            told[name] = step if found.low is None else f"{step} ({found.level:.0%}: {ends[0]} to {ends[1]})"
        return told

    @property
    def trajectory(self) -> "Trajectory":
        """The speaker's predicted trajectory: the forecast's `curve`."""
        return self.voices[self.speaker]
