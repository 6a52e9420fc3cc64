"""The figure of the noisy verifier's phase transition (X7)."""

from functools import partial

import numpy as np
from scipy.integrate import quad

from sharpening.logspace import logistic
from sharpening.plots.theorems.canvas import draws
from sharpening.theorems.x7_noise_flow import time_between, verdict_std

DRAWINGS: dict[str, tuple] = {}
draws = partial(draws, DRAWINGS)
FAR = 3.0


@draws(
    "X7",
    "Time of GRPO's replicator flow from 5 % to 95 % accuracy under a noisy verifier, against J = TPR − FPR:"
    " the closed form (lines) on integrals (points); near J = 0 it grows as 1/J (dashed).",
)
def phase_transition(panel):
    panel.logs(x=True, y=True)
    least, most = logistic(-FAR), logistic(FAR)
    for colour, fpr in enumerate((0.1, 0.4)):
        gaps = np.geomspace(0.01, 0.55, 7)
        found = [
            quad(lambda x, j=j, fpr=fpr: verdict_std(logistic(x), fpr + j, fpr) / j, -FAR, FAR)[0]
            for j in gaps
        ]
        law = lambda j, fpr=fpr: np.array([time_between(least, most, fpr + one, fpr) for one in j])  # noqa: E731
        panel.law(law, gaps, found, f"FPR {fpr:g}", colour, logs=True, tolerance=1e-6)
        limit = 2 * FAR * np.sqrt(fpr * (1 - fpr)) / gaps
        panel.line(gaps, limit, None, colour, dashed=True)
    panel.dress("J = TPR − FPR", "time, in units of 1/η", legend="upper right")
