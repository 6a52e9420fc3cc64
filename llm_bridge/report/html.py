"""Small pieces of HTML. Everything from outside passes through `html.escape`; figures are embedded as
data.
"""

import base64
import re
from collections.abc import Iterable
from html import escape
from pathlib import Path


def text(value) -> str:
    """Escaped text."""
    return escape(str(value))


def prose(value) -> str:
    """Escaped text in which `backticks` mark code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text(value))


def section(title: str, *parts: str) -> str:
    return f"<section>\n<h2>{text(title)}</h2>\n{''.join(parts)}\n</section>\n"


def folded(title: str, *parts: str) -> str:
    """A section that opens on a click."""
    return f"<section><details><summary>{text(title)}</summary>\n{''.join(parts)}\n</details></section>\n"


def details(title: str, *parts: str) -> str:
    """A part of a section that opens on a click."""
    return f"<details class=more><summary>{text(title)}</summary>\n{''.join(parts)}\n</details>"


def paragraph(content: str, css: str = "") -> str:
    return f'<p class="{css}">{prose(content)}</p>' if css else f"<p>{prose(content)}</p>"


STACKED = 3


def table(heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], *, text_columns: int = 1) -> str:
    """A table of cells that are HTML already; a row is (css class, cells). The first `text_columns` are
    left-aligned. One of more than STACKED columns becomes a list of rows where the screen is narrow.
    """
    heads = list(heads)

    names = [re.sub("<[^>]+>", " ", head).strip() for head in heads]

    def attributes(i, tag):
        css = " class=text" if 0 < i < text_columns else ""
        return css + (f' data-head="{names[i]}"' if tag == "td" and i else "")

    def cells(values, tag):
        return "".join(f"<{tag}{attributes(i, tag)}>{value}</{tag}>" for i, value in enumerate(values))

    body = "\n".join(
        f"<tr{f' class={css}' if css else ''}>{cells(values, 'td')}</tr>" for css, values in rows
    )
    wide = " class=wide" if len(names) > STACKED else ""
    return (
        f'<div class="scroll"><table{wide}><thead><tr>{cells(heads, "th")}</tr></thead><tbody>\n{body}\n'
        "</tbody></table></div>"
    )


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """Key figures: (value, what it is)."""
    inner = "".join(
        f'<div class="card"><b>{text(value)}</b><span>{text(name)}</span></div>' for value, name in facts
    )
    return f'<div class="cards">{inner}</div>'


def bullet_list(items: Iterable[str]) -> str:
    return '<ul class="reasons">' + "".join(f"<li>{prose(item)}</li>" for item in items) + "</ul>"


def definitions(entries: Iterable[tuple[str, str]]) -> str:
    return (
        "<dl>"
        + "".join(f"<dt>{text(name)}</dt><dd>{text(meaning)}</dd>" for name, meaning in entries)
        + "</dl>"
    )


def figure(svg: bytes, alt: str, caption: str, css: str = "") -> str:
    """A figure drawn for a light page, and the same in dark colours; the reader's setting chooses."""
    from sharpening.plots.theme import darkened

    light, dark = (
        f"data:image/svg+xml;base64,{base64.b64encode(one).decode()}" for one in (svg, darkened(svg))
    )
    picture = (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{dark}"><img src="{light}"'
        f' alt="{text(alt)}"></picture>'
    )
    told = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return f'<figure class="{css}"><div class="figure">{picture}</div>{told}</figure>'


def document(title: str, kind: str, subtitle: str, body: str) -> str:
    """The whole page."""
    css = Path(__file__).with_name("page.css").read_text()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title><style>{css}</style></head>\n<body><main>\n"
        f"<header><p>{text(kind)}</p><h1>{text(title)}</h1><p>{text(subtitle)}</p></header>\n{body}</main></body></html>\n"
    )
