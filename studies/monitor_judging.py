"""How `sharpening monitor`, rl-doctor and rlprobe do on the runs of `studies.monitored`, asked as a live user would:

    python -m studies.monitor_judging FOLDER [--peers PYTHON]

writes results/monitor_runs.json and the table in docs/monitor.md. PYTHON: of an environment that has both peers; without it
their columns stay as they were. `lost`, `half` and outcomes: see `studies.monitored`. Kept: accuracy of the checkpoint that
is named, against the best, both as means of three neighbouring evaluations. Told: a `stop` of level provisional or critical.
"""

import argparse
import json
import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from llm_bridge.logs.chance import chance
from llm_bridge.logs.read import judge
from llm_bridge.logs.run_log import RunLog, Series
from studies.monitor_chance import FROZEN, Seen, digests, seen
from studies.monitored import EVERY, PARTS
from studies.study import RESULTS, made_with

ALARMS = ("provisional", "critical")
CLOSE = 0.03
RESULT = RESULTS / "monitor_runs.json"
PAGE = Path(__file__).parents[1] / "docs" / "monitor.md"
BEGIN, END = "<!-- table of monitored runs -->", "<!-- end of the table of monitored runs -->"


def until(log: RunLog, step: int) -> RunLog:
    """What the log held at a step."""
    found = RunLog(log.source, floor=log.floor, answers=log.answers)
    for name, series in log.series.items():
        values = {at: value for at, value in series.values.items() if at <= step}
        if values:
            found.series[name] = Series(values, series.lag, series.prompts)
    return found


def watch(run: Seen) -> dict:
    """When the monitor first told to stop, and what that was worth."""
    alarm = keep = None
    steps = list(range(EVERY, max(run.log.series["reward"].steps) + 1, EVERY))
    curve = []
    for step in steps:
        log = until(run.log, step)
        told = {finding.name: finding for finding in judge(log)}
        guess = chance(log)
        curve.append(None if guess is None else [round(guess.chance, 3), round(guess.error, 4)])
        if alarm is None and "stop" in told and told["stop"].level in ALARMS:
            alarm, keep = step, told["keep_checkpoint"].step
    return {
        "label": run.record["label"],
        "part": run.record["part"],
        "kind": run.record["kind"],
        "model": run.record["model"],
        "reward": run.record["reward"],
        "outcome": run.outcome,
        "gained": run.gain >= 0.05,
        "half": run.half,
        "alarm": alarm,
        "early": alarm is not None and run.half is not None and alarm <= run.half,
        "lead": None if alarm is None or run.half is None else run.half - alarm,
        "kept": None if keep is None else short_of_best(run, keep),
        "chance": curve,
    }


def short_of_best(run: Seen, step: int) -> float:
    values = np.convolve(
        np.concatenate([run.values[:1], run.values, run.values[-1:]]), np.full(3, 1 / 3), "valid"
    )
    return round(float(values.max() - np.interp(step, sorted(run.accuracy), values)), 3)


