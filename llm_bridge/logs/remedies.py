"""What to do beside stopping: the learning rate, and the share of rollouts to verify, where theory or stored runs
say so.
"""

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.run_log import RunLog
from llm_bridge.logs.since_start import is_vote
from sharpening.verification.thresholds import uniform_share

LATER = 10.0
"""How many times later a collapse should come at the rate that is named."""
SLOPE = 1.5
"""Steps to a collapse fall with the learning rate to this power or a higher one (1.5 to 2.5 in stored runs)."""
NOISY = (0.9, 0.1)
"""Rates of true and false positives of the verifier that stands as an example."""


def remedies(log: RunLog, stop: Finding, keep: int) -> Finding:
    """A finding `what_to_do` for a run that is told to stop; says "I cannot tell" where nothing is known."""
    start = "the initial model" if keep == 0 else f"the checkpoint of step {keep}"
    text = f"Stop, and go back to {start}. " + _rate(log) + " " + _verification(log)
    return Finding("what_to_do", "info", text, stop.step)


def _rate(log: RunLog) -> str:
    rates = log.get("_learning_rate", at_least=1)
    slower = LATER ** (1 / SLOPE)
    law = f"in stored votes the steps to a collapse grow with the learning rate to the power of -{SLOPE:g} or steeper"
    if rates is None or rates.array.max() <= 0:
        return (
            f"The learning rate is not in the log, so a lower one cannot be named; {law}, so a rate {slower:.2g}"
            f" times lower puts it off about {LATER:g} times. A lower rate delays a collapse and does not undo its cause."
        )
    rate = float(rates.array.max())
    return (
        f"Lower the learning rate from {rate:.2g} to {rate / slower:.1g} or less: {law}, so this puts it off about"
        f" {LATER:g} times. A lower rate delays a collapse and does not undo its cause."
    )


def _verification(log: RunLog) -> str:
    vote = is_vote(log)
    if vote is None and log.get("pseudo_reward") is not None:
        vote = True
    if vote is None:
        return "Whether the reward is a vote cannot be told from this log, so neither can how much to verify."
    if not vote:
        return "The reward is no vote of the model's own answers, and what verification would change for it I cannot tell."
    tpr, fpr = NOISY
    return (
        f"Or pay a verifier's verdict on part of the rollouts and the vote on the others: on more than"
        f" {uniform_share(1.0, 0.0):.0%} with an exact verifier, {uniform_share(tpr, fpr):.0%} with one that accepts"
        f" {tpr:.0%} of the right and {fpr:.0%} of the wrong answers (1 / (1 + J), theorem X2); `sharpening schedule`"
        " finds the cheapest plan for a model."
    )
