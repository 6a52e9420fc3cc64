"""When to stop and which checkpoint to keep: every collapse criterion that the log allows, and the last
evaluation before the onset.
"""

from dataclasses import dataclass, replace

import numpy as np

from llm_bridge.logs.chance import Chance, chance, told_chance
from llm_bridge.logs.decline import beyond_noise, decline
from llm_bridge.logs.falls import MARGIN
from llm_bridge.logs.finding import Finding, worst
from llm_bridge.logs.remedies import remedies
from llm_bridge.logs.run_log import DISTINCT, RunLog, fewer
from llm_bridge.logs.saturation import saturation
from sharpening.collapse import CRITERIA, CollapseStep, Outcome, collapse_step
from sharpening.trajectory import Trajectory

MOVED = MARGIN
LABELLED = ("accuracy", "label_accuracy")
"""Whose falls are asked for; without either that of `mode_mass`, which falls too where wrong votes are put right."""
BUDGET = CRITERIA["excess_kl"].amount


def stopping(log: RunLog) -> list[Finding]:
    """The criteria, judged, and whether accuracy falls; then `stop` and `keep_checkpoint`, or `no_collapse`, or
    `cannot_tell`.
    """
    steps = {name: _step(log, name) for name in CRITERIA}
    met = {name: found for name, found in steps.items() if found.outcome is Outcome.COLLAPSED}
    judged = {name: _judged(log, name, found) for name, found in met.items()}
    findings = list(judged.values())
    unmet = {name: finding for name, found in steps.items() if (finding := _not_met(log, name, found))}
    findings += unmet.values()
    falling = {
        metric: found
        for metric in (LABELLED if any(map(log.get, LABELLED)) else ("mode_mass",))
        if (found := decline(log, metric)) is not None
    }
    findings += [found.finding for found in falling.values()]
    onsets = {name: _onset(log, met[name]) for name, finding in judged.items() if finding.level != "info"}
    onsets |= {
        name: onset
        for name, finding in unmet.items()
        if finding.level == "provisional" and (onset := _provisional_onset(log, steps[name])) is not None
    }
    onsets |= {
        found.finding.name: _Onset(found.onset, found.before, log.series[metric].lag)
        for metric, found in falling.items()
        if found.onset is not None and found.before is not None
    }
    if (gathered := saturation(log)) is not None:
        findings.append(gathered.finding)
        if gathered.onset is not None and gathered.before is not None and not onsets:
            onsets["collapse_signs"] = _Onset(
                gathered.onset, gathered.before, log.series[gathered.metric].lag
            )
    guess = chance(log) if log.get("accuracy") is None else None
    findings += [found for found in (told_chance(guess),) if found is not None]
    named, onsets = set(onsets), _by_chance(onsets, judged | unmet, guess)
    if onsets:
        named |= set(onsets)
        serious = [finding for finding in findings if {finding.name, finding.name.partition("_")[2]} & named]
        return findings + _advice(log, onsets, worst(serious))
    return findings + _nothing_met(steps, findings)


def _by_chance(
    onsets: dict[str, "_Onset"], judged: dict[str, Finding], guess: Chance | None
) -> dict[str, "_Onset"]:
    """The onsets, where a chance without labels is known: its alarm is one, and a warning, which holds no error, stops
    nothing.
    """
    if guess is None:
        return onsets
    firm = {
        name: onset
        for name, onset in onsets.items()
        if name not in judged or judged[name].level in ("provisional", "critical")
    }
    if guess.alarm is not None and guess.before is not None:
        firm["collapse_chance"] = _Onset(guess.alarm, guess.before, 1)
    return firm


def _nothing_met(steps: dict[str, CollapseStep], findings: list[Finding]) -> list[Finding]:
    held = [name for name, found in steps.items() if found.outcome is Outcome.CENSORED]
    if held:
        horizon = max(steps[name].horizon for name in held)
        text = f"Not met up to step {horizon}: {', '.join(held)}. The run may collapse later."
        return [Finding("no_collapse", "info", text, horizon)]
    if findings:
        return []
    text = (
        "This log holds none of the metrics from which a collapse step is found, so nothing here says"
        " whether to stop. Add CollapseMonitor(prompts=[...]) to the trainer, or record completions"
        " (TRL: log_completions=True)."
    )
    return [Finding("cannot_tell", "info", text)]


def _step(log: RunLog, name: str) -> CollapseStep:
    metric = CRITERIA[name].metric
    series = log.get(metric)
    if series is None:
        return CollapseStep(name, None, Outcome.UNAVAILABLE, None, metric, 0)
    start = series.steps[0]
    curve = Trajectory(
        np.array(series.steps) - start, {metric: series.array}, floor=log.floor, source="measured"
    )
    found = collapse_step(curve, name)
    return CollapseStep(
        name,
        None if found.step is None else found.step + start,
        found.outcome,
        found.threshold,
        metric,
        found.horizon + start,
    )


def _accuracy(log: RunLog) -> str | None:
    """Whether accuracy "rose", "fell" or stayed "flat" from the first to the last fifth; None without
    labels.
    """
    series = log.get("accuracy")
    if series is None:
        return None
    start, end = series.ends()
    return "rose" if end >= start + MOVED else "fell" if end <= start - MOVED else "flat"


