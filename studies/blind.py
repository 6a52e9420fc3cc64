"""Priors that no fit has seen, probed first and measured afterwards: what a forecast is judged by.

    sharpening study blind              # resumable; --collect gathers what is finished
    sharpening study blind-2            # the second round, after the first was fitted on

The rule for the learning rates was written down before any run: the weight-noise radius R of the probe (the noise at
which half of the greedy answers survive) over 20, 80 and 320 steps. It reads nothing that was measured.
"""

import json
import math
import platform
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from llm_bridge import RunSettings, load_calibration
from llm_bridge.forecast.calibration.survival import DATED
from llm_bridge.forecast.calibration.voice import safe_learning_rate
from sharpening.collapse import CRITERIA
from studies.blind_priors import BLIND_PRIORS, EVERY_PRIOR, SECOND_PRIORS, build_blind_prior
from studies.fitting import reading_of
from studies.probing import SEED, probe_record
from studies.study import Run, made_with, measured_record, task_of

STEPS_OF_RADIUS = (20, 80, 320)
SEEDS = (0, 1)
SETTINGS = RunSettings(max_steps=400, eval_every=40, eval_early=True, eval_prompts=128)
FARTHEST = 0.128
"""The largest noise of a probe stands for the radius of a model that survives all of it."""
KL, KL_PRIORS = 0.04, 6
METRICS = (
    "accuracy",
    "label_accuracy",
    "reward_accuracy",
    "mode_retention",
    "excess_kl",
    "majority_ratio",
    "mean_length",
)


def order(priors=BLIND_PRIORS) -> list[str]:
    """The priors in the order in which they are measured: shuffled once, so that a part is like the whole."""
    return random.Random(0).sample(list(priors), len(priors))


def rates(probe: dict) -> tuple[float, ...]:
    """The learning rates of a prior, from its probe alone: two digits of R/20, R/80 and R/320."""
    radius = probe["noise"]["radius"] or FARTHEST
    return tuple(float(f"{radius / steps:.2g}") for steps in STEPS_OF_RADIUS)


def probe_file(name: str, folder: Path) -> Path:
    """Where the features of a prior are kept."""
    return folder / f"probe-{name}.json"


def features(name: str, folder: Path) -> dict:
    """The probe of a prior as in the ground truth, with one pilot as a forecast has it; nothing else is trained."""
    run = Run(
        name, str(build_blind_prior(name, folder)), EVERY_PRIOR[name].task, replace(SETTINGS, seed=SEED)
    )
    return probe_record(run, (), task_of(run.task), probe_file(name, folder), pilots=1)


def probes(folder: Path, names) -> dict[str, dict]:
    """Name to probe of those priors that are probed."""
    files = {name: probe_file(name, folder) for name in names}
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}


def blind_run(name: str, label: str, folder: Path, **changes) -> Run:
    """A run of a prior under `folder`; changes: of SETTINGS."""
    settings = replace(SETTINGS, **changes)
    return Run(label, str(folder / "priors" / name), EVERY_PRIOR[name].task, settings)


def runs(folder: Path, names=None) -> list[Run]:
    """Every run of the priors that are probed: rate by rate and seed by seed, with a few under a KL penalty."""
    probed = {name: rates(probe) for name, probe in probes(folder, names or order()).items()}

    def run(name, rank, seed, **changes):
        label = f"{name} R/{STEPS_OF_RADIUS[rank]}" + "".join(
            f" {key} {value}" for key, value in changes.items()
        )
        return blind_run(name, label, folder, learning_rate=probed[name][rank], seed=seed, **changes)

    found = []
    for seed in SEEDS:
        for rank in range(len(STEPS_OF_RADIUS)):
            if rank == 2 and seed == 0:
                found += [run(name, 1, seed, beta=KL) for name in list(probed)[:KL_PRIORS]]
            found += [run(name, rank, seed) for name in probed]
    return found


def safe_rate(probe: dict) -> float | None:
    """`safe_learning_rate` of the shipped calibration for these settings, three digits, rounded down; None where it is
    without bound, or where none is safe.
    """
    reading = reading_of(probe, 0, SETTINGS.optimizer)
    found = safe_learning_rate(reading, SETTINGS, load_calibration("labelled").heads["relative"])
    if not 0 < found < math.inf:
        return None
    digits = 2 - math.floor(math.log10(found))
    return math.floor(found * 10**digits) / 10**digits


