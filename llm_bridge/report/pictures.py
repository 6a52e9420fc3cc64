"""A few images with what the model said of them, before and after a pilot."""

import re

from llm_bridge.forecast.result import ModelForecast
from llm_bridge.report import html

_DATA = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=]+")


def pictures_section(forecast: ModelForecast) -> str:
    """Images, questions and greedy answers, "" for a forecast of texts."""
    shown: list[dict] = next(
        (record["shown"] for record in forecast.pilot_records if record.get("shown")), []
    )
    if not shown:
        return ""
    heads = ["Image", "asked", "true", "before", "after the pilot", "after, of grey"]
    rows = [("", [_images(one["images"]), *map(_said, _texts(one))]) for one in shown]
    note = (
        "Greedy answers before the pilot's first step and after its last, which pushed a copy until its answers broke;"
        " the last column is what it says then when the image is plain grey."
    )
    return html.section(
        "What it sees, and says",
        html.table(heads, rows, text_columns=len(heads)),
        html.paragraph(note, "note"),
    )


def _texts(one: dict) -> list:
    return [one.get(name) for name in ("prompt", "answer", "before", "after", "grey")]


def _said(value) -> str:
    return "–" if value is None else html.text(value)


def _images(sources) -> str:
    return "".join(
        f'<img src="{source}" alt="image of the prompt" width="64">'
        for source in sources
        if _DATA.fullmatch(source)
    )
