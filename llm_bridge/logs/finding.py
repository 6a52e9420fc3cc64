"""One finding about a run: what was found, how bad it is, at which step, and what it means."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from llm_bridge.console.printable import printable

LEVELS = ("info", "warning", "provisional", "critical")
"""From harmless to bad; `sharpening monitor --fail-on` compares with them. Provisional: a collapse that one
evaluation shows, and that the next one confirms or denies.
"""


@dataclass(frozen=True)
class Finding:
    """`name` stable, for scripts; `level` one of LEVELS; `step` in optimizer updates as the log counts them,
    None for the whole run; `values` the numbers of the message by name, where scripts may want them. Names that come from a
    log are made safe to print.
    """

    name: str
    level: str
    message: str
    step: int | None = None
    values: dict[str, float] | None = None

    def __post_init__(self):
        if self.level not in LEVELS:
            raise ValueError(f"level is {self.level!r}, known levels are {', '.join(LEVELS)}")
        object.__setattr__(self, "message", printable(self.message))

    def as_dict(self) -> dict:
        """Plain data for JSON; `values` only where there are some."""
        return {name: value for name, value in asdict(self).items() if name != "values" or value is not None}


def is_at_least(level: str, least: str) -> bool:
    """Whether a level is as high as another one, or higher."""
    return LEVELS.index(level) >= LEVELS.index(least)


def worst(findings) -> str:
    """The highest level among the findings, info if there are none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="info")


def named(names: Sequence[str], most: int = 40) -> str:
    """Names from a log in a sentence: each cut to 80 characters, and at most so many of them."""
    shown = ", ".join(printable(str(name), 80) for name in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")
