"""The chance of a collapse that `sharpening monitor` tells: fitted and calibrated on runs of `studies.monitored`, frozen,
then judged on runs that were made afterwards.

    python -m studies.monitor_chance fit FOLDER      # llm_bridge/logs/chance.json, results/frozen-monitor.json
    python -m studies.monitor_chance judge FOLDER    # results/monitor_runs.json and the table in docs/monitor.md

The weights are fitted on all runs of the first two parts. The scores from which the bound and the curve of chances are
taken are those of fits that had left out the run's model. A run within three standard errors of its best at the end is
no slow fall but noise, and counts as healthy: added after 24 runs of the first part had been seen.
"""

import argparse
import hashlib
import json
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from llm_bridge.logs.chance import TABLE, errors, scores
from llm_bridge.logs.read import run_log
from llm_bridge.logs.run_log import RunLog
from llm_bridge.logs.since_start import FEWEST, Signs, signs_over_time
from studies.monitored import DRAWS, HELD_OUT, RESULT, specs
from studies.study import RESULTS

COLLAPSE, SLOW, LEAST, GAIN = 0.5, 0.9, 0.1, 0.05
BEGUN, DEEP = 0.15, 0.06
"""A fall has begun at this share of the way, and is one if it is this deep."""
RIDGE = 4.0
FREE, NEGATIVE = ("agreement_risen", "seen_again"), ("reward_risen",)
"""Signs whose weight may have any sign, and those that speak against a fall; all others speak for one."""
FROZEN = RESULTS / "frozen-monitor.json"
FILES = ("chance.py", "since_start.py", "groups.py", "stopping.py", "saturation.py", "signs.py", "decline.py")


@dataclass(frozen=True)
class Seen:
    """A finished run: its log, and the accuracy that the log does not hold."""

    record: dict
    log: RunLog

    @cached_property
    def signs(self) -> Signs:
        found = signs_over_time(self.log)
        assert found is not None, "a run logs its groups"
        return found

    @cached_property
    def accuracy(self) -> dict[int, float]:
        return {int(step): value for step, value in self.record["accuracy"].items()}

    @property
    def values(self) -> np.ndarray:
        return np.array([self.accuracy[step] for step in sorted(self.accuracy)])

    @property
    def last(self) -> float:
        return float(self.values[-2:].mean())

    @property
    def gain(self) -> float:
        return float(self.values.max() - self.values[0])

    @property
    def outcome(self) -> str:
        best, last = float(self.values.max()), self.last
        if best < LEAST:
            return "nothing to lose"
        if last <= COLLAPSE * best:
            return "collapse"
        noise = 3 * np.sqrt(2 * max(0.01, best * (1 - best)) / (HELD_OUT * DRAWS))
        return "slow fall" if last <= SLOW * best and best - last > noise else "healthy"

    @property
    def half(self) -> int | None:
        """The first evaluation after the best at which half of the gain is lost; where nothing was gained, half of the
        way to the end; None where it never is.
        """
        values, steps = self.values, sorted(self.accuracy)
        best = float(values.max())
        bound = best - self.gain / 2 if self.gain >= GAIN else (best + self.last) / 2
        peak = int(values.argmax())
        return next((steps[i] for i in range(peak, len(values)) if values[i] <= bound), None)

    @cached_property
    def falling(self) -> np.ndarray:
        """At each step of the log, whether accuracy has begun to fall for good."""
        values, steps = self.values, sorted(self.accuracy)
        smooth = np.convolve(np.concatenate([values[:1], values, values[-1:]]), np.full(3, 1 / 3), "valid")
        best = np.maximum.accumulate(smooth)
        fall = best[-1] - smooth[-2:].mean()
        begun = np.zeros(len(values))
        if self.outcome in ("collapse", "slow fall") and fall > DEEP:
            peak = int(smooth.argmax())
            begun[peak:] = smooth[peak:] <= best[peak:] - BEGUN * fall
        return np.interp(self.signs.steps, steps, begun) > 0.5


def seen(folder: Path, parts: tuple[str, ...]) -> list[Seen]:
    """The finished runs of some parts that had something to lose."""
    found = []
    for spec in specs():
        own = folder / spec.label
        if spec.part in parts and (own / RESULT).is_file():
            found.append(Seen(json.loads((own / RESULT).read_text()), run_log(own / "trl")))
    return [run for run in found if run.outcome != "nothing to lose"]


