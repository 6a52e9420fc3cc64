"""What the metrics mean, beside the criteria: reward accuracy, narrowing answers, consensus, entropy, and
what is missing.
"""

from llm_bridge.logs.finding import Finding, named
from llm_bridge.logs.remaining import told_remaining
from llm_bridge.logs.run_log import DISTINCT, RunLog, fewer
from llm_bridge.logs.saturation import KL_OF_ANOTHER_MODEL, REWARD_LEFT, second_signs
from sharpening.collapse import CRITERIA

REWARD_ROSE, CERTAIN = 0.05, 0.9
CONSENSUS = 0.5
ENTROPY_LEFT = 0.2
CUT_OFF = 0.1
VOTES_CUT_OFF = (
    " A completion that was cut off votes with the answer that is read from it, and not at all where none is;"
    " in a run with mask_truncated_completions it does not vote. Logged rollouts do not say which were cut"
    " off: there each votes."
)
WANTED = (
    "accuracy",
    "label_accuracy",
    "reward_accuracy",
    "mode_retention",
    "excess_kl",
    "distinct_answers",
    "majority_ratio",
)
NEVER_ZERO = ("majority_ratio", "token_entropy", "perplexity", "mean_length")


def placeholders(log: RunLog) -> list[Finding]:
    """Metrics that cannot be zero and are, at every step: taken out of the log and reported."""
    zero = [name for name in NEVER_ZERO if (series := log.get(name)) and not series.array.any()]
    for name in zero:
        del log.series[name]
    return (
        [
            Finding(
                "placeholder_zeros",
                "warning",
                f"Exactly zero at every step, which cannot be: {', '.join(zero)}. A writer that puts zero "
                "where its "
                "input is missing makes a dead run look alive; these were taken as missing.",
            )
        ]
        if zero
        else []
    )


def signs(log: RunLog) -> list[Finding]:
    """Every sign that the log allows to judge."""
    found = [
        sign(log)
        for sign in (
            reward_accuracy,
            narrowing,
            consensus,
            entropy,
            no_answer,
            undecided,
            clipped,
            reward_falls,
            kl_grows,
            ties,
            against_voting,
            told_remaining,
            missing,
            unknown,
        )
    ]
    return [finding for finding in found if finding is not None]


def reward_accuracy(log: RunLog) -> Finding | None:
    """What reward accuracy did, and what that means."""
    series = log.get("reward_accuracy")
    if series is None:
        return None
    start, end = series.ends()
    last, peak = series.steps[-1], float(series.array.max())
    if max(start, peak) - end < 0.05:
        return Finding(
            "reward_accuracy",
            "info",
            f"Reward accuracy {start:.2f} at the start, {end:.2f} at the end: the share of rollouts whose"
            " reward is what the true answer would have given. It is no accuracy: a wrong rollout outside a"
            " wrong majority counts as right.",
            last,
        )
    text = (
        f"Reward accuracy fell to {end:.2f} (start {start:.2f}, highest {peak:.2f}): a majority vote rewards"
        " more and more rollouts otherwise than the true answers would, so each further step of a majority"
        " reward trains towards wrong answers. Majorities that were right have become wrong"
    )
    if labels := log.get("label_accuracy"):
        text += f" (label accuracy {labels.ends()[0]:.2f} to {labels.ends()[1]:.2f})"
    return Finding(
        "reward_accuracy_falls",
        "warning",
        text + ". A larger group or a lower temperature does not bring them back.",
        last,
    )


def narrowing(log: RunLog) -> Finding | None:
    """Reward or agreement rises while fewer different answers win: one answer takes over many prompts."""
    reward, distinct = log.first("pseudo_reward", "reward", "majority_ratio"), log.first(*DISTINCT)
    if reward is None or distinct is None:
        return None
    before, after = reward[1].ends()
    answers = log.get("distinct_answers")
    if answers and answers.ends()[0] < 3:
        return None
    if not (fewer(distinct[1]) and (after >= before + REWARD_ROSE or after >= CERTAIN)):
        return None
    accuracy = log.get("accuracy")
    fell = accuracy is not None and accuracy.ends()[1] <= accuracy.ends()[0] - 0.05
    counts = answers or distinct[1]
    text = (
        f"{reward[0]} goes from {before:.2f} to {after:.2f} while distinct majority answers fall from"
        f" {counts.ends()[0]:.3g} to {counts.ends()[1]:.3g}: different prompts get the same answer. That is"
        " how a collapse looks, not a task that has become too easy; harder prompts do not help."
    )
    if fell and accuracy is not None:
        text += f" Accuracy fell from {accuracy.ends()[0]:.2f} to {accuracy.ends()[1]:.2f}."
    return Finding("answers_narrow", "critical" if fell else "warning", text, distinct[1].steps[-1])