def peers(runs: list[Seen], folder: Path, python: Path) -> dict[str, dict]:
    """Label to what rl-doctor and rlprobe say of the metrics of a run, and when."""
    lines = []
    for run in runs:
        state = folder / run.record["label"] / "trl" / "trainer_state.json"
        rows = [row for row in json.loads(state.read_text())["log_history"] if "reward" in row]
        looks = list(range(EVERY, rows[-1]["step"] + 1, EVERY))
        lines.append(json.dumps({"name": run.record["label"], "rows": rows, "looks": looks}))
    script = Path(__file__).with_name("peer_watch.py")
    done = subprocess.run(
        [str(python), str(script)], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    return {found.pop("name"): found for found in map(json.loads, done.stdout.splitlines())}


def rows(found: list[dict]) -> dict[str, dict]:
    """By outcome: runs, told to stop, before half of the gain was lost, median lead, kept within CLOSE."""
    table = {}
    for outcome in ("collapse", "slow fall", "healthy"):
        some = [one for one in found if one["outcome"] == outcome]
        told = [one for one in some if one["alarm"] is not None]
        leads = [one["lead"] for one in told if one["lead"] is not None]
        table[outcome] = {
            "runs": len(some),
            "told": len(told),
            "early": sum(one["early"] for one in told),
            "lead": float(np.median(leads)) if leads else None,
            "kept": sum(one["kept"] <= CLOSE for one in told),
        }
    return table


def peer_rows(found: list[dict]) -> dict[str, dict]:
    """The same for each level of each peer."""
    table: dict[str, dict] = {}
    for one in found:
        for tool, levels in one.get("peers", {}).items():
            for level, step in levels.items():
                as_ours = one | {
                    "alarm": step,
                    "early": step is not None and one["half"] is not None and step <= one["half"],
                    "lead": None if step is None or one["half"] is None else one["half"] - step,
                    "kept": 1.0,
                }
                table.setdefault(f"{tool}, {level}", []).append(as_ours)
    return {name: rows(some) for name, some in table.items()}


def calibration(found: Iterable[dict], runs: list[Seen]) -> list[dict]:
    """How often accuracy had begun to fall where the chance was so high."""
    told, true = [], []
    for one, run in zip(found, runs, strict=True):
        if all(pair is None for pair in one["chance"]):
            continue
        falls = dict(zip(run.signs.steps, run.falling.tolist(), strict=True))
        for place, pair in enumerate(one["chance"]):
            if pair is not None:
                told.append(pair[0])
                true.append(falls[EVERY * (place + 1)])
    edges = (0.0, 0.2, 0.4, 0.6, 0.8, 1.01)
    bins = np.digitize(told, edges) - 1
    return [
        {
            "from": edges[i],
            "looks": int((bins == i).sum()),
            "told": round(float(np.mean(np.array(told)[bins == i])), 3) if (bins == i).any() else None,
            "fell": round(float(np.mean(np.array(true)[bins == i])), 3) if (bins == i).any() else None,
        }
        for i in range(len(edges) - 1)
    ]


def results(folder: Path, python: Path | None) -> dict:
    """Everything: tables by part, peers, how well chances hold, each run."""
    runs = seen(folder, PARTS)
    found = [watch(run) for run in runs]
    before = json.loads(RESULT.read_text())["runs"] if RESULT.is_file() else []
    said = peers(runs, folder, python) if python else {one["label"]: one.get("peers", {}) for one in before}
    for one in found:
        one["peers"] = said.get(one["label"], {})
    by_part = {part: [one for one in found if one["part"] == part] for part in PARTS}
    last = [place for place, one in enumerate(found) if one["part"] == PARTS[-1]]
    return {
        **made_with("monitor-runs", "python -m studies.monitor_judging FOLDER --peers PYTHON"),
        "frozen": json.loads(FROZEN.read_text()),
        "as_frozen": json.loads(FROZEN.read_text())["later"]["digests"] == digests(),
        "tables": {part: rows(some) for part, some in by_part.items()} | {"all": rows(found)},
        "gained": {part: rows([one for one in some if one["gained"]]) for part, some in by_part.items()},
        "peers": {"judge": peer_rows(by_part["judge"]), "all": peer_rows(found)},
        "chances": calibration([found[i] for i in last], [runs[i] for i in last]),
        "runs": found,
    }


def table(result: dict) -> str:
    """The tables as one of Markdown."""
    lines = [
        "| tool | runs | outcome | runs | told to stop | before half of the gain was lost | median lead, steps | kept within"
        " .03 of the best |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = {
        "judge": "made after the rules were frozen",
        "all": "all",
        "look": "looked at",
        "calibrate": "calibrated on",
    }
    blocks = [("ours", part, result["tables"][part]) for part in ("judge", "calibrate", "look", "all")]
    blocks += [(tool, "judge", found) for tool, found in result["peers"]["judge"].items()]
    blocks += [(tool, "all", found) for tool, found in result["peers"]["all"].items()]
    for tool, part, found in blocks:
        for outcome, row in found.items():
            lead = "–" if row["lead"] is None or outcome == "healthy" else f"{row['lead']:g}"
            early = "–" if outcome == "healthy" else row["early"]
            kept = row["kept"] if tool == "ours" and outcome != "healthy" else "–"
            lines.append(
                f"| {tool} | {names[part]} | {outcome} | {row['runs']} | {row['told']} | {early} | {lead} | {kept} |"
            )
    return "\n".join(lines)


def write(result: dict) -> None:
    """Put the result among the others, and its table into the page."""
    RESULT.write_text(json.dumps(result) + "\n")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(result)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peers", type=Path, help="python of an environment with rldoctor and rlprobe")
    given = parser.parse_args()
    write(results(given.folder, given.peers))
