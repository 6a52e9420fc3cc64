"""What to do about a run, in sentences, the most important one first: when to stop, at what rate to train, what to
verify.
"""

import math
from dataclasses import dataclass

from llm_bridge.forecast.calibration.features import Reading
from llm_bridge.forecast.calibration.survival import LEVEL
from llm_bridge.forecast.calibration.voice import SAFE, TRAINED_ON
from llm_bridge.forecast.clock import CONSTANT
from llm_bridge.training.settings import RunSettings

CLEAR = 0.1
"""A vote that is wrong on fewer prompts than this is not what a run dies of."""


@dataclass(frozen=True)
class Advice:
    """`lines`: what to do, one sentence each; `stop_by`: the step by which to stop, None where the run may go on."""

    lines: list[str]
    stop_by: int | None = None


def what_to_do(
    reading: Reading,
    calibration,
    head,
    settings: RunSettings,
    code: str,
    *,
    safe: float | None,
    clock=CONSTANT,
    constant: dict | None = None,
) -> Advice:
    """Advice for the verdict `code`; `head` dates the criterion asked for, `safe` is the safe learning rate, `settings`
    and `clock` as in `calibrated_verdict`.
    """
    told, budget = reading.at(settings), settings.max_steps
    chances = [(one, one.probability(told, budget)) for one in (head, calibration.heads["half_life"])]
    likeliest = max(chance for _, chance in chances)
    stop_by, lines = None, []
    if likeliest >= 0.5:
        stop_by = min(
            math.floor(clock.step(max(1.0, one.interval(told)[0])))
            for one, chance in chances
            if chance >= 0.5
        )
        lines.append(stop_told(stop_by, settings))
    elif code == "improves":
        lines.append("Train as planned, and keep the best checkpoint.")
    elif code == "stable" and not calibration.moves(told, budget):
        lines.append("Expect no change: in so few steps at this learning rate the run hardly moves.")
    elif code == "stable":
        lines.append("Train as planned: it should do no harm, and gain little.")
    else:
        lines.append(
            "Keep every checkpoint and stop early (`CollapseMonitor`): it is too close to call beforehand."
        )
    if likeliest > SAFE and safe and safe < settings.learning_rate:
        lines.append(
            f"{'Or train' if stop_by else 'It is safer'} at a learning rate of {safe:.1e}: there the chance of collapse"
            f" is {SAFE:.0%}, all else equal."
        )
    if constant:
        lines.append("Go by the number of distinct answers, not by accuracy: the run may end in one answer.")
    if stop_by and reading.labelled and 1 - told["label_accuracy"] >= CLEAR:
        lines.append(
            "Verify a share q ≥ 1/(1 + J) of the rollouts, J the verifier's TPR − FPR (theorem X2; `sharpening"
            " schedule`)."
        )
    return Advice(lines, stop_by)


def stop_told(step: int, settings: RunSettings) -> str:
    """The sentence that says when to stop: before the lower end of the interval."""
    if step <= 1:
        return (
            f"Do not train at a learning rate of {settings.learning_rate:g}: the {LEVEL:.0%} interval begins with the"
            " first step."
        )
    return f"Stop by step {step:,}, and keep a checkpoint before it."


def revisited_told(rows: list[dict], prompts: float, settings: RunSettings) -> list[str]:
    """Up to how many prompts training is test-time training; nothing where the run as asked is safe enough. rows: of
    `sensitivity`.
    """
    if not rows or rows[0]["chance"] <= TRAINED_ON:
        return []
    held = (
        f"at most {prompts:,.0f} prompts" if prompts >= settings.prompts_per_step else "no number of prompts"
    )
    return [
        f"As test-time training, on prompts visited again and again, {held} would bring the chance down to"
        f" {TRAINED_ON:.0%}."
    ]


def untested(code: str) -> list[str]:
    """What to do where no calibrated voice speaks."""
    if code == "no_signal":
        return [
            "Measure a few steps before you decide: no step of the pilot taught anything.",
            "More prompts in a step (--prompts-per-step) make a rare dissenter likelier to be seen.",
        ]
    return ["Do not rely on this date, it has no interval: train with an early stop (`CollapseMonitor`)."]
