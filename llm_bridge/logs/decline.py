"""What the log says of accuracy that falls: a fall that a test with a stated error believes, and whether a fall
to half is more than noise.
"""

from dataclasses import dataclass

import numpy as np

from llm_bridge.logs.falls import ERROR, FEWEST_ANSWERS, MARGIN, answers_of, falls, falls_of_known, noise_of
from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import ERRORS, RunLog, Series

MOST_VALUES = 400
"""Longer series are averaged in neighbours before the test, which looks at all pairs of blocks."""
LARGE = 0.1
"""Share of the earlier accuracy whose loss, down to the start or below, is critical."""
CONFIRMED = 0.25
"""Share of the last evaluation's loss that the one before it must show, or the next one has to decide."""
_SURE = 3.0
"""Standard errors beyond which a single fall to half is no noise."""


@dataclass(frozen=True)
class Decline:
    """The finding, and where the fall began: `onset` the first step for good more than MARGIN below the peak,
    `before` the last one evaluated before it; both None unless the fall is still there.
    """

    finding: Finding
    onset: int | None = None
    before: int | None = None


def decline(log: RunLog, metric: str = "accuracy") -> Decline | None:
    """The first fall of the metric that the test believes, judged at the end of the log; None if there is
    none.
    """
    series = log.get(metric)
    if series is None or series.array.min() < 0 or series.array.max() > 1:
        return None
    steps, values = thinned(series)
    errors = log.get(ERRORS[metric]) if metric in ERRORS else None
    if errors is not None and errors.steps == steps:
        believed = falls_of_known(values, errors.array)
    else:
        believed = falls(values, answers=_answers(log, series))
    first = next((found for found in believed if found is not None), None)
    if first is None:
        return None
    step, now = steps[first.index], believed[-1]
    if now is None:
        text = (
            f"{metric} had fallen at step {step} (from {first.before:.3g} to {first.after:.3g}) and is back within"
            f" {MARGIN:g} of it or within noise at the end."
        )
        return Decline(_finding(metric, "info", text, step))
    last, start = float(values[-min(2, now.held) :].mean()), float(values[0])
    peak = int(values[: first.index + 1].argmax())
    high = [i for i in range(peak, len(values)) if values[i] >= values[peak] - MARGIN]
    before = max((i for i in high if i < first.index), default=peak)
    text = (
        f"{metric} is lower than it was: {now.before:.3g} before, {last:.3g} at the end"
        f"{_against_start(last, start)}. A test of every evaluation, with at most {ERROR:.0%} false alarms over a"
        f" whole run, has believed it since step {step}; it began after step {steps[before]}."
    )
    if now.held == 1 or now.before - values[-2] < CONFIRMED * (now.before - values[-1]):
        level, text = "provisional", text + " So far one evaluation shows it: the next one decides."
    elif last <= now.before / 2 or (last <= start and last <= (1 - LARGE) * now.before):
        level = "critical"
    else:
        level = "warning"
    return Decline(_finding(metric, level, text, step), steps[before + 1], steps[before])


def _finding(metric: str, level: str, text: str, step: int) -> Finding:
    if metric == "mode_mass":
        text += " mode_mass is the share of completions that give the initial model's majority answer: no label is in it."
        return Finding("mode_mass_falls", level, text, step)
    if metric == "accuracy":
        return Finding("accuracy_falls", level, text, step)
    return Finding("label_accuracy_falls", level, text, step)


def _against_start(last: float, start: float) -> str:
    return f", below the {start:.3g} of the start" if last < start else ""


def thinned(series: Series) -> tuple[list[int], np.ndarray]:
    """(steps, values) of at most MOST_VALUES: means of neighbours, at the step of the last of them."""
    steps, values = series.steps, series.array
    group = -(-len(values) // MOST_VALUES)
    if group == 1:
        return steps, values
    ends = list(range(group, len(values) + 1, group))
    if ends[-1] < len(values):
        ends.append(len(values))
    starts = [0, *ends[:-1]]
    return [steps[end - 1] for end in ends], np.array(
        [values[start:end].mean() for start, end in zip(starts, ends, strict=True)]
    )


def _answers(log: RunLog, series: Series) -> int | None:
    """Prompts behind one value. Training batches are of unknown size and their prompts change, so only the
    noise that is seen counts there.
    """
    return 1 if series.lag else log.answers


def beyond_noise(log: RunLog, series: Series, held: int) -> bool:
    """Whether the last `held` evaluations lie below the highest one by more than noise explains."""
    values = series.array
    peak = float(values.max())
    answers = log.answers or min(FEWEST_ANSWERS, answers_of(values))
    noise = min(noise_of(values), np.sqrt(max(1e-4, peak * (1 - peak)) / answers))
    return bool(peak - values[-held:].mean() > _SURE * noise * np.sqrt(1 + 1 / held))
