"""Our own files: collapse_monitor.json, trajectory.json, and the JSON of measure, compare, forecast and
simulate.
"""

from pathlib import Path

from llm_bridge.logs.run_log import RunLog
from sharpening.errors import InputError


def read_monitor(data: dict, path: Path) -> RunLog:
    """What CollapseMonitor keeps beside a run."""
    log = RunLog(f"CollapseMonitor's {path.name}", floor=data.get("floor"))
    for row in data["rows"]:
        for name, value in row.items():
            if name != "step" and name[0] != "_" and value is not None:
                log.add(name, int(row["step"]), value)
    return log


def read_curve(data: dict, path: Path) -> RunLog:
    """A document with a `curve`: a saved trajectory, a measurement, a forecast or a simulation (of a
    comparison, the measurement).
    """
    if data.get("kind") == "comparison":
        data = data["measurement"]
    curve = data.get("curve")
    if not isinstance(curve, dict) or not isinstance(curve.get("step"), list):
        raise InputError(
            "log",
            str(path),
            "it has no curve with steps",
            "Give the JSON of `sharpening measure`, or a trajectory.json",
        )
    kind = data.get("kind") or data.get("source") or "curve"
    log = RunLog(f"{kind} in {path.name}", floor=data.get("floor"))
    for name, values in curve.items():
        if name == "step":
            continue
        if len(values) != len(curve["step"]):
            raise InputError(
                "log",
                str(path),
                f"its curve has {len(curve['step'])} steps and {len(values)} values of {name}",
                "Write the file anew",
            )
        for step, value in zip(curve["step"], values, strict=True):
            if value is not None:
                log.add(name, int(step), value)
    return log