def consensus(log: RunLog) -> Finding | None:
    """frac_reward_zero_std: groups that agree, right or wrong."""
    series = log.get("frac_reward_zero_std", at_least=1)
    if series is None:
        return None
    start, end = series.ends()
    text = (
        f"In {end:.0%} of the groups ({start:.0%} at the start) all rollouts got the same reward"
        " (frac_reward_zero_std). That is consensus, not correctness: a unanimous wrong answer counts too."
        " Such groups give no gradient when rewards are scaled by group."
    )
    if log.first("mode_retention", *DISTINCT) is None and end >= CONSENSUS:
        text += (
            " This log cannot tell success from collapse: record completions (log_completions=True) or add"
            " CollapseMonitor."
        )
    level = "warning" if end >= CONSENSUS and end > start and _answers_lost(log) else "info"
    return Finding("consensus", level, text, series.steps[-1])


def _answers_lost(log: RunLog) -> bool:
    """Whether anything but agreement itself says that answers get lost: every vote that learns agrees more,
    and its entropy falls.
    """
    retention, distinct, accuracy = log.get("mode_retention"), log.first(*DISTINCT), log.get("accuracy")
    return (
        (retention is not None and retention.ends()[1] <= 0.5)
        or (distinct is not None and fewer(distinct[1]))
        or (accuracy is not None and accuracy.ends()[1] <= accuracy.ends()[0] - 0.05)
        or bool(second_signs(log))
    )


def entropy(log: RunLog) -> Finding | None:
    """A fall of entropy relative to the run's own start; no absolute value means anything."""
    found = log.first("entropy", "token_entropy")
    if found is None:
        return None
    name, series = found
    start, end = series.ends()
    if start <= 0 or end > ENTROPY_LEFT * start:
        return None
    return Finding(
        "entropy_falls",
        "warning" if _answers_lost(log) else "info",
        f"{name} is down to {end / start:.0%} of its start ({start:.3g} to {end:.3g} nats). Majority rewards"
        " sharpen by design, so alone this is no collapse: read it with mode_retention or distinct_answers."
        " No absolute value of it means anything.",
        series.steps[-1],
    )


def no_answer(log: RunLog) -> Finding | None:
    """Completions without an answer."""
    series = log.get("no_answer_rate")
    if series is None:
        return None
    start, end = series.ends()
    if end < 0.5 and end < start + 0.2:
        return None
    return Finding(
        "no_answer",
        "warning",
        f"{end:.0%} of the completions have no answer ({start:.0%} at the start). They neither vote nor earn "
        "reward, and "
        "reward accuracy counts them as right where the majority is wrong.",
        series.steps[-1],
    )


def undecided(log: RunLog) -> Finding | None:
    """Answers that could not be compared within the limits of work."""
    series = log.get("undecided_rate")
    if series is None or not series.array.any():
        return None
    return Finding(
        "undecided",
        "info",
        f"Up to {series.array.max():.1%} of the answers of a step could not be compared within the limits of work:"
        " they count as different from each other and as not right.",
        series.steps[-1],
    )


