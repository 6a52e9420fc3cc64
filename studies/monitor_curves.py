"""What `sharpening monitor` says of finished runs, asked after every evaluation as a live user would:

    python -m studies.monitor_curves --curves FOLDER

replays published curves (CSV files with step, accuracy and training metrics; not part of this repository) and the
stored runs of the tiny zoo, writes studies/results/monitor.json and the table in docs/monitor.md.

The outcome of a run is read from its accuracy alone, by a rule that was fixed before any threshold: a collapse if
the last accuracy is at or below half of the best, a slow fall if at or below nine tenths of it, healthy otherwise.
Named: the monitor told to stop (level provisional or critical; warning for slow falls) at the end or before.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from llm_bridge.logs.names import canonical, is_training
from llm_bridge.logs.read import judge
from llm_bridge.logs.run_log import RunLog, Series
from studies.study import RESULTS, load_result

HALF, SLOW = 0.5, 0.9
LABELLED = ("accuracy", "label_accuracy", "reward_accuracy")
ALARMS = ("warning", "provisional", "critical")
FIRST_HALF = ("Qwen3-4B-Base",)
"""Models whose curves the rules were tried on; all others were looked at once, afterwards."""
PROMPTS = 5000
"""Size of the evaluation set of the published curves (test set of MATH)."""
PAGE = Path(__file__).parents[1] / "docs" / "monitor.md"
BEGIN, END = "<!-- monitor table -->", "<!-- end of monitor table -->"


@dataclass(frozen=True)
class Case:
    """One run: `series` {metric: {step: value}}, `lags` of those measured on training batches."""

    name: str
    group: str
    series: dict[str, dict[int, float]]
    lags: dict[str, int]
    accuracy: dict[int, float]
    floor: float | None = None
    answers: int | None = None

    @property
    def outcome(self) -> str:
        values = [self.accuracy[step] for step in sorted(self.accuracy)]
        share = values[-1] / max(max(values), 1e-9)
        return "collapse" if share <= HALF else "slow fall" if share <= SLOW else "healthy"

    def without_labels(self) -> "Case":
        series = {name: values for name, values in self.series.items() if name not in LABELLED}
        return Case(self.name, self.group, series, self.lags, self.accuracy)

    def until(self, step: int) -> RunLog:
        log = RunLog(self.name, floor=self.floor, answers=self.answers)
        for name, values in self.series.items():
            seen = {at: value for at, value in values.items() if at <= step}
            if seen:
                log.series[name] = Series(seen, self.lags.get(name, 0))
        return log


@dataclass(frozen=True)
class Verdict:
    """When the monitor first told to stop, and what that was worth. `lead`: steps from the alarm to the first
    evaluation at half of the best (positive is earlier); `lost`: share of the gain that was lost at the alarm;
    `kept`: best accuracy minus that of the checkpoint that was kept.
    """

    name: str
    group: str
    outcome: str
    alarm: int | None
    at_end: bool
    lead: int | None
    lost: float | None
    kept: float | None


def watch(case: Case, most: int = 60) -> Verdict:
    """The verdict of a run, looked at `most` times at most; the end is always among them."""
    steps = sorted({step for values in case.series.values() for step in values})
    looks = (
        steps if len(steps) <= most else [steps[i] for i in np.linspace(0, len(steps) - 1, most).astype(int)]
    )
    alarm, kept = None, None
    for step in looks:
        told = {finding.name: finding for finding in judge(case.until(step))}
        if "stop" in told and alarm is None:
            alarm, kept = step, told["keep_checkpoint"].step
        last = "stop" in told
    return Verdict(
        case.name,
        case.group,
        case.outcome,
        alarm,
        last,
        _lead(case, alarm),
        None if alarm is None else _lost(case, alarm),
        None if kept is None else round(max(case.accuracy.values()) - _at(case.accuracy, kept), 3),
    )


def _at(accuracy: dict[int, float], step: int) -> float:
    """Accuracy at a step, between evaluations on a line."""
    steps = sorted(accuracy)
    return float(np.interp(step, steps, [accuracy[at] for at in steps]))


def _lead(case: Case, alarm: int | None) -> int | None:
    best = max(case.accuracy.values())
    peak = min(step for step, value in case.accuracy.items() if value == best)
    dead = [step for step, value in case.accuracy.items() if step > peak and value <= HALF * best]
    return None if alarm is None or not dead else min(dead) - alarm


def _lost(case: Case, alarm: int) -> float | None:
    """Share of the gain so far that was lost at the alarm; None where nothing had been gained."""
    start, values = (
        case.accuracy[min(case.accuracy)],
        [a for step, a in case.accuracy.items() if step <= alarm],
    )
    gain = max(values) - start
    return round((max(values) - _at(case.accuracy, alarm)) / gain, 3) if gain >= 0.01 else None


def published(folder: Path) -> Iterator[Case]:
    """The curves of a folder that have an accuracy; companions without one are parts of those."""
    for path in sorted(folder.glob("*.csv")):
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        names, _, _ = canonical(rows[0]) if rows else ({}, [], [])
        series = {
            name: {int(row["step"]): float(row[key]) for row in rows if row.get(key)}
            for key, name in names.items()
        }
        if len(series.get("accuracy", {})) > 1 and path.stem.count(".") <= 2 and "train" not in path.stem:
            training = {"reward", "mean_length", "label_accuracy"}
            lags = {name: 1 for key, name in names.items() if name in training or is_training(key)}
            yield Case(path.stem, path.stem.split("_")[0], series, lags, series["accuracy"])


def stored(study: str) -> Iterator[Case]:
    """The measured runs of a study of the zoo."""
    for run in load_result(study)["runs"]:
        curve, steps = run["curve"], run["curve"]["step"]
        series = {
            name: {step: value for step, value in zip(steps, values, strict=True) if value is not None}
            for name, values in curve.items()
            if name != "step"
        }
        if len(series["accuracy"]) > 1:
            reward = run["settings"].get("reward", "majority")
            yield Case(
                f"{run['label']} {run['settings']['seed']}",
                f"{study}: {reward}",
                series,
                {},
                series["accuracy"],
                run["floor"],
            )


def rows(verdicts: list[Verdict]) -> dict[str, dict]:
    """By outcome: runs, named, lead (median steps), lost (share of those caught before half of the gain was
    lost), kept (share within .03).
    """
    found = {}
    for outcome in ("collapse", "slow fall", "healthy"):
        some = [verdict for verdict in verdicts if verdict.outcome == outcome]
        caught = [verdict for verdict in some if verdict.alarm is not None]
        leads = [verdict.lead for verdict in caught if verdict.lead is not None]
        found[outcome] = {
            "runs": len(some),
            "named": len(caught),
            "at_end": sum(verdict.at_end for verdict in some),
            "lead": float(np.median(leads)) if leads else None,
            "early": sum(verdict.lost is not None and verdict.lost <= 0.5 for verdict in caught),
            "kept": sum(verdict.kept is not None and verdict.kept <= 0.03 for verdict in caught),
        }
    return found


def results(folder: Path) -> dict:
    """Every table: published curves by half, with and without labels; stored runs of the zoo."""
    curves = list(published(folder))
    bare = [case.without_labels() for case in curves if set(case.series) & {"reward", "pseudo_reward"}]
    zoo = [case for study in ("ground-truth", "tiny", "rewards") for case in stored(study)]
    groups = {
        "published, with accuracy, models the rules were tried on": [
            c for c in curves if c.group in FIRST_HALF
        ],
        "published, with accuracy, other models": [c for c in curves if c.group not in FIRST_HALF],
        f"published, with accuracy and --eval-prompts {PROMPTS}": [
            replace(c, answers=PROMPTS) for c in curves
        ],
        "published, reward and length only": bare,
        "tiny zoo, with accuracy": zoo,
        "tiny zoo, without labels": [case.without_labels() for case in zoo],
    }
    verdicts = {name: [watch(case) for case in cases] for name, cases in groups.items()}
    return {
        "study": "monitor",
        "command": "python -m studies.monitor_curves --curves FOLDER",
        "tables": {name: rows(found) for name, found in verdicts.items()},
        "runs": {
            name: [asdict(verdict) for verdict in found]
            for name, found in verdicts.items()
            if name.startswith("published")
        },
    }


def table(result: dict) -> str:
    """The tables as one of Markdown."""
    lines = [
        "| runs | outcome | runs | told to stop | of them, still at the end | median lead, steps | before half of the gain was"
        " lost | kept within .03 of the best |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, outcomes in result["tables"].items():
        for outcome, row in outcomes.items():
            if row["runs"]:
                lead = "–" if row["lead"] is None else f"{row['lead']:g}"
                counts = [row[key] for key in ("runs", "named", "at_end")]
                ends = ["–", "–"] if outcome == "healthy" else [str(row["early"]), str(row["kept"])]
                lines.append(f"| {name} | {outcome} | " + " | ".join([*map(str, counts), lead, *ends]) + " |")
    return "\n".join(lines)


def write(result: dict) -> None:
    """Put the result among the others, and its table into the page."""
    (RESULTS / "monitor.json").write_text(json.dumps(result, indent=1) + "\n")
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(result)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--curves", type=Path, required=True, help="folder of published curves, CSV")
    write(results(parser.parse_args().curves))
