"""What a pilot without any signal tells of a run: not that it is safe, only how rare a signal must be."""

from llm_bridge.forecast.result import ForecastStep
from sharpening.collapse import CollapseStep, Outcome

SILENT = "no step of the pilot moved a weight, since in every group all answers earned the same"

CONFIDENCE = 0.95


def signal_bound(silent_groups: int, groups: int = 1) -> float:
    """The highest chance that at least one of `groups` groups has a signal, where none of `silent_groups` had:
    1 − (1 − p)^groups at the p that would leave so many silent with probability 1 − CONFIDENCE.
    """
    return 1 - (1 - CONFIDENCE) ** (groups / silent_groups)


def silence_reasons(pilots, settings) -> list[str]:
    """Why nothing can be told, in two sentences: what was not seen, and how often it may happen all the same."""
    seen = settings.prompts_per_step * sum(len(pilot.metrics["majority_ratio"]) for pilot in pilots)
    asked = settings.prompts_per_step * settings.max_steps
    return [
        f"Nothing to learn from yet: {SILENT}.",
        f"That is not safety, and whether this run collapses cannot be told: {seen:,} groups without a dissenter"
        f" leave a chance of up to {signal_bound(seen):.1%} a group ({CONFIDENCE:.0%} bound), and the run asks"
        f" {asked:,}. The chance that a rare dissenter speaks at all is up to {signal_bound(seen, asked):.0%}."
        " An optimizer that normalises gradients, as Adam does, makes a full step of it: confident models died so"
        " at steps 45 to 315 in measured runs.",
    ]


def untold(steps: dict[str, CollapseStep], horizon: int) -> dict[str, ForecastStep]:
    """No step of any criterion, except of those that were met before training."""
    kept = (Outcome.NEVER_STARTED, Outcome.UNAVAILABLE)
    return {
        name: ForecastStep(
            name, None, one.outcome if one.outcome in kept else Outcome.UNAVAILABLE, horizon=horizon
        )
        for name, one in steps.items()
    }
