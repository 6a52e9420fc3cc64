"""The CSV of a W&B chart: columns `RUN - metric`, `RUN - metric__MIN` and `RUN - metric__MAX` of one or more
runs.
"""

from pathlib import Path

from llm_bridge.logs.names import STEP_KEYS
from sharpening.errors import InputError

_ENDS = ("__MIN", "__MAX")


def panel_names(header: list[str], path: Path) -> list[str | None]:
    """The header without the name of the run, None for a column that is not read (the extremes of what W&B
    averaged); unchanged if it is no such file.

    Raises InputError if the chart shows several runs, which are not one.
    """
    columns = set(header)
    bases = {name[:-5] for name in header if name.endswith(_ENDS) and name[:-5] in columns}
    if not bases and not _looks_like(header):
        return list(header)
    runs = sorted({name.rpartition(" - ")[0] for name in header if _is_metric(name)})
    if len(runs) > 1:
        raise InputError(
            "log",
            str(path),
            f"it shows {len(runs)} runs of a W&B chart ({', '.join(runs[:3])}{', ...' if runs[3:] else ''})",
            "Export one run alone: curves of several are not one curve",
        )
    names = [None if _is_extreme(name, columns) else name.rpartition(" - ")[2] for name in header]
    own = {name for name in header if " - " not in name}
    # W&B adds its own count of log calls as a metric; the chart's x axis is the step that was chosen.
    return [
        None if name in STEP_KEYS and column not in own and own & set(STEP_KEYS) else name
        for name, column in zip(names, header, strict=True)
    ]


def _looks_like(header: list[str]) -> bool:
    return any(name in STEP_KEYS for name in header) and any(
        " - " in name and name not in STEP_KEYS for name in header
    )


def _is_metric(name: str) -> bool:
    return " - " in name


def _is_extreme(name: str, columns: set[str]) -> bool:
    return name.endswith(_ENDS) and name[:-5] in columns
