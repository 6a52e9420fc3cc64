"""What theory and a search say about verification schedules, in words: rules, reasons, names of figures."""

from sharpening.collapse import CollapseStep
from sharpening.verification.closed_form import CertifiedPlan
from sharpening.verification.results import HARM, ScheduleSearch, VerificationSchedule
from sharpening.verification.thresholds import ThresholdCheck, VerificationPlan

UNIFORM_ROWS = {
    "youden": "J = TPR - FPR",
    "threshold_share": "share of rollouts that must be exceeded, 1/(1+J)",
    "intrinsic_threshold": "largest weight of the majority vote, J/(1+J)",
    "verified_rollouts": "rollouts to verify per prompt",
    "share": "share of rollouts verified",
    "calls": "verifier calls in the run",
    "cost": "cost of the run",
    "cost_of_all": "cost of verifying every rollout",
    "saving": "saved",
}
"""Fields of a `VerificationPlan` -> what they are called in a table."""
CERTIFIED_ROWS = {
    "calls_per_prompt": "expected calls to certify one prompt",
    "calls": "expected verifier calls in the run",
    "cost": "expected cost of the run",
    "right": "share of prompts with the right label",
    "error_bound": "proved bound on the others' share",
}
"""The same for a `CertifiedPlan`."""
NOT_SEARCHED = (
    "Uniform plans only: the same share of every prompt's rollouts at every step. Adaptive plans (which"
    " prompts, which rollouts, which steps) are not searched yet: name a MODEL or give --alignment to search"
    " them, or --dataset-size to compare with certifying one label a prompt."
)


def schedule_rule(one: VerificationSchedule, search: ScheduleSearch) -> str:
    """What a schedule of this search verifies when, and what is paid otherwise."""
    vote = "the majority vote" if search.intrinsic == "majority" else search.intrinsic
    if one.family == "none" or one.parameter is None:
        return "no verification"
    if one.family == "uniform":
        number = f"{one.parameter * search.rollouts:.3g} of {search.rollouts}"
        return (
            f"verify {one.parameter:.1%} of every prompt's rollouts ({number}) at every step, and pay {vote}"
            " for the others"
        )
    if one.family == "gated":
        return (
            f"verify every rollout of a prompt while its majority answer has mass below {one.parameter:.3g},"
            f" then pay {vote}"
        )
    if one.family == "periodic":
        often = "every step" if one.parameter == 1 else f"one step in {one.parameter}"
        return f"verify every rollout at {often}, and pay {vote} at the others"
    tests = f"by sequential tests at error level {search.error:g}"
    return (
        f"before training, certify one label {tests} for {one.parameter:.1%} of the prompts, and pay {vote} on"
        " the others"
    )


def schedule_reasons(search: ScheduleSearch) -> list[str]:
    """The verdict of a search and the numbers behind it, one sentence or two to a line."""
    lines = _VERDICTS[search.verdict](search)
    if search.safety > 1 and search.verdict != "no_signal":
        slowest, fastest = f"{1 / search.safety:.2g}", f"{search.safety:.2g}"
        lines.append(
            f"Figures are the worst of five learning rates, from {slowest} to {fastest} times the one given."
        )
    return lines


def schedule_notes(
    search: ScheduleSearch, other: CollapseStep | None, wrong_modes: float | None
) -> list[str]:
    """What to know a schedule of a model by: labels that are assumed, and what the retention radius expects of
    the run without a verifier.
    """
    lines = []
    if wrong_modes is not None:
        lines.append(
            f"Labels are assumed: on {wrong_modes:.0%} of the prompts the second most frequent answer counts"
            " as the truth."
        )
    if other is None or other.step is None:
        return lines
    alone = search.unverified.collapse.step
    if alone is None:
        found = f"The retention radius expects collapse at step {other.step}, and this mean field none"
        return [
            *lines,
            f"{found}: it does not see what would break this model, and cannot say which verification would"
            " help.",
        ]
    return [
        *lines,
        f"The retention radius expects the unverified run to collapse at step {other.step}, this mean field at"
        f" step {alone}.",
    ]


def certified_against_uniform(certified: CertifiedPlan, plan: VerificationPlan) -> str:
    """Which of theory's two plans costs less, and what the one rests on."""
    cheaper = "cheaper" if certified.cost < plan.cost else "dearer"
    return f"Certifying is {cheaper} than the uniform plan; it needs calls that err independently."


