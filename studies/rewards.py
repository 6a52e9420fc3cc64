"""Every registered reward on a tiny transformer, 100 steps each, and the three ways to fail where answers
have free length.
"""

from llm_bridge import RunSettings
from studies.study import Run, Study

STEPS, EVAL_EVERY = 100, 10
MODEL = "addition-uncertain"
ELSEWHERE = {
    "semantic-clusters": "countdown",
    "exhaustive-teacher": "countdown",
    "antiderivative": "polynomials",
    "self-verification": "addition-checker",
}
"""Rewards that say nothing on addition, or that `MODEL` cannot serve: on Countdown an answer's meaning is its
value, and a teacher can search.
"""

CONTROLS = ("countdown", "polynomials", "addition-checker")
"""Models on which the majority vote and true rewards run too, so that the rewards of ELSEWHERE have something
to be compared with.
"""

SPECS = {"judge": "judge(model=addition-overconfident)"}
FREE_LENGTH = ("majority", "self-certainty", "probability", "trajectory-entropy", "token-entropy", "true")
FASTER = ("majority", "self-certainty")
GRADUAL_STEPS = 300
"""The vote at 2e-4 rises first: its fall is seen only after 100 steps."""


def _run(label: str, model: str, **changes) -> Run:
    from llm_bridge.models.built_in import default_task

    return Run(
        label,
        model,
        default_task(model),
        RunSettings(**{"max_steps": STEPS, "eval_every": EVAL_EVERY, "eval_prompts": 128} | changes),
    )


def runs() -> list[Run]:
    """One run a reward at learning rate 3e-4, the controls, then six rewards on answers of free length at
    2e-4, two of them at 4e-4 too.

    100 steps each, but 300 for the vote at 2e-4 on answers of free length.
    """
    from sharpening import REWARDS

    every = [
        _run(name, ELSEWHERE.get(name, MODEL), reward=SPECS.get(name, name), learning_rate=3e-4)
        for name in sorted(REWARDS)
    ]
    controls = [
        _run(f"{name} ({model})", model, reward=name, learning_rate=3e-4)
        for model in CONTROLS
        for name in ("majority", "true")
    ]
    lengths = [
        _run(
            f"free length: {name} {rate:g}",
            "worked-addition",
            reward=name,
            learning_rate=rate,
            prompts_per_step=16,
            max_steps=GRADUAL_STEPS if (name, rate) == ("majority", 2e-4) else STEPS,
        )
        for name, rate in [(name, 2e-4) for name in FREE_LENGTH] + [(name, 4e-4) for name in FASTER]
    ]
    return every + controls + lengths


ALL_REWARDS = Study(
    "rewards",
    "Every registered reward trains a tiny transformer for 100 steps; failure modes on answers of free"
    " length",
    "sharpening study rewards",
    runs,
    workers=1,
)
