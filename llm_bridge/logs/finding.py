"""One finding about a run: what was found, how bad it is, at which step, and what it means."""

from dataclasses import asdict, dataclass

LEVELS = ("info", "warning", "critical")
"""From harmless to bad; `sharpening monitor --fail-on` compares with them."""


@dataclass(frozen=True)
class Finding:
    """`name` stable, for scripts; `level` one of LEVELS; `step` in optimizer updates as the log counts them,
    None for the whole run.
    """

    name: str
    level: str
    message: str
    step: int | None = None

    def __post_init__(self):
        if self.level not in LEVELS:
            raise ValueError(f"level is {self.level!r}, known levels are {', '.join(LEVELS)}")

    def as_dict(self) -> dict:
        """Plain data for JSON."""
        return asdict(self)


def worst(findings) -> str:
    """The highest level among the findings, info if there are none."""
    return max((finding.level for finding in findings), key=LEVELS.index, default="info")