def second_runs(folder: Path, names=None) -> list[Run]:
    """Every run of the second round: a prior at R/80, at R/20 and at its safe rate, then the same with another seed."""
    probed, found = probes(folder, names or order(SECOND_PRIORS)), []
    for seed in SEEDS:
        for label in ("R/80", "R/20", "safe"):
            for name, probe in probed.items():
                silent = probe["pilots"][0].get("silent")
                rate = (
                    (None if silent else safe_rate(probe))
                    if label == "safe"
                    else rates(probe)[{"R/20": 0, "R/80": 1}[label]]
                )
                if rate is not None:
                    found.append(blind_run(name, f"{name} {label}", folder, learning_rate=rate, seed=seed))
    return found


def measure_run(run: Run, folder: Path) -> dict:
    """One run's record; it ends once `relative` is met."""
    record = measured_record(run, folder, stop_on_collapse=True)
    curve = {name: values for name, values in record["curve"].items() if name in ("step", *METRICS)}
    return record | {"curve": curve, "times": times(record)}


def times(record: dict) -> dict[str, list[float | None] | None]:
    """Criterion to (after, by): the steps of the evaluations between which it was first met and stayed so; by None
    where it was not, after then the last evaluation at which it did not hold. None where the initial model meets it.
    """
    curve, found = record["curve"], {}
    for name in DATED:
        criterion, told = CRITERIA[name], record["collapse"][name]
        if told["outcome"] not in ("collapsed", "censored"):
            found[name] = None
            continue
        values = np.array(curve[criterion.metric])
        alive = np.flatnonzero(~criterion.holds(values, criterion.threshold(values, record["floor"])))
        if told["outcome"] == "collapsed":
            at = curve["step"].index(told["step"])
            found[name] = [curve["step"][at - 1], told["step"]]
        else:
            found[name] = [curve["step"][int(alive[-1])], None]
    return found


@dataclass(frozen=True)
class Blind:
    """A round: priors, then features, then runs; what `folder` holds finished is skipped."""

    name: str
    description: str
    priors: dict
    runs: Callable[..., list[Run]]
    rates: tuple[str, ...]
    workers: int = 2

    @property
    def command(self) -> str:
        return f"sharpening study {self.name}"

    def run(self, folder: Path, progress=None) -> dict:
        from joblib import Parallel, delayed

        from llm_bridge.console.progress import NullProgress

        folder, pool = Path(folder), Parallel(n_jobs=self.workers, return_as="generator_unordered")
        folder.mkdir(parents=True, exist_ok=True)
        bar = (progress or NullProgress()).start(f"{self.name}: features", len(self.priors))
        for _ in pool(delayed(features)(name, folder) for name in order(self.priors)):
            bar.advance()
        bar.close()
        todo = self.runs(folder)
        bar = (progress or NullProgress()).start(f"{self.name}: runs", len(todo))
        for _ in pool(delayed(measure_run)(run, folder) for run in todo):
            bar.advance()
        bar.close()
        return self.collect(folder)

    def collect(self, folder: Path) -> dict:
        """Features and finished runs; nothing is computed. Raises: InputError where no run is finished."""
        from sharpening import InputError

        folder = Path(folder)
        done = [run for run in self.runs(folder) if (run.folder(folder) / "cost.json").is_file()]
        if not done:
            raise InputError(
                "output",
                str(folder),
                f"it holds no finished run of the study {self.name}",
                "Run the study first",
            )
        made = made_with(self.name, self.command)
        result = {
            **made,
            "versions": made["versions"] | {"python": platform.python_version()},
            "rates": list(self.rates),
            "priors": [
                self._prior(name, folder) for name in order(self.priors) if probe_file(name, folder).is_file()
            ],
            "runs": [measure_run(run, folder) for run in done],
        }
        (folder / "result.json").write_text(json.dumps(result, separators=(",", ":")) + "\n")
        return result

    def _prior(self, name: str, folder: Path) -> dict:
        recipe, target = self.priors[name], folder / "priors" / name
        built = json.loads((target / "prior.json").read_text())
        probe = json.loads(probe_file(name, folder).read_text())
        about = {key: getattr(recipe, key) for key in ("task", "architecture", "about", "layers", "width")}
        return {"prior": name, **about, "parameters": built["parameters"], "probe": probe}


BLIND = Blind(
    "blind",
    f"{len(BLIND_PRIORS)} priors that no fit has seen: features first, then three rates around R",
    BLIND_PRIORS,
    runs,
    tuple(f"R/{steps}" for steps in STEPS_OF_RADIUS),
)
SECOND = Blind(
    "blind-2",
    f"{len(SECOND_PRIORS)} priors for the forecast that was fitted on the first round, at R/20, R/80 and their safe rate",
    SECOND_PRIORS,
    second_runs,
    ("R/20", "R/80", "safe"),
)
