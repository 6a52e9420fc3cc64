"""A cell of votes with supervised batches between: where they come to rest, beside the balance point of theory X4."""

from pathlib import Path

import numpy as np

UPDATES = {"GRPO": "group", "softmax gradient": "none"}
"""The updates of X4, and how each scales advantages."""


def moving_prior(settings: dict, folder: Path) -> dict:
    """One supervised batch after every batch of votes, both on all `prompts` policies over `answers`: the vote steps by
    `learning_rate` times its gradient, the data by `learning_rate` times mu times (q - pi), q the prior itself, a replay of
    pre-training. Mean mass of the initial mode at the end, one a seed, for every
    mu of `strengths` and each of `settings["update"]`, exact, with `rollouts` votes, and coupled by `shared`.
    """
    from sharpening.logspace import normalised
    from sharpening.theorems.x4_moving_prior import balance_masses

    found: dict[str, list] = {"predicted": [], "exact": [], "sampled": [], "coupled": []}
    for strength in settings["strengths"]:
        rows: dict[str, list[float]] = {name: [] for name in found}
        for seed in settings["seeds"]:
            rng = np.random.default_rng([seed, 29])
            start = settings["sharpness"] * rng.standard_normal((settings["prompts"], settings["answers"]))
            start = normalised(start)
            mode = start.argmax(axis=1)[:, None]
            share = np.take_along_axis(start, mode, axis=1)[:, 0]
            log_p, _ = balance_masses(share, np.log1p(-np.exp(share)), strength, settings["update"])
            rows["predicted"].append(float(np.exp(log_p).mean()))
            for name in ("exact", "sampled", "coupled"):
                end = interleaved(start, strength, settings, rng, name)
                rows[name].append(float(np.take_along_axis(np.exp(end), mode, axis=1).mean()))
        for name, values in rows.items():
            found[name].append([round(value, 4) for value in values])
    return {"strengths": settings["strengths"], **found}


def interleaved(start: np.ndarray, strength: float, settings: dict, rng, form: str) -> np.ndarray:
    """Log-probabilities (prompts, answers) after `steps` pairs of a batch of votes and a batch of data."""
    from sharpening import GRPO, get_reward
    from sharpening.logspace import normalised
    from sharpening.simulation.sampling import sample_answers

    update, vote = GRPO(1.0, UPDATES[settings["update"]], 0.0), get_reward("majority")
    rate, shared = settings["learning_rate"], settings["shared"] if form == "coupled" else 0.0
    logits, taught = start.copy(), np.exp(start)

    def moved(z, direction):
        return z + rate * (direction + shared * direction.mean(axis=0))

    for _ in range(settings["steps"]):
        now = normalised(logits)
        if form == "sampled":
            drawn = sample_answers(rng.random((len(now), settings["rollouts"])), now)
            direction = update.group_direction(now, drawn, np.asarray(vote.group(drawn)))
        else:
            direction = update.direction(now, np.asarray(vote.exact(now)))
        logits = moved(logits, np.asarray(direction))
        logits = moved(logits, strength * (taught - np.exp(normalised(logits))))
    return normalised(logits)
