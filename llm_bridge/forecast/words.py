"""What a forecast says: the verdict from calibrated chances, and its reasons, one sentence each, those that weigh most
first.
"""

import math
from collections import Counter

import numpy as np

from llm_bridge.forecast.advice import CLEAR
from llm_bridge.forecast.calibration.features import Reading
from llm_bridge.forecast.calibration.outcome import verdict
from llm_bridge.forecast.clock import CONSTANT
from llm_bridge.forecast.prior import silence_told
from llm_bridge.forecast.probe import Probe
from llm_bridge.training.settings import RunSettings
from sharpening.collapse import CRITERIA


def spoken_head(calibration, settings: RunSettings, *, labelled: bool):
    """The failure time of the criterion asked for; of `mode_retention` where it has none, or needs labels
    that do not exist.
    """
    told = settings.criterion in calibration.heads and (
        labelled or not CRITERIA[settings.criterion].needs_labels
    )
    return calibration.heads[settings.criterion if told else "mode_retention"]


def calibrated_verdict(
    reading: Reading,
    calibration,
    settings: RunSettings,
    clock=CONSTANT,
    last: int | None = None,
    constant: dict | None = None,
) -> tuple[str, list[str]]:
    """The verdict, from the chances that the calibration gives within the budget, and why, one sentence
    each. Where a clock tells of a schedule, `settings` are those at the constant rate and `last` is the run's own
    number of steps. constant: as of `constant_end`; what ends in one answer collapses, though
    its accuracy may rise.
    """
    told, budget, half = reading.at(settings), settings.max_steps, calibration.heads["half_life"]
    head = spoken_head(calibration, settings, labelled=reading.labelled)
    met, lost = (one.probability(told, budget) for one in (head, half))
    gain, rises = (calibration.chance(name, told, budget) for name in ("better", "rises"))
    moves = calibration.moves(told, budget)
    if not moves:
        gain = rises = 0.0
    code = verdict(met, lost, gain, rises)
    if constant and 2 * constant["copies"] > constant["of"] and max(met, lost) >= 0.5:
        code = "rise_then_fall" if code == "rise_then_fall" else "collapse"
    lines = [
        f"Within {last or budget} steps: `{head.criterion}` is met with a chance of {met:.0%} (median:"
        f" {clock.told(head.median(told))}), half of what there is to lose is lost with {lost:.0%}"
        f" ({clock.told(half.median(told))})"
        + (f"; the run ends better than it began with {gain:.0%}." if moves else ".")
    ]
    if not moves:
        lines.append(
            f"It hardly moves: in {last or budget} steps it goes a shorter way, measured by the pilot's own, than any run"
            " of the calibration. Whether it gains anything cannot be told; the fewer steps, the more it stays as it"
            " is."
        )
    if constant:
        lines.append(constant_told(constant, told.get("accuracy")))
    if rises >= 0.5:
        lines.append(peak_told(told, calibration, clock, labelled=reading.labelled))
    if reading.labelled:
        lines += vote_told(
            told, calibration, budget, ruined=code in ("collapse", "rise_then_fall"), moves=moves
        )
    return code, lines


def constant_end(pilots, probe: Probe) -> dict | None:
    """The one answer that pilots ended in: `answer`, `copies` that did of how many (`of`), and with labels
    `right`, the share of prompts for which it is right; None if none did.
    """
    ends = [pilot.attractor[-1].value for pilot in pilots if _ends_constant(pilot)]
    if not ends:
        return None
    answer, copies = Counter(ends).most_common(1)[0]
    found = {"answer": answer, "copies": copies, "of": len(pilots)}
    population = probe.population
    names = population.answer_names or ()
    if population.correct is not None:
        found["right"] = float(population.correct[:, names.index(answer)].mean()) if answer in names else 0.0
    return found


def _ends_constant(pilot) -> bool:
    return bool(pilot.attractor) and pilot.attractor[-1].kind == "answer"