def clipped(log: RunLog) -> Finding | None:
    """Completions that were cut off at the length limit."""
    series, mean, longest = log.get("truncated", 1), log.get("mean_length"), log.get("longest")
    if series is None:
        if mean is None or longest is None or mean.values != longest.values:
            return None
        text = (
            f"All completions of a step are equally long ({mean.ends()[1]:.0f} tokens at the end), as if each"
            " was cut off at the length limit."
        )
        return Finding("clipped", "warning", text + VOTES_CUT_OFF, mean.steps[-1])
    if not series.array.any():
        return None
    start, end = series.ends()
    limit = f" of {longest.array.max():.0f} tokens" if longest is not None else ""
    if series.array.min() >= 1:
        text = (
            f"Every completion was cut off at the length limit{limit}: a reward of 0, and every answer that is"
            " missing, then says nothing about the model. Raise the limit."
        )
    else:
        text = (
            f"{end:.0%} of the completions were cut off at the length limit{limit} ({start:.0%} at the start,"
            f" at most {series.array.max():.0%}). What they earn says little about the model."
        )
    level = "warning" if end >= CUT_OFF else "info"
    return Finding("clipped", level, text + VOTES_CUT_OFF, series.steps[-1])


def reward_falls(log: RunLog) -> Finding | None:
    """The training reward is lost again."""
    series = log.get("reward")
    if series is None:
        return None
    best, end = float(series.array.max()), series.ends()[1]
    step = series.steps[int(series.array.argmax())]
    if best <= 0 or end > REWARD_LEFT * best or step == series.steps[-1]:
        return None
    return Finding(
        "reward_falls",
        "warning",
        f"reward was {best:.3g} at step {step} and ends at {end:.3g}: what training had gained, or the model"
        " had at the start, is lost. No collapse criterion reads it, since a majority reward rises in a"
        " collapse.",
        series.steps[-1],
    )


def kl_grows(log: RunLog) -> Finding | None:
    """The trainer's KL of tokens is beyond what any useful model has."""
    series = log.get("token_kl")
    if series is None or series.array.max() <= KL_OF_ANOTHER_MODEL:
        return None
    step = series.steps[int((series.array > KL_OF_ANOTHER_MODEL).argmax())]
    return Finding(
        "kl_grows",
        "warning",
        f"token_kl is above {KL_OF_ANOTHER_MODEL:g} nats at step {step} (highest"
        f" {series.array.max():.3g}), about the logarithm of a vocabulary: the model writes what the initial"
        " one never would.",
        step,
    )


def ties(log: RunLog) -> Finding | None:
    """Votes without a single winner."""
    series = log.get("tie_rate")
    if series is None or series.ends()[1] < 0.1:
        return None
    return Finding(
        "ties",
        "info",
        f"{series.ends()[1]:.0%} of the votes end in a tie, which is shared among the leaders here. A trainer"
        " that lets the order of rollouts decide rewards at random there; an odd or larger group ties less.",
        series.steps[-1],
    )


def against_voting(log: RunLog) -> Finding | None:
    """Accuracy reached by training, against a majority vote of the untrained model."""
    accuracy, labels = log.get("accuracy"), log.get("label_accuracy")
    if accuracy is None or labels is None or accuracy.prompts != labels.prompts or accuracy.prompts is None:
        return None
    best, voted = float(accuracy.array.max()), float(labels.array[0])
    verdict = (
        "no better than voting without any training"
        if best <= voted
        else "better than voting without any training"
    )
    return Finding(
        "against_voting",
        "info",
        f"A majority vote of the untrained model is right on {voted:.0%} of the prompts; training brought a "
        "single answer "
        f"from {accuracy.array[0]:.0%} to at best {best:.0%}: {verdict}.",
        accuracy.steps[int(accuracy.array.argmax())],
    )


def missing(log: RunLog) -> Finding | None:
    """Metrics that are not in the log, and so were not judged."""
    absent = [name for name in WANTED if log.get(name) is None]
    if not absent:
        return None
    blocked = [
        name
        for name, rule in CRITERIA.items()
        if log.get(rule.metric) is None or (rule.needs_floor and log.floor is None)
    ]
    text = f"Not recorded at two steps or more, hence missing and not zero: {', '.join(absent)}."
    if blocked:
        text += f" Criteria that cannot be evaluated: {', '.join(blocked)}."
    return Finding("missing_metrics", "info", text)


def unknown(log: RunLog) -> Finding | None:
    """Keys that no rule reads."""
    if not log.unknown:
        return None
    return Finding(
        "unknown_keys",
        "info",
        f"Not read, because their names are not known here or they hold no numbers: {named(log.unknown)}.",
    )
