"""How CollapseMonitor, which sees no label, does on the runs of `studies.monitored_live`, asked after every evaluation:

    python -m studies.live_judging FOLDER LABELLED      # results/monitored_live.json and the table in docs/monitor.md

LABELLED: a folder of runs whose callback was given labels (`studies.monitored_live --labels`).

Outcomes, `half`, early and kept: see `studies.monitored` and `studies.monitor_judging`. `stops`: what ends a run by
default (critical advice); `advises`: also advice that one evaluation shows (provisional); `criterion`: `mode_retention`
alone, which was what ended a run before. `labels`: critical advice on runs whose callback knows the true answers.
"""

import json
import sys
from pathlib import Path

from llm_bridge.training.kept import advice, reached
from sharpening.collapse import collapse_step
from sharpening.trajectory import Trajectory
from studies.frozen import digest
from studies.monitor_chance import Seen
from studies.monitor_judging import PAGE, rows, short_of_best
from studies.monitored import PARTS, RESULT, STRANGERS, specs, strangers
from studies.monitored_live import LIVE
from studies.study import RESULTS, made_with

FROZEN = RESULTS / "frozen-live.json"
BEGIN, END = "<!-- table of watched runs -->", "<!-- end of the table of watched runs -->"
WAYS = {
    "stops": "critical advice, the default",
    "advises": "provisional advice too",
    "criterion": "`mode_retention` alone",
    "labels": "critical advice, with labels",
}
NAMES = {
    STRANGERS: "strangers, made last",
    "judge": "made after the rule was frozen",
    "calibrate": "calibrate",
    "look": "look",
    "all": "all",
}


def watched(folder: Path) -> list[tuple[Seen, list[dict]]]:
    """Finished runs that had something to lose, with the rows of their callback."""
    found = []
    for spec in (*specs(), *strangers()):
        own = folder / spec.label
        if (own / LIVE).is_file():
            run = Seen(json.loads((own / RESULT).read_text()), None)
            if run.outcome != "nothing to lose":
                found.append((run, json.loads((own / LIVE).read_text())["rows"]))
    return found


def alarm(seen: list[dict], way: str) -> tuple[int, int] | None:
    """(step, step to keep) at which a run was first told to stop; None where it never was."""
    for count in range(2, len(seen) + 1):
        some = seen[:count]
        if way == "criterion":
            curve = Trajectory(
                [row["step"] for row in some], {"mode_retention": [row["mode_retention"] for row in some]}
            )
            found = collapse_step(curve, "mode_retention").step
            if found is not None:
                return some[-1]["step"], max(row["step"] for row in some if row["step"] < found)
            continue
        advised = advice(some, None, Path("live"))
        if reached(advised, "provisional" if way == "advises" else "critical"):
            return some[-1]["step"], advised["keep_checkpoint"].step
    return None


def told(run: Seen, seen: list[dict], way: str) -> dict:
    """One run, as `studies.monitor_judging.rows` counts it."""
    found = alarm(seen, way)
    step, keep = found or (None, None)
    return {
        **{name: run.record[name] for name in ("label", "part", "kind", "model", "reward")},
        "outcome": run.outcome,
        "half": run.half,
        "alarm": step,
        "early": step is not None and run.half is not None and step <= run.half,
        "lead": None if step is None or run.half is None else run.half - step,
        "kept": None if keep is None else short_of_best(run, keep),
    }


def results(folder: Path, labelled: Path) -> dict:
    """Tables by way and part, and each run."""
    runs = dict.fromkeys(WAYS, watched(folder)) | {"labels": watched(labelled)}
    frozen = json.loads(FROZEN.read_text())
    found = {way: [told(*run, way) for run in some] for way, some in runs.items()}
    return {
        **made_with("monitor-runs", "python -m studies.live_judging FOLDER"),
        "frozen": frozen,
        "as_frozen": all(digest(path)[:16] == was for path, was in frozen["digests"].items()),
        "tables": {
            way: {
                part: rows([one for one in mine if part in ("all", one["part"])])
                for part in (*PARTS, STRANGERS, "all")
            }
            for way, mine in found.items()
        },
        "runs": found,
    }


def table(result: dict) -> str:
    """The tables as one of Markdown, a row a way and part; in time: before half of the gain was lost."""
    lines = [
        "| what ends the run | runs | collapses told | in time | checkpoint within .03 of the best | slow falls told |"
        " healthy runs stopped |",
        "|---|---|---|---|---|---|---|",
    ]
    for way, by_part in result["tables"].items():
        for part in (
            ("judge",) if way == "labels" else NAMES if way == "stops" else (STRANGERS, "judge", "all")
        ):
            fallen, slow, healthy = (
                by_part[part][outcome] for outcome in ("collapse", "slow fall", "healthy")
            )
            cells = [
                f"{fallen['told']} of {fallen['runs']}",
                fallen["early"],
                fallen["kept"],
                f"{slow['told']} of {slow['runs']}",
                f"{healthy['told']} of {healthy['runs']}",
            ]
            lines.append(f"| {WAYS[way]} | {NAMES[part]} | {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    made = results(*map(Path, sys.argv[1:]))
    (RESULTS / "monitored_live.json").write_text(json.dumps(made) + "\n")
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table(made)}\n{END}{rest.split(END)[1]}")
    print(table(made))
