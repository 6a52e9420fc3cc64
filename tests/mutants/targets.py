"""What is mutated, which tests must notice, and which errors change nothing that can be seen."""

from __future__ import annotations

import importlib
import pkgutil

from mutants.equivalent import EQUIVALENT
from sharpening import InputError

REWARDS = tuple(
    f"tests/core/test_rewards{part}.py"
    for part in ("", "_limits", "_registry", "_spec", "_tokens", "_traps", "_unified")
)
SIMULATION = tuple(f"tests/core/test_simulate{part}.py" for part in ("", "_oracle", "_table", "_rephrasings"))
AFTERWARDS = ("tests/core/test_mutant_survivors.py",)
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("sharpening.updates", ("tests/core/test_updates.py", "tests/core/test_mutants.py")),
    ("sharpening.metrics", ("tests/core/test_metrics.py", *AFTERWARDS)),
    (
        "sharpening.coupling",
        ("tests/core/test_coupling.py", "tests/core/test_coupling_spelled_out.py", *AFTERWARDS),
    ),
    ("sharpening.rewards", (*REWARDS, *AFTERWARDS)),
    ("sharpening.simulation", (*SIMULATION, "tests/core/test_simulation_spelled_out.py", *AFTERWARDS)),
    (
        "llm_bridge.forecast.calibration",
        ("tests/bridge/test_calibration.py", "tests/bridge/test_calibration_limits.py"),
    ),
)
COMPILED = {"sharpening.simulation"}  # what JAX has compiled must be forgotten before an error can be seen
LEFT_OUT = {"sharpening.rewards.registry", "sharpening.spec"}  # names and texts, no formulas
FAST = ("sharpening.updates.softmax_gradient", "sharpening.updates.natural_gradient")


def modules_of(group: str | None = None) -> list[str]:
    """The modules of a group (a module, or all of a package), or of all groups."""
    names = [group] if group else [name for name, _ in GROUPS]
    found = []
    for name in names:
        module = importlib.import_module(name)
        inner = (
            [f"{name}.{part.name}" for part in pkgutil.iter_modules(module.__path__)]
            if hasattr(module, "__path__")
            else [name]
        )
        found += [one for one in inner if one not in LEFT_OUT]
    return found


def targets(wanted: list[str]) -> list[tuple[list[str], tuple[str, ...]]]:
    """(modules, test files) of each group, cut down to `wanted` modules or groups if there are any. Raises:
    InputError for others.
    """
    unknown = set(wanted) - set(modules_of()) - {name for name, _ in GROUPS}
    if unknown:
        raise InputError("modules", sorted(unknown), f"known are {', '.join(modules_of())}")
    chosen = [
        ([one for one in modules_of(name) if not wanted or one in wanted or name in wanted], tests)
        for name, tests in GROUPS
    ]
    return [(modules, tests) for modules, tests in chosen if modules]


__all__ = ["COMPILED", "EQUIVALENT", "FAST", "modules_of", "targets"]
