"""Colours: one per series in every figure (Okabe and Ito's palette, safe for colour-blind readers), the
measured run in ink.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sharpening.errors import InputError


@dataclass(frozen=True)
class Theme:
    """Colours of a figure: ink for text and the measured run, grey for references, one colour per other
    series.
    """

    ink: str
    grey: str
    grid: str
    series: Mapping[str, str]
    others: tuple[str, ...]

    def colour(self, name: str, position: int = 0) -> str:
        return (
            self.ink
            if name == "measured"
            else self.series.get(name, self.others[position % len(self.others)])
        )


_LIGHT = {
    "pilot": "#A8437F",
    "coupled": "#D55E00",
    "uncoupled": "#0072B2",
    "radius": "#00845F",
    "majority_ratio": "#6B7280",
    "accuracy": "#D55E00",
    "label_accuracy": "#B07A00",
    "reward_accuracy": "#0072B2",
    "mode_retention": "#00845F",
}
_DARK = {
    "pilot": "#E59BC4",
    "coupled": "#FF9147",
    "uncoupled": "#6CBDF5",
    "radius": "#3FCF9F",
    "majority_ratio": "#A8B0BC",
    "accuracy": "#FF9147",
    "label_accuracy": "#F2C14E",
    "reward_accuracy": "#6CBDF5",
    "mode_retention": "#3FCF9F",
}
THEMES = {
    "light": Theme(
        "#1B1F24", "#6B7280", "#E3E6EA", _LIGHT, ("#D55E00", "#0072B2", "#00845F", "#A8437F", "#B07A00")
    ),
    "dark": Theme(
        "#E8EAED", "#9AA3AF", "#3A3F46", _DARK, ("#FF9147", "#6CBDF5", "#3FCF9F", "#E59BC4", "#F2C14E")
    ),
}


def darkened(svg: bytes) -> bytes:
    """A figure drawn for a light page (SVG), in the colours of the dark theme: drawing once is half the work."""
    light, dark = THEMES["light"], THEMES["dark"]
    pairs = [(light.series[name], dark.series[name]) for name in light.series]
    pairs += [*zip(light.others, dark.others, strict=True), (light.ink, dark.ink), (light.grid, dark.grid)]
    pairs += [(light.grey, dark.grey)]
    colours = {old.lower().encode(): new.lower().encode() for old, new in pairs}
    known = re.compile(b"|".join(colours), re.IGNORECASE)
    return known.sub(lambda found: colours[found.group().lower()], svg)


def get_theme(name: str) -> Theme:
    """The theme of that name. Raises: InputError listing the known ones."""
    if name not in THEMES:
        raise InputError("theme", name, f"known themes are {', '.join(THEMES)}", "Use light")
    return THEMES[name]
