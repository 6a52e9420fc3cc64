"""When to stop and which checkpoint to keep: every collapse criterion that the log allows, and the last
evaluation before the onset.
"""

import numpy as np

from llm_bridge.logs.finding import Finding, worst
from llm_bridge.logs.run_log import DISTINCT, RunLog, fewer
from sharpening.collapse import CRITERIA, CollapseStep, Outcome, collapse_step
from sharpening.trajectory import Trajectory

MOVED = 0.02
"""Change of accuracy that counts as a rise or a fall."""
BUDGET = CRITERIA["excess_kl"].amount


def stopping(log: RunLog) -> list[Finding]:
    """The criteria, judged; then `stop` and `keep_checkpoint`, or `no_collapse`, or `cannot_tell`."""
    steps = {name: _step(log, name) for name in CRITERIA}
    met = {name: found for name, found in steps.items() if found.outcome is Outcome.COLLAPSED}
    judged = {name: _judged(log, name, found) for name, found in met.items()}
    findings = list(judged.values())
    findings += [finding for name, found in steps.items() if (finding := _not_met(log, name, found))]
    serious = [name for name, finding in judged.items() if finding.level != "info"]
    if serious:
        return findings + _advice(log, {name: met[name] for name in serious}, worst(judged.values()))
    held = [name for name, found in steps.items() if found.outcome is Outcome.CENSORED]
    if held:
        horizon = max(steps[name].horizon for name in held)
        findings.append(
            Finding(
                "no_collapse",
                "info",
                f"Not met up to step {horizon}: {', '.join(held)}. The run may collapse later.",
                horizon,
            )
        )
    elif not met and not findings:
        findings.append(
            Finding(
                "cannot_tell",
                "info",
                "This log holds none of the metrics from which a collapse step is found, so nothing here says"
                " whether to stop. Add CollapseMonitor(prompts=[...]) to the trainer, or record completions"
                " (TRL: log_completions=True).",
            )
        )
    return findings


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
    if found.outcome is Outcome.CENSORED and rule.kind != "peak" and found.threshold is not None:
        if rule.holds(series.array, found.threshold)[-1]:
            return Finding(
                f"threshold_{name}",
                "warning",
                f"At the last evaluation, step {series.steps[-1]}, `{name}` holds: {rule.meaning}. "
                "If the next one confirms it, that is the collapse step.",
                series.steps[-1],
            )
    return None


def _advice(log: RunLog, met: dict[str, CollapseStep], level: str) -> list[Finding]:
    """`stop` at the onset and `keep_checkpoint` at the last evaluation before it, from the criterion that was
    met first.
    """
    onsets = {}
    for name, found in met.items():
        series = log.get(found.metric)
        assert series is not None and found.step is not None and found.threshold is not None, "it was met"
        steps, position = series.steps, series.steps.index(found.step)
        if CRITERIA[name].kind == "peak":
            position = _end_of_peak(series.array, position, found.threshold)
        onsets[name] = (steps[position], steps[position - 1], series.lag)
    name = min(onsets, key=lambda name: onsets[name][:2])
    onset, before, lag = onsets[name]
    keep = max(0, before - lag)
    told = ", ".join(f"{name} {step}" for name, (step, _, _) in onsets.items())
    stop = (
        f"Stop at step {onset}, the onset: the first step of the criteria met ({told}). Later steps only"
        " lose."
    )
    return [
        Finding("stop", level, stop, onset),
        Finding("keep_checkpoint", "warning", _keep(log, keep, before, lag), keep),
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
