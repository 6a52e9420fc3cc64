"""Our own files: collapse_monitor.json, trajectory.json, and the JSON of measure, compare, forecast and
simulate.
"""

import math
from pathlib import Path

from llm_bridge.logs.finding import Finding
from llm_bridge.logs.recorder import Recorder
from llm_bridge.logs.run_log import ERRORS, RunLog
from llm_bridge.logs.values import number, whole
from sharpening.errors import InputError


def read_monitor(data: dict, path: Path) -> RunLog:
    """What CollapseMonitor keeps beside a run."""
    rows = data["rows"]
    if not all(isinstance(row, dict) for row in rows):
        raise _refused(path, "its rows are no objects")
    cells = [
        (index, row.get("step"), name, value)
        for index, row in enumerate(rows)
        for name, value in row.items()
        if name != "step" and (name[:1] != "_" or name in ERRORS.values())
    ]
    return _log(f"CollapseMonitor's {path.name}", cells, data.get("floor"), path)


def read_curve(data: dict, path: Path) -> RunLog:
    """A document with a `curve`: a saved trajectory, a measurement, a forecast or a simulation (of a
    comparison, the measurement).
    """
    if data.get("kind") == "comparison":
        measured = data.get("measurement")
        data = measured if isinstance(measured, dict) else {}
    curve = data.get("curve")
    if not isinstance(curve, dict) or not isinstance(curve.get("step"), list):
        raise InputError(
            "log",
            str(path),
            "it has no curve with steps",
            "Give the JSON of `sharpening measure`, or a trajectory.json",
        )
    steps = curve["step"]
    for name, values in curve.items():
        count = len(values) if isinstance(values, list) else 0
        if count != len(steps):
            raise _refused(path, f"its curve has {len(steps)} steps and {count} values of {name}")
    cells = [
        (index, step, name, value)
        for name, values in curve.items()
        if name != "step"
        for index, (step, value) in enumerate(zip(steps, values, strict=True))
    ]
    kind = data.get("kind") or data.get("source") or "curve"
    return _log(f"{kind} in {path.name}", cells, data.get("floor"), path)


def _log(source: str, cells: list[tuple], floor, path: Path) -> RunLog:
    """A RunLog from (row, step, name, value); null is not evaluated, NaN and infinities are gaps."""
    base = number(floor)
    if base is None or math.isinf(base):
        raise _refused(path, f"its floor, {floor!r}, is no number")
    log, recorder = RunLog(source, floor=None if math.isnan(base) else base), Recorder()
    gaps: dict[str, int] = {}
    for row, step, name, value in cells:
        if value is None:
            continue
        at, found = whole(step), number(value)
        if at is None:
            raise _refused(
                path, f"row {row + 1} has no step: {str(step)[:40]!r} is no whole number from 0 on"
            )
        if found is None:
            raise _refused(path, f"{name} at step {at} is no number")
        if math.isfinite(found):
            recorder.add(row, at, name, found)
        else:
            gaps[name] = gaps.get(name, 0) + 1
    if gaps:
        told = ", ".join(f"{name} in {count}" for name, count in gaps.items())
        text = f"Evaluations without a value: {told}. They are left out, not taken as zero."
        log.findings.append(Finding("missing_values", "info", text))
    recorder.fill(log, path)
    return log


def _refused(path: Path, rule: str) -> InputError:
    return InputError("log", str(path), rule, "Write the file anew")