def threshold_simulated(check: ThresholdCheck) -> str:
    """Where simulated prompts end just above and just below the threshold."""
    return (
        f"Simulated: share {check.share_above:.4g} ends at accuracy {check.accuracy_above:.4g},"
        f" share {check.share_below:.4g} at {check.accuracy_below:.4g}."
    )


def _no_signal(search: ScheduleSearch) -> list[str]:
    met = search.unverified.collapse
    start = f"{met.metric} starts at or below {met.threshold:.3g}"
    return [f"`{met.criterion}` is met before any training ({start}): nothing can be lost."]


def _not_needed(search: ScheduleSearch) -> list[str]:
    met = search.unverified.collapse
    line = f"Without a verifier `{met.criterion}` is not met within {met.horizon} steps"
    lines = [f"{line}: no verification is needed. {_course(search.unverified)}"]
    return lines + ([] if search.youden > 0 else [_useless(search)])


def _useless_verifier(search: ScheduleSearch) -> list[str]:
    return [_left_alone(search), _useless(search)]


def _no_plan(search: ScheduleSearch) -> list[str]:
    return [
        _left_alone(search),
        "No schedule of this verifier is enough; the strongest of each family:",
        *(f"{one.family} ({one.calls:,.0f} calls): {_end(one)}" for one in search.best),
        _theory(search),
    ]


def _plan(search: ScheduleSearch) -> list[str]:
    plan, best, everything = search.plan, search.best, search.cost_of_all
    assert plan is not None, "the verdict is that there is one"
    part = f", {plan.cost / everything:.1%} of what verifying every rollout costs" if everything > 0 else ""
    rule = schedule_rule(plan, search)
    lines = [
        _left_alone(search),
        f"Cheapest: {rule}. {plan.calls:,.0f} calls, cost {plan.cost:,.4g}{part}. {_course(plan)}",
    ]
    if plan.accuracy < plan.initial_accuracy - HARM:
        lines.append("That is less than before training: the schedule avoids the criterion, not the harm.")
    others = [
        f"{one.family} {one.cost / plan.cost:.2g} times" for one in best[1:] if one.works and plan.cost > 0
    ]
    lines += [f"Cheapest of the other families, in its cost: {', '.join(others)}."] if others else []
    uneven = ", ".join(one.family for one in best if not one.monotone)
    lines += [f"Not monotone: a dearer value that was tried fails in {uneven}."] if uneven else []
    return [*lines, _theory(search)]


_VERDICTS = {
    "plan": _plan,
    "not_needed": _not_needed,
    "no_plan": _no_plan,
    "useless_verifier": _useless_verifier,
    "no_signal": _no_signal,
}


def _left_alone(search: ScheduleSearch) -> str:
    """What happens without a verifier, where that is not good enough."""
    alone, met = search.unverified, search.unverified.collapse
    if met.step is not None:
        return f"Without a verifier `{met.criterion}` is met at step {met.step}. {_course(alone)}"
    return (
        f"Without a verifier `{met.criterion}` is not met within {met.horizon} steps, but accuracy ends below"
        f" what was asked. {_course(alone)}"
    )


def _useless(search: ScheduleSearch) -> str:
    return (
        f"J = TPR - FPR = {search.youden:.3g}: a verifier moves the truth's log-odds with the sign of J, so no"
        " share of calls rescues a wrong majority."
    )


def _theory(search: ScheduleSearch) -> str:
    """The share of theory beside the uniform share that works in the mean field."""
    theory = search.theory
    assert theory is not None and theory.parameter is not None, "only a verifier without use has none"
    share = (
        f"Theorem X2 (prompts on their own) asks for more than {1 / (1 + search.youden):.1%} of the rollouts,"
        f" {theory.parameter:.1%} in whole rollouts"
    )
    uniform = next((one for one in search.best if one.family == "uniform" and one.works), None)
    needed = f" The uniform share that works here is {uniform.parameter:.1%}." if uniform else ""
    return f"{share}: in the coupled mean field {_end(theory)}.{needed}"


def _course(one: VerificationSchedule) -> str:
    return f"Accuracy goes from {one.initial_accuracy:.2f} to {one.accuracy:.2f}."


def _end(one: VerificationSchedule) -> str:
    met = one.collapse
    when = "is not met" if met.step is None else f"is met at step {met.step}"
    return f"`{met.criterion}` {when}, and accuracy ends at {one.accuracy:.2f}"