def constant_told(constant: dict, accuracy: float | None) -> str:
    """The sentence about a run that becomes a constant."""
    line = (
        f"If it falls, it will answer {constant['answer']} to everything, as {constant['copies']} of"
        f" {constant['of']} throwaway copies did"
    )
    if constant.get("right") is None or accuracy is None:
        return f"{line}."
    line += f": right for {constant['right']:.0%} of the prompts."
    if constant["right"] >= accuracy:
        line += (
            f" So accuracy would go from {accuracy:.0%} to {constant['right']:.0%} and look like a gain, and"
            " the model would know nothing: go by the number of distinct answers."
        )
    return line


def peak_told(told: dict[str, float], calibration, clock=CONSTANT, *, labelled: bool) -> str:
    """Where accuracy peaks before it falls, and with labels how high."""
    rise, half = calibration.rise, calibration.heads["half_life"].median(told)
    low, middle, high = (max(1.0, share * half) for share in (rise.low, rise.when, rise.high))
    told_height = ""
    if labelled:
        told_height = f" at about {rise.height(told['accuracy'], told['label_accuracy']):.0%}"
    if not math.isfinite(clock.step(middle)):
        return (
            f"Accuracy should rise{told_height} and may peak beyond this schedule: runs that rose and fell"
            f" peaked at {rise.when:.0%} of their half-life."
        )
    last = clock.step(high)
    until = f"{last:,.0f}" if math.isfinite(last) else "its end"
    return (
        f"Accuracy should first rise and peak{told_height} near step {clock.step(middle):,.0f}"
        f" ({clock.step(low):,.0f} to {until}), if it falls at all: runs that rose and fell peaked at"
        f" {rise.when:.0%} of their half-life."
    )


def vote_told(
    told: dict[str, float], calibration, budget: int, *, ruined: bool, moves: bool = True
) -> list[str]:
    """Training on votes against voting without training, and whether wrong votes are what the run dies of."""
    vote, accuracy = told["label_accuracy"], told["accuracy"]
    line = (
        f"Voting without any training is right on {vote:.0%} of the prompts, answers alone on {accuracy:.0%}."
        " Training on votes tends to what the vote says (theorem U2)"
    )
    if moves:
        beats = calibration.chance("beats_voting", told, budget)
        line += f": at its best evaluation the run is above voting with a chance of {beats:.0%}"
    lines = [f"{line}."]
    if ruined and 1 - vote < CLEAR:
        lines.append(
            f"Wrong votes are not the cause, they are {1 - vote:.0%}: what prompts share drifts (theorem C1)."
            " A smaller learning rate, an earlier stop or a verifier helps, better votes do not."
        )
    return lines


def blind_told(pilots) -> list[str]:
    """What grey images leave of the answers, before and after pilots, in one sentence; none of prompts of text."""
    shares = [pilot.metrics["blind_retention"] for pilot in pilots if "blind_retention" in pilot.metrics]
    if not shares:
        return []
    before, after = (np.mean([share[place] for share in shares]) for place in (0, -1))
    return [
        f"With plain grey in place of its images the model gives {before:.0%} of its greedy answers before training, and"
        f" {after:.0%} at the end of the pilot{'s' if len(shares) > 1 else ''} (`blind_retention`)."
    ]


def explain(probe: Probe, settings: RunSettings, *, votes: bool = True) -> list[str]:
    """The numbers of the probe that a reader can check, one sentence each; `votes`: also how often votes and
    answers are right.
    """
    nats = probe.kernel.clock * settings.learning_rate
    lines = [
        f"One optimizer step moves the objective by about {nats:.2g} nats (learning rate × ‖gradient‖₁)."
    ]
    radius = probe.radius.radius
    if math.isfinite(radius):
        steps = radius / settings.learning_rate
        lines.append(
            f"Half of the greedy answers survive weight noise of {radius:.2g}, which is {steps:.0f} steps of"
            " this learning rate."
        )
    lines += silence_told(probe.prior.no_answer)
    if votes and probe.prior.labelled:
        right, accuracy = probe.prior.label_accuracy, probe.prior.accuracy
        lines.append(
            f"The majority answer is right on {right:.0%} of the prompts; accuracy is {accuracy:.0%}."
        )
    return lines
