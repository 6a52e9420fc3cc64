"""Trajectory: the metrics of one run, step by step; the same type for predicted, simulated and measured
runs.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sharpening.errors import InputError
from sharpening.trajectory_text import html_table, table

SCHEMA = 1
SOURCES = ("simulated", "measured", "predicted")


class Metric(NamedTuple):
    """One entry of the glossary: unit, one line of meaning, whether true labels are needed."""

    unit: str
    meaning: str
    needs_labels: bool


METRICS: dict[str, Metric] = {
    "accuracy": Metric("share", "mean share of rollouts that are correct (TTRL: ground-truth ratio)", True),
    "label_accuracy": Metric("share", "share of prompts whose majority answer is correct, ties shared", True),
    "reward_accuracy": Metric(
        "share", "share of rollouts whose pseudo-reward equals the reward under the true label", True
    ),
    "majority_ratio": Metric("share", "share of rollouts that agree with the majority answer", False),
    "entropy": Metric("nats", "entropy of the answers of one prompt, no answer being one outcome", False),
    "kl": Metric("nats", "KL(current policy || initial policy) over answers", False),
    "excess_kl": Metric(
        "nats",
        "mean over prompts of max(0, KL - budget), budget = -log of the initial mode's probability",
        False,
    ),
    "blind_retention": Metric(
        "share",
        "of prompts with images whose greedy answer stays the same when every image is replaced by plain grey",
        False,
    ),
    "blind_accuracy": Metric(
        "share",
        "of prompts with images whose greedy answer is right when every image is replaced by plain grey",
        True,
    ),
    "mode_retention": Metric(
        "share", "share of prompts whose majority answer is still the initial one, ties shared", False
    ),
    "mode_mass": Metric(
        "share", "share of rollouts that give the initial majority answer, whatever wins the vote now", False
    ),
    "distinct_answers": Metric(
        "answers", "number of distinct majority answers across the evaluation prompts", False
    ),
    "tie_rate": Metric("share", "share of prompts whose vote has several leaders", False),
    "no_answer_rate": Metric("share", "share of rollouts without an answer", False),
    "truncated": Metric(
        "share", "share of completions cut off at the length limit (TRL: completions/clipped_ratio)", False
    ),
    "undecided_rate": Metric(
        "share", "share of rollouts whose answer could not be compared within the limits of work", False
    ),
    "perplexity": Metric(
        "-", "perplexity of the sampled completions under the model that sampled them", False
    ),
    "mean_length": Metric("tokens", "mean number of tokens of a completion", False),
    "repetition": Metric(
        "share", "share of content tokens after the first that equal their predecessor", False
    ),
    "lm_loss": Metric("nats per token", "language-modelling loss on held-out text", False),
    "true_reward": Metric("reward", "mean reward that the true labels give", True),
    "pseudo_reward": Metric("reward", "mean reward that training uses", False),
}


def evaluation_steps(num_steps: int, eval_every: int) -> np.ndarray:
    """The steps at which a run of `num_steps` is evaluated: 0, eval_every, 2 eval_every, …, and num_steps
    itself.
    """
    return np.append(np.arange(0, num_steps, eval_every), num_steps)


def early_steps(eval_every: int) -> tuple[int, ...]:
    """1, 2, 3, 5, 8, 12, 16, 24, 32, 48, …: each power of two and the middle to the next, as long as the next
    is at most `eval_every` further on.

    A collapse step is known to within two evaluations, and early ones come fast: steps that grow by a third
    to a half tell each of them equally well in relative terms.
    """
    steps, gap = [1, 2, 3, 5, 8], 4
    while gap <= eval_every:
        steps += [steps[-1] + gap, steps[-1] + 2 * gap]
        gap *= 2
    return tuple(
        step for step, before in zip(steps, [0, *steps], strict=False) if step - before <= eval_every
    )


def is_evaluated(step: int, eval_every: int, early: bool = False) -> bool:
    """Whether a run evaluates after `step`: every `eval_every` steps; with `early`, at `early_steps` first,
    and from the last of them on every `eval_every` steps.
    """
    if early and step <= (first := early_steps(eval_every))[-1]:
        return step in first
    return step % eval_every == 0


def write_json(path: str | os.PathLike, data: Any, indent: int | None = 1) -> Path:
    """Write data as JSON in one piece: the old file stays whole until the new one is complete.

    Raises: InputError if the folder is missing or cannot be written, or if the data hold a NaN, an infinity
    or a foreign type.
    """
    path = Path(path)
    try:
        text = json.dumps(data, indent=indent, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            "data",
            type(data).__name__,
            f"it cannot be written as JSON ({error})",
            "Keep numbers finite and types plain",
        ) from error
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        try:
            temporary.unlink(missing_ok=True)
        except OSError:
            pass
        raise InputError(
            "path",
            str(path),
            f"it cannot be written ({error.strerror or error})",
            "Choose a folder that exists, is writable and has space",
        ) from error
    return path


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """Metrics of a run at increasing steps, from step 0 on.

    step: (n,) integers, optimizer updates, strictly increasing, first 0. metrics: name -> (n,) floats, units
    in `METRICS`; NaN means "not evaluated at that step". floor: the largest base rate of one true answer in
    the evaluation set, None without labels.

    Raises: InputError if steps or lengths do not fit, or a value is infinite.
    """

    step: np.ndarray
    metrics: Mapping[str, np.ndarray]
    floor: float | None = None
    source: str = "simulated"
    settings: dict = field(default_factory=dict)

    def __post_init__(self):
        step = np.asarray(self.step)
        if step.ndim != 1 or step.size == 0 or not np.issubdtype(step.dtype, np.integer):
            raise InputError(
                "step",
                self.step,
                "it must be a non-empty list of integers",
                "Give the optimizer updates of the evaluations",
            )
        if step[0] != 0:
            raise InputError(
                "step",
                step.tolist(),
                "a trajectory starts with step 0, the initial model",
                "Evaluate before the first update",
            )
        if np.any(np.diff(step) <= 0):
            raise InputError(
                "step",
                step.tolist(),
                "steps must increase strictly",
                "Sort the evaluations and drop repeated ones",
            )
        metrics = {}
        for name, values in self.metrics.items():
            array = np.array(values, dtype=np.float64)
            if array.shape != step.shape:
                raise InputError(
                    f"metrics[{name}]", array.shape, f"it must have one value per step, here {step.size}"
                )
            if np.any(np.isinf(array)):
                raise InputError(
                    f"metrics[{name}]",
                    array.tolist(),
                    "a metric cannot be infinite",
                    "Record a value that was not evaluated as NaN",
                )
            array.setflags(write=False)
            metrics[str(name)] = array
        if self.floor is not None and not 0 <= self.floor <= 1:
            raise InputError(
                "floor",
                self.floor,
                "it is a base rate, between 0 and 1",
                "Leave it None when there are no labels",
            )
        if self.source not in SOURCES:
            raise InputError("source", self.source, f"known sources are {', '.join(SOURCES)}")
        step = step.astype(np.int64)
        step.setflags(write=False)
        object.__setattr__(self, "step", step)
        object.__setattr__(self, "metrics", MappingProxyType(metrics))
        object.__setattr__(self, "floor", None if self.floor is None else float(self.floor))
        object.__setattr__(self, "settings", dict(self.settings))

    def __len__(self) -> int:
        return len(self.step)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.metrics:
            raise InputError("name", name, f"this trajectory holds {', '.join(self.metrics) or 'no metric'}")
        return self.metrics[name]

    def __reduce__(self):
        return type(self), (self.step, dict(self.metrics), self.floor, self.source, self.settings)

    def _heading(self) -> str:
        floor = "" if self.floor is None else f", floor {self.floor:.3g}"
        asked = ", ".join(
            f"{name} {self.settings[name]}" for name in ("reward", "learning_rate") if name in self.settings
        )
        return f"Trajectory: {self.source}, steps 0 to {self.horizon} ({len(self)} evaluations){floor}" + (
            f"; {asked}" if asked else ""
        )

    def __repr__(self) -> str:
        return table(self._heading(), self.metrics)

    def _repr_html_(self) -> str:
        return html_table(self._heading(), self.metrics)

    def has(self, name: str) -> bool:
        """True if the metric was recorded."""
        return name in self.metrics

    @property
    def horizon(self) -> int:
        """The last step evaluated."""
        return int(self.step[-1])

    def curve(self) -> dict[str, list]:
        """Plain lists for JSON: {"step": [...], metric: [...]}, with None where a metric was not
        evaluated.
        """
        lists = {
            name: [None if np.isnan(value) else float(value) for value in values]
            for name, values in self.metrics.items()
        }
        return {"step": self.step.tolist(), **lists}

    def to_pandas(self):
        """A pandas DataFrame, one row per evaluation, indexed by step."""
        try:
            import pandas
        except ImportError as error:
            raise InputError(
                "to_pandas", "pandas", "the package is not installed", "pip install pandas"
            ) from error
        return pandas.DataFrame(
            {name: values.copy() for name, values in self.metrics.items()},
            index=pandas.Index(self.step.copy(), name="step"),
        )

    def to_xarray(self):
        """An xarray Dataset with the dimension step; floor, source and settings are attributes, units those
        of the glossary.
        """
        try:
            import xarray
        except ImportError as error:
            raise InputError(
                "to_xarray", "xarray", "the package is not installed", "pip install xarray"
            ) from error
        variables = {
            name: ("step", values.copy(), {"units": METRICS[name].unit} if name in METRICS else {})
            for name, values in self.metrics.items()
        }
        return xarray.Dataset(
            variables,
            coords={"step": self.step.copy()},
            attrs={"floor": self.floor, "source": self.source, "settings": self.settings},
        )

    def save(self, path: str | os.PathLike) -> Path:
        """Write JSON atomically; `Trajectory.load` gives the same numbers back, to the last bit.

        Raises: InputError if the path cannot be written or `settings` is not plain data; an earlier file
        stays untouched.
        """
        return write_json(
            path,
            {
                "schema": SCHEMA,
                "source": self.source,
                "floor": self.floor,
                "settings": self.settings,
                "curve": self.curve(),
            },
        )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Trajectory":
        """Read what `save` wrote.

        Raises: InputError if the file is missing, broken, or of another schema version.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise InputError("path", str(path), f"it cannot be read ({error.strerror or error})") from error
        except ValueError as error:
            raise InputError(
                "path", str(path), f"it is not JSON ({error})", "Give a file that Trajectory.save wrote"
            ) from error
        if (
            not isinstance(data, dict)
            or data.get("schema") != SCHEMA
            or "step" not in (data.get("curve") or {})
        ):
            raise InputError(
                "path",
                str(path),
                f"it is not a trajectory of schema version {SCHEMA}",
                "Give a file that Trajectory.save wrote",
            )
        curve = dict(data["curve"])
        step = curve.pop("step")
        metrics = {
            name: np.array([np.nan if value is None else value for value in values], dtype=np.float64)
            for name, values in curve.items()
        }
        return cls(
            np.asarray(step),
            metrics,
            data.get("floor"),
            data.get("source", "simulated"),
            data.get("settings") or {},
        )
