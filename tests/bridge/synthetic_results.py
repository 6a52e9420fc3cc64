"""Forecasts and measurements made of formulas, so that reports and commands can be tested without a model."""

import numpy as np

from llm_bridge import ForecastStep, Measurement, ModelForecast, RunSettings
from sharpening import Trajectory, collapse_steps

LABELLED = ("accuracy", "label_accuracy", "reward_accuracy")


def fall(middle, *, horizon=300, every=15, source="measured", labels=True, floor=0.02):
    """A logistic fall at step `middle` from full retention to none."""
    step = np.arange(0, horizon + 1, every)
    left = 1 / (1 + np.exp((step - middle) / 15.0))
    left = left / left[0]
    metrics = {
        "accuracy": 0.5 * left,
        "label_accuracy": 0.9 * left,
        "reward_accuracy": 0.02 + 0.9 * left,
        "majority_ratio": 1 - 0.4 * left,
        "mode_retention": left,
        "excess_kl": 5 * (1 - left),
        "entropy": 1.5 * left,
        "distinct_answers": np.round(1 + 99 * left),
    }
    if not labels:
        metrics = {name: values for name, values in metrics.items() if name not in LABELLED}
    return Trajectory(step, metrics, floor=floor if labels else None, source=source)


def make_forecast(*, speaker="coupled", middle=100, labels=True, model="tiny", **settings):
    voices = {
        "uncoupled": fall(10_000, source="predicted", labels=labels),
        "coupled": fall(middle, source="predicted", labels=labels),
        "radius": fall(140, source="predicted", labels=False),
    }
    steps = {name: collapse_steps(found) for name, found in voices.items()}
    collapse = {
        name: ForecastStep(
            name,
            found.step,
            found.outcome,
            *((found.step // 2, found.step * 2, 0.8) if found.step else ()),
            horizon=300,
        )
        for name, found in steps[speaker].items()
    }
    return ModelForecast(
        model=model,
        task="addition",
        settings=RunSettings(**settings),
        voices=voices,
        speaker=speaker,
        why_speaker="it is made up",
        collapse=collapse,
        voices_collapse=steps,
        verdict="collapse",
        reasons=["Because the fixture says so."],
        alignment=0.9 if labels else None,
        coupling={"private": 1.0, "shared": 0.03},
        prior={"accuracy": 0.5},
        cost={"generated_tokens": 1000, "forward_tokens": 2000, "backward_tokens": 500, "seconds": 1.5},
    )


def make_measurement(*, middle=150, labels=True, interrupted=False, model="tiny", **settings):
    return Measurement(
        model=model,
        task="addition",
        settings=RunSettings(**settings),
        trajectory=fall(middle, labels=labels),
        cost={
            "generated_tokens": 90_000,
            "forward_tokens": 180_000,
            "backward_tokens": 45_000,
            "seconds": 75.0,
        },
        interrupted=interrupted,
    )