def fitted(runs: list[Seen]) -> dict:
    """Bias and weights: penalised logistic regression of `falling` on the signs; every run weighs the same."""
    from scipy.optimize import minimize

    names, first = runs[0].signs.names, FEWEST - 1
    signs = np.concatenate([run.signs.values[first:] for run in runs])
    falls = np.concatenate([run.falling[first:] for run in runs]).astype(float)
    sizes = [len(run.falling) - first for run in runs]
    weight = np.concatenate([np.full(size, 10 / size) for size in sizes])
    spread = signs.std(0) + 1e-6
    rows = np.column_stack([np.ones(len(signs)), signs / spread])
    ridge = np.array([1e-3, *np.full(len(names), RIDGE)])

    def loss(at):
        score = rows @ at
        slope = rows.T @ (weight * (1 / (1 + np.exp(-score)) - falls)) + ridge * at
        return float((weight * (np.logaddexp(0, score) - falls * score)).sum() + 0.5 * ridge @ at**2), slope

    bounds = [(None, None)]
    bounds += [(None if n in (*FREE, *NEGATIVE) else 0, 0 if n in NEGATIVE else None) for n in names]
    at = minimize(loss, np.zeros(rows.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x
    weights = {n: round(float(w), 4) for n, w in zip(names, at[1:] / spread, strict=True) if w}
    return {"bias": round(float(at[0]), 4), "weights": weights}


def unseen_scores(runs: list[Seen]) -> list[np.ndarray]:
    """Scores of each run by a fit without its model."""
    models = {run.record["model"] for run in runs}
    fits = {model: fitted([run for run in runs if run.record["model"] != model]) for model in models}
    return [scores(run.signs, fits[run.record["model"]]) for run in runs]


def curve(runs: list[Seen], found: list[np.ndarray]) -> list[float]:
    """Intercept and slope of the chance over the score, by logistic regression on those of unseen models."""
    from scipy.optimize import minimize

    first = FEWEST - 1
    at = np.clip(np.concatenate([one[first:] for one in found]), -30, 30)
    falls = np.concatenate([run.falling[first:] for run in runs]).astype(float)

    def loss(pair):
        score = pair[0] + pair[1] * at
        return float(np.mean(np.logaddexp(0, score) - falls * score))

    return [round(float(value), 4) for value in minimize(loss, np.array([0.0, 1.0]), method="Nelder-Mead").x]


def calibrated(runs: list[Seen]) -> dict:
    """The whole table that `llm_bridge.logs.chance` reads."""
    found = unseen_scores(runs)
    highest = [
        round(float(one[FEWEST - 1 :].max()), 4)
        for run, one in zip(runs, found, strict=True)
        if run.outcome == "healthy"
    ]
    return {
        "command": "python -m studies.monitor_chance fit FOLDER",
        **fitted(runs),
        "curve": curve(runs, found),
        "healthy": sorted(highest),
        "runs": {
            outcome: sum(run.outcome == outcome for run in runs)
            for outcome in ("collapse", "slow fall", "healthy")
        },
        "models": sorted({run.record["model"] for run in runs}),
    }


def digests() -> dict[str, str]:
    """Of the table and of all code that raises an alarm without labels."""
    files = [TABLE, *(TABLE.parent / name for name in FILES)]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest()[:16] for file in files}


def fit(folder: Path) -> None:
    """Write the table, and freeze it."""
    runs = seen(folder, ("look", "calibrate"))
    TABLE.write_text(json.dumps(calibrated(runs), indent=1) + "\n")
    print(told(runs, unseen_scores(runs), json.loads(TABLE.read_text())))


def freeze(folder: Path) -> None:
    """Write what the rules are, and that no run of the third part exists."""
    made = [spec.label for spec in specs() if (folder / spec.label).exists()]
    document = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "runs": len(made),
        "of_the_third_part": sum("-judge-" in label for label in made),
        "digests": digests(),
    }
    FROZEN.write_text(json.dumps(document, indent=1) + "\n")


def told(runs: list[Seen], found: list[np.ndarray], made: dict) -> str:
    """One line a run: outcome, step at which half is lost, alarm."""
    lines = []
    for run, one in zip(runs, found, strict=True):
        crossed = np.flatnonzero(errors(one, made) <= 0.05)
        alarm = run.signs.steps[int(crossed[0])] if len(crossed) else None
        lines.append(
            f"{run.record['label']:62} {run.outcome:10} half {run.half} alarm {alarm} {one.max():.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("action", choices=("fit", "freeze"))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    {"fit": fit, "freeze": freeze}[given.action](given.folder)