def _judged(log: RunLog, name: str, found: CollapseStep) -> Finding:
    rule = CRITERIA[name]
    level, why, excess = "critical", "", log.get("excess_kl")
    accuracy = _accuracy(log)
    if name in ("half_life", "loss_spike"):
        level = "warning"
    if rule.metric in ("mode_retention", "excess_kl", "loss_spike") and accuracy == "rose":
        level, why = (
            "info",
            " But accuracy is higher than at the start: the model changed, and for the better.",
        )
    elif rule.metric in ("mode_retention", "excess_kl") and accuracy == "flat":
        level, why = "warning", " Accuracy has not fallen."
    elif rule.metric == "mode_retention" and accuracy is None and excess and excess.ends()[1] <= BUDGET:
        level = "warning"
        why = (
            f" Yet excess_kl ends at {excess.ends()[1]:.2g} nats: answers moved where the prior pointed,"
            " which a run that corrects itself does too."
        )
    elif (
        rule.metric == "mode_retention"
        and accuracy is None
        and not excess
        and (distinct := log.first(*DISTINCT))
        and not fewer(distinct[1])
    ):
        level = "warning"
        why = (
            " As many different answers win as at the start, so the model may as well have learnt: without"
            " labels or excess_kl nothing says which."
        )
    elif rule.metric == "mode_retention" and accuracy is None:
        why = (
            " Majority answers that the model began with are gone, and without labels nothing says that"
            " better ones came."
        )
    if name == "accuracy_peak" and not beyond_noise(log, log.series["accuracy"], 2):
        level = "info"
        why = " But so few answers stand behind each value that chance alone moves it as far."
    threshold = "" if name == "accuracy_peak" else f" (threshold {found.threshold:.3g})"
    where = "Accuracy peaked" if name == "accuracy_peak" else "Met"
    return Finding(
        f"collapse_{name}",
        level,
        f"{where} at step {found.step}: {rule.meaning}{threshold}.{why}",
        found.step,
    )


def _not_met(log: RunLog, name: str, found: CollapseStep) -> Finding | None:
    rule = CRITERIA[name]
    series = log.get(rule.metric)
    if series is None:
        return None
    if found.outcome is Outcome.NEVER_STARTED:
        return Finding(
            f"collapse_{name}",
            "warning" if name in ("relative", "mode_retention") else "info",
            f"`{name}` is met at the first evaluation already: {rule.meaning}. There was nothing left to "
            "lose.",
            series.steps[0],
        )
    if found.outcome is not Outcome.CENSORED:
        return None
    if found.threshold is None or not rule.holds(series.array, found.threshold)[-1]:
        return None
    if rule.kind == "peak" and not beyond_noise(log, series, 1):
        return None
    judged = _judged(log, name, replace(found, step=series.steps[-1]))
    level = "provisional" if rule.kind == "peak" or judged.level == "critical" else "warning"
    text = (
        f"At the last evaluation, step {series.steps[-1]}, `{name}` holds: {rule.meaning}. "
        "If the next one confirms it, that is the collapse step."
    )
    return Finding(f"threshold_{name}", level, text, series.steps[-1])


@dataclass(frozen=True)
class _Onset:
    """First step of a criterion that was met, the last one evaluated before, and the lag of its metric."""

    step: int
    before: int
    lag: int


def _onset(log: RunLog, found: CollapseStep) -> _Onset:
    series = log.series[found.metric]
    assert found.step is not None and found.threshold is not None, "it was met"
    steps, position = series.steps, series.steps.index(found.step)
    if CRITERIA[found.criterion].kind == "peak":
        position = _end_of_peak(series.array, position, found.threshold)
    return _Onset(steps[position], steps[position - 1], series.lag)


def _provisional_onset(log: RunLog, found: CollapseStep) -> _Onset:
    """The onset, if the last evaluation is believed."""
    series = log.series[found.metric]
    peak = CRITERIA[found.criterion].kind == "peak"
    return _onset(log, replace(found, step=series.steps[int(series.array.argmax()) if peak else -1]))


def _advice(log: RunLog, onsets: dict[str, _Onset], level: str) -> list[Finding]:
    """`stop` at the onset and `keep_checkpoint` at the last evaluation before it, from the criterion that was
    met first.
    """
    first = min(onsets.values(), key=lambda onset: (onset.step, onset.before))
    keep = max(0, first.before - first.lag)
    told = ", ".join(f"{name} {onset.step}" for name, onset in onsets.items())
    stop = (
        f"Stop at step {first.step}, the onset: the first step of the criteria met ({told}). Later steps only"
        " lose."
    )
    if level == "provisional":
        stop += " One evaluation shows it so far: pause and evaluate again, or stop at the next one."
    finding = Finding("stop", level, stop, first.step)
    return [
        finding,
        Finding("keep_checkpoint", "warning", _keep(log, keep, first.before, first.lag), keep),
        remedies(log, finding, keep),
    ]


def _end_of_peak(values, peak: int, threshold: float) -> int:
    """The first evaluation more than MOVED below the peak for good, before the fall through the threshold."""
    fall = next(index for index in range(peak, len(values)) if values[index] < threshold)
    return 1 + max(index for index in range(peak, fall) if values[index] >= values[peak] - MOVED)


def _keep(log: RunLog, keep: int, before: int, lag: int) -> str:
    if keep == 0:
        text = (
            f"Keep the initial model: {before} is the last step evaluated before the onset, so no trained"
            " checkpoint is known to be better."
        )
    elif lag:
        text = (
            f"Keep the checkpoint of step {keep}: it gave the rollouts of step {before}, the last ones before"
            " the onset."
        )
    else:
        text = f"Keep the checkpoint of step {keep}, the last evaluation before the onset."
    if accuracy := log.get("accuracy"):
        best = accuracy.steps[int(accuracy.array.argmax())]
        text += f" The best accuracy recorded is {accuracy.array.max():.3g}, at step {best}."
    if log.checkpoints and keep:
        usable = [step for step in log.checkpoints if step <= keep]
        text += (
            f" In this folder that is checkpoint-{max(usable)}."
            if usable
            else " This folder has none that early any more: save more often."
        )
    return text
